//! Commands that each worker of the example runs when it starts, and gates at which a start waits.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::mpsc;
use std::thread;

use super::peer::connection::LIMIT;
use super::peer::program::folder;

/// The script that workers run when they start. A test changes it as a deploy changes an
/// application.
pub(super) struct StartScript(PathBuf);

impl StartScript {
    pub(super) fn new(script: &str) -> Self {
        let start = Self(folder().join("start"));
        start.change(script);
        start
    }

    /// The value of `HELLO_START`.
    pub(super) fn command(&self) -> String {
        format!("exec sh {}", self.0.display())
    }

    pub(super) fn change(&self, script: &str) {
        // Replaced, not rewritten: a worker may be reading it.
        let next = self.0.with_extension("next");
        fs::write(&next, script).unwrap();
        fs::rename(&next, &self.0).unwrap();
    }

    pub(super) fn gate(&self, name: &str) -> Gate {
        let path = self.0.with_file_name(name);
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        Gate(path)
    }
}

impl Drop for StartScript {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(self.0.parent().unwrap());
    }
}

/// A FIFO at which a script waits.
pub(super) struct Gate(PathBuf);

impl Gate {
    /// The shell command that waits here.
    pub(super) fn wait(&self) -> String {
        format!("read line < {}; true", self.0.display())
    }

    /// Waits until a script has arrived. It continues when the file is dropped.
    pub(super) fn reached(&self) -> File {
        let path = self.0.clone();
        let (opened, wait) = mpsc::channel();
        thread::spawn(move || opened.send(File::options().write(true).open(path)));
        let found = wait.recv_timeout(LIMIT);
        found.expect("a script is at the gate").unwrap()
    }

    /// Lets scripts through, including later ones, as long as the file is open.
    pub(super) fn open(&self) -> File {
        let both = File::options().read(true).write(true).open(&self.0);
        let mut gate = both.unwrap();
        gate.write_all(&[b'\n'; 100]).unwrap();
        gate
    }
}
