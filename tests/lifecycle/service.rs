//! Messages to the service manager (sd_notify(3)), and the sockets that it keeps.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::peer::connection::Address;
use super::peer::pool::{Pool, call, command, shell};
use super::peer::program::{
    Program, TRANSPORTS, Transport, compiled, context_switches, listen, unused,
};
use super::service_manager::ServiceManager;
use super::start_script::StartScript;
use super::{Load, answered, ask_in_two_segments, worker_of};

const TRANSPORT: Transport = Transport::Unix;

fn environment<'a>(notify: &'a str, more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    [&[("NOTIFY_SOCKET", notify)], more].concat()
}

fn start(manager: &ServiceManager, workers: usize, more: &[(&str, &str)]) -> Pool {
    let notify = manager.address();
    Pool::start(TRANSPORT, workers, &environment(&notify, more))
}

#[test]
fn ready_is_reported_with_the_first_worker_and_not_before() {
    let mut manager = ServiceManager::new();
    let gate = super::peer::program::folder().join("gate");
    nix::unistd::mkfifo(&gate, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let (notify, wait) = (manager.address(), format!("head -c 1 {}", gate.display()));
    let (program, fifo) = command(2, &environment(&notify, &[("HELLO_START", &wait)]));
    let mut program = Program::start(program, TRANSPORT);
    assert_eq!(
        manager.message("STATUS="),
        "STATUS=workers: 0 idle, 0 busy, 1 starting; 0 requests"
    );
    manager.message("STATUS=workers: 0 idle, 0 busy, 2 starting; 0 requests");
    assert_eq!(manager.count("READY=1"), 0);
    let both = std::fs::File::options().read(true).write(true).open(&gate);
    std::io::Write::write_all(&mut both.as_ref().unwrap(), b"x").unwrap();
    program.line(") ready");
    let pid = program.pid();
    assert_eq!(
        manager.message("READY=1"),
        format!("READY=1\nMAINPID={pid}")
    );
    std::io::Write::write_all(&mut both.unwrap(), b"x").unwrap();
    program.line(") ready");
    manager.message("STATUS=workers: 2 idle, 0 busy; 0 requests");
    assert_eq!(manager.count("READY=1"), 1);
    program.signal(Signal::SIGTERM);
    assert!(program.wait().success());
    assert_eq!(manager.count("STOPPING=1"), 1);
    std::fs::remove_dir_all(gate.parent().unwrap()).unwrap();
    std::fs::remove_dir_all(fifo.parent().unwrap()).unwrap();
}

#[test]
fn ready_is_reported_where_no_worker_is_expected() {
    for (source, workers, pm) in [
        ("lifecycle/activation.c", "2", "ondemand"),
        ("lifecycle/activation.c", "0", "static"),
    ] {
        let mut manager = ServiceManager::new();
        let mut command = std::process::Command::new(compiled(source));
        command.envs([
            ("FCGIPM_N_PROCESSES", workers),
            ("FCGIPM_PM", pm),
            ("NOTIFY_SOCKET", &manager.address()),
        ]);
        let program = Program::start(command, TRANSPORT);
        let pid = program.pid();
        assert_eq!(
            manager.message("READY=1"),
            format!("READY=1\nMAINPID={pid}")
        );
    }
}

/// A worker of the old generation still answers a request.
#[test]
fn a_reload_is_over_when_only_new_workers_accept_requests() {
    let mut manager = ServiceManager::new();
    let mut pool = start(&manager, 3, &[]);
    manager.message("READY=1");
    for _ in 0..10 {
        let mut paused = pool.paused(false);
        let gate = pool.gate();
        manager.forget();
        let before = fcgipm::worker::now().as_micros();
        pool.program.signal(Signal::SIGHUP);
        let reloading = manager.message("RELOADING=1");
        let (_, since) = reloading.split_once("\nMONOTONIC_USEC=").unwrap();
        let since: u128 = since.parse().unwrap();
        assert!((before..=fcgipm::worker::now().as_micros()).contains(&since));
        let pid = pool.program.pid();
        assert_eq!(
            manager.message("READY=1"),
            format!("READY=1\nMAINPID={pid}")
        );
        let new: Vec<_> = (0..3).map(|_| pool.next_ready()).collect();
        for _ in 0..20 {
            let (worker, _) = worker_of(&pool.program.call(&call("/")).text());
            assert!(new.contains(&worker), "{worker}, not one of {new:?}");
        }
        drop(gate);
        assert!(paused.response_to(super::ID).text().contains("waited"));
        pool.program.line("reload done");
    }
    manager.message("STATUS=workers: 3 idle, 0 busy; ");
    assert!(
        manager.seen.last().unwrap().ends_with("; last reload done"),
        "{:?}",
        manager.seen
    );
    pool.stop();
}

#[test]
fn a_failed_reload_ends_with_its_reason_in_the_status() {
    let mut manager = ServiceManager::new();
    let code = StartScript::new("true");
    let script = code.command();
    let mut pool = start(&manager, 2, &[("HELLO_START", script.as_str())]);
    manager.message("READY=1");
    code.change("echo 'syntax error at line 7' >&2; exit 9");
    pool.program.signal(Signal::SIGHUP);
    manager.message("RELOADING=1");
    manager.message("READY=1");
    let status = manager.message("STATUS=");
    for part in [
        "; reload failed, the old workers continue: worker (pid ",
        "syntax error at line 7",
    ] {
        assert!(status.contains(part), "{status}");
    }
    code.change("true");
    pool.program.signal(Signal::SIGHUP);
    manager.message("RELOADING=1");
    manager.message("READY=1");
    pool.program.signal(Signal::SIGTERM);
    assert!(pool.program.wait().success());
    assert_eq!(manager.count("RELOADING=1"), 2);
}

#[test]
fn a_stop_that_answers_requests_extends_its_time() {
    let mut manager = ServiceManager::new();
    let mut pool = start(&manager, 2, &[]);
    manager.message("READY=1");
    let mut paused = pool.paused(false);
    let gate = pool.gate();
    manager.forget();
    pool.program.signal(Signal::SIGTERM);
    manager.message("STOPPING=1");
    for _ in 0..2 {
        assert_eq!(manager.message("EXTEND_"), "EXTEND_TIMEOUT_USEC=15000000");
    }
    let is_stopping = |text: &String| text.starts_with("STATUS=stopping: workers: ");
    assert!(manager.seen.iter().any(is_stopping), "{:#?}", manager.seen);
    drop(gate);
    assert!(paused.response_to(super::ID).text().contains("waited"));
    pool.assert_stopped();
    assert_eq!(manager.count("READY=1"), 0);
}

#[test]
fn a_wait_before_the_stop_extends_its_time_and_shows_in_the_status() {
    let mut manager = ServiceManager::new();
    let mut pool = start(&manager, 1, &[("FCGIPM_DRAIN_DELAY", "600")]);
    manager.forget();
    pool.program.signal(Signal::SIGTERM);
    assert_eq!(manager.message("EXTEND_"), "EXTEND_TIMEOUT_USEC=615000000");
    manager.message("STATUS=draining: workers: ");
    assert_eq!(manager.count("STOPPING=1"), 0);
    pool.program.signal(Signal::SIGINT);
    manager.message("STOPPING=1");
    pool.assert_stopped();
}

#[test]
fn an_idle_manager_is_woken_for_the_watchdog_and_one_that_hangs_sends_nothing() {
    let mut manager = ServiceManager::new();
    let interval = Duration::from_millis(400);
    let pool = start(&manager, 1, &[("WATCHDOG_USEC", "400000")]);
    manager.message("WATCHDOG=1");
    for _ in 0..5 {
        let start = Instant::now();
        manager.message("WATCHDOG=1");
        assert!(start.elapsed() < Duration::from_secs(5));
    }
    pool.program.suspend();
    manager.forget();
    assert_eq!(manager.next_within(interval * 2), None);
    pool.program.signal(Signal::SIGCONT);
    manager.message("WATCHDOG=1");
    pool.stop();
}

#[test]
fn the_watchdog_of_another_process_is_ignored_and_an_invalid_one_is_logged() {
    let mut manager = ServiceManager::new();
    let pool = start(
        &manager,
        1,
        &[("WATCHDOG_USEC", "1000"), ("WATCHDOG_PID", "1")],
    );
    pool.stop();
    assert_eq!(manager.count("WATCHDOG=1"), 0);
    let mut pool = start(&manager, 1, &[("WATCHDOG_USEC", "soon")]);
    let line = "environment variable WATCHDOG_USEC: 'soon' is not a positive number";
    assert_eq!(pool.program.count(line), 1);
    pool.stop();
    manager.message("READY=1");
}

#[test]
fn an_idle_manager_is_not_woken_for_its_status() {
    let mut manager = ServiceManager::new();
    let pool = start(&manager, 1, &[]);
    manager.message("READY=1");
    manager.message("STATUS=workers: 1 idle");
    for _ in 0..3 {
        pool.program.call(&call("/"));
    }
    let quiet = Duration::from_millis(2500);
    while manager.next_within(quiet).is_some() {}
    let before = context_switches(pool.program.pid());
    assert_eq!(manager.next_within(quiet), None);
    assert_eq!(context_switches(pool.program.pid())[0], before[0]);
    pool.stop();
}

#[test]
fn a_service_manager_that_does_not_read_delays_nothing() {
    let mut manager = ServiceManager::new();
    let sender = UnixDatagram::unbound().unwrap();
    sender.set_nonblocking(true).unwrap();
    while sender.send_to(b"FULL=1", manager.address()).is_ok() {}
    let mut pool = start(&manager, 2, &[("WATCHDOG_USEC", "200000")]);
    for _ in 0..50 {
        pool.program.signal(Signal::SIGHUP);
        pool.program.line("reload done");
    }
    // What is still valid arrives when it reads again, once.
    manager.message("STATUS=workers: 2 idle");
    for begin in ["READY=1", "RELOADING=1"] {
        assert_eq!(manager.count(begin), 1, "{begin}");
    }
    pool.program.signal(Signal::SIGTERM);
    pool.assert_stopped();
    manager.message("STOPPING=1");
}

#[test]
fn a_service_manager_that_does_not_exist_is_logged_once() {
    for (address, why) in [
        (
            "/nonexistent/notify",
            "message to the service manager: No such file or directory",
        ),
        (
            "notify",
            "environment variable NOTIFY_SOCKET: 'notify' is not an absolute path",
        ),
    ] {
        let mut pool = Pool::start(TRANSPORT, 2, &[("NOTIFY_SOCKET", address)]);
        pool.program.signal(Signal::SIGHUP);
        pool.program.line("reload done");
        pool.program.signal(Signal::SIGTERM);
        pool.assert_stopped();
        let lines = pool.program.all_lines().iter();
        assert_eq!(lines.filter(|line| line.contains(why)).count(), 1, "{why}");
    }
}

/// The next start of a service: the service manager passes the sockets that it keeps.
fn restart(manager: &mut ServiceManager, address: &Address, workers: usize) -> Pool {
    let (name, socket) = &manager.stored[0];
    let script =
        format!("exec 3<&0 0</dev/null; export LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES='{name}'");
    let listener: OwnedFd = socket.try_clone().unwrap();
    let notify = manager.address();
    let (plain, gate) = command(workers, &environment(&notify, &[("FDSTORE", "4")]));
    let mut program = std::process::Command::new(plain.get_program());
    program.arg(address.text());
    for (name, value) in plain.get_envs() {
        program.env(name, value.unwrap());
    }
    let program = Program::start_on(shell(&script, &program), listener, address.clone());
    Pool::ready(program, gate, workers)
}

#[test]
fn a_restart_refuses_nobody_if_the_service_manager_keeps_the_socket() {
    for transport in TRANSPORTS {
        let mut manager = ServiceManager::new();
        let notify = manager.address();
        let address = unused(transport);
        let mut pool = Pool::start_opening(&address, 2, &environment(&notify, &[("FDSTORE", "4")]));
        manager.message("READY=1");
        assert_eq!(manager.stored.len(), 1);
        let asked = address.clone();
        let load = Load::start(
            6,
            move || asked.clone(),
            |address| ask_in_two_segments(address),
        );
        for _ in 0..10 {
            pool.program.signal(Signal::SIGTERM);
            pool.assert_stopped();
            // Nobody serves it, and nobody is refused.
            let mut waiting = address.connect();
            waiting.send(&call("/").bytes());
            pool = restart(&mut manager, &address, 2);
            answered(&mut waiting).unwrap();
        }
        println!(
            "measured: {transport:?}: {} requests during 10 restarts",
            load.finish()
        );
        assert_eq!(
            manager.count("FDSTORE=1"),
            1,
            "the service manager has it already"
        );
        pool.stop();
        address.remove();
    }
}

#[test]
fn a_socket_that_is_not_used_any_more_is_removed() {
    let mut manager = ServiceManager::new();
    let (old, address) = listen(TRANSPORT);
    manager.stored.push(("fcgipm=old".to_owned(), old));
    let new = unused(TRANSPORT);
    let pool = restart(&mut manager, &new, 1);
    assert_eq!(
        manager.message("FDSTOREREMOVE"),
        "FDSTOREREMOVE=1\nFDNAME=fcgipm=old"
    );
    let stored = manager.message("FDSTORE=1");
    assert_eq!(stored, format!("FDSTORE=1\nFDNAME=fcgipm={}", new.text()));
    assert_eq!(manager.stored.len(), 1);
    // The process has no copy: with the service manager's, the last one is closed.
    assert!(address.is_closed());
    pool.stop();
    for address in [address, new] {
        address.remove();
    }
}

/// Connections in the queue of a socket that a hostile worker has shut down would wait for ever.
#[test]
fn a_socket_that_was_shut_down_is_replaced() {
    for transport in TRANSPORTS {
        let mut manager = ServiceManager::new();
        let (old, address) = listen(transport);
        if transport == Transport::Unix {
            nix::sys::socket::shutdown(
                std::os::fd::AsRawFd::as_raw_fd(&old),
                nix::sys::socket::Shutdown::Read,
            )
            .unwrap();
        } else {
            // Without a service manager that has room, a stop stops arrivals.
            Pool::start_on(old.try_clone().unwrap(), address.clone(), 1, &[]).stop();
        }
        let name = format!("fcgipm={}", address.text().replace(':', "="));
        manager.stored.push((name, old));
        let pool = restart(&mut manager, &address, 1);
        let mut connection = pool.program.connect();
        connection.send(&call("/").bytes());
        answered(&mut connection).unwrap();
        pool.stop();
        address.remove();
    }
}

#[test]
fn without_room_for_the_socket_a_stop_is_as_without_a_service_manager() {
    let mut manager = ServiceManager::new();
    let notify = manager.address();
    for store in [None, Some(("FDSTORE", "0"))] {
        let address = unused(TRANSPORT);
        let more: Vec<_> = store.into_iter().collect();
        let mut pool = Pool::start_opening(&address, 1, &environment(&notify, &more));
        pool.program.signal(Signal::SIGTERM);
        pool.assert_stopped();
        assert!(address.is_closed());
        assert!(!std::fs::exists(address.text()).unwrap());
        address.remove();
    }
    assert_eq!(manager.count("FDSTORE=1"), 0);
}
