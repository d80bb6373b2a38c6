//! Finds the libfcgi.so.0 of this project.

use std::env;
use std::path::{Path, PathBuf};

use fcgipm::server::environment;

/// The path that the operator sets; empty: preload nothing.
const VARIABLE: &str = "FCGIPM_DROPIN";

/// Relative to the directory of this command: in a build tree, and installed.
const PLACES: [&str; 4] = [
    "../dropin/libfcgi.so.0",
    INSTALLED,
    "../lib/fcgipm/libfcgi.so.0",
    "../lib64/fcgipm/libfcgi.so.0",
];

/// In a library directory with another name, as in `make build LIBDIR=/usr/lib/x86_64-linux-gnu`.
const INSTALLED: &str = match option_env!("FCGIPM_DROPIN_PLACE") {
    Some(place) => place,
    None => "../lib/fcgipm/libfcgi.so.0",
};

/// The library to preload.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum DropIn {
    At(PathBuf),
    /// The operator disabled it.
    Unwanted,
    /// It was not found.
    Missing,
}

/// Finds the library.
///
/// # Errors
/// The path of the operator does not exist, or LD_PRELOAD cannot name it.
pub(super) fn find() -> Result<DropIn, String> {
    if let Some(said) = environment::trusted_var(VARIABLE) {
        if said.is_empty() {
            return Ok(DropIn::Unwanted);
        }
        let path = PathBuf::from(&said);
        let named = |why: &dyn std::fmt::Display| format!("{VARIABLE}={}: {why}", path.display());
        let path = path.canonicalize().map_err(|error| named(&error))?;
        return nameable(path).map_err(|why| named(&why));
    }
    let command = env::current_exe().map_err(|error| format!("/proc/self/exe: {error}"))?;
    let folder = command.parent().unwrap_or(Path::new("/"));
    let mut found = PLACES
        .iter()
        .filter_map(|place| folder.join(place).canonicalize().ok());
    match found.next() {
        Some(path) => nameable(path),
        None => Ok(DropIn::Missing),
    }
}

/// LD_PRELOAD separates its entries by colons and blanks, without a way to quote them (ld.so(8)).
fn nameable(path: PathBuf) -> Result<DropIn, String> {
    let bytes = path.as_os_str().as_encoded_bytes();
    if bytes.iter().any(|byte| b": \t\n".contains(byte)) {
        let path = path.display();
        return Err(format!(
            "{path}: LD_PRELOAD cannot name a path with a colon or a blank"
        ));
    }
    Ok(DropIn::At(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_the_loader_would_split_is_refused() {
        assert!(nameable("/a b/libfcgi.so.0".into()).is_err());
        assert!(nameable("/a:b/libfcgi.so.0".into()).is_err());
        let plain = PathBuf::from("/a/libfcgi.so.0");
        assert_eq!(nameable(plain.clone()), Ok(DropIn::At(plain)));
    }
}
