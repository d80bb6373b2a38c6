//! `fcgipm load` during reloads, as an operator checks an application.

use std::process::{Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::Pool;
use super::peer::connection::Address;
use super::peer::program::{TRANSPORTS, product};

/// 200 reloads, one after another, while 8 clients send requests.
fn two_hundred_reloads(options: &[&str]) {
    for transport in TRANSPORTS {
        let mut pool = Pool::start(transport, 2, &[]);
        let address = match &pool.program.address {
            Address::Unix(path) => path.display().to_string(),
            Address::Tcp(address) => address.to_string(),
        };
        let child = Command::new(product("fcgipm"))
            .args(["load", "-c", "8", "-t", "3600", "--expect", "Hello"])
            .args(options)
            .arg(address)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        for _ in 0..200 {
            pool.program.signal(Signal::SIGHUP);
            pool.program.line("reload done");
        }
        let pid = Pid::from_raw(i32::try_from(child.id()).unwrap());
        kill(pid, Signal::SIGINT).unwrap();
        let output = child.wait_with_output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        println!("{transport:?} {options:?}: {text}");
        assert_eq!(output.status.code(), Some(0), "{text}");
        let summary = text.lines().next().unwrap();
        assert!(summary.contains(" lost=0 "), "{text}");
        let (_, rest) = summary.split_once(" ok=").unwrap();
        let ok: u64 = rest.split(' ').next().unwrap().parse().unwrap();
        assert!(ok > 200, "{text}");
        pool.stop();
    }
}

#[test]
fn load_in_two_segments_loses_nothing_during_reloads() {
    two_hundred_reloads(&["--split", "3"]);
}

#[test]
fn load_on_keep_alive_connections_loses_nothing_during_reloads() {
    two_hundred_reloads(&["--keep"]);
}

#[test]
fn load_on_new_connections_loses_nothing_during_reloads() {
    two_hundred_reloads(&[]);
}
