//! Generates `include/fcgipm.h` from the exports in `src/ffi`, and sets linker options.
//!
//! The header is committed. It is rewritten only if its text changes, so that a build leaves a
//! clean checkout clean. A test fails if the committed header is out of date.

use std::path::Path;
use std::{env, fs, io};

#[path = "include/generate.rs"]
mod header;

fn main() -> io::Result<()> {
    for source in header::EXPORTS.iter().chain(&[
        "build.rs",
        "include/generate.rs",
        "src/error.rs",
        "include/fcgipm.h",
        "Cargo.toml",
    ]) {
        println!("cargo:rerun-if-changed={source}");
    }
    // As in the shared library that `make build` links and installs: the name, no unloading (a
    // signal handler or the data of a thread may outlive a dlclose), and read-only tables.
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
    let text = header::generate(Path::new(&root))?;
    if fs::read_to_string(&header).ok().as_deref() != Some(&text) {
        fs::write(&header, &text)?;
    }
    Ok(())
}
