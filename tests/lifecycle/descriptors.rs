//! No free descriptor, or a full log file: the error is named, nothing is lost, and nothing spins.

use std::os::unix::process::CommandExt as _;
use std::process::Command;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::cost::{calls, traced};
use super::peer::pool::shell;
use super::peer::program::{Program, TRANSPORTS, Transport, compiled};
use super::peer::records::request;
use super::{Pool, call, command};

/// Sets another process's soft limit of descriptors.
fn limit(pid: i32, descriptors: u64) {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: both pointers are NULL or to a live local.
    unsafe {
        assert_eq!(
            libc::prlimit(pid, libc::RLIMIT_NOFILE, std::ptr::null(), &raw mut limit),
            0
        );
        limit.rlim_cur = descriptors;
        assert_eq!(
            libc::prlimit(
                pid,
                libc::RLIMIT_NOFILE,
                &raw const limit,
                std::ptr::null_mut()
            ),
            0
        );
    }
}

#[test]
fn accept_without_a_descriptor_is_a_named_error() {
    for transport in TRANSPORTS {
        let mut program = Program::app(transport, &[]);
        limit(program.pid(), 3);
        let _connection = program.connect();
        let line = program.line("app: accept:");
        assert!(
            line.contains("FCGIPM_EDESCRIPTORS: accept: Too many open files"),
            "{line}"
        );
        assert_eq!(program.wait().code(), Some(1));
    }
}

#[test]
fn idle_connections_are_closed_for_new_ones() {
    for transport in TRANSPORTS {
        let program = Program::app(transport, &[]);
        let mut kept: Vec<_> = (0..20).map(|_| program.connect()).collect();
        for connection in &mut kept {
            connection.call(&request("/status").keep(true));
        }
        limit(program.pid(), 10);
        for _ in 0..40 {
            assert_eq!(program.call(&request("/status?2")).app_status, 2);
        }
        let mut newest = kept.pop().unwrap();
        assert_eq!(newest.call(&request("/status?3").keep(true)).app_status, 3);
    }
}

/// The limit is set before the first connection is parked, which is when the bound is computed.
#[test]
fn silent_connections_leave_descriptors_for_the_application_and_for_idle_ones() {
    for transport in TRANSPORTS {
        let program = Program::app(transport, &[]);
        limit(program.pid(), 60);
        let mut kept = program.connect();
        kept.call(&request("/status").keep(true));
        let silent: Vec<_> = (0..100).map(|_| program.connect()).collect();
        // This one is behind them in the queue, so all were accepted.
        assert_eq!(program.call(&request("/status?2")).app_status, 2);
        let folder = format!("/proc/{}/fd", program.pid());
        let open = std::fs::read_dir(folder).unwrap().count();
        assert!(open < 45, "{open} of 60 descriptors are taken");
        assert_eq!(kept.call(&request("/status?3").keep(true)).app_status, 3);
        drop(silent);
    }
}

#[test]
fn a_worker_without_descriptors_is_replaced_and_the_connection_is_served() {
    let mut pool = Pool::start(TRANSPORTS[0], 1, &[]);
    limit(pool.workers[0], 3);
    assert!(pool.program.call(&call("/")).text().contains("Hello"));
    pool.program
        .line("hello: accept: accept: Too many open files");
    pool.program.line(&format!(
        "worker (pid {}) exited with status 1",
        pool.workers[0]
    ));
}

/// Counts the manager's system calls from one fork to the next, which does not depend on the load
/// of the machine. The maximum is that of the back-off.
#[test]
fn a_pool_without_descriptors_does_not_spin() {
    let (mut pool, trace) = traced(TRANSPORTS[0], 2, &[]);
    let manager = pool.program.pid();
    // Each new worker inherits the limit, and finds a connection that it cannot accept.
    limit(manager, 3);
    let _waiting = pool.program.connect();
    for worker in &pool.workers {
        let _ = kill(Pid::from_raw(*worker), Signal::SIGKILL);
    }
    pool.program.line("workers die soon after their start");
    pool.program.line(") started");
    let calls = calls(pool, &trace, manager);
    let between = calls.split(|name| name == "clone" || name == "fork");
    let most = between.map(<[_]>::len).max().unwrap();
    println!(
        "measured: system calls of a manager without descriptors, from fork to fork: {most} at most"
    );
    assert!(most < 400, "{most}");
}

/// With this limit poll(2) fails, and new workers cannot accept.
#[test]
fn a_manager_whose_limit_is_lowered_below_what_it_watches_still_sees_deaths_and_signals() {
    let mut pool = Pool::start(TRANSPORTS[0], 4, &[]);
    limit(pool.program.pid(), 3);
    // The signal ends a wait that began before the limit.
    pool.program.signal(Signal::SIGUSR1);
    pool.program.line("received SIGUSR1");
    kill(Pid::from_raw(pool.workers[0]), Signal::SIGKILL).unwrap();
    pool.program.line("killed by SIGKILL");
    pool.program.signal(Signal::SIGTERM);
    assert_eq!(pool.program.wait().code(), Some(0));
}

/// From no free descriptor to as many as a pool of two workers needs.
#[test]
fn a_manager_without_descriptors_names_what_it_could_not_open() {
    let mut named = std::collections::BTreeSet::new();
    for descriptors in 3..64 {
        let (mut command, gate) = command(2, &[]);
        // SAFETY: close_range and setrlimit are async-signal-safe. Descriptors that the test has
        // inherited are closed on exec, as is the pipe of std.
        unsafe {
            command.pre_exec(move || {
                let limit = libc::rlimit {
                    rlim_cur: descriptors,
                    rlim_max: descriptors,
                };
                let cloexec = libc::CLOSE_RANGE_CLOEXEC as i32;
                if libc::close_range(3, libc::c_uint::MAX, cloexec) != 0
                    || libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) != 0
                {
                    return Err(std::io::Error::last_os_error());
                }
                Ok(())
            });
        }
        let mut program = Program::start(command, TRANSPORTS[0]);
        let first = program.line("");
        if first.contains("managing 2 workers") {
            program.line(") ready");
            program.line(") ready");
            std::fs::remove_dir_all(gate.parent().unwrap()).unwrap();
            assert!(named.len() >= 4, "{named:#?}");
            return;
        }
        if !first.contains("error while loading shared libraries") {
            let cause = first
                .strip_prefix("hello: ")
                .and_then(|line| line.strip_suffix(": Too many open files (os error 24)"))
                .unwrap_or_else(|| panic!("{descriptors} descriptors: {first}"));
            named.insert(cause.to_owned());
            assert_eq!(program.wait().code(), Some(1));
        }
        std::fs::remove_dir_all(gate.parent().unwrap()).unwrap();
    }
    panic!("64 are not enough; {named:#?}");
}

/// It is not raised, because the host may use select(2).
#[test]
fn a_limit_that_is_low_for_the_workers_is_logged_and_not_raised() {
    const LIMIT: u64 = 60;
    let (mut command, gate) = command(8, &[]);
    // SAFETY: setrlimit is async-signal-safe, and the pointer is to a live local.
    unsafe {
        command.pre_exec(|| {
            let mut limit = libc::rlimit {
                rlim_cur: 0,
                rlim_max: 0,
            };
            libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit);
            limit.rlim_cur = LIMIT;
            match libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) {
                0 => Ok(()),
                _ => Err(std::io::Error::last_os_error()),
            }
        });
    }
    let mut program = Program::start(command, TRANSPORTS[0]);
    let line = program.line("the manager of 8 workers may need ");
    let expected = format!("open files, but its limit (RLIMIT_NOFILE) is {LIMIT}");
    assert!(line.ends_with(&expected), "{line}");
    for _ in 0..8 {
        program.line(") ready");
    }
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", program.pid())).unwrap();
    let line = limits
        .lines()
        .find(|line| line.starts_with("Max open files"));
    let soft = line.unwrap().split_whitespace().nth(3);
    assert_eq!(soft, Some(&*LIMIT.to_string()));
    std::fs::remove_dir_all(gate.parent().unwrap()).unwrap();
}

#[test]
fn a_closed_listener_is_named() {
    let mut command = Command::new(compiled("conformance/app.c"));
    command.arg("fd:77");
    let mut program = Program::start(command, TRANSPORTS[0]);
    assert!(
        program
            .line("app: socket:")
            .contains("listening descriptor 77: Bad file descriptor")
    );
    assert_eq!(program.wait().code(), Some(1));
}

#[test]
fn a_log_file_at_its_size_limit_ends_no_process() {
    let (plain, gate) = command(2, &[]);
    let log = gate.with_file_name("log");
    std::fs::write(&log, vec![b'\n'; 1 << 20]).unwrap();
    // A write to the file, which is over the limit, raises SIGXFSZ.
    let script = format!("ulimit -f 1 && exec 2>>{}", log.display());
    let command = shell(&script, &plain);
    let mut program = Program::start(command, Transport::Unix);
    program.call(&call("/"));
    program.signal(Signal::SIGHUP);
    program.call(&call("/"));
    program.signal(Signal::SIGTERM);
    assert_eq!(program.wait().code(), Some(0));
    std::fs::remove_dir_all(gate.parent().unwrap()).unwrap();
}

/// The number of the next descriptor of a process.
fn lowest_free(pid: i32) -> u64 {
    let is_free = |number: &u64| std::fs::read_link(format!("/proc/{pid}/fd/{number}")).is_err();
    (0..).find(is_free).unwrap()
}

#[test]
fn a_worker_without_descriptors_loses_no_connection_that_is_handed_over() {
    for transport in TRANSPORTS {
        let mut pool = Pool::start(transport, 2, &[]);
        let mut kept = pool.program.connect();
        kept.send(&call("/").keep(true).bytes());
        let (retiring, _) = super::worker_of(&kept.response_to(super::ID).text());
        let other = pool.workers[usize::from(retiring == pool.workers[0])];
        limit(other, lowest_free(other));
        kill(Pid::from_raw(retiring), Signal::SIGTERM).unwrap();
        pool.program.line("exited with status 0");
        let replacement = pool.next_ready();
        kept.send(&call("/").keep(true).bytes());
        // The other worker may have exited meanwhile, since it could not accept.
        let (answering, _) = super::worker_of(&kept.response_to(super::ID).text());
        assert_ne!(answering, other, "{transport:?}, replacement {replacement}");
        pool.program.signal(Signal::SIGTERM);
        assert_eq!(pool.program.wait().code(), Some(0));
    }
}
