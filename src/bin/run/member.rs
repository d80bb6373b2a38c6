//! The manager of one of several pools, as their parent process knows it.

use std::path::Path;
use std::process::{Child, Command};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::relay::Relay;
use crate::console;

/// A manager that was not reaped yet.
pub(super) struct Member {
    pub(super) name: String,
    pub(super) child: Child,
    /// It was removed from the file, or the whole family stops.
    pub(super) is_stopping: bool,
    /// Its settings have changed since its start, so that its workers are not copies of it.
    pub(super) is_renewed: bool,
    /// The pause before its last start, if another one was killed.
    pub(super) pause: Option<Duration>,
}

impl Member {
    /// Starts this command again, for one pool with this address.
    pub(super) fn start(
        file: &Path,
        name: &str,
        address: &str,
        pause: Option<Duration>,
        relay: &mut Relay,
    ) -> std::io::Result<Self> {
        let mut manager = Command::new(std::env::current_exe()?);
        manager.args(["run", "--config"]).arg(file).args([
            "--pool",
            name,
            "--under",
            &std::process::id().to_string(),
        ]);
        // They are closed here when the manager has them.
        let _its = relay.add(name, address, &mut manager);
        Ok(Self {
            name: name.to_owned(),
            child: manager.spawn()?,
            is_stopping: false,
            is_renewed: false,
            pause,
        })
    }

    pub(super) fn signal(&self, signal: Signal) {
        // It was not reaped, so the pid is not reused.
        let sent = i32::try_from(self.child.id())
            .map_err(|_| Errno::ESRCH)
            .and_then(|pid| kill(Pid::from_raw(pid), signal));
        match sent {
            // It has exited, which will be logged.
            Ok(()) | Err(Errno::ESRCH) => {}
            Err(errno) => console::error(&format!(
                "fcgipm run: pool '{}': {signal}: {}",
                self.name,
                errno.desc()
            )),
        }
    }
}
