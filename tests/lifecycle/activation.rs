//! Sockets of a service manager (sd_listen_fds(3)): a program uses them instead of opening its own.
//!
//! A shell has the part of the service manager: it makes descriptor 3 the socket, and executes the
//! program.

use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use nix::sys::signal::Signal;

use super::peer::connection::Address;
use super::peer::pool::{call, shell};
use super::peer::program::{Program, TRANSPORTS, Transport, compiled, compiled_on_dropin, listen};

/// The end of a shell's script that passes descriptor 3.
const PASS: &str = "exec 3<&0 0</dev/null; export LISTEN_PID=$$ LISTEN_FDS=1";

pub(crate) fn host(arguments: &[&str]) -> Command {
    let mut command = Command::new(compiled("lifecycle/activation.c"));
    command.args(arguments);
    command
}

pub(crate) fn fcgx(arguments: &[&str]) -> Command {
    let mut command = Command::new(compiled_on_dropin("lifecycle/activation_fcgx.c"));
    command.args(arguments);
    command
}

pub(crate) fn started(
    script: &str,
    command: &Command,
    listener: OwnedFd,
    address: Address,
) -> Program {
    Program::start_on(shell(script, command), listener, address)
}

pub(crate) fn assert_serves(program: &Program) {
    let text = program.call(&call("/")).text();
    assert!(text.contains("Hello from worker"), "{text}");
}

pub(crate) fn assert_stops(mut program: Program) {
    program.signal(Signal::SIGTERM);
    assert_eq!(program.wait().code(), Some(0));
}

/// Another form of an address that means the same.
fn spelled(address: &Address) -> Vec<String> {
    match address {
        Address::Tcp(address) => vec![
            address.to_string(),
            format!("localhost:{}", address.port()),
            // The operator has chosen one interface.
            format!(":{}", address.port()),
        ],
        Address::Unix(path) => {
            let text = path.to_str().unwrap();
            let (folder, name) = text.rsplit_once('/').unwrap();
            vec![
                text.to_owned(),
                format!("unix:{text}"),
                format!(
                    "{folder}/../{}/./{name}",
                    folder.rsplit('/').next().unwrap()
                ),
            ]
        }
    }
}

#[test]
fn a_program_uses_the_socket_that_was_passed_for_its_address() {
    for transport in TRANSPORTS {
        for make in [host, fcgx] {
            let (listener, address) = listen(transport);
            for text in spelled(&address) {
                let listener = listener.try_clone().unwrap();
                let mut program = started(PASS, &make(&[&text]), listener, address.clone());
                program.line("listener 3");
                assert_serves(&program);
                assert_stops(program);
            }
            // It belongs to the service manager, so a stop leaves it alone.
            let program = started(PASS, &make(&[&address.text()]), listener, address.clone());
            assert_serves(&program);
            assert_stops(program);
            address.remove();
        }
    }
}

#[test]
fn a_program_that_accepts_on_descriptor_0_uses_the_first_socket_that_was_passed() {
    for transport in TRANSPORTS {
        for (make, environment) in [
            (host as fn(&[&str]) -> Command, None),
            (host, Some(("FCGIPM_N_PROCESSES", "2"))),
            (fcgx, None),
        ] {
            let (listener, address) = listen(transport);
            let mut command = make(&[]);
            command.envs(environment);
            let mut program = started(PASS, &command, listener, address.clone());
            program.line("listener 0");
            assert_serves(&program);
            assert_serves(&program);
            if environment.is_some() {
                program.signal(Signal::SIGUSR2);
                program.line("reload done");
                assert_serves(&program);
            }
            assert_stops(program);
            address.remove();
        }
    }
}

#[test]
fn a_socket_on_descriptor_0_has_precedence() {
    let (listener, address) = listen(Transport::Unix);
    let (other, elsewhere) = listen(Transport::Unix);
    let script = "exec 3<&1 1>/dev/null; export LISTEN_PID=$$ LISTEN_FDS=1";
    let mut command = shell(script, &host(&[]));
    command.stdout(Stdio::from(other));
    let program = Program::start_on(command, listener, address.clone());
    assert_serves(&program);
    assert_stops(program);
    address.remove();
    elsewhere.remove();
}

#[test]
fn only_stream_sockets_that_listen_count() {
    let pair = UnixStream::pair().unwrap();
    let others = [
        OwnedFd::from(UnixDatagram::unbound().unwrap()),
        OwnedFd::from(pair.0),
        OwnedFd::from(std::fs::File::open("/dev/null").unwrap()),
    ];
    for other in others {
        let (listener, address) = listen(Transport::Unix);
        let script = "exec 3<&1 4<&0 0</dev/null 1>/dev/null; export LISTEN_PID=$$ LISTEN_FDS=2";
        let mut command = shell(script, &host(&[]));
        command.stdout(Stdio::from(other));
        let program = Program::start_on(command, listener, address.clone());
        assert_serves(&program);
        assert_stops(program);
        address.remove();
    }
}

#[test]
fn variables_for_another_process_are_ignored() {
    let script = "exec 3<&0 0</dev/null; export LISTEN_PID=1 LISTEN_FDS=1";
    for make in [host, fcgx] {
        let (listener, address) = listen(Transport::Unix);
        let mut program = started(script, &make(&[]), listener, address.clone());
        program.line("started as CGI");
        assert_eq!(program.wait().code(), Some(3));
        address.remove();
    }
}

#[test]
fn a_socket_is_found_by_its_name() {
    let (first, address) = listen(Transport::Unix);
    let (second, elsewhere) = listen(Transport::Tcp);
    let script = "exec 3<&0 4<&1 0</dev/null 1>/dev/null; \
                  export LISTEN_PID=$$ LISTEN_FDS=2 LISTEN_FDNAMES=web:app.socket";
    let mut command = shell(script, &host(&["fd:app.socket"]));
    command.stdout(Stdio::from(second));
    let mut program = Program::start_on(command, first, elsewhere);
    program.line("listener 4");
    assert_serves(&program);
    assert_stops(program);
    address.remove();
}

#[test]
fn a_name_that_no_socket_has_is_refused_with_the_names_there_are() {
    let named = "exec 3<&0 0</dev/null; export LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=web";
    let twice =
        "exec 3<&0 4<&0 0</dev/null; export LISTEN_PID=$$ LISTEN_FDS=2 LISTEN_FDNAMES=app:app";
    for (script, wanted) in [
        (
            named,
            "listen address 'fd:app': no socket was passed with this name; the names are: web",
        ),
        (
            "true",
            "listen address 'fd:app': no listening socket was passed to this process (LISTEN_FDS)",
        ),
        (
            twice,
            "listen address 'fd:app': 2 sockets were passed with this name: use their addresses",
        ),
        (
            "export LISTEN_PID=$$ LISTEN_FDS=x",
            "environment variable LISTEN_FDS: 'x' is not a number",
        ),
    ] {
        let (listener, address) = listen(Transport::Unix);
        let mut program = started(script, &host(&["fd:app"]), listener, address.clone());
        program.line(wanted);
        assert_eq!(program.wait().code(), Some(1));
        address.remove();
    }
}

#[test]
fn a_socket_whose_file_was_removed_is_not_used() {
    let (listener, address) = listen(Transport::Unix);
    let path = PathBuf::from(address.text());
    std::fs::remove_file(&path).unwrap();
    let text = address.text();
    let mut program = started(PASS, &host(&[&text]), listener, address.clone());
    program.line("listener");
    assert_serves(&program);
    assert_stops(program);
    address.remove();
}

#[test]
fn workers_and_programs_do_not_get_the_variables_of_the_service_manager() {
    let shown = "env | grep -E '^(NOTIFY_|WATCHDOG_|LISTEN_|FDSTORE|FCGIPM_LISTEN=)' >&2; \
         ls -l /proc/self/fd/ >&2; echo shown >&2";
    let folder = super::peer::program::folder();
    let set = format!(
        "{PASS} NOTIFY_SOCKET={}/none WATCHDOG_PID=$$ WATCHDOG_USEC=60000000 LISTEN_FDNAMES=a FDSTORE=0",
        folder.display()
    );
    let hello = super::peer::program::product("examples/hello");
    let mut host = Command::new(&hello);
    host.env("HELLO_START", shown)
        .env("FCGIPM_N_PROCESSES", "1");
    let mut run = Command::new(super::peer::program::product("fcgipm"));
    let script = format!("{shown}; exec sleep 60");
    run.args([
        "run",
        "--no-preload",
        "--ready-delay",
        "0.1",
        "--listen",
        "fd:3",
        "--",
    ]);
    run.args(["sh", "-c", &script]).env("FCGIPM_LISTEN", "fd:a");
    host.arg("fd:a");
    for command in [host, run] {
        let (listener, address) = listen(Transport::Unix);
        let inode = nix::sys::stat::fstat(&listener).unwrap().st_ino;
        let mut program = started(&set, &command, listener, address.clone());
        program.line("shown");
        program.line("ready");
        // The library starts the host again.
        if command.get_program() == hello {
            program.signal(Signal::SIGUSR2);
            program.line("shown");
            program.line("reload done");
        }
        let environment = std::fs::read(format!("/proc/{}/environ", program.pid())).unwrap();
        assert!(
            String::from_utf8(environment)
                .unwrap()
                .contains("LISTEN_FDS=1")
        );
        for line in program.lines() {
            let is_variable = line.split_once('=').is_some_and(|(name, _)| {
                name.bytes()
                    .all(|byte| byte == b'_' || byte.is_ascii_uppercase())
            });
            assert!(!is_variable, "{line}");
        }
        let is_inherited = |line: &String| line.contains(&format!("3 -> socket:[{inode}]"));
        assert!(
            !program.lines().iter().any(is_inherited),
            "{:?}",
            program.lines()
        );
        assert_stops(program);
        address.remove();
    }
    std::fs::remove_dir_all(folder).unwrap();
}
