//! Full disks, processes that are killed or stopped, and a writer that does not keep up.

use std::fs;
use std::process::Command;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::super::peer::pool::{Pool, command, shell};
use super::super::peer::program::{Program, TRANSPORTS, folder};
use super::super::{Load, ask_keep_alive, call};
use super::{Logged, until, writer_of};

fn give(pid: i32, signal: Signal) {
    kill(Pid::from_raw(pid), signal).unwrap();
}

fn dropped(pool: &Pool) -> u64 {
    pool.status()["access_log_dropped"].as_u64().unwrap()
}

#[test]
fn lines_of_a_worker_that_is_killed_are_written() {
    let mut logged = Logged::start(1, "json", &[]);
    for _ in 0..50 {
        logged.pool.program.call(&call("/headers?n=1"));
    }
    give(logged.pool.workers[0], Signal::SIGKILL);
    logged.pool.next_ready();
    logged.pool.program.call(&call("/headers?n=1"));
    assert_eq!(logged.lines(51).len(), 51);
    assert_eq!(dropped(&logged.pool), 0);
}

#[test]
fn a_manager_that_is_killed_leaves_no_writer() {
    let logged = Logged::start(1, "json", &[]);
    logged.pool.program.call(&call("/headers?n=1"));
    logged.lines(1);
    let writer = logged.writer();
    give(logged.pool.program.pid(), Signal::SIGKILL);
    let limit = super::LIMIT;
    assert!(super::super::peer::program::ended_within(writer, limit));
    // What was written is whole.
    assert!(logged.lines(1).iter().all(|line| line.ends_with('}')));
}

#[test]
fn a_writer_that_is_killed_is_started_again() {
    let mut logged = Logged::start(1, "json", &[]);
    logged.pool.program.call(&call("/headers?n=1"));
    logged.lines(1);
    give(logged.writer(), Signal::SIGKILL);
    logged
        .pool
        .program
        .line("the writer of the access log has ended; it is started again in 1 s");
    logged.pool.program.call(&call("/headers?n=1"));
    assert_eq!(logged.lines(2).len(), 2);
    logged.pool.program.signal(Signal::SIGTERM);
    logged.pool.assert_stopped();
}

/// Requests are served while nothing takes the lines, which are dropped, counted, and reported.
#[test]
fn a_writer_that_is_stopped_delays_nobody() {
    let mut logged = Logged::start(2, "json", &[]);
    let writer = logged.writer();
    give(writer, Signal::SIGSTOP);
    let address = logged.pool.program.address.clone();
    let load = Load::start(2, || address.connect(), ask_keep_alive);
    until("dropped lines", || {
        (dropped(&logged.pool) > 1_000).then_some(())
    });
    let answered = u64::from(load.finish());
    logged.pool.program.line("access log: ");
    give(writer, Signal::SIGCONT);
    // Each line arrives or is counted.
    until("all lines", || {
        let arrived = super::lines_now(&logged.file()).len() as u64;
        let total = arrived + dropped(&logged.pool);
        assert!(total <= answered, "{total} of {answered}");
        (total == answered).then_some(())
    });
    logged.pool.program.signal(Signal::SIGTERM);
    logged.pool.assert_stopped();
}

#[test]
fn a_manager_stops_in_time_although_its_writer_does_not_run() {
    let mut logged = Logged::start(1, "json", &[]);
    let writer = logged.writer();
    give(writer, Signal::SIGSTOP);
    logged.pool.program.call(&call("/headers?n=1"));
    logged.pool.program.signal(Signal::SIGTERM);
    logged.pool.assert_stopped();
    give(writer, Signal::SIGKILL);
}

/// On a file system of its own, which is seen through the manager's root.
#[test]
fn a_full_disk_is_reported_and_costs_only_lines() {
    let folder = folder();
    let file = folder.join("log");
    let options = [
        ("FCGIPM_ACCESS_LOG", file.to_str().unwrap()),
        ("FCGIPM_ACCESS_FORMAT", "json"),
    ];
    let (plain, gate) = command(1, &options);
    let script = format!(
        "mount -t tmpfs -o size=16k,mode=700 none {}",
        folder.display()
    );
    let mut mounted = Command::new("unshare");
    mounted.args(["--mount", "--"]);
    let command = crate::peer::pool::followed_by(mounted, &shell(&script, &plain));
    let mut pool = Pool::ready(Program::start(command, TRANSPORTS[0]), gate, 1);
    let seen = format!("/proc/{}/root{}", pool.program.pid(), file.display());
    let mut requests = 0;
    until("a dropped line", || {
        pool.program.call(&call("/headers?n=1"));
        requests += 1;
        (dropped(&pool) > 0).then_some(())
    });
    pool.program
        .line("access log: writing failed: No space left on device");
    pool.program.call(&call("/headers?n=1"));
    fs::write(&seen, "").unwrap();
    pool.program.call(&call("/headers?n=1"));
    pool.program.line("access log: writing works again");
    assert!(fs::read_to_string(&seen).unwrap().ends_with("}\n"));
    assert!(writer_of(pool.program.pid()).is_some());
    pool.program.signal(Signal::SIGTERM);
    pool.assert_stopped();
    fs::remove_dir_all(folder).unwrap();
}
