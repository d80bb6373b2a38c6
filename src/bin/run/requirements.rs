//! What one pool needs before it can start.

use std::ffi::OsString;
use std::fs;
use std::path::Path;

use fcgipm::manager::Program;
use fcgipm::options::{Opt, Options};

/// Rejects an address that is only a name: it is usually a mistyped port or host, and would create
/// a socket file in the current directory.
pub(super) fn plain_name(address: &str) -> Option<String> {
    let is_plain = !address.is_empty() && !address.contains(['/', ':', '@']);
    is_plain.then(|| {
        if address.bytes().all(|byte| byte.is_ascii_digit()) {
            format!("listen address '{address}': for a port write ':{address}', for a socket file './{address}'")
        } else {
            format!("listen address '{address}': for a socket file write './{address}', for a port ':9005'")
        }
    })
}

/// Mistakes in the identity of workers, or in the program.
pub(super) fn of_workers(command: &[OsString], options: &Options) -> Vec<String> {
    let Err(error) = Program::check(command, options) else {
        return Vec::new();
    };
    let whole = vec![error.to_string()];
    if Program::exit_status(&error).is_some() {
        return whole;
    }
    // The check stops at the first mistake. Checking each option alone finds the others, except
    // those that are wrong only in combination.
    let mut all = Vec::new();
    for (opt, name) in [
        (Opt::User, "user"),
        (Opt::Group, "group"),
        (Opt::Chroot, "chroot"),
        (Opt::Chdir, "chdir"),
        (Opt::RlimitFiles, "rlimit_files"),
    ] {
        let mut alone = Options::new();
        // chdir is resolved inside chroot, so it cannot be checked alone.
        let is_below = opt == Opt::Chdir && options.given(Opt::Chroot).is_some();
        let Some(value) = options.given(opt).filter(|_| !is_below) else {
            continue;
        };
        if alone.set(name, value).is_ok() {
            let refused = Program::check(command, &alone).err();
            let refused = refused.filter(|error| Program::exit_status(error).is_none());
            all.extend(refused.map(|error| error.to_string()));
        }
    }
    if all.is_empty() {
        all = whole;
    }
    if options.given(Opt::Chroot).is_none() && options.given(Opt::Chdir).is_none() {
        let program = Program::check(command, &Options::new());
        all.extend(program.err().map(|error| error.to_string()));
    }
    all
}

/// A mistake in the path of a pid file.
pub(super) fn of_pid_file(path: &str) -> Option<String> {
    let error = fs::metadata(folder_of(Path::new(path))).err()?;
    Some(format!("option pid_fname: '{path}': {error}"))
}

pub(super) fn folder_of(path: &Path) -> &Path {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    folder.unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_alone_is_not_an_address() {
        assert!(plain_name("foo").unwrap().contains("'./foo'"));
        assert!(plain_name("9005").unwrap().contains("':9005'"));
        for good in [
            "./foo", "/foo", "a/b", ":1", "@a", "unix:foo", "fd:3", "h:1", "",
        ] {
            assert_eq!(plain_name(good), None);
        }
    }
}
