//! logrotate(8) renames the file.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use nix::sys::signal::Signal;

use super::super::{Load, ask_keep_alive, call};
use super::{Logged, lines_now, until};

/// Numbers the lines of a worker.
const FORMAT: &str = "%p %{request_number}x";

/// The pid and number of each line, which occur only once.
fn numbers(files: &[&Path]) -> BTreeSet<(u32, u64)> {
    let mut found = BTreeSet::new();
    for line in files.iter().flat_map(|file| lines_now(file)) {
        let (pid, number) = line.split_once(' ').unwrap_or_else(|| panic!("{line:?}"));
        let pair = (pid.parse().unwrap(), number.parse().unwrap());
        assert!(found.insert(pair), "{line:?} twice");
    }
    found
}

/// Renames the file under load, gives the signal, and returns when a line has arrived in the new file.
fn rotate(signal: Signal) {
    let mut logged = Logged::start(2, FORMAT, &[]);
    let (file, old) = (logged.file(), logged.folder.join("log.1"));
    let address = logged.pool.program.address.clone();
    let load = Load::start(2, || address.connect(), ask_keep_alive);
    logged.lines(500);
    fs::rename(&file, &old).unwrap();
    logged.pool.program.signal(signal);
    logged.lines(500);
    if signal == Signal::SIGHUP {
        logged.pool.program.line("reload done");
    }
    let answered = u64::from(load.finish());
    // All that is in rings is collected.
    let total = until("all lines", || {
        let found = numbers(&[&old, &file]);
        let dropped = logged.pool.status()["access_log_dropped"].as_u64().unwrap();
        (found.len() as u64 + dropped >= answered).then_some((found.len() as u64, dropped))
    });
    assert_eq!(total, (answered, 0));
    assert!(lines_now(&file).len() >= 500 && lines_now(&old).len() >= 500);
    logged.pool.program.signal(Signal::SIGTERM);
    logged.pool.assert_stopped();
}

#[test]
fn a_rotation_with_usr1_loses_no_line() {
    rotate(Signal::SIGUSR1);
}

#[test]
fn a_rotation_with_a_reload_loses_no_line() {
    rotate(Signal::SIGHUP);
}

#[test]
fn a_file_that_cannot_be_opened_again_is_reported_and_the_old_one_continues() {
    let mut logged = Logged::start(1, FORMAT, &[]);
    logged.pool.program.call(&call("/headers?n=1"));
    logged.lines(1);
    let (file, old) = (logged.file(), logged.folder.join("log.1"));
    fs::rename(&file, &old).unwrap();
    // Not a regular file.
    fs::create_dir(&file).unwrap();
    logged.pool.program.signal(Signal::SIGUSR1);
    logged.pool.program.line("access log: log file");
    logged.pool.program.call(&call("/headers?n=1"));
    super::lines_of(&old, 2);
}

#[test]
fn a_stop_writes_what_was_collected() {
    let mut logged = Logged::start(2, FORMAT, &[]);
    for _ in 0..100 {
        logged.pool.program.call(&call("/headers?n=1"));
    }
    logged.pool.program.signal(Signal::SIGTERM);
    logged.pool.assert_stopped();
    // The writer ends after the manager has waited for it.
    assert_eq!(numbers(&[&logged.file()]).len(), 100);
}
