//! All signals arrive at the same moment in a process whose stack for signals has room for one handler.

use std::process::Command;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::peer::pool::call;
use super::peer::program::{Program, Transport, compiled, product};

/// Sends them to a process that is suspended meanwhile.
fn send_together(pid: i32, signals: &[Signal]) {
    let pid = Pid::from_raw(pid);
    kill(pid, Signal::SIGSTOP).unwrap();
    let stat = format!("/proc/{pid}/stat");
    while !std::fs::read_to_string(&stat).unwrap().contains(") T ") {
        std::thread::yield_now();
    }
    for signal in signals {
        kill(pid, *signal).unwrap();
    }
    kill(pid, Signal::SIGCONT).unwrap();
}

fn programs() -> [Command; 2] {
    let mut own = Command::new(compiled("lifecycle/signal_stack.c"));
    own.env("FCGIPM_N_PROCESSES", "2");
    // The runtime of Rust has such a stack.
    let mut run = Command::new(product("fcgipm"));
    run.args(["run", "--listen", "fd:0", "--workers", "2", "--"])
        .arg(product("examples/hello"))
        .arg("fd:0");
    [own, run]
}

#[test]
fn a_manager_handles_them_one_at_a_time() {
    for command in programs() {
        let mut program = Program::start(command, Transport::Unix);
        program.line(") ready");
        // CONT would discard TTIN and TTOU.
        let reloading = [Signal::SIGHUP, Signal::SIGUSR1, Signal::SIGUSR2];
        send_together(program.pid(), &reloading);
        program.line("reload done");
        for signal in reloading {
            assert_eq!(program.count(&format!("received {signal}")), 1);
        }
        let text = program.call(&call("/")).text();
        assert!(text.contains("Hello"), "{text}");
        let stopping = [Signal::SIGTERM, Signal::SIGINT, Signal::SIGQUIT];
        send_together(program.pid(), &[&stopping[..], &reloading].concat());
        let status = program.wait();
        assert!(status.success(), "{status:?}: {:#?}", program.lines());
    }
}

#[test]
fn a_worker_handles_them_one_at_a_time() {
    let [command, _] = programs();
    let mut program = Program::start(command, Transport::Unix);
    let line = program.line(") ready");
    let (_, rest) = line.split_once("worker (pid ").unwrap();
    let worker: i32 = rest.split_once(')').unwrap().0.parse().unwrap();
    let signals = [
        Signal::SIGTERM,
        Signal::SIGHUP,
        Signal::SIGINT,
        Signal::SIGQUIT,
        Signal::SIGURG,
    ];
    send_together(worker, &signals);
    program.line(&format!("worker (pid {worker}) exited with status 0"));
    program.signal(Signal::SIGTERM);
    assert!(program.wait().success());
}
