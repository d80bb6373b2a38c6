//! A running peer.

use std::fs::{self, File};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;

use crate::procfs;

/// The maximum time for a peer to start, which is slow under valgrind.
const START_LIMIT: Duration = Duration::from_secs(60);

/// The maximum time for it to stop.
const STOP_LIMIT: Duration = Duration::from_secs(10);

const MOMENT: Duration = Duration::from_millis(5);

/// It is killed with all its children when this is dropped.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    /// The number of processes above the first process of the server.
    above: usize,
    pub(crate) socket: PathBuf,
    workers: usize,
    /// The signal for a reload, if it has one.
    pub(crate) reload_signal: Option<Signal>,
    pub(crate) stop_signal: Signal,
}

impl Server {
    /// Starts a command, and waits until all its workers exist and the socket is open.
    pub(crate) fn start(command: Command, socket: &Path, workers: usize) -> Result<Self, String> {
        Self::start_below(command, 0, socket, workers)
    }

    /// The same for a server that other processes start, with their number.
    pub(crate) fn start_below(
        mut command: Command,
        above: usize,
        socket: &Path,
        workers: usize,
    ) -> Result<Self, String> {
        let log = socket.with_extension("log");
        let failed = |error: std::io::Error| format!("{}: {error}", log.display());
        let file = File::create(&log).map_err(failed)?;
        command
            .stdin(Stdio::null())
            .stdout(file.try_clone().map_err(failed)?)
            .stderr(file);
        // In its own group, so that its workers can be killed with it.
        command.process_group(0);
        let name = command.get_program().to_string_lossy().into_owned();
        let child = command
            .spawn()
            .map_err(|error| format!("{name}: {error}"))?;
        let mut server = Self {
            child,
            above,
            socket: socket.to_owned(),
            workers,
            reload_signal: None,
            stop_signal: Signal::SIGTERM,
        };
        let until = Instant::now() + START_LIMIT;
        while server.workers().len() < workers || UnixStream::connect(socket).is_err() {
            let ended = server.child.try_wait().ok().flatten();
            if ended.is_some() || Instant::now() > until {
                let log = fs::read_to_string(&log).unwrap_or_default();
                let what = ended.map_or("does not start".to_owned(), |status| {
                    format!("has exited, {status}")
                });
                return Err(format!("{name} {what}: {}", log.trim()));
            }
            sleep(MOMENT);
        }
        Ok(server)
    }

    fn group(&self) -> Pid {
        Pid::from_raw(self.child.id() as i32)
    }

    /// All its processes.
    pub(crate) fn processes(&self) -> Vec<i32> {
        let mut processes = procfs::tree(self.group().as_raw());
        processes.drain(..self.above.min(processes.len()));
        processes
    }

    /// Its workers.
    pub(crate) fn workers(&self) -> Vec<i32> {
        self.processes().into_iter().skip(1).collect()
    }

    pub(crate) fn spent(&self) -> procfs::Spent {
        procfs::Spent::of(&self.processes())
    }

    pub(crate) fn signal(&self, signal: Signal) -> Result<(), String> {
        let first = self.processes().first().copied();
        let first = first.ok_or_else(|| format!("{signal}: the server has exited"))?;
        kill(Pid::from_raw(first), signal).map_err(|errno| format!("{signal}: {errno}"))
    }

    /// Waits until the expected number of workers exists.
    pub(crate) fn settle(&self) {
        let until = Instant::now() + STOP_LIMIT;
        while self.workers().len() != self.workers && Instant::now() < until {
            sleep(MOMENT);
        }
    }

    /// Stops it gracefully, and waits, so that valgrind can write its counts.
    pub(crate) fn stop(mut self) {
        let group = procfs::tree(self.group().as_raw());
        let _ = self.signal(self.stop_signal);
        let until = Instant::now() + STOP_LIMIT;
        let is_there = |pid: &i32| Path::new(&format!("/proc/{pid}")).exists();
        while Instant::now() < until {
            let _ = self.child.try_wait();
            if !group.iter().any(is_there) {
                return;
            }
            sleep(MOMENT);
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The group contains only its processes.
        let _ = killpg(self.group(), Signal::SIGKILL);
        let _ = self.child.wait();
    }
}
