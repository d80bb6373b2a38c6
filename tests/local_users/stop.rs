//! A manager of an ordinary user stops.

use std::fs;
use std::process::Command;

use nix::sys::signal::Signal;

use crate::environment::{become_attacker, installed};
use crate::peer::connection::{Address, Connection};
use crate::peer::program::{Program, TRANSPORTS, Transport, unused};
use crate::peer::records::request;

/// Fewer than the listen queue holds.
const WAITING: usize = 8;

#[test]
fn the_listen_queue_is_answered_and_newcomers_are_not_reset() {
    let (folder, program) = installed(0o755);
    for transport in TRANSPORTS {
        let address = match transport {
            Transport::Unix => Address::Unix(folder.join("socket")),
            Transport::Tcp => unused(transport),
        };
        let mut command = Command::new(&program);
        command.arg(address.text());
        become_attacker(&mut command);
        let mut manager = Program::start_opening(command, address.clone());
        manager.line("a worker is ready");
        // The only worker reads the first request, whose rest is sent later.
        let bytes = request("/").bytes();
        let (first, rest) = bytes.split_at(20);
        let mut busy = address.connect();
        busy.send(first);
        let mut waiting: Vec<_> = (0..WAITING).map(|_| address.connect()).collect();
        let ask = |connection: &mut Connection| connection.send(&bytes);
        waiting.iter_mut().for_each(ask);
        manager.signal(Signal::SIGTERM);
        manager.line("stopping 1 worker");
        assert!(address.is_closed(), "{transport:?}");
        busy.send(rest);
        for connection in std::iter::once(&mut busy).chain(&mut waiting) {
            assert_eq!(connection.response().app_status, 0);
        }
        assert!(manager.wait().success());
        assert_eq!(manager.count("connections continue to arrive"), 0);
    }
    fs::remove_dir_all(folder).unwrap();
}
