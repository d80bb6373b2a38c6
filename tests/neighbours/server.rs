//! A web server that a test runs in front of an application.

use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use std::{fs, thread};

use nix::sys::signal::Signal;

use crate::place::{self, Port};
use crate::process::{LIMIT, Process};

pub(crate) struct Server {
    pub(crate) port: Port,
    error_log: PathBuf,
    program: &'static Program,
    process: Process,
}

/// The program of a server, and its Debian package.
pub(crate) struct Program {
    pub(crate) path: &'static str,
    pub(crate) package: &'static str,
    /// Stops it after it has answered active requests.
    pub(crate) graceful_stop: Signal,
    /// Texts that its error log may always contain.
    pub(crate) harmless: &'static [&'static str],
}

impl Server {
    /// Starts a server that logs to `error.log` in the folder, and waits until it accepts.
    pub(crate) fn start(
        program: &'static Program,
        arguments: &[&str],
        folder: &Path,
        port: Port,
    ) -> Self {
        assert!(
            Path::new(program.path).exists(),
            "{} is missing: apt-get install {}",
            program.path,
            program.package
        );
        let mut command = Process::command(program.path);
        command.args(arguments).current_dir(folder);
        let server = Self {
            port,
            error_log: folder.join("error.log"),
            program,
            process: Process::start(program.package, &mut command),
        };
        let deadline = Instant::now() + LIMIT;
        while TcpStream::connect(server.port.address()).is_err() {
            assert!(
                !server.process.has_ended() && Instant::now() < deadline,
                "{} does not start: {}\n{}",
                program.package,
                server.process.lines().join("\n"),
                server.log()
            );
            thread::sleep(Duration::from_millis(5));
        }
        server
    }

    /// Waits for a text in the error log.
    pub(crate) fn wait_for_log(&self, text: &str) {
        place::wait_for_text(&self.error_log, text);
    }

    /// Stops it, and fails if it has logged anything unexpected.
    pub(crate) fn stop(&mut self, harmless: &[&str]) {
        self.process.stop(self.program.graceful_stop);
        let log = self.log();
        let is_complaint = |line: &&str| {
            let mut all = self.program.harmless.iter().chain(harmless);
            !all.any(|text| line.contains(text))
        };
        let complaints: Vec<&str> = log.lines().filter(is_complaint).collect();
        assert!(complaints.is_empty(), "{complaints:#?}");
    }

    fn log(&self) -> String {
        fs::read_to_string(&self.error_log).unwrap_or_default()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if thread::panicking() {
            println!("{} logged:\n{}", self.program.package, self.log());
        }
    }
}
