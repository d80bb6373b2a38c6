//! The order of steps in a turn of the manager's loop, by the log of what happened while it was
//! stopped.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::peer::connection::LIMIT;
use super::peer::pool::{Pool, call};
use super::peer::program::{Transport, ended_within};
use super::start_script::StartScript;

/// Kills a worker, and returns the pid of its replacement.
fn replace(pool: &mut Pool, victim: i32) -> i32 {
    kill(Pid::from_raw(victim), Signal::SIGKILL).unwrap();
    let line = pool.program.line(") started");
    let (_, rest) = line.split_once("worker (pid ").unwrap();
    rest.split_once(')').unwrap().0.parse().unwrap()
}

#[test]
fn a_turn_handles_signals_then_startup_output_then_deaths_then_pages_then_forks() {
    let start = StartScript::new("true");
    let command = start.command();
    let mut pool = Pool::start(Transport::Unix, 3, &[("HELLO_START", &command)]);
    let [first, second, third] = pool.workers[..] else {
        panic!("not three workers");
    };
    let [before, after, ready, rest] =
        ["before", "after", "ready", "rest"].map(|name| start.gate(name));
    let script = format!(
        "{}; echo a line from the start >&2; {}",
        before.wait(),
        after.wait()
    );
    start.change(&script);
    replace(&mut pool, first);
    let at_before = before.reached();
    start.change(&ready.wait());
    let becomes_ready = replace(&mut pool, second);
    let at_ready = ready.reached();
    start.change(&rest.wait());

    pool.program.suspend();
    let count = pool.program.lines().len();
    drop(at_before);
    let at_after = after.reached();
    drop(at_ready);
    kill(Pid::from_raw(third), Signal::SIGKILL).unwrap();
    assert!(ended_within(third, LIMIT));
    // No other worker is left.
    let text = pool.program.call(&call("/")).text();
    assert!(text.contains(&format!("worker {becomes_ready},")), "{text}");
    pool.program.signal(Signal::SIGHUP);
    pool.program.signal(Signal::SIGCONT);
    let is_ready = format!("worker (pid {becomes_ready}) ready");
    pool.program.line(&is_ready);
    pool.program.line(") started");

    let expected = [
        // The signal interrupts the wait, so that turn finds nothing else.
        "received SIGHUP",
        "reload begun",
        ") started",
        "a line from the start",
        &format!("worker (pid {third}) killed by SIGKILL"),
        &is_ready,
        ") started",
    ];
    let lines = &pool.program.lines()[count..];
    assert_eq!(lines.len(), expected.len(), "{lines:#?}");
    for (line, expected) in lines.iter().zip(expected) {
        assert!(line.contains(expected), "no {expected} in {lines:#?}");
    }
    drop(at_after);
    let all = rest.open();
    pool.program.line("reload done");
    drop(all);
    pool.program.signal(Signal::SIGTERM);
    assert_eq!(pool.program.wait().code(), Some(0));
}
