//! `drain_delay`: everything is still served between TERM and the stop.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::peer::program::{Program, TRANSPORTS, product, unused};
use super::{Load, Pool, answered, ask_in_two_segments, ask_keep_alive, call};

/// Long enough that a test never waits for it.
const LONG: (&str, &str) = ("FCGIPM_DRAIN_DELAY", "600");

fn is_draining(pool: &Pool) -> bool {
    let status = pool.status();
    assert_eq!(status["stopping"], false);
    status["draining"] == true
}

#[test]
fn new_clients_are_served_and_workers_are_replaced_until_the_stop_begins() {
    for transport in TRANSPORTS {
        let address = unused(transport);
        let mut pool = Pool::start_opening(&address, 2, &[LONG]);
        let mut kept = address.connect();
        ask_keep_alive(&mut kept).unwrap();
        assert!(!is_draining(&pool));
        pool.program.signal(Signal::SIGTERM);
        pool.program
            .line("draining: everything is still served for drain_delay = 600s");
        assert!(is_draining(&pool));
        ask_keep_alive(&mut kept).unwrap();
        let mut new = address.connect();
        new.send(&call("/").bytes());
        answered(&mut new).unwrap();
        // A worker that exits is replaced, and a reload is done.
        address.call(&call("/exit?n=0"));
        let _ = pool.next_ready();
        pool.program.signal(Signal::SIGHUP);
        pool.program.line("reload done");
        ask_keep_alive(&mut kept).unwrap();
        pool.program.signal(Signal::SIGINT);
        pool.program.line("stopping 2 workers");
        pool.assert_stopped();
        address.remove();
    }
}

#[test]
fn the_stop_begins_after_the_delay_and_loses_nothing() {
    const DELAY: Duration = Duration::from_millis(1_200);
    for transport in TRANSPORTS {
        let address = unused(transport);
        let delay = [("FCGIPM_DRAIN_DELAY", "1.2")];
        let mut pool = Pool::start_opening(&address, 2, &delay);
        let asked = address.clone();
        let load = Load::start(
            4,
            move || asked.clone(),
            |address| ask_in_two_segments(address),
        );
        let began = Instant::now();
        pool.program.signal(Signal::SIGTERM);
        pool.program.line("draining");
        for _ in 0..20 {
            ask_in_two_segments(&address).unwrap();
        }
        // The load balancer sends its requests elsewhere.
        load.finish();
        // Within a second it is the same request to stop.
        pool.program.signal(Signal::SIGTERM);
        pool.program.line("stopping 2 workers");
        assert!(began.elapsed() >= DELAY);
        pool.assert_stopped();
        address.remove();
    }
}

#[test]
fn a_second_term_and_a_quit_end_the_wait() {
    let transport = TRANSPORTS[0];
    let address = unused(transport);
    let mut pool = Pool::start_opening(&address, 1, &[LONG]);
    pool.program.signal(Signal::SIGTERM);
    pool.program.line("draining");
    // A second TERM counts after a second: the pause is the scenario.
    std::thread::sleep(Duration::from_millis(1_100));
    pool.program.signal(Signal::SIGTERM);
    pool.program.line("stopping 1 worker");
    pool.assert_stopped();

    let mut pool = Pool::start_opening(&address, 1, &[LONG]);
    pool.program.signal(Signal::SIGQUIT);
    pool.program.line("stopping 1 worker");
    pool.assert_stopped();
    address.remove();
}

#[test]
fn the_status_command_shows_that_a_pool_drains() {
    let mut pool = Pool::start(TRANSPORTS[0], 1, &[LONG]);
    pool.program.signal(Signal::SIGTERM);
    pool.program.line("draining");
    let pid = pool.program.pid().to_string();
    let status = Command::new(product("fcgipm"))
        .args(["status", &pid])
        .output();
    let text = String::from_utf8(status.unwrap().stdout).unwrap();
    assert!(text.contains(", draining"), "{text}");
    let check = Command::new(product("fcgipm"))
        .args(["check", &pid])
        .output();
    let check = check.unwrap();
    assert_eq!(check.status.code(), Some(1));
    let reason = String::from_utf8(check.stderr).unwrap();
    assert!(reason.contains("the pool is draining"), "{reason}");
    pool.program.signal(Signal::SIGINT);
    pool.assert_stopped();
}

/// As PID 1 of a container.
fn as_pid_1() -> Command {
    let mut command = Command::new("unshare");
    command
        .args(["--pid", "--fork", "--kill-child", "--mount-proc"])
        .args([product("fcgipm").to_str().unwrap(), "run"]);
    command
}

/// A manager that is PID 1, with these options.
fn manager_as_pid_1(options: &[&str]) -> Program {
    let address = unused(TRANSPORTS[0]);
    let mut command = as_pid_1();
    command
        .args(["--workers", "1", "--ready-delay", "0.01", "--listen"])
        .arg(address.text())
        .args(options)
        .args(["--", "/bin/sleep", "60"])
        .stdout(Stdio::null());
    Program::start_opening(command, address)
}

#[test]
fn a_manager_that_is_pid_1_warns_if_its_stop_may_take_longer_than_container_engines_allow() {
    let mut program = manager_as_pid_1(&["--drain-delay", "5"]);
    let line = program.line("PID 1");
    for part in ["drain_delay + die_timeout = 65 s", "10 s", "30 s"] {
        assert!(line.contains(part), "{line}");
    }
    let mut program = manager_as_pid_1(&["--die-timeout", "0"]);
    let line = program.line("PID 1");
    assert!(line.contains("die_timeout = 0"), "{line}");
    let mut program = manager_as_pid_1(&["--die-timeout", "8"]);
    program.line(") ready");
    assert_eq!(program.count("PID 1"), 0);
}

#[test]
fn so_does_each_manager_of_several_pools() {
    let address = unused(TRANSPORTS[0]);
    let listen = address.text();
    let file = std::path::Path::new(&listen).with_file_name("pools.toml");
    let pools = format!(
        "[[pool]]\nname = \"a\"\nlisten = \"{listen}\"\ncommand = [\"/bin/sleep\", \"60\"]\n\
         workers = 1\ndie_timeout = 20\n"
    );
    std::fs::write(&file, pools).unwrap();
    let mut command = as_pid_1();
    command.arg("--config").arg(file);
    let mut program = Program::start_opening(command, address.clone());
    let line = program.line("PID 1");
    assert!(line.contains("die_timeout = 20 s"), "{line}");
    drop(program);
    address.remove();
}
