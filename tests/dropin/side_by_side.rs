//! Runs a program three times: built with stock, the same binary with the drop-in, and built with
//! the drop-in.

use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};

use crate::peer::connection::{Address, LIMIT};
use crate::peer::program::{Transport, dropin, ended, ended_within, folder, listen};
use crate::peer::records::{Request, Response};

/// The library that a program is built with and runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Stock,
    /// Built with stock, run with the drop-in.
    Moved,
    DropIn,
}

pub(crate) const SIDES: [Side; 3] = [Side::Stock, Side::Moved, Side::DropIn];

/// Compiles one of `programs/`, once per process for each library.
pub(crate) fn built(source: &str, side: Side) -> PathBuf {
    built_with(source, side, "")
}

/// The same, with an additional flag.
pub(crate) fn built_with(source: &str, side: Side, flag: &str) -> PathBuf {
    static DONE: Mutex<Vec<(String, PathBuf)>> = Mutex::new(Vec::new());
    let ours = side == Side::DropIn;
    let mut done = DONE.lock().unwrap_or_else(PoisonError::into_inner);
    let key = format!("{source} {ours} {flag}");
    if let Some((_, path)) = done.iter().find(|(known, _)| *known == key) {
        return path.clone();
    }
    let programs = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/dropin/programs");
    let name = source.replace('.', "-");
    let kind = if ours { "ours" } else { "stock" };
    let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!(
        "{name}-{kind}-{}-{}",
        done.len(),
        std::process::id()
    ));
    let is_cpp = source.ends_with(".cpp");
    let mut compiler = Command::new(if is_cpp { "c++" } else { "cc" });
    // Stock's headers declare functions that newer C standards have removed.
    compiler.args(["-O1", "-g", "-Wall", "-Wextra", "-pthread", "-D_GNU_SOURCE"]);
    if ours {
        // NULL is passed intentionally.
        compiler.args(["-Werror", "-Wno-nonnull", "-Wno-format", "-I"]);
        compiler.arg(dropin().join("include"));
    } else {
        compiler.arg("-w");
    }
    compiler.args(Some(flag).filter(|flag| !flag.is_empty()));
    compiler.arg("-o").arg(&out).arg(programs.join(source));
    if ours {
        compiler
            .arg("-L")
            .arg(dropin())
            .arg(format!("-Wl,-rpath,{}", dropin().display()));
    }
    // Both names, as in builds of C++ programs.
    compiler.args(if is_cpp {
        &["-lfcgi++", "-lfcgi"][..]
    } else {
        &["-lfcgi"]
    });
    let status = compiler.status().expect("a compiler");
    assert!(
        status.success(),
        "programs/{source} does not compile: {compiler:?}"
    );
    done.push((key, out.clone()));
    out
}

/// A command for a program on one side.
pub(crate) fn command(source: &str, side: Side) -> Command {
    on(Command::new(built(source, side)), side)
}

/// Makes the loader use the library of a side.
pub(crate) fn on(mut command: Command, side: Side) -> Command {
    command.env_remove("LD_LIBRARY_PATH");
    if side == Side::Moved {
        command.env("LD_LIBRARY_PATH", dropin());
    }
    command
}

/// The observable results of a run.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) report: String,
    pub(crate) stdout: Vec<u8>,
    pub(crate) ended: String,
    pub(crate) responses: Vec<Seen>,
    pub(crate) files: Vec<(String, Vec<u8>)>,
}

/// A response as a web server sees it, without its division into records.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: Vec<u8>,
    pub(crate) app_status: u32,
    pub(crate) protocol_status: u8,
}

impl From<Response> for Seen {
    fn from(response: Response) -> Self {
        Self {
            stdout: response.stdout,
            stderr: response.stderr,
            app_status: response.app_status,
            protocol_status: response.protocol_status,
        }
    }
}

/// Runs a program that reads these bytes on standard input, without a socket.
pub(crate) fn run(command: Command, input: &[u8]) -> Run {
    let place = folder();
    let mut child = start(command, &place, Stdio::piped());
    // The program may exit before it has read everything.
    let _ = child.stdin.take().unwrap().write_all(input);
    collect(child, &place, Vec::new())
}

/// What a web server sends on a connection, and what it does after that.
#[derive(Clone, Debug)]
pub(crate) enum Peer {
    /// Reads the response.
    Waits(Vec<u8>),
    /// Shuts down its sending side, and reads the response.
    ShutsDown(Vec<u8>),
    /// Reads everything until the connection is closed, which need not be one response.
    ReadsAll(Vec<u8>),
    Disconnects(Vec<u8>),
}

/// Runs a program on a listening socket, and sends it each request on a new connection.
pub(crate) fn serve(command: Command, requests: &[Vec<u8>]) -> Run {
    let peers: Vec<_> = requests.iter().cloned().map(Peer::Waits).collect();
    serve_peers(command, &peers)
}

/// The same, for web servers that do more than wait for a response.
pub(crate) fn serve_peers(mut command: Command, peers: &[Peer]) -> Run {
    if peers
        .iter()
        .any(|peer| matches!(peer, Peer::Disconnects(_)))
    {
        // It disconnects before the program accepts. Its request must run all the same.
        command.env("FCGIPM_SKIP_DISCONNECTED", "no");
    }
    serve_all(command, |address| {
        let responses = peers.iter().filter_map(|peer| exchange(address, peer));
        responses.collect()
    })
}

/// The same, for web servers whose order matters.
pub(crate) fn serve_all(command: Command, peers: impl FnOnce(&Address) -> Vec<Seen>) -> Run {
    let place = folder();
    let (listener, address) = listen(Transport::Unix);
    let child = start(command, &place, Stdio::from(listener));
    let responses = peers(&address);
    let run = collect(child, &place, responses);
    address.remove();
    run
}

fn exchange(address: &Address, peer: &Peer) -> Option<Seen> {
    let mut connection = address.connect();
    let (Peer::Waits(bytes)
    | Peer::ShutsDown(bytes)
    | Peer::ReadsAll(bytes)
    | Peer::Disconnects(bytes)) = peer;
    connection.try_send_in(bytes, usize::MAX);
    match peer {
        Peer::Waits(_) => {}
        Peer::ShutsDown(_) => connection.end(),
        Peer::ReadsAll(_) => {
            return Some(Seen {
                stdout: connection.rest(),
                stderr: Vec::new(),
                app_status: 0,
                protocol_status: 0,
            });
        }
        Peer::Disconnects(_) => return None,
    }
    let response = connection.response();
    connection.assert_closed();
    Some(response.into())
}

fn start(mut command: Command, place: &Path, stdin: Stdio) -> Child {
    command
        .env("REPORT", place.join("report"))
        .env("FOLDER", place)
        .stdin(stdin)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"))
}

fn collect(mut child: Child, place: &Path, responses: Vec<Seen>) -> Run {
    let mut stdout = Vec::new();
    child
        .stdout
        .take()
        .unwrap()
        .read_to_end(&mut stdout)
        .unwrap();
    if !ended_within(child.id().try_into().unwrap(), LIMIT) {
        child.kill().unwrap();
    }
    let status = child.wait().unwrap();
    let report = std::fs::read_to_string(place.join("report")).unwrap_or_default();
    let files = std::fs::read_dir(place).unwrap().map(Result::unwrap);
    let files = files.filter(|entry| entry.file_name() != "report");
    let files = files.filter(|entry| entry.file_type().unwrap().is_file());
    let mut files: Vec<_> = files
        .map(|entry| {
            let name = entry.file_name().into_string().unwrap();
            (name, std::fs::read(entry.path()).unwrap())
        })
        .collect();
    files.sort();
    let place_name = place.to_str().unwrap();
    let run = Run {
        report: report.replace(place_name, "FOLDER"),
        stdout: String::from_utf8_lossy(&stdout)
            .replace(place_name, "FOLDER")
            .into_bytes(),
        ended: ended(status),
        responses,
        files,
    };
    std::fs::remove_dir_all(place).unwrap();
    run
}

/// Checks that all sides have the same results, and returns them.
pub(crate) fn same(what: impl Fn(Side) -> Run) -> Run {
    let stock = what(Side::Stock);
    for side in [Side::Moved, Side::DropIn] {
        let run = what(side);
        for (a, b) in stock.report.lines().zip(run.report.lines()) {
            assert_eq!(
                a, b,
                "stock, and {side:?}\n{}\n---\n{}",
                stock.report, run.report
            );
        }
        assert_eq!(stock.report, run.report, "{side:?}");
        for (number, (a, b)) in stock.responses.iter().zip(&run.responses).enumerate() {
            assert_same_bytes(&a.stdout, &b.stdout, &format!("{side:?} {number}: stdout"));
            assert_same_bytes(&a.stderr, &b.stderr, &format!("{side:?} {number}: stderr"));
            assert_eq!(a, b, "{side:?} {number}");
        }
        assert_same_bytes(&stock.stdout, &run.stdout, &format!("{side:?}: stdout"));
        assert_eq!(stock, run, "{side:?}");
    }
    stock
}

fn assert_same_bytes(a: &[u8], b: &[u8], what: &str) {
    let (text_a, text_b) = (String::from_utf8_lossy(a), String::from_utf8_lossy(b));
    if a.len().max(b.len()) < 10_000 {
        assert_eq!(text_a, text_b, "{what}");
    }
    assert!(a == b, "{what}: {} and {} bytes", a.len(), b.len());
}

/// A request for a group of calls.
pub(crate) fn asking(group: &str, body: &[u8]) -> Request {
    crate::peer::records::request(group).body(body)
}
