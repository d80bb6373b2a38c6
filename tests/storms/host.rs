//! The programs that run a manager: the C example and the Perl daemon.

use std::path::{Path, PathBuf};
use std::process::Command;

use nix::sys::signal::Signal;

use super::peer::connection::Address;
use super::peer::pool::Pool;
use super::peer::program::{Program, Transport, folder, product};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Language {
    C,
    Perl,
}

/// The arguments of `fcgipm load` for a response of this size.
pub(crate) fn bytes(language: Language, count: usize) -> [String; 4] {
    let part = match language {
        Language::C => "xxxxxxxxxxxxxxxx",
        Language::Perl => "0123456789abcdef",
    };
    ["--uri", &format!("/bytes?n={count}"), "--expect", part].map(str::to_owned)
}

/// Starts a manager, and waits for all its workers.
pub(crate) fn start(
    language: Language,
    transport: Transport,
    workers: usize,
    environment: &[(&str, &str)],
) -> Pool {
    match language {
        Language::C => Pool::start(transport, workers, environment),
        Language::Perl => perl(
            &root("bindings/perl/examples/daemon.fcgi"),
            transport,
            workers,
            environment,
        ),
    }
}

/// Starts a Perl program, and waits for all its workers.
pub(crate) fn perl(
    script: &Path,
    transport: Transport,
    workers: usize,
    environment: &[(&str, &str)],
) -> Pool {
    product("libfcgipm.so");
    let mut command = Command::new("perl");
    command
        .arg(format!("-I{}", root("bindings/perl/lib").display()))
        .arg(script)
        .env("FCGI_SOCKET_PATH", "fd:0")
        .env("FCGIPM_N_PROCESSES", workers.to_string())
        .envs(environment.iter().copied());
    let mut pool = Pool {
        program: Program::start(command, transport),
        workers: Vec::new(),
        gate: folder().join("gate"),
    };
    // The manager logs each started worker, and each worker logs that it is initialized.
    let mut initialized = 0;
    while initialized < workers {
        let line = pool.program.line("server (pid ");
        if line.contains("started") {
            pool.workers.push(pid_in(&line));
        }
        initialized += usize::from(line.contains("initialized"));
    }
    assert_eq!(pool.workers.len(), workers);
    pool
}

/// The pid of the worker in a line of the log: "worker (pid 7) …" or "server (pid 7) …".
fn pid_in(line: &str) -> i32 {
    let (_, rest) = line
        .split_once("er (pid ")
        .and_then(|(_, rest)| rest.split_once("er (pid "))
        .unwrap_or_else(|| panic!("no worker in '{line}'"));
    rest.split_once(')').unwrap().0.parse().unwrap()
}

/// Reloads, and waits until the reload is done.
pub(crate) fn reload(pool: &mut Pool) {
    pool.program.signal(Signal::SIGHUP);
    pool.program.line("reload done");
}

/// Stops a manager whose workers may have been killed.
pub(crate) fn end(pool: &mut Pool) {
    pool.program.signal(Signal::SIGTERM);
    let status = pool.program.wait();
    assert_eq!(status.code(), Some(0), "{:#?}", pool.program.lines());
}

/// The address in the syntax of `fcgipm`.
pub(crate) fn address(pool: &Pool) -> String {
    match &pool.program.address {
        Address::Unix(path) => path.display().to_string(),
        Address::Tcp(address) => address.to_string(),
    }
}

/// Whether this Perl has threads.
pub(crate) fn perl_has_threads() -> bool {
    let output = Command::new("perl").arg("-V:usethreads").output().unwrap();
    String::from_utf8(output.stdout)
        .unwrap()
        .contains("'define'")
}

pub(crate) fn root(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}
