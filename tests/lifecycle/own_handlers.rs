//! Hosts that install handlers of their own where the library has one.

use std::process::Command;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::call;
use super::peer::program::{Program, TRANSPORTS, compiled, ended_within, wait_until_asleep};

const A_SECOND: Duration = Duration::from_secs(1);

/// One worker of `own_urg.c`, which has its handler from the first request on.
fn start(way: &str) -> (Program, Pid) {
    let mut host = Command::new(compiled("lifecycle/own_urg.c"));
    host.arg(way).env("FCGIPM_N_PROCESSES", "1");
    let mut program = Program::start(host, TRANSPORTS[0]);
    let line = program.line(") ready");
    let (_, pid) = line.split_once("worker (pid ").unwrap();
    let worker = pid.split_once(')').unwrap().0.parse().unwrap();
    assert_eq!(called(&program), 0, "{way}");
    (program, Pid::from_raw(worker))
}

fn called(program: &Program) -> u32 {
    let text = program.call(&call("/")).text();
    let (_, count) = text.split_once("called ").unwrap();
    count.split(' ').next().unwrap().parse().unwrap()
}

#[test]
fn a_worker_whose_application_takes_urg_for_itself_hears_its_manager() {
    for way in ["restart", "interrupt"] {
        let (mut stopped, _) = start(way);
        let since = Instant::now();
        stopped.signal(Signal::SIGTERM);
        assert!(stopped.wait().success(), "{way}");
        assert!(since.elapsed() < A_SECOND, "{way}: {:?}", since.elapsed());

        let (mut killed, worker) = start(way);
        // A signal that the application's handler takes before the wait begins is lost to the library.
        wait_until_asleep(worker.as_raw());
        killed.signal(Signal::SIGKILL);
        killed.wait();
        assert!(ended_within(worker.as_raw(), A_SECOND), "{way}");
    }
}

#[test]
fn a_handler_that_the_application_has_for_urg_is_called_nevertheless() {
    for way in ["restart", "interrupt"] {
        let (mut program, worker) = start(way);
        // By the first signal the library finds out that its handler was replaced, and puts it back.
        for _ in 0..3 {
            let before = called(&program);
            kill(worker, Signal::SIGURG).unwrap();
            while called(&program) == before {}
        }
        program.signal(Signal::SIGTERM);
        assert!(program.wait().success(), "{way}");
    }
}
