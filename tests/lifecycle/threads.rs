//! Several threads of a program, each with its own loop on the same listening socket.

use std::collections::HashSet;
use std::process::Command;

use nix::sys::signal::Signal;

use super::peer::program::{Program, TRANSPORTS, Transport, compiled};
use super::peer::records::*;

const THREADS: usize = 4;

fn program(transport: Transport) -> Program {
    let mut command = Command::new(compiled("conformance/app.c"));
    command.args(["fd:0", "4"]);
    let mut program = Program::start(command, transport);
    (0..THREADS).for_each(|_| drop(program.line("app: ready")));
    program
}

#[test]
fn requests_of_several_threads_are_independent() {
    for transport in TRANSPORTS {
        let program = program(transport);
        let mut open: Vec<_> = (0..THREADS).map(|_| program.connect()).collect();
        let mut threads = HashSet::new();
        for connection in &mut open {
            connection.send(&request("/thread").keep(true).head());
            threads.insert(connection.record().content);
        }
        assert_eq!(threads.len(), THREADS, "a thread served more than one");
        for (i, connection) in open.iter_mut().enumerate().rev() {
            let body = format!("body {i}");
            connection.send(&stream(STDIN, ID, body.as_bytes()));
            assert_eq!(
                connection.response().text(),
                format!("{body}|ok ok ok end=1")
            );
        }
        // A keep-alive connection stays with its thread, and any thread accepts new ones.
        for _ in 0..50 {
            for connection in &mut open {
                assert_eq!(
                    connection.call(&request("/status?5").keep(true)).app_status,
                    5
                );
            }
            assert_eq!(program.call(&request("/status?6")).app_status, 6);
        }
    }
}

#[test]
fn a_retirement_by_another_thread_reaches_every_loop() {
    for transport in TRANSPORTS {
        for watched in [false, true] {
            let mut program = program(transport);
            let mut kept = program.connect();
            if watched {
                kept.call(&request("/status").keep(true));
            }
            let mut busy = program.connect();
            busy.send(&request("/thread").keep(true).head());
            busy.record();
            program.signal(Signal::SIGUSR1);
            for _ in 1..THREADS {
                program.line("app: accept: FCGIPM_ERETIRED");
            }
            // The busy thread finishes its request first.
            busy.send(&stream(STDIN, ID, b"body"));
            assert_eq!(busy.response().text(), "body|ok ok ok end=1");
            program.line("app: accept: FCGIPM_ERETIRED");
            assert_eq!(program.wait().code(), Some(0));
        }
    }
}
