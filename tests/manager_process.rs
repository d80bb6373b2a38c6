//! The manager with real processes.
//!
//! Each test starts this program again as a host: a process with one thread that runs a manager,
//! and prints a line per event. Its workers report to the manager themselves, instead of by Accept.
//! A file selects what a worker does, so a test can deploy new code. Tests wait for lines, and
//! never sleep.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use driver::{Folder, Host};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

#[macro_use]
#[path = "peer/in_turn.rs"]
mod in_turn;

#[path = "manager_process/driver.rs"]
mod driver;
#[path = "manager_process/host.rs"]
mod host;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().is_some_and(|first| first == "host") {
        std::process::exit(host::run(&arguments[1..]));
    }
    in_turn::run(TESTS);
}

tests! {
    without_processes_the_caller_is_the_worker
    a_process_with_threads_is_refused
    workers_start_become_ready_and_stop
    handlers_and_the_signal_mask_are_restored
    with_no_signals_the_host_handles_signals
    hup_starts_ready_replacements_before_old_workers_exit
    a_failed_reload_keeps_the_old_workers
    a_new_worker_that_hangs_fails_the_reload
    a_killed_worker_is_replaced_immediately
    a_crash_loop_is_slowed_down_and_a_stop_is_not
    a_worker_that_does_not_exit_is_killed_after_die_timeout
    ttin_and_ttou_change_the_number_of_workers
    a_second_manager_on_a_pid_file_is_refused_and_the_first_is_named
    a_stale_pid_file_is_replaced
    a_file_without_a_pid_is_left_unchanged
    workers_exit_when_the_manager_is_killed
    idle_workers_are_woken_for_a_handed_over_connection
    garbage_in_a_page_changes_nothing
    two_hundred_workers_start_reload_and_stop
    two_hundred_workers_start_reload_and_stop_with_few_descriptors
}

fn without_processes_the_caller_is_the_worker() {
    let folder = Folder::new();
    let mut host = Host::start(&folder, &["n_processes=0", "after=1"]);
    let same = host.until_kind("Same");
    assert_eq!(same.pid, 1, "handlers were touched");
    assert_eq!(host.end(), 0);
}

fn a_process_with_threads_is_refused() {
    let folder = Folder::new();
    let mut host = Host::start(&folder, &["n_processes=2", "thread=1"]);
    let error = host.line().unwrap();
    assert_eq!((error.kind.as_str(), error.pid), ("Error", -21));
    assert!(error.message.contains("2 threads"), "{}", error.message);
}

fn workers_start_become_ready_and_stop() {
    let folder = Folder::new();
    let pid_file = folder.pid_file();
    let mut host = Host::start(
        &folder,
        &[
            "n_processes=3",
            &format!("pid_fname={pid_file}"),
            "pm_title=pool-of-tests",
        ],
    );
    assert_eq!(host.line().unwrap().kind, "Managing");
    assert_eq!(
        fs::read_to_string(&pid_file).unwrap(),
        format!("{}\n", host.pid())
    );
    let ready = host.until_ready(3);
    assert_eq!(ready.len(), 3);
    let worker = ready.iter().next().unwrap();
    let title = fs::read(format!("/proc/{worker}/cmdline")).unwrap();
    assert!(title.starts_with(b"pool-of-tests worker\0"), "{title:?}");
    let title = fs::read(format!("/proc/{}/cmdline", host.pid())).unwrap();
    assert!(title.starts_with(b"pool-of-tests\0"), "{title:?}");
    host.send(Signal::SIGTERM);
    assert_eq!(host.until_kind("Signal").status, libc::SIGTERM);
    host.until_kind("Stopping");
    for _ in 0..3 {
        let exited = host.until_kind("WorkerExited");
        assert!(ready.contains(&exited.pid));
        assert_eq!(exited.status, 0);
        assert_eq!(
            exited.message,
            format!("worker (pid {}) exited with status 0", exited.pid)
        );
    }
    host.until_kind("Stopped");
    assert_eq!(host.end(), 0);
    assert!(!fs::exists(pid_file).unwrap());
}

fn handlers_and_the_signal_mask_are_restored() {
    let folder = Folder::new();
    let mut host = Host::start(&folder, &["n_processes=2", "after=1"]);
    host.until_ready(2);
    host.send(Signal::SIGINT);
    assert_eq!(host.until_kind("Same").pid, 1);
    assert_eq!(host.end(), 0);
}

fn with_no_signals_the_host_handles_signals() {
    let folder = Folder::new();
    let mut host = Host::start(
        &folder,
        &[
            "n_processes=1",
            "no_signals=1",
            "term_when_ready=1",
            "nofile=40",
        ],
    );
    host.until_kind("Stopped");
    assert_eq!(host.end(), 0);
}

fn hup_starts_ready_replacements_before_old_workers_exit() {
    let folder = Folder::new();
    let mut host = Host::start(&folder, &["n_processes=4"]);
    let old = host.until_ready(4);
    host.send(Signal::SIGHUP);
    let mut ready = old.clone();
    loop {
        let line = host.line().unwrap();
        match line.kind.as_str() {
            "WorkerReady" => assert!(ready.insert(line.pid)),
            "WorkerExited" => {
                assert!(ready.remove(&line.pid));
                assert_eq!(line.status, 0);
                assert!(ready.len() >= 4, "capacity dipped: {:#?}", host.seen);
            }
            "ReloadDone" => break,
            _ => {}
        }
    }
    while ready.len() > 4 {
        ready.remove(&host.until_kind("WorkerExited").pid);
    }
    assert!(ready.is_disjoint(&old));
    host.stop();
}

fn a_failed_reload_keeps_the_old_workers() {
    let folder = Folder::new();
    let mut host = Host::start(&folder, &["n_processes=3"]);
    let old = host.until_ready(3);
    folder.deploy("exit 255");
    host.send(Signal::SIGHUP);
    let failed = host.until_kind("ReloadFailed");
    assert_eq!(
        failed.message,
        format!(
            "reload failed, the old workers continue: worker (pid {}) exited with status 255 before it was ready",
            failed.pid
        )
    );
    let exited: Vec<_> = host
        .seen
        .iter()
        .filter(|line| line.kind == "WorkerExited")
        .map(|line| line.pid)
        .collect();
    assert!(
        exited.iter().all(|pid| !old.contains(pid)),
        "{:#?}",
        host.seen
    );
    folder.deploy("serve");
    host.send(Signal::SIGHUP);
    let new = host.until_ready(3);
    host.until_kind("ReloadDone");
    assert!(new.is_disjoint(&old));
    host.stop();
}

fn a_new_worker_that_hangs_fails_the_reload() {
    let folder = Folder::new();
    let mut host = Host::start(
        &folder,
        &["n_processes=2", "start_timeout=0.3", "die_timeout=5"],
    );
    let old = host.until_ready(2);
    folder.deploy("hang");
    host.send(Signal::SIGHUP);
    let failed = host.until_kind("ReloadFailed");
    assert!(
        failed
            .message
            .ends_with("was not ready within start_timeout = 300ms"),
        "{}",
        failed.message
    );
    let exited = host.until_kind("WorkerExited");
    assert!(!old.contains(&exited.pid));
    assert_eq!(
        exited.message,
        format!("worker (pid {}) killed by SIGKILL", exited.pid)
    );
    host.stop();
}

fn a_killed_worker_is_replaced_immediately() {
    let folder = Folder::new();
    let mut host = Host::start(&folder, &["n_processes=2"]);
    let old = host.until_ready(2);
    let victim = *old.iter().next().unwrap();
    kill(Pid::from_raw(victim), Signal::SIGKILL).unwrap();
    let exited = host.until_kind("WorkerExited");
    assert_eq!((exited.pid, exited.status), (victim, libc::SIGKILL));
    assert!(!old.contains(&host.until_kind("WorkerReady").pid));
    host.stop();
}

fn a_crash_loop_is_slowed_down_and_a_stop_is_not() {
    let folder = Folder::new();
    folder.deploy("exit 1");
    let mut host = Host::start(&folder, &["n_processes=2"]);
    let began = Instant::now();
    host.until(|line| line.message.starts_with("workers die soon"));
    let elapsed = began.elapsed();
    // The ten starts that the first ten seconds allow are used up, unless the machine is very slow.
    if elapsed < Duration::from_secs(5) {
        assert_eq!(host.count("WorkerStarted"), 10, "{:#?}", host.seen);
    }
    let asked = Instant::now();
    host.send(Signal::SIGTERM);
    host.until_kind("Stopped");
    assert!(asked.elapsed() < Duration::from_millis(100));
    assert_eq!(host.count("WorkerStarted"), host.count("WorkerExited"));
    assert_eq!(host.end(), 0);
}

fn a_worker_that_does_not_exit_is_killed_after_die_timeout() {
    let folder = Folder::new();
    folder.deploy("stubborn");
    let mut host = Host::start(&folder, &["n_processes=1", "die_timeout=0.2"]);
    host.until_ready(1);
    host.send(Signal::SIGTERM);
    let killing = host.until_kind("Killing");
    assert!(
        killing
            .message
            .contains("did not exit within die_timeout = 200ms")
    );
    assert_eq!(host.until_kind("WorkerExited").status, libc::SIGKILL);
    host.until_kind("Stopped");
    assert_eq!(host.end(), 0);
}

fn ttin_and_ttou_change_the_number_of_workers() {
    let folder = Folder::new();
    let mut host = Host::start(&folder, &["n_processes=1"]);
    let first = host.until_ready(1);
    host.send(Signal::SIGTTOU);
    host.until_kind("Signal");
    host.send(Signal::SIGTTIN);
    host.until(|line| line.message == "number of workers set to 2");
    let second = host.until_ready(1);
    host.send(Signal::SIGTTOU);
    host.until(|line| line.message == "number of workers set to 1");
    let exited = host.until_kind("WorkerExited").pid;
    assert!(first.contains(&exited) || second.contains(&exited));
    host.stop();
}

fn a_second_manager_on_a_pid_file_is_refused_and_the_first_is_named() {
    let folder = Folder::new();
    let pid_fname = format!("pid_fname={}", folder.pid_file());
    let mut host = Host::start(&folder, &["n_processes=1", &pid_fname]);
    host.until_ready(1);
    let mut second = Host::start(&folder, &["n_processes=1", &pid_fname]);
    let error = second.line().unwrap();
    assert_eq!((error.kind.as_str(), error.pid), ("Error", -20));
    let expected = format!("(pid {})", host.pid());
    assert!(error.message.contains(&expected), "{}", error.message);
    assert_eq!(second.end(), 1);
    assert!(fs::exists(folder.pid_file()).unwrap());
    host.stop();
}

fn a_stale_pid_file_is_replaced() {
    let folder = Folder::new();
    let mut exited = Command::new("true").spawn().unwrap();
    exited.wait().unwrap();
    // The pid of an exited process, of another program, and of this program with other arguments,
    // and an empty file.
    let other = std::process::id().to_string();
    for stale in [
        exited.id().to_string(),
        "1\n".to_owned(),
        other,
        String::new(),
    ] {
        fs::write(folder.pid_file(), stale).unwrap();
        let mut host = Host::start(
            &folder,
            &["n_processes=1", &format!("pid_fname={}", folder.pid_file())],
        );
        host.until_ready(1);
        let content = fs::read_to_string(folder.pid_file()).unwrap();
        assert_eq!(content, format!("{}\n", host.pid()));
        host.send(Signal::SIGKILL);
        while host.line().is_some() {}
    }
    let mut host = folder.host_with_pid_file();
    host.until_ready(1);
    host.stop();
    assert!(!fs::exists(folder.pid_file()).unwrap());
}

fn a_file_without_a_pid_is_left_unchanged() {
    let folder = Folder::new();
    fs::write(folder.pid_file(), "precious\n").unwrap();
    let mut host = folder.host_with_pid_file();
    let error = host.line().unwrap();
    assert_eq!((error.kind.as_str(), error.pid), ("Error", -19));
    assert!(error.message.contains(&folder.pid_file()));
    assert_eq!(host.end(), 1);
    assert_eq!(fs::read_to_string(folder.pid_file()).unwrap(), "precious\n");
}

fn workers_exit_when_the_manager_is_killed() {
    let folder = Folder::new();
    let mut host = Host::start(&folder, &["n_processes=5"]);
    host.until_ready(5);
    host.send(Signal::SIGKILL);
    // The output ends when the last worker has exited.
    while host.line().is_some() {}
}

fn idle_workers_are_woken_for_a_handed_over_connection() {
    let folder = Folder::new();
    folder.deploy("handover");
    let mut host = Host::start(&folder, &["n_processes=3"]);
    let ready = host.until_ready(3);
    host.send(Signal::SIGTTOU);
    let receiver = host.until_kind("Received").pid;
    assert!(ready.contains(&receiver));
    host.stop();
}

fn garbage_in_a_page_changes_nothing() {
    let folder = Folder::new();
    folder.deploy("garbage");
    let mut host = Host::start(&folder, &["n_processes=2"]);
    let old = host.until_ready(2);
    folder.deploy("serve");
    fs::write(folder.0.join("code.go"), "").unwrap();
    host.send(Signal::SIGHUP);
    let new = host.until_ready(2);
    assert!(new.is_disjoint(&old));
    host.until_kind("ReloadDone");
    assert_eq!(host.count("WorkerStarted"), 4);
    host.stop();
}

fn two_hundred_workers_start_reload_and_stop() {
    many_workers(&["n_processes=200"]);
}

fn two_hundred_workers_start_reload_and_stop_with_few_descriptors() {
    many_workers(&["n_processes=200", "nofile=128"]);
}

fn many_workers(settings: &[&str]) {
    let folder = Folder::new();
    let mut host = Host::start(&folder, settings);
    assert_eq!(host.until_ready(200).len(), 200);
    host.send(Signal::SIGHUP);
    host.until_kind("ReloadDone");
    host.send(Signal::SIGTERM);
    host.until_kind("Stopped");
    assert_eq!(host.count("WorkerStarted"), 400);
    assert_eq!(host.count("WorkerExited"), 400);
    assert!(
        host.seen
            .iter()
            .all(|line| line.kind != "WorkerExited" || line.status == 0)
    );
    assert_eq!(host.end(), 0);
}
