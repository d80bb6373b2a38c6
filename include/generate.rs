//! Generates the C header from the exports. The build writes it; a test compares it with the
//! committed one.

use std::fmt::Write as _;
use std::io;
use std::path::Path;

#[allow(
    dead_code,
    unreachable_pub,
    reason = "only the table of codes is used here"
)]
#[path = "../src/error.rs"]
mod error;

/// In the order of the header.
pub(crate) const EXPORTS: [&str; 13] = [
    "src/ffi/error.rs",
    "src/ffi/options.rs",
    "src/ffi/socket.rs",
    "src/ffi/served.rs",
    "src/ffi/request.rs",
    "src/ffi/request_in_child.rs",
    "src/ffi/streams.rs",
    "src/ffi/params.rs",
    "src/ffi/manager.rs",
    "src/ffi/host_forks.rs",
    "src/ffi/signal.rs",
    "src/ffi/worker.rs",
    "src/ffi/process.rs",
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
 * Results: a function returns 0 or a positive number on success, and one of the negative
 * FCGIPM_E... numbers on failure. A function that returns a pointer returns NULL on failure.
 * fcgipm_last_error_message() describes the last failure of the calling thread. errno is set if a
 * system call was the cause, and is otherwise unchanged.
 *
 * Arguments: a handle that is NULL, freed or of another kind, or that another call is using, is an
 * error (FCGIPM_EHANDLE). Any other pointer must be valid during the call, and may be NULL only if
 * its description says so. Strings and data are copied if the library needs them after the call.
 *
 * Threads: any thread may call any function, except where stated; one call at a time per handle.
 *
 * Fork: a handle belongs to the process that made it. In a child, calls with it return
 * FCGIPM_EFORKED, except where stated. Freeing it there frees memory and closes descriptors only.
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
