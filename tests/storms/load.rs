//! `fcgipm load` and its counts.

use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use super::peer::program::product;

/// A running load generator.
#[derive(Debug)]
pub(crate) struct Load {
    child: Child,
}

/// Its counts.
#[derive(Debug)]
pub(crate) struct Tally(Value);

impl Load {
    pub(crate) fn start(address: &str, options: &[impl AsRef<str>]) -> Self {
        let child = Command::new(product("fcgipm"))
            .args(["load", "--json"])
            .args(options.iter().map(AsRef::as_ref))
            .arg(address)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        Self { child }
    }

    pub(crate) fn is_done(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Waits until it has exited.
    pub(crate) fn finish(mut self) -> Tally {
        let stdout = std::io::read_to_string(self.child.stdout.take().unwrap()).unwrap();
        let status = self.child.wait().unwrap();
        let tally = serde_json::from_str(&stdout).map(Tally);
        let tally = tally.unwrap_or_else(|error| panic!("{error}: {status:?} {stdout}"));
        assert_eq!(status.code(), Some(i32::from(tally.lost() > 0)), "{stdout}");
        tally
    }

    /// Begins no more requests. Active ones have a second to finish, which must be enough.
    pub(crate) fn stop(self) -> Tally {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap());
        kill(pid, Signal::SIGINT).unwrap();
        let tally = self.finish();
        assert_eq!(tally.number("/unfinished"), 0.0, "{tally:?}");
        tally
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Tally {
    pub(crate) fn number(&self, path: &str) -> f64 {
        let value = self.0.pointer(path).and_then(Value::as_f64);
        value.unwrap_or_else(|| panic!("no number {path} in {self:?}"))
    }

    fn count(&self, path: &str) -> u64 {
        self.number(path) as u64
    }

    pub(crate) fn requests(&self) -> u64 {
        self.count("/requests")
    }

    pub(crate) fn ok(&self) -> u64 {
        self.count("/ok")
    }

    pub(crate) fn lost(&self) -> u64 {
        self.count("/lost")
    }

    pub(crate) fn lost_as(&self, kind: &str) -> u64 {
        self.count(&format!("/lost_by_kind/{kind}"))
    }

    pub(crate) fn connections(&self) -> u64 {
        self.count("/connections")
    }

    /// The maximum time without an answer, in seconds.
    pub(crate) fn silence(&self) -> f64 {
        self.number("/longest_silence/length")
    }
}
