//! The C header, from the exports. The build writes it; a test compares it with the committed one.

use std::fmt::Write as _;
use std::io;
use std::path::Path;

#[allow(
    dead_code,
    unreachable_pub,
    reason = "only the table of codes is wanted here"
)]
#[path = "../src/error.rs"]
mod error;

/// In the order of the header.
pub(crate) const EXPORTS: [&str; 8] = [
    "src/ffi/error.rs",
    "src/ffi/options.rs",
    "src/ffi/socket.rs",
    "src/ffi/request.rs",
    "src/ffi/params.rs",
    "src/ffi/manager.rs",
    "src/ffi/signal.rs",
    "src/ffi/worker.rs",
];

/// The text of the header.
pub(crate) fn generate(root: &Path) -> io::Result<String> {
    let mut builder = cbindgen::Builder::new().with_config(cbindgen::Config {
        language: cbindgen::Language::C,
        cpp_compat: true,
        style: cbindgen::Style::Type,
        include_guard: Some("FCGIPM_H".to_owned()),
        no_includes: true,
        sys_includes: vec!["stddef.h".to_owned(), "stdint.h".to_owned()],
        usize_is_size_t: true,
        line_length: 100,
        ..cbindgen::Config::default()
    });
    for source in EXPORTS {
        builder = builder.with_src(root.join(source));
    }
    let version = env!("CARGO_PKG_VERSION");
    let bindings = builder
        .with_header(format!(
            "\
/* fcgipm.h, version {version}: the server side of FastCGI 1.0 and a process manager.
 *
 * Generated from src/ffi by the build. Do not edit.
 *
 * Functions return 0 or a non-negative result, or one of the negative FCGIPM_E... numbers; what
 * went wrong stands in fcgipm_last_error_message(). Functions that return a handle return NULL
 * instead. errno is set where it is the cause, and otherwise left as it was.
 *
 * NULL, freed and mixed-up handles are errors, not crashes. Other pointers are to point to what the
 * comment says, and may be NULL where it says so.
 *
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
        .fold(String::from("\n"), |mut text, code| {
            let _ = write!(
                text,
                "/** {} */\n#define {} ({})\n",
                code.meaning(),
                code.name(),
                code.number()
            );
            text
        })
}
