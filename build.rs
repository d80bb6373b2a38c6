//! Writes `include/fcgipm.h` from the exports in `src/ffi`, and names the shared object.
//!
//! The header is committed. It is rewritten only when its text changes, so that a build leaves a
//! clean checkout clean; a test fails when the committed one is out of step.

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
    let text = header::generate(Path::new(&root))?;
    if fs::read_to_string(&header).ok().as_deref() != Some(&text) {
        fs::write(&header, &text)?;
    }
    Ok(())
}
