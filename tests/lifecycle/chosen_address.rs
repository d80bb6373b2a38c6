//! The option `listen`: the operator chooses the address of a program.

use std::process::Command;

use nix::sys::signal::Signal;

use super::activation::{assert_serves, assert_stops, fcgx, host, started};
use super::peer::program::{Program, TRANSPORTS, Transport, listen, unused};

#[test]
fn the_operator_replaces_the_address_of_the_program() {
    let address = unused(Transport::Unix);
    let text = address.text();
    let mut command = host(&["/no/such/folder/socket"]);
    command.env("FCGIPM_LISTEN", &text);
    let mut program = Program::start_opening(command, address);
    program.line(&format!(
        "option listen = '{text}' overrides the listen address '/no/such/folder/socket'"
    ));
    program.line("listener");
    assert_serves(&program);
    assert_stops(program);
}

#[test]
fn the_operator_chooses_the_address_of_a_program_that_accepts_on_descriptor_0() {
    for transport in TRANSPORTS {
        for (make, environment) in [
            (host as fn(&[&str]) -> Command, vec![]),
            (host, vec![("FCGIPM_N_PROCESSES", "2")]),
            // No process has called the library before the fork.
            (
                host,
                vec![("FCGIPM_N_PROCESSES", "2"), ("OPEN_IN_WORKER", "1")],
            ),
            (fcgx, vec![]),
        ] {
            let address = unused(transport);
            let text = address.text();
            let mut command = make(&[]);
            let has_manager = !environment.is_empty();
            command.envs(environment).env("FCGIPM_LISTEN", &text);
            let mut program = Program::start_opening(command, address.clone());
            program.line(&format!(
                "option listen = '{text}' replaces descriptor 0, on which the program accepts"
            ));
            assert_serves(&program);
            if has_manager {
                program.line("listener 0");
                program.line("listener 0");
                program.signal(Signal::SIGUSR2);
                program.line("reload done");
                assert_serves(&program);
                program.signal(Signal::SIGHUP);
                program.line("reload done");
                assert_serves(&program);
            }
            assert_stops(program);
            assert!(address.try_connect().is_err());
        }
    }
}

#[test]
fn workers_that_open_the_address_of_the_operator_share_one_socket() {
    let address = unused(Transport::Tcp);
    let mut command = host(&["/no/such/folder/socket"]);
    command
        .env("FCGIPM_LISTEN", address.text())
        .env("FCGIPM_N_PROCESSES", "2")
        .env("OPEN_IN_WORKER", "1");
    let mut program = Program::start_opening(command, address);
    let first = program.line("listener ");
    assert_eq!(program.line("listener "), first);
    assert_serves(&program);
    assert_stops(program);
}

#[test]
fn an_address_of_the_operator_beside_a_socket_on_descriptor_0_is_refused() {
    for (make, environment, code) in [
        (host as fn(&[&str]) -> Command, None, 1),
        (host, Some(("FCGIPM_N_PROCESSES", "2")), 1),
        // This one does not look at the error.
        (fcgx, None, 0),
    ] {
        let (listener, address) = listen(Transport::Tcp);
        let mut command = make(&[]);
        command.envs(environment).env("FCGIPM_LISTEN", ":0");
        let mut program = started("true", &command, listener, address.clone());
        program.line("option listen = ':0': the program accepts on descriptor 0, which is another");
        assert_eq!(program.wait().code(), Some(code));
        // The same socket is no contradiction.
        for text in ["fd:0".to_owned(), address.text()] {
            let (listener, address) = listen(Transport::Tcp);
            let text = match text.as_str() {
                "fd:0" => text,
                _ => address.text(),
            };
            let mut command = make(&[]);
            command.envs(environment).env("FCGIPM_LISTEN", text);
            let program = started("true", &command, listener, address);
            assert_serves(&program);
            assert_stops(program);
        }
    }
}

#[test]
fn an_address_of_the_operator_is_not_for_programs_that_a_web_server_starts_for_one_request() {
    for make in [host, fcgx] {
        let mut command = make(&[]);
        command
            .env("FCGIPM_LISTEN", "/no/such/folder/socket")
            .env("GATEWAY_INTERFACE", "CGI/1.1");
        let mut program = Program::start_opening(command, unused(Transport::Unix));
        program.line("started as CGI");
        assert_eq!(program.wait().code(), Some(3));
    }
}

#[test]
fn an_address_of_the_operator_without_effect_is_logged() {
    let (listener, address) = listen(Transport::Unix);
    let mut command = host(&["own"]);
    command.env("FCGIPM_LISTEN", ":9");
    let mut program = started("exec 3<&0 0</dev/null", &command, listener, address.clone());
    program
        .line("option listen = ':9' has no effect: the program accepts on descriptor 3, which it");
    assert_serves(&program);
    assert_stops(program);
    address.remove();
}
