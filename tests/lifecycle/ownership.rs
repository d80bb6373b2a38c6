//! Which manager may use an address, and which socket files are removed.

use std::path::Path;
use std::process::Command;

use nix::sys::signal::Signal;

use super::peer::connection::Address;
use super::peer::program::{Program, TRANSPORTS, Transport, product, unused};
use super::{Pool, call};

use super::stop_queue::file_is_removed;

/// Runs a second manager on the same address, which must exit with 1. Returns its log.
fn run_second(address: &str, environment: &[(&str, &str)]) -> String {
    let output = Command::new(product("examples/hello"))
        .arg(address)
        .envs(environment.iter().copied())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn a_second_manager_on_an_address_is_refused_and_the_first_is_named() {
    for transport in TRANSPORTS {
        let address = unused(transport);
        let pool = Pool::start_opening(&address, 3, &[]);
        let mut names = vec![address.text()];
        match &address {
            Address::Unix(path) => names.push(format!("unix:{}", path.display())),
            Address::Tcp(address) => names.push(format!(":{}", address.port())),
        }
        for name in names {
            let log = run_second(&name, &[]);
            let pid = pool.program.pid();
            let expected = format!("listen address '{name}': in use by process {pid} (hello)");
            assert!(log.contains(&expected), "{log}");
            assert!(pool.program.call(&call("/")).text().contains("Hello"));
        }
        pool.stop();
        assert!(file_is_removed(&address));
        address.remove();
    }
}

#[test]
fn a_second_manager_on_an_abstract_name_is_refused_and_the_first_is_named() {
    let name = format!("@fcgipm-second-{}", std::process::id());
    let (mut command, gate) = super::command(1, &[]);
    command = {
        let mut named = Command::new(command.get_program());
        named.arg(&name).env("FCGIPM_N_PROCESSES", "1");
        named
    };
    let program = Program::start_opening(command, Address::Unix(Path::new(&name).to_owned()));
    let pool = Pool::ready(program, gate, 1);
    let log = run_second(&name, &[]);
    let expected = format!(
        "listen address '{name}': in use by process {} (hello)",
        pool.program.pid()
    );
    assert!(log.contains(&expected), "{log}");
    pool.stop();
}

#[test]
fn a_second_manager_on_a_pid_file_is_refused_and_the_first_is_named() {
    let (one, two) = (unused(Transport::Unix), unused(Transport::Unix));
    let Address::Unix(path) = &one else { panic!() };
    let pid_file = path.with_file_name("pid");
    let environment = [("FCGIPM_PID_FNAME", pid_file.to_str().unwrap())];
    let pool = Pool::start_opening(&one, 1, &environment);
    let log = run_second(&two.text(), &environment);
    let expected = format!("a manager is running (pid {})", pool.program.pid());
    assert!(log.contains(&expected), "{log}");
    assert!(pid_file.exists());
    assert!(pool.program.call(&call("/")).text().contains("Hello"));
    pool.stop();
    assert!(!pid_file.exists());
    one.remove();
    two.remove();
}

#[test]
fn the_next_manager_may_start_during_a_stop_and_keeps_its_socket_file() {
    let address = unused(Transport::Unix);
    let mut pool = Pool::start_opening(&address, 1, &[]);
    let mut paused = pool.paused(false);
    let gate = pool.gate();
    pool.program.signal(Signal::SIGTERM);
    pool.program.line("stopping 1 worker");
    let next = Pool::start_opening(&address, 1, &[]);
    drop(gate);
    assert!(paused.response().text().contains("waited"));
    pool.assert_stopped();
    assert!(next.program.call(&call("/")).text().contains("Hello"));
    next.stop();
    address.remove();
}

#[test]
fn the_socket_file_of_a_killed_manager_is_replaced() {
    let address = unused(Transport::Unix);
    let mut pool = Pool::start_opening(&address, 2, &[]);
    pool.program.signal(Signal::SIGKILL);
    pool.program.wait();
    // Standard error ends when the last worker has exited.
    pool.program.all_lines();
    assert!(!file_is_removed(&address));
    let next = Pool::start_opening(&address, 2, &[]);
    assert!(next.program.call(&call("/")).text().contains("Hello"));
    next.stop();
    assert!(file_is_removed(&address));
    address.remove();
}

#[test]
fn a_socket_file_that_another_process_has_replaced_is_not_removed() {
    let address = unused(Transport::Unix);
    let Address::Unix(path) = &address else {
        panic!()
    };
    let pool = Pool::start_opening(&address, 1, &[]);
    std::fs::remove_file(path).unwrap();
    let _other = std::os::unix::net::UnixListener::bind(path).unwrap();
    pool.stop();
    assert!(!file_is_removed(&address));
    address.remove();
}
