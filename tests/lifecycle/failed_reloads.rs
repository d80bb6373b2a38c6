//! Failed deploys: the old workers continue, and the log has the reason.

use std::fs;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::peer::pool::{Pool, call};
use super::peer::program::Transport;
use super::start_script::StartScript;

const WORKERS: usize = 3;

fn start(code: &StartScript, environment: &[(&str, &str)]) -> Pool {
    let command = code.command();
    let environment = [environment, &[("HELLO_START", command.as_str())]].concat();
    Pool::start(Transport::Unix, WORKERS, &environment)
}

/// Only the old workers serve.
fn assert_old_workers_serve(pool: &Pool) {
    for _ in 0..20 {
        let text = pool.program.call(&call("/")).text();
        assert!(
            pool.workers
                .iter()
                .any(|pid| text.contains(&format!("worker {pid},"))),
            "{text}"
        );
    }
}

fn assert_recovers(mut pool: Pool, code: &StartScript) {
    code.change("true");
    pool.program.signal(Signal::SIGHUP);
    pool.program.line("reload done");
    for pid in &pool.workers {
        let exited = format!("worker (pid {pid}) exited with status 0");
        assert!(
            pool.program
                .lines()
                .iter()
                .any(|line| line.contains(&exited))
                || {
                    pool.program.line(&exited);
                    true
                }
        );
    }
    assert!(pool.program.call(&call("/")).text().contains("Hello"));
    pool.program.signal(Signal::SIGTERM);
    assert_eq!(pool.program.wait().code(), Some(0));
}

#[test]
fn new_workers_that_exit_fail_the_reload_and_the_log_has_their_last_lines() {
    let code = StartScript::new("true");
    let mut pool = start(&code, &[]);
    for _ in 0..3 {
        code.change("echo 'syntax error at line 7' >&2; echo 'compilation failed' >&2; exit 9");
        pool.program.signal(Signal::SIGHUP);
        let line = pool.program.line("reload failed");
        for part in [
            "exited with status 1 before it was ready",
            "syntax error at line 7 | compilation failed",
        ] {
            assert!(line.contains(part), "{line}");
        }
        assert_old_workers_serve(&pool);
    }
    assert_recovers(pool, &code);
}

#[test]
fn new_workers_that_are_killed_fail_the_reload() {
    let code = StartScript::new("true");
    let mut pool = start(&code, &[]);
    code.change("kill -SEGV $PPID; sleep 60");
    pool.program.signal(Signal::SIGHUP);
    let line = pool.program.line("reload failed");
    assert!(
        line.contains("killed by SIGSEGV before it was ready"),
        "{line}"
    );
    assert_old_workers_serve(&pool);
    assert_recovers(pool, &code);
}

#[test]
fn new_workers_that_are_not_ready_in_time_fail_the_reload() {
    let code = StartScript::new("true");
    let mut pool = start(&code, &[("FCGIPM_START_TIMEOUT", "0.3")]);
    code.change("echo 'waiting for the database' >&2; exec sleep 60");
    pool.program.signal(Signal::SIGHUP);
    let line = pool.program.line("reload failed");
    for part in [
        "was not ready within start_timeout = 300ms",
        "last lines on standard error: waiting for the database",
    ] {
        assert!(line.contains(part), "{line}");
    }
    assert_old_workers_serve(&pool);
    assert_recovers(pool, &code);
}

#[test]
fn output_of_starting_workers_reaches_the_log_unchanged() {
    let code = StartScript::new(
        "echo one >&2; printf 'two\\nthree' >&2; echo >&2; env printf 'f\\303\\251\\001\\n' >&2",
    );
    let mut pool = start(&code, &[]);
    pool.program.signal(Signal::SIGTERM);
    assert_eq!(pool.program.wait().code(), Some(0));
    let lines = pool.program.all_lines();
    for line in ["one", "two", "three", "f\u{e9}\u{1}"] {
        let count = lines.iter().filter(|seen| *seen == line).count();
        assert_eq!(count, WORKERS, "{line}: {lines:#?}");
    }
}

#[test]
fn a_child_that_outlives_its_worker_can_write_before_and_after_its_exit() {
    let code = StartScript::new("true");
    let gate = code.gate("gate");
    code.change(&format!(
        "({0}; echo before the exit >&2; {0}; echo after the exit >&2) & true",
        gate.wait()
    ));
    let command = code.command();
    let environment = [("HELLO_START", command.as_str())];
    let mut pool = Pool::start(Transport::Unix, 1, &environment);
    code.change("true");
    drop(gate.reached());
    pool.program.line("before the exit");
    kill(Pid::from_raw(pool.workers[0]), Signal::SIGTERM).unwrap();
    let _ = pool.next_ready();
    drop(gate.reached());
    pool.program.line("after the exit");
    pool.stop();
}

#[test]
fn without_catch_start_stderr_the_reason_has_no_lines_of_the_worker() {
    let code = StartScript::new("echo mine >&2; ls -l /proc/self/fd/2 >&2");
    let mut pool = start(&code, &[("FCGIPM_CATCH_START_STDERR", "0")]);
    code.change("exit 1");
    pool.program.signal(Signal::SIGHUP);
    let line = pool.program.line("reload failed");
    assert!(!line.contains("standard error"), "{line}");
    assert_recovers(pool, &code);
}

#[test]
fn a_pool_without_ready_workers_is_an_emergency_and_its_end_is_logged() {
    let code = StartScript::new("exit 1");
    let command = code.command();
    let (mut hello, gate) = super::peer::pool::command(1, &[("HELLO_START", &command)]);
    hello.env("FCGIPM_N_PROCESSES", "1");
    let mut program = super::peer::program::Program::start(hello, Transport::Unix);
    program.line("emergency: no worker is ready");
    code.change("true");
    // With back-off, one worker starts per second.
    program.line("ready again");
    assert!(program.call(&call("/")).text().contains("Hello"));
    program.signal(Signal::SIGTERM);
    assert_eq!(program.wait().code(), Some(0));
    let _ = fs::remove_dir_all(gate.parent().unwrap());
}
