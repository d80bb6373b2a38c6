//! `fcgipm status`, while another process pretends to be the manager.

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::process::{Command, Output};

use nix::unistd::mkfifo;

use crate::peer::connection::LIMIT;
use crate::peer::pool::Pool;
use crate::peer::program::{Program, Transport, compiled, ended_within, folder, product, unused};

/// A pool that listens on a socket file, and the name of that file.
fn pool() -> (Pool, String) {
    let pool = Pool::start(Transport::Unix, 1, &[]);
    let address = pool.program.address.text();
    (pool, address)
}

/// Runs `fcgipm status`, which must not wait forever.
fn status(target: &str) -> Output {
    let child = Command::new(product("fcgipm"))
        .args(["status", "--json", target])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let pid = i32::try_from(child.id()).unwrap();
    if !ended_within(pid, LIMIT) {
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::SIGKILL).unwrap();
        panic!("fcgipm status {target} does not exit");
    }
    child.wait_with_output().unwrap()
}

fn manager_of(target: &str) -> i64 {
    let output = status(target);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    report["manager"].as_i64().unwrap()
}

fn liar(arguments: &[&str]) -> Program {
    let mut command = Command::new(compiled("local_users/liar.c"));
    command.args(arguments);
    let mut liar = Program::start_opening(command, unused(Transport::Tcp));
    liar.line("liar: ready");
    liar
}

/// Copies the scoreboard of a manager to a file.
fn scoreboard_of(pid: i32) -> PathBuf {
    let links = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().flatten();
    let mut links = links.map(|entry| entry.path());
    let board = links.find(|path| {
        fs::read_link(path).is_ok_and(|link| link.to_string_lossy().starts_with("/memfd:fcgipm-sc"))
    });
    let board = File::open(board.unwrap()).unwrap();
    let length = usize::try_from(board.metadata().unwrap().len()).unwrap();
    let mut bytes = vec![0; length];
    board.read_exact_at(&mut bytes, 0).unwrap();
    let copy = folder().join("scoreboard");
    fs::write(&copy, bytes).unwrap();
    copy
}

#[test]
fn a_scoreboard_without_the_socket_is_not_the_manager() {
    let (pool, address) = pool();
    let manager = pool.program.pid();
    assert_eq!(manager_of(&address), i64::from(manager));
    let copy = scoreboard_of(manager);
    let liar = liar(&["scoreboard", copy.to_str().unwrap(), &manager.to_string()]);
    // By its pid, the status of that process is reported.
    let claimed = manager_of(&liar.pid().to_string());
    assert_eq!(claimed, i64::from(liar.pid()));
    assert_eq!(manager_of(&address), i64::from(manager));
}

#[test]
fn a_fifo_with_the_name_of_a_scoreboard_is_not_opened() {
    let (pool, address) = pool();
    let liar = liar(&["fifo"]);
    assert_eq!(manager_of(&address), i64::from(pool.program.pid()));
    let output = status(&liar.pid().to_string());
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(errors.contains("is not an fcgipm manager"), "{errors}");
}

#[test]
fn a_fifo_instead_of_the_pid_file_does_not_block() {
    let folder = folder();
    let pid_file = folder.join("pid");
    mkfifo(&pid_file, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let output = status(pid_file.to_str().unwrap());
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(errors.contains("not a regular file"), "{errors}");
    fs::remove_dir_all(folder).unwrap();
}
