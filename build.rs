//! Writes `include/fcgipm.h` from the exports in `src/ffi`, and names the shared object.
//!
//! The header is committed. It is rewritten only when its text changes, so that a build leaves a
//! clean checkout clean; `make check` fails when the committed one is out of step.

use std::fmt::Write as _;
use std::path::Path;
use std::{env, fs, io};

#[allow(
    dead_code,
    unreachable_pub,
    reason = "only the table of codes is wanted here"
)]
#[path = "src/error.rs"]
mod error;

const EXPORTS: [&str; 6] = [
    "src/ffi/error.rs",
    "src/ffi/options.rs",
    "src/ffi/socket.rs",
    "src/ffi/request.rs",
    "src/ffi/manager.rs",
    "src/ffi/worker.rs",
];

fn main() -> io::Result<()> {
    for source in
        EXPORTS
            .iter()
            .chain(&["build.rs", "src/error.rs", "include/fcgipm.h", "Cargo.toml"])
    {
        println!("cargo:rerun-if-changed={source}");
    }
    // What `make build` does to the shared library that it installs holds for cargo's, too: its
    // name, no unloading (a handler or a thread's data may outlive a dlclose), and tables that
    // cannot be overwritten.
    for argument in [
        "-soname,libfcgipm.so.0",
        "-z,nodelete",
        "-z,relro",
        "-z,now",
    ] {
        println!("cargo:rustc-cdylib-link-arg=-Wl,{argument}");
    }
    let root = env::var("CARGO_MANIFEST_DIR").map_err(io::Error::other)?;
    let header = Path::new(&root).join("include/fcgipm.h");
    let text = generate(Path::new(&root))?;
    if fs::read_to_string(&header).ok().as_deref() != Some(&text) {
        fs::write(&header, &text)?;
    }
    Ok(())
}

fn generate(root: &Path) -> io::Result<String> {
    let mut builder = cbindgen::Builder::new();
    for source in EXPORTS {
        builder = builder.with_src(root.join(source));
    }
    let version = env!("CARGO_PKG_VERSION");
    let bindings = builder
        .with_language(cbindgen::Language::C)
        .with_cpp_compat(true)
        .with_include_guard("FCGIPM_H")
        .with_documentation(true)
        .with_header(format!(
            "/* fcgipm.h, version {version}: the server side of FastCGI 1.0 and a process manager.\n *\n \
             * Generated from src/ffi by the build. Do not edit.\n *\n \
             * Functions return 0 or a non-negative result, or one of the negative FCGIPM_E... numbers; what\n \
             * went wrong stands in fcgipm_last_error_message(). Functions that return a handle return NULL\n \
             * instead. errno is set where it is the cause, and otherwise left as it was.\n *\n \
             * The ABI only grows: functions and numbers keep their meaning. */"
        ))
        .with_after_include(error_numbers())
        .generate()
        .map_err(io::Error::other)?;
    let mut text = Vec::new();
    bindings.write(&mut text);
    String::from_utf8(text).map_err(io::Error::other)
}

fn error_numbers() -> String {
    error::Code::ALL
        .iter()
        .fold(String::new(), |mut text, code| {
            let _ = write!(
                text,
                "\n/** {} */\n#define {} ({})\n",
                code.meaning(),
                code.name(),
                code.number()
            );
            text
        })
}
