//! Hosts that replace a signal handler of the library.

use std::process::Command;
use std::time::Instant;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::peer::program::{Program, TRANSPORTS, compiled, ended_within, wait_until_asleep};
use super::{A_SECOND, call};

/// A pool of one worker that has replaced the handler.
fn start(way: &str) -> (Program, Pid) {
    let mut host = Command::new(compiled("lifecycle/own_urg.c"));
    host.arg(way).env("FCGIPM_N_PROCESSES", "1");
    let mut program = Program::start(host, TRANSPORTS[0]);
    let line = program.line(") ready");
    let (_, pid) = line.split_once("worker (pid ").unwrap();
    let worker = pid.split_once(')').unwrap().0.parse().unwrap();
    assert_eq!(handler_calls(&program), 0, "{way}");
    (program, Pid::from_raw(worker))
}

fn handler_calls(program: &Program) -> u32 {
    let text = program.call(&call("/")).text();
    let (_, count) = text.split_once("called ").unwrap();
    count.split(' ').next().unwrap().parse().unwrap()
}

#[test]
fn a_worker_whose_application_handles_sigurg_still_obeys_its_manager() {
    for way in ["restart", "interrupt"] {
        let (mut stopped, _) = start(way);
        let since = Instant::now();
        stopped.signal(Signal::SIGTERM);
        assert!(stopped.wait().success(), "{way}");
        assert!(since.elapsed() < A_SECOND, "{way}: {:?}", since.elapsed());

        let (mut killed, worker) = start(way);
        // The library does not notice a signal that the application handles before the wait begins.
        wait_until_asleep(worker.as_raw());
        killed.signal(Signal::SIGKILL);
        killed.wait();
        assert!(ended_within(worker.as_raw(), A_SECOND), "{way}");
    }
}

#[test]
fn a_handler_of_the_application_for_sigurg_is_still_called() {
    for way in ["restart", "interrupt"] {
        let (mut program, worker) = start(way);
        // At the first signal the library notices that its handler was replaced, and restores it.
        for _ in 0..3 {
            let before = handler_calls(&program);
            kill(worker, Signal::SIGURG).unwrap();
            while handler_calls(&program) == before {}
        }
        program.signal(Signal::SIGTERM);
        assert!(program.wait().success(), "{way}");
    }
}
