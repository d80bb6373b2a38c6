//! A peer, running.

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

/// How long a peer may take to start: one under valgrind takes its time.
const START_LIMIT: Duration = Duration::from_secs(60);

/// How long it may take to stop.
const STOP_LIMIT: Duration = Duration::from_secs(10);

const MOMENT: Duration = Duration::from_millis(5);

/// It ends with this value, and everything that it has started.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    /// How many processes stand above the server's first.
    above: usize,
    pub(crate) socket: PathBuf,
    workers: usize,
    /// By which it is reloaded, if it can be.
    pub(crate) reload_signal: Option<Signal>,
    pub(crate) stop_signal: Signal,
}

impl Server {
    /// Starts a command and waits until all of its workers are there and somebody listens.
    pub(crate) fn start(command: Command, socket: &Path, workers: usize) -> Result<Self, String> {
        Self::start_below(command, 0, socket, workers)
    }

    /// The same with a program that starts it and stays: the number of processes above it.
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
        // A group of its own, so that its workers can be ended with it.
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
                    format!("has ended, {status}")
                });
                return Err(format!("{name} {what}: {}", log.trim()));
            }
            sleep(MOMENT);
        }
        Ok(server)
    }

    fn group(&self) -> Pid {
        Pid::from_raw(self.child.id().cast_signed())
    }

    /// Every process of it.
    pub(crate) fn processes(&self) -> Vec<i32> {
        let mut processes = procfs::tree(self.group().as_raw());
        processes.drain(..self.above.min(processes.len()));
        processes
    }

    /// Those that serve.
    pub(crate) fn workers(&self) -> Vec<i32> {
        self.processes().into_iter().skip(1).collect()
    }

    pub(crate) fn spent(&self) -> procfs::Spent {
        procfs::Spent::of(&self.processes())
    }

    pub(crate) fn signal(&self, signal: Signal) -> Result<(), String> {
        let first = self.processes().first().copied();
        let first = first.ok_or_else(|| format!("{signal}: the server has ended"))?;
        kill(Pid::from_raw(first), signal).map_err(|errno| format!("{signal}: {errno}"))
    }

    /// Waits until as many workers are there as should be.
    pub(crate) fn settle(&self) {
        let until = Instant::now() + STOP_LIMIT;
        while self.workers().len() != self.workers && Instant::now() < until {
            sleep(MOMENT);
        }
    }

    /// Stops it gracefully and waits, so that valgrind can write what it has counted.
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
        // The group is its own: nobody else is in it.
        let _ = killpg(self.group(), Signal::SIGKILL);
        let _ = self.child.wait();
    }
}
