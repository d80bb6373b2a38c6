//! The C example under its manager.

use std::fs::File;
use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::Command;
use std::sync::mpsc;
use std::thread;

use super::connection::{Address, Connection, LIMIT};
use super::program::{Program, Transport, folder, product};
use super::records::{
    GET_VALUES, GET_VALUES_RESULT, ID, PARAMS, Request, STDIN, begin, record, request, stream,
};

/// The example under its manager, and the pids of its workers.
pub(crate) struct Pool {
    pub(crate) program: Program,
    pub(crate) workers: Vec<i32>,
    /// The FIFO that a request for /pause waits for.
    pub(crate) gate: PathBuf,
}

pub(crate) fn command(workers: usize, environment: &[(&str, &str)]) -> (Command, PathBuf) {
    let gate = folder().join("gate");
    nix::unistd::mkfifo(&gate, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let mut command = Command::new(product("examples/hello"));
    command
        .arg("fd:0")
        .env("FCGIPM_N_PROCESSES", workers.to_string())
        .env("HELLO_GATE", &gate);
    command.envs(environment.iter().copied());
    (command, gate)
}

/// A command that executes another one, whose arguments are appended, with its environment.
pub(crate) fn followed_by(mut first: Command, then: &Command) -> Command {
    first.arg(then.get_program()).args(then.get_args());
    for (name, value) in then.get_envs() {
        first.env(name, value.unwrap());
    }
    first
}

/// A shell that runs a script, and then executes another command.
pub(crate) fn shell(script: &str, then: &Command) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("{script} && exec \"$0\" \"$@\"")]);
    followed_by(shell, then)
}

impl Pool {
    pub(crate) fn start(
        transport: Transport,
        workers: usize,
        environment: &[(&str, &str)],
    ) -> Self {
        let (command, gate) = command(workers, environment);
        Self::ready(Program::start(command, transport), gate, workers)
    }

    pub(crate) fn start_on(
        listener: OwnedFd,
        address: Address,
        workers: usize,
        environment: &[(&str, &str)],
    ) -> Self {
        let (command, gate) = command(workers, environment);
        Self::ready(Program::start_on(command, listener, address), gate, workers)
    }

    /// The same, with a manager that opens the address itself.
    pub(crate) fn start_opening(
        address: &Address,
        workers: usize,
        environment: &[(&str, &str)],
    ) -> Self {
        Self::start_opening_as(|_| {}, address, workers, environment)
    }

    /// The same, with a command that is changed before it starts.
    pub(crate) fn start_opening_as(
        change: impl FnOnce(&mut Command),
        address: &Address,
        workers: usize,
        environment: &[(&str, &str)],
    ) -> Self {
        let (plain, gate) = command(workers, environment);
        let mut command = Command::new(plain.get_program());
        command.arg(address.text());
        for (name, value) in plain.get_envs() {
            command.env(name, value.unwrap());
        }
        change(&mut command);
        let program = Program::start_opening(command, address.clone());
        Self::ready(program, gate, workers)
    }

    pub(crate) fn ready(program: Program, gate: PathBuf, workers: usize) -> Self {
        let mut pool = Self {
            program,
            workers: Vec::new(),
            gate,
        };
        for _ in 0..workers {
            let ready = pool.next_ready();
            pool.workers.push(ready);
        }
        pool
    }

    /// Waits for the next worker that is ready, and returns its pid.
    pub(crate) fn next_ready(&mut self) -> i32 {
        let line = self.program.line(") ready");
        let (_, rest) = line.split_once("worker (pid ").unwrap();
        rest.split_once(')').unwrap().0.parse().unwrap()
    }

    /// A connection with a request that waits at the gate.
    pub(crate) fn paused(&self, keep: bool) -> Connection {
        let mut connection = self.program.connect();
        connection.send(&call("/pause").keep(keep).bytes());
        connection
    }

    /// Waits until a worker is at the gate. It continues when the file is written or dropped.
    pub(crate) fn gate(&self) -> File {
        let gate = self.gate.clone();
        let (opened, wait) = mpsc::channel();
        // Opening a FIFO waits for a reader.
        thread::spawn(move || opened.send(File::options().write(true).open(gate)));
        let found = wait.recv_timeout(LIMIT);
        found.expect("a worker is at the gate").unwrap()
    }

    /// Lets this number of workers through the gate, including later ones, as long as the file is
    /// open.
    pub(crate) fn let_through(&self, count: usize) -> File {
        let both = File::options().read(true).write(true).open(&self.gate);
        let mut gate = both.unwrap();
        gate.write_all(&vec![b'x'; count]).unwrap();
        gate
    }

    /// A connection whose parameters a worker is reading, and the rest of the request.
    pub(crate) fn half(&self, request: &Request) -> (Connection, Vec<u8>) {
        let mut connection = self.program.connect();
        let params = request.pairs();
        connection.send(&begin(ID, request.role, request.keep));
        connection.send(&record(PARAMS, ID, &params[..params.len() / 2]));
        connection.send(&record(GET_VALUES, 0, &[]));
        assert_eq!(
            connection.record().kind,
            GET_VALUES_RESULT,
            "no worker reads"
        );
        let rest = stream(PARAMS, ID, &params[params.len() / 2..]);
        (connection, [rest, record(STDIN, ID, &[])].concat())
    }

    /// The output of the status command.
    pub(crate) fn status(&self) -> serde_json::Value {
        let output = Command::new(product("fcgipm"))
            .args(["status", "--json", &self.program.pid().to_string()])
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// Stops the manager, and checks that it has logged no failure.
    pub(crate) fn stop(mut self) {
        self.program.signal(nix::sys::signal::Signal::SIGTERM);
        self.assert_stopped();
    }

    pub(crate) fn assert_stopped(&mut self) {
        let status = self.program.wait();
        assert_eq!(status.code(), Some(0), "{:#?}", self.program.lines());
        for line in self.program.all_lines() {
            for bad in [
                "killing",
                "killed by",
                "reload failed",
                "exited with status 1",
                "hello:",
                "a request timed out",
            ] {
                assert!(!line.contains(bad), "{line}");
            }
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        if let Some(folder) = self.gate.parent() {
            let _ = std::fs::remove_dir_all(folder);
        }
    }
}

/// A request for a path of the example.
pub(crate) fn call(path: &str) -> Request {
    request(path)
        .param("REQUEST_METHOD", "GET")
        .param("REQUEST_URI", path)
}
