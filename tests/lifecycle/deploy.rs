//! Deploys that fail: the old workers continue, and the log has the reason.

use std::fs;
use std::path::PathBuf;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::peer::pool::{Pool, call};
use super::peer::program::{Transport, folder};

const WORKERS: usize = 3;

/// What each worker runs when it starts; a test changes it as a deploy changes an application.
struct Code(PathBuf);

impl Code {
    fn new(script: &str) -> Self {
        let code = Self(folder().join("start"));
        code.change(script);
        code
    }

    fn change(&self, script: &str) {
        // Replaced, not rewritten: a worker may be reading it.
        let next = self.0.with_extension("next");
        fs::write(&next, script).unwrap();
        fs::rename(&next, &self.0).unwrap();
    }

    fn command(&self) -> String {
        format!("exec sh {}", self.0.display())
    }
}

impl Drop for Code {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(self.0.parent().unwrap());
    }
}

fn start(code: &Code, environment: &[(&str, &str)]) -> Pool {
    let command = code.command();
    let environment = [environment, &[("HELLO_START", command.as_str())]].concat();
    Pool::start(Transport::Unix, WORKERS, &environment)
}

/// The old workers, and no others, serve.
fn assert_served_by_the_old(pool: &Pool) {
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

fn assert_recovers(mut pool: Pool, code: &Code) {
    code.change("true");
    pool.program.signal(Signal::SIGHUP);
    pool.program.line("reload done");
    for pid in &pool.workers {
        let gone = format!("worker (pid {pid}) exited with status 0");
        assert!(
            pool.program.lines().iter().any(|line| line.contains(&gone)) || {
                pool.program.line(&gone);
                true
            }
        );
    }
    assert!(pool.program.call(&call("/")).text().contains("Hello"));
    pool.program.signal(Signal::SIGTERM);
    assert_eq!(pool.program.wait().code(), Some(0));
}

#[test]
fn new_workers_that_exit_end_the_reload_and_the_log_has_their_last_lines() {
    let code = Code::new("true");
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
        assert_served_by_the_old(&pool);
    }
    assert_recovers(pool, &code);
}

#[test]
fn new_workers_that_are_killed_end_the_reload() {
    let code = Code::new("true");
    let mut pool = start(&code, &[]);
    code.change("kill -SEGV $PPID; sleep 60");
    pool.program.signal(Signal::SIGHUP);
    let line = pool.program.line("reload failed");
    assert!(
        line.contains("killed by SIGSEGV before it was ready"),
        "{line}"
    );
    assert_served_by_the_old(&pool);
    assert_recovers(pool, &code);
}

#[test]
fn new_workers_that_are_not_ready_in_time_end_the_reload() {
    let code = Code::new("true");
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
    assert_served_by_the_old(&pool);
    assert_recovers(pool, &code);
}

#[test]
fn what_workers_say_while_they_start_reaches_the_log_as_it_is() {
    let code = Code::new(
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
fn a_child_that_outlives_its_worker_can_write_before_and_after() {
    let gate = folder().join("gate");
    nix::unistd::mkfifo(&gate, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let script = format!(
        "(read _ < {0}; echo first word >&2; read _ < {0}; echo last word >&2) & true",
        gate.display()
    );
    let code = Code::new(&script);
    let command = code.command();
    let environment = [("HELLO_START", command.as_str())];
    let mut pool = Pool::start(Transport::Unix, 1, &environment);
    code.change("true");
    let open = || fs::File::options().write(true).open(&gate).unwrap();
    drop(open());
    pool.program.line("first word");
    kill(Pid::from_raw(pool.workers[0]), Signal::SIGTERM).unwrap();
    let _ = pool.next_ready();
    drop(open());
    pool.program.line("last word");
    pool.stop();
    let _ = fs::remove_dir_all(gate.parent().unwrap());
}

#[test]
fn without_catching_it_standard_error_is_the_workers_own() {
    let code = Code::new("echo mine >&2; ls -l /proc/self/fd/2 >&2");
    let mut pool = start(&code, &[("FCGIPM_CATCH_START_STDERR", "0")]);
    code.change("exit 1");
    pool.program.signal(Signal::SIGHUP);
    let line = pool.program.line("reload failed");
    assert!(!line.contains("standard error"), "{line}");
    assert_recovers(pool, &code);
}

#[test]
fn an_empty_pool_is_an_emergency_and_the_log_says_when_it_is_over() {
    let code = Code::new("exit 1");
    let command = code.command();
    let (mut hello, gate) = super::peer::pool::command(1, &[("HELLO_START", &command)]);
    hello.env("FCGIPM_N_PROCESSES", "1");
    let mut program = super::peer::program::Program::start(hello, Transport::Unix);
    program.line("emergency: no worker is ready");
    code.change("true");
    // The back-off lets one start a second.
    program.line("ready again");
    assert!(program.call(&call("/")).text().contains("Hello"));
    program.signal(Signal::SIGTERM);
    assert_eq!(program.wait().code(), Some(0));
    let _ = fs::remove_dir_all(gate.parent().unwrap());
}
