//! Workers that the host forks.

use std::process::{Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::peer::connection::LIMIT;
use super::peer::pool::{Pool, call, command};
use super::peer::program::{Program, Transport, compiled, ended_within, guardian_of, listen};
use super::{Load, ask_in_two_segments, ask_keep_alive};

const WORKERS: usize = 3;

fn start(transport: Transport, environment: &[(&str, &str)]) -> Program {
    let mut command = Command::new(compiled("lifecycle/host_forks.c"));
    command.arg("serve").envs(environment.iter().copied());
    Program::start(command, transport)
}

/// The pids that fork has returned to the host so far.
fn forked_pids(program: &mut Program) -> Vec<i32> {
    let lines = program.lines().iter();
    lines
        .filter_map(|line| line.strip_prefix("host: fork ")?.split(' ').nth(2))
        .map(|pid| pid.parse().unwrap())
        .collect()
}

/// Waits for the first of them.
fn first_forked_pid(program: &mut Program) -> i32 {
    let line = program.line("host: fork 1 made ");
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

fn pool(transport: Transport) -> Pool {
    let (_, gate) = command(WORKERS, &[]);
    let count = WORKERS.to_string();
    Pool::ready(
        start(transport, &[("FCGIPM_N_PROCESSES", &count)]),
        gate,
        WORKERS,
    )
}

#[test]
fn host_forked_workers_are_reloaded_under_load_replaced_and_stopped() {
    for transport in [Transport::Unix, Transport::Tcp] {
        let mut pool = pool(transport);
        let mut workers = forked_pids(&mut pool.program);
        workers.sort_unstable();
        pool.workers.sort_unstable();
        assert_eq!(pool.workers, workers);
        guardian_of(pool.program.pid(), WORKERS, &workers);
        let address = pool.program.address.clone();
        let load = Load::start(
            2,
            || address.clone(),
            |address| ask_in_two_segments(address),
        );
        let idle = Load::start(2, || address.connect(), ask_keep_alive);
        for _ in 0..3 {
            pool.program.signal(Signal::SIGHUP);
            pool.program.line("reload done");
        }
        load.finish();
        idle.finish();
        let all = forked_pids(&mut pool.program);
        assert_eq!(all.len(), 4 * WORKERS);
        let killed = all[all.len() - 1];
        kill(Pid::from_raw(killed), Signal::SIGKILL).unwrap();
        pool.program.line("killed by SIGKILL");
        pool.next_ready();
        assert_eq!(forked_pids(&mut pool.program).len(), 4 * WORKERS + 1);
        pool.program.signal(Signal::SIGTERM);
        assert!(pool.program.wait().success());
    }
}

#[test]
fn host_forked_workers_exit_within_a_second_after_the_managers_death() {
    let mut pool = pool(Transport::Unix);
    guardian_of(pool.program.pid(), WORKERS, &pool.workers);
    pool.program.signal(Signal::SIGKILL);
    pool.program.wait();
    for pid in &pool.workers {
        assert!(
            ended_within(*pid, Duration::from_secs(1)),
            "{pid} still runs"
        );
    }
}

#[test]
fn a_failed_fork_of_the_host_is_retried() {
    let mut program = start(
        Transport::Unix,
        &[("FCGIPM_N_PROCESSES", "1"), ("FAILS", "2")],
    );
    for _ in 0..2 {
        let line = program.line("fork of a worker");
        let expected =
            "fork of a worker: Resource temporarily unavailable (os error 11); trying again in 1s";
        assert!(line.ends_with(expected), "{line}");
    }
    assert!(
        program
            .call(&call("/"))
            .text()
            .contains("Hello from worker")
    );
    program.signal(Signal::SIGTERM);
    assert!(program.wait().success());
}

#[test]
fn a_signal_between_a_fork_and_its_report_is_handled_by_the_process_that_received_it() {
    let mut program = start(
        Transport::Unix,
        &[("FCGIPM_N_PROCESSES", "1"), ("SIGNAL", "worker")],
    );
    let first = first_forked_pid(&mut program);
    program.line(&format!("worker (pid {first}) exited with status 0"));
    program.line(") ready");
    program.signal(Signal::SIGTERM);
    assert!(program.wait().success());

    let mut program = start(
        Transport::Unix,
        &[("FCGIPM_N_PROCESSES", "1"), ("SIGNAL", "manager")],
    );
    let first = first_forked_pid(&mut program);
    program.line("received SIGTERM");
    program.line(&format!("worker (pid {first}) exited with status 0"));
    assert!(program.wait().success());
}

#[test]
fn invalid_calls_for_a_fork_are_refused_by_name_and_change_nothing() {
    let (listener, _) = listen(Transport::Unix);
    let child = Command::new(compiled("lifecycle/host_forks.c"))
        .arg("invalid")
        .stdin(Stdio::from(listener))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let ended_in_time = ended_within(i32::try_from(child.id()).unwrap(), LIMIT);
    if !ended_in_time {
        kill(
            Pid::from_raw(i32::try_from(child.id()).unwrap()),
            Signal::SIGKILL,
        )
        .unwrap();
    }
    let output = child.wait_with_output().unwrap();
    let output_text = String::from_utf8_lossy(&output.stdout);
    assert!(ended_in_time, "it hangs: {output_text}");
    assert_eq!(output_text, "invalid: done\n");
    assert!(output.status.success(), "{:?}", output.status);
}
