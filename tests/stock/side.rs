//! A program with stock libfcgi and with the drop-in.

use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use crate::peer::connection::Address;
use crate::peer::program::{Program, dropin};

/// The library that the loader finds as libfcgi.so.0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Stock,
    DropIn,
}

impl Side {
    pub(crate) fn on(self, mut command: Command) -> Command {
        command
            .env_remove("LD_LIBRARY_PATH")
            .env_remove("FCGI_WEB_SERVER_ADDRS");
        if self == Self::DropIn {
            command.env("LD_LIBRARY_PATH", dropin());
        }
        command
    }

    /// Starts a program with this library, and a listening socket at this path as descriptor 0.
    pub(crate) fn start(self, command: Command, path: &Path) -> Program {
        let (listener, address) = bound(path);
        Program::start_on(self.on(command), listener, address)
    }

    /// Asserts that a process has loaded this library.
    pub(crate) fn assert_loaded(self, pid: i32) {
        let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
        let ours = dropin().join("libfcgi.so.0");
        let libraries: Vec<_> = maps
            .lines()
            .filter(|line| line.contains("libfcgi.so"))
            .collect();
        assert!(!libraries.is_empty(), "it is not on libfcgi");
        let are_ours = libraries
            .iter()
            .all(|line| line.ends_with(ours.to_str().unwrap()));
        assert_eq!(are_ours, self == Self::DropIn, "{libraries:#?}");
    }
}

/// A listening socket at this path. An existing file is removed.
pub(crate) fn bound(path: &Path) -> (OwnedFd, Address) {
    let _ = fs::remove_file(path);
    let listener = UnixListener::bind(path).unwrap();
    (listener.into(), Address::Unix(path.to_owned()))
}

pub(crate) fn source(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/stock/programs")
        .join(name)
}

/// Compiles one of `programs/` with stock libfcgi and these flags, once per process.
pub(crate) fn built(name: &str, flags: &[&str]) -> PathBuf {
    static DONE: Mutex<Vec<(String, PathBuf)>> = Mutex::new(Vec::new());
    let mut done = DONE.lock().unwrap_or_else(PoisonError::into_inner);
    let key = format!("{name} {flags:?}");
    if let Some((_, path)) = done.iter().find(|(known, _)| *known == key) {
        return path.clone();
    }
    let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!(
        "stock-{}-{}-{}",
        name.replace('.', "-"),
        done.len(),
        std::process::id()
    ));
    let status = Command::new("cc")
        .args([
            "-std=gnu11",
            "-O1",
            "-g",
            "-Wall",
            "-Wextra",
            "-Werror",
            "-Wno-nonnull",
            "-pthread",
        ])
        .args(flags)
        .arg("-o")
        .arg(&out)
        .arg(source(name))
        .arg("-lfcgi")
        .status()
        .expect("cc, the C compiler");
    assert!(status.success(), "programs/{name} does not compile");
    done.push((key, out.clone()));
    out
}
