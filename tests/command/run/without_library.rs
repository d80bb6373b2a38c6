//! Programs without the library, which are managed only by signals.

use std::io::Write as _;
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::time::Instant;
use std::{fs, thread};

use super::{Run, fifo, plain, script, status, wait_until_exited};
use crate::process::{LIMIT, fcgipm};

#[test]
fn a_program_is_ready_after_ready_delay_and_exits_at_stop_signal() {
    for (options, signal) in [(&[][..], 15), (&["--stop-signal", "USR1"][..], 10)] {
        let options = [&["--workers", "2", "--ready-delay", "0.1"], options].concat();
        let mut run = Run::pool(&options, &[&plain(), "graceful"]);
        let before = run.ready_ones(2);
        let report = status(&run.address());
        let counts = [&report["ready"], &report["idle"], &report["busy"]];
        assert_eq!(counts, [2, 0, 0]);
        assert_eq!(report["workers"][0]["state"], "silent");
        assert!(run.call().contains("plain "));
        run.signal("HUP");
        run.line("reload done");
        let lines = run.lines_with(&format!("exited with status {signal}"), 2);
        let mut exited: Vec<_> = lines.iter().map(|line| super::pid_in(line)).collect();
        exited.sort_unstable();
        let mut before = before;
        before.sort_unstable();
        assert_eq!(exited, before);
        assert!(run.call().contains("plain "));
        let lines = run.stop();
        assert!(
            !lines.iter().any(|line| line.contains("kill")),
            "{lines:#?}"
        );
    }
}

#[test]
fn a_program_that_finishes_its_request_at_the_signal_loses_none() {
    let folder = tempfile::tempdir().unwrap();
    let gate = fifo(&folder);
    let gate_is = format!("PLAIN_GATE={gate}");
    let options = ["--ready-delay", "0.1", "--env", &gate_is];
    let mut run = Run::pool_in(folder, &options, &[&plain(), "graceful"]);
    let first = run.ready();
    let address = run.address();
    let client = thread::spawn(move || fcgipm(&["call", "--to", &address, "/"], b""));
    let open = fs::File::options().write(true).open(&gate).unwrap();
    run.signal("HUP");
    run.line("all new workers are ready");
    drop(open);
    let output = client.join().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains(&format!("plain {first}")), "{text}");
    run.lines_with(&format!("worker (pid {first}) exited with status 15"), 1);
    run.line("reload done");
    run.stop();
}

#[test]
fn a_program_that_does_not_exit_is_killed_after_die_timeout() {
    let options = ["--ready-delay", "0.1", "--die-timeout", "0.3"];
    let mut run = Run::pool(&options, &[&plain(), "stubborn"]);
    let first = run.ready();
    run.signal("HUP");
    run.line(&format!(
        "killing worker (pid {first}): it did not exit within die_timeout = 300ms"
    ));
    run.line(&format!("worker (pid {first}) killed by SIGKILL"));
    run.signal("TERM");
    assert_eq!(run.end().0.code(), Some(0));
}

#[test]
fn a_program_that_exits_immediately_fails_the_reload() {
    let folder = tempfile::tempdir().unwrap();
    let program = script(&folder, &format!("exec {} graceful", plain()));
    let options = ["--workers", "2", "--ready-delay", "0.5"];
    let mut run = Run::pool_in(folder, &options, &[&program]);
    run.ready_ones(2);
    script(&run.folder, "exit 3");
    run.signal("HUP");
    let line = run.line("reload failed");
    assert!(
        line.contains("exited with status 3 before it was ready"),
        "{line}"
    );
    assert!(run.call().contains("plain "));
    run.stop();
}

#[test]
fn a_program_that_always_exits_does_not_delay_the_stop() {
    let mut run = Run::pool(&["--workers", "2"], &["/bin/false"]);
    for _ in 0..4 {
        run.line("exited with status 1");
    }
    run.stop();
}

#[test]
fn a_program_is_stopped_when_the_manager_is_killed() {
    let options = ["--workers", "2", "--ready-delay", "0.1"];
    for mode in ["graceful", ""] {
        let mut run = Run::pool(&options, &[&plain(), mode]);
        let workers = run.ready_ones(2);
        run.signal("KILL");
        workers.into_iter().for_each(wait_until_exited);
    }
}

#[test]
fn inherited_ignored_signals_do_not_prevent_the_exit_of_a_program() {
    let folder = tempfile::tempdir().unwrap();
    let address = super::address(&folder);
    let command = env!("CARGO_BIN_EXE_fcgipm");
    let mut child = Command::new("sh")
        .args([
            "-c",
            "trap '' TERM PIPE; exec \"$@\"",
            "sh",
            command,
            "run",
            "--no-preload",
        ])
        .args(["--listen", &address, "--ready-delay", "0.1", "--", &plain()])
        .spawn()
        .unwrap();
    let until = Instant::now() + LIMIT;
    while UnixStream::connect(&address).is_err() {
        assert!(Instant::now() < until, "no process listens");
        thread::yield_now();
    }
    // A running program answers.
    super::call(&address);
    crate::managed::signal("TERM", child.id());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn max_queue_age_has_no_effect_for_a_program_and_the_log_reports_that() {
    let folder = tempfile::tempdir().unwrap();
    let gate = fifo(&folder);
    let gate_is = format!("PLAIN_GATE={gate}");
    let options = [
        "--ready-delay",
        "0.1",
        "--max-queue-age",
        "0.1",
        "--env",
        &gate_is,
    ];
    let mut run = Run::pool_in(folder, &options, &[&plain(), "graceful"]);
    let first = run.ready();
    run.line(&format!(
        "max_queue_age has no effect: worker (pid {first}) does not use this library's Accept"
    ));
    let call =
        |address: String| thread::spawn(move || fcgipm(&["call", "--to", &address, "/"], b""));
    let clients = [call(run.address()), call(run.address())];
    // The scenario: the request waits longer than the limit.
    thread::sleep(std::time::Duration::from_millis(300));
    let mut open = fs::File::options()
        .read(true)
        .write(true)
        .open(&gate)
        .unwrap();
    open.write_all(b"xx").unwrap();
    for client in clients {
        let output = client.join().unwrap();
        assert!(output.status.success(), "{output:?}");
    }
    let lines = run.stop();
    assert!(
        !lines.iter().any(|line| line.contains("overload")),
        "{lines:#?}"
    );
}
