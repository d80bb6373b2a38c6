//! Programs that fork in a request, and what their children can do with it.

use std::fs::File;
use std::path::PathBuf;
use std::process::Command;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::peer::connection::Connection;
use super::peer::program::{Program, TRANSPORTS, Transport, compiled, ended_within, folder};
use super::peer::records::{
    ID, PARAMS, RESPONDER, Request, STDIN, STDOUT, begin, record, request, stream,
};

/// The program, and the FIFO that its children wait for.
struct Forking {
    program: Program,
    gate: PathBuf,
}

impl Forking {
    fn start(transport: Transport, environment: &[(&str, &str)]) -> Self {
        let gate = folder().join("gate");
        nix::unistd::mkfifo(&gate, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let mut command = Command::new(compiled("lifecycle/forking.c"));
        command.env("GATE", &gate).envs(environment.iter().copied());
        let mut program = Program::start(command, transport);
        program.line("ready");
        Self { program, gate }
    }

    fn ask(&self, request: &Request) -> Connection {
        let mut connection = self.program.connect();
        connection.send(&request.bytes());
        connection
    }

    /// Lets a child exit that has waited at the gate until now.
    fn release(&self, child: i32) {
        assert!(
            kill(Pid::from_raw(child), None).is_ok(),
            "the child has already exited"
        );
        drop(File::options().write(true).open(&self.gate).unwrap());
    }
}

impl Drop for Forking {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(self.gate.parent().unwrap());
    }
}

fn call(path: &str) -> Request {
    request(path)
}

fn pid_in(text: &str) -> i32 {
    text.parse().unwrap()
}

#[test]
fn a_finished_request_ends_for_the_client_while_a_child_holds_its_connection() {
    for transport in TRANSPORTS {
        let forking = Forking::start(transport, &[]);
        let mut connection = forking.ask(&call("/hold"));
        let child = pid_in(&connection.response().text());
        connection.assert_closed();
        forking.release(child);
    }
}

#[test]
fn an_abandoned_request_ends_for_the_client_while_a_child_holds_its_connection() {
    for transport in TRANSPORTS {
        let forking = Forking::start(transport, &[]);
        let mut connection = forking.ask(&call("/hold").param("QUERY_STRING", "abandon"));
        let written = connection.record();
        assert_eq!(written.kind, STDOUT);
        connection.assert_closed();
        forking.release(pid_in(std::str::from_utf8(&written.content).unwrap()));
    }
}

#[test]
fn an_answer_to_an_unread_body_ends_for_the_client_while_a_child_holds_its_connection() {
    for transport in TRANSPORTS {
        let forking = Forking::start(transport, &[]);
        let mut connection = forking.program.connect();
        let head = call("/hold").pairs();
        connection.send(&begin(ID, RESPONDER, false));
        connection.send(&stream(PARAMS, ID, &head));
        connection.send(&record(STDIN, ID, b"half"));
        let child = pid_in(&connection.response().text());
        connection.assert_closed();
        forking.release(child);
    }
}

#[test]
fn an_idle_connection_that_times_out_is_closed_while_a_child_of_an_earlier_request_holds_it() {
    for transport in TRANSPORTS {
        let forking = Forking::start(transport, &[("FCGIPM_IDLE_TIMEOUT", "0.05")]);
        let mut connection = forking.ask(&call("/hold").keep(true));
        let child = pid_in(&connection.response().text());
        connection.assert_closed();
        forking.release(child);
    }
}

#[test]
fn idle_connections_are_closed_at_the_stop_while_a_child_of_an_earlier_request_holds_them() {
    for transport in TRANSPORTS {
        let mut forking = Forking::start(transport, &[]);
        let mut connection = forking.ask(&call("/hold").keep(true));
        let child = pid_in(&connection.response().text());
        // Another request, which does not fork, on the same connection.
        connection.call(&call("/nothing").keep(true));
        forking.program.signal(Signal::SIGTERM);
        forking.program.line("exits");
        connection.assert_closed();
        forking.release(child);
        assert!(ended_within(child, super::peer::connection::LIMIT));
        assert!(forking.program.wait().success());
    }
}

#[test]
fn a_handed_over_connection_is_closed_while_a_child_of_its_first_worker_holds_it() {
    for transport in TRANSPORTS {
        let mut forking = Forking::start(transport, &[("FCGIPM_N_PROCESSES", "1")]);
        let mut connection = forking.ask(&call("/hold").keep(true));
        let child = pid_in(&connection.response().text());
        forking.program.signal(Signal::SIGHUP);
        forking.program.line("reload done");
        connection.call(&call("/nothing").keep(true));
        forking.program.signal(Signal::SIGTERM);
        connection.assert_closed();
        forking.release(child);
        assert!(forking.program.wait().success());
    }
}

#[test]
fn a_child_that_exits_does_not_close_the_connections_of_its_parent() {
    for transport in TRANSPORTS {
        let forking = Forking::start(transport, &[]);
        let mut connection = forking.ask(&call("/hold").keep(true));
        let child = pid_in(&connection.response().text());
        forking.release(child);
        assert!(ended_within(child, super::peer::connection::LIMIT));
        let response = connection.call(&call("/nothing").keep(true));
        assert_eq!(response.text(), "");
    }
}

#[test]
fn a_child_answers_a_request_that_its_parent_detached() {
    for transport in TRANSPORTS {
        let forking = Forking::start(transport, &[]);
        for (length, keep) in [(0, false), (10, true), (300_000, false), (300_000, true)] {
            let body: String = (0..length)
                .map(|at| char::from(b'a' + (at % 26) as u8))
                .collect();
            let request = call("/answer").body(&body).keep(keep);
            let mut connection = forking.ask(&request);
            assert_eq!(connection.response().text(), format!("begun {body}"));
            connection.assert_closed();
        }
    }
}

#[test]
fn output_of_a_child_after_its_request_is_dropped_and_logged_once() {
    for transport in TRANSPORTS {
        let mut forking = Forking::start(transport, &[]);
        let mut connection = forking.ask(&call("/late").keep(true));
        assert_eq!(connection.response().text(), "first");
        drop(File::options().write(true).open(&forking.gate).unwrap());
        forking.program.line("output is dropped");
        forking.program.line("write: FCGIPM_ECLOSED");
        forking.program.line("write: FCGIPM_ECLOSED");
        forking.program.line("finish: FCGIPM_ECLOSED");
        let second = connection.call(&call("/nothing").keep(true));
        assert_eq!((second.text(), second.stderr.len()), (String::new(), 0));
        let lines = forking.program.lines();
        let dropped = lines.iter().filter(|line| line.contains("is dropped"));
        assert_eq!(dropped.count(), 1, "{lines:?}");
    }
}

#[test]
fn a_connection_whose_input_a_child_has_read_is_closed_after_the_request() {
    for transport in TRANSPORTS {
        let mut forking = Forking::start(transport, &[]);
        let mut connection = forking.program.connect();
        let request = call("/steal").keep(true);
        connection.send(&begin(ID, RESPONDER, true));
        connection.send(&stream(PARAMS, ID, &request.pairs()));
        // By then the program has accepted the request, and has no part of the body.
        forking.program.line("reading");
        connection.send(&stream(STDIN, ID, b"a body"));
        forking.program.line("read 6");
        assert_eq!(connection.response().text(), "answer");
        connection.assert_closed();
    }
}

#[test]
fn a_request_that_a_child_has_finished_is_not_finished_again() {
    for transport in TRANSPORTS {
        let mut forking = Forking::start(transport, &[]);
        let mut connection = forking.ask(&call("/end").keep(true));
        assert_eq!(connection.response().text(), "child");
        connection.assert_closed();
        forking.program.line("output is dropped");
        forking.program.call(&call("/nothing"));
    }
}

#[test]
fn a_child_that_was_forked_without_the_c_library_writes_nothing() {
    for transport in TRANSPORTS {
        let mut forking = Forking::start(transport, &[]);
        let mut connection = forking.ask(&call("/raw").keep(true));
        assert_eq!(connection.response().text(), "parent");
        drop(File::options().write(true).open(&forking.gate).unwrap());
        forking.program.line("write: FCGIPM_EFORKED");
        assert_eq!(connection.call(&call("/nothing").keep(true)).text(), "");
    }
}
