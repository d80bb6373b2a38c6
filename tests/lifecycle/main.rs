//! Real processes: the C example under its manager, and what becomes of requests meanwhile.
//!
//! Whoever loses no request proves it by counting: a client notes each request that it began and each
//! answer that it got.

#[path = "../peer/mod.rs"]
mod peer;

mod bounds;
mod cost;
mod deadlines;
mod deaths;
mod descriptors;
mod reload;
mod stop;
mod threads;

use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use peer::connection::{Address, Connection};
use peer::program::{Program, Transport, folder, product};
use peer::records::{GET_VALUES, GET_VALUES_RESULT, ID, Request, begin, record, request, stream};

/// The example under its manager, and the pids of its workers.
struct Pool {
    program: Program,
    workers: Vec<i32>,
    /// A fifo that a request for /pause waits for.
    gate: PathBuf,
}

fn command(workers: usize, environment: &[(&str, &str)]) -> (Command, PathBuf) {
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

impl Pool {
    fn start(transport: Transport, workers: usize, environment: &[(&str, &str)]) -> Self {
        let (command, gate) = command(workers, environment);
        Self::ready(Program::start(command, transport), gate, workers)
    }

    fn start_on(
        listener: OwnedFd,
        address: Address,
        workers: usize,
        environment: &[(&str, &str)],
    ) -> Self {
        let (command, gate) = command(workers, environment);
        Self::ready(Program::start_on(command, listener, address), gate, workers)
    }

    fn ready(program: Program, gate: PathBuf, workers: usize) -> Self {
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

    /// Waits for the next worker that is ready.
    fn next_ready(&mut self) -> i32 {
        let line = self.program.line(") ready");
        let (_, rest) = line.split_once("worker (pid ").unwrap();
        rest.split_once(')').unwrap().0.parse().unwrap()
    }

    /// A connection on which a worker waits at the gate.
    fn paused(&self, keep: bool) -> Connection {
        let mut connection = self.program.connect();
        connection.send(&call("/pause").keep(keep).bytes());
        connection
    }

    /// Waits until a worker stands at the gate; it goes on when this writes or is dropped.
    fn gate(&self) -> File {
        File::options().write(true).open(&self.gate).unwrap()
    }

    /// A connection that a worker has accepted and whose parameters it is reading, and the rest of them.
    fn half(&self, request: &Request) -> (Connection, Vec<u8>) {
        let mut connection = self.program.connect();
        let params = request.pairs();
        connection.send(&begin(ID, request.role, request.keep));
        connection.send(&record(
            peer::records::PARAMS,
            ID,
            &params[..params.len() / 2],
        ));
        connection.send(&record(GET_VALUES, 0, &[]));
        assert_eq!(
            connection.record().kind,
            GET_VALUES_RESULT,
            "somebody reads"
        );
        let rest = stream(peer::records::PARAMS, ID, &params[params.len() / 2..]);
        (
            connection,
            [rest, record(peer::records::STDIN, ID, &[])].concat(),
        )
    }

    /// Stops the manager gently, and checks that it never had to be otherwise.
    fn stop(mut self) {
        self.program.signal(nix::sys::signal::Signal::SIGTERM);
        self.assert_stopped();
    }

    fn assert_stopped(&mut self) {
        let status = self.program.wait();
        assert_eq!(status.code(), Some(0), "{:#?}", self.program.lines());
        for line in self.program.all_lines() {
            for bad in [
                "killing",
                "killed by",
                "reload failed",
                "exited with status 1",
                "hello:",
                "is given up",
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
fn call(path: &str) -> Request {
    request(path)
}

/// Clients that ask until they are told to stop.
struct Load {
    stop: Arc<AtomicBool>,
    clients: Vec<JoinHandle<(u32, Vec<String>)>>,
}

impl Load {
    /// `ask` makes one request: `Err` tells how it was lost.
    fn start<S: Send + 'static>(
        clients: usize,
        state: impl Fn() -> S,
        ask: impl Fn(&mut S) -> Result<(), String> + Copy + Send + 'static,
    ) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let client = |mut state: S| {
            let stop = Arc::clone(&stop);
            std::thread::spawn(move || {
                let (mut answered, mut lost) = (0, Vec::new());
                while !stop.load(Ordering::Relaxed) && lost.len() < 100 {
                    match ask(&mut state) {
                        Ok(()) => answered += 1,
                        Err(how) => lost.push(how),
                    }
                }
                (answered, lost)
            })
        };
        let clients = (0..clients).map(|_| client(state())).collect();
        Self { stop, clients }
    }

    /// How many were answered; none may be lost, and no client may have starved.
    fn finish(self) -> u32 {
        self.stop.store(true, Ordering::Relaxed);
        let mut total = 0;
        for client in self.clients {
            let (answered, lost) = client.join().unwrap();
            assert!(
                lost.is_empty(),
                "{} lost, {answered} answered: {:?}",
                lost.len(),
                &lost[..lost.len().min(5)]
            );
            assert!(answered > 0);
            total += answered;
        }
        total
    }
}

/// One request whose parameters arrive in two segments 3 ms apart, as they do through a network.
fn ask_in_two_segments(address: &Address) -> Result<(), String> {
    let request = call("/").param("FILLER", vec![b'x'; 500]);
    let bytes = request.bytes();
    let mut connection = address.try_connect().map_err(|e| format!("connect: {e}"))?;
    connection
        .try_send(&bytes[..200])
        .map_err(|e| format!("first segment: {e}"))?;
    // The pause is the scenario.
    std::thread::sleep(std::time::Duration::from_millis(3));
    connection
        .try_send(&bytes[200..])
        .map_err(|e| format!("second segment: {e}"))?;
    answered(&mut connection)
}

/// One request on a connection that is kept.
fn ask_on_kept(connection: &mut Connection) -> Result<(), String> {
    connection
        .try_send(&call("/").keep(true).bytes())
        .map_err(|e| format!("send: {e}"))?;
    answered(connection)
}

fn answered(connection: &mut Connection) -> Result<(), String> {
    let response = connection
        .try_response_to(ID)
        .map_err(|e| format!("response: {e}"))?;
    if response.text().contains("Hello from worker") {
        Ok(())
    } else {
        Err(response.text())
    }
}
