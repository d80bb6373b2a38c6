//! The directory of the socket belongs to the attacker, who exchanges the file that root has just bound.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::Command;

use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};

use crate::peer::connection::Address;
use crate::peer::program::{Program, folder, product};
use crate::{attackers_folder, ownership};

/// A manager that root starts, and that strace holds up behind each bind(2).
fn held_up_behind_bind(socket: &Path, options: &[&str]) -> Program {
    let mut command = Command::new("strace");
    command
        .args(["-o", "/dev/null", "-e", "trace=bind"])
        .args(["-e", "inject=bind:delay_exit=500000"])
        .arg(product("fcgipm"))
        .args(["run", "--workers", "1", "--listen"])
        .arg(socket)
        .args(options)
        .args(["--", "/bin/sleep", "60"]);
    Program::start_opening(command, Address::Unix(socket.to_owned()))
}

fn swap_is_harmless(options: &[&str], plant: impl FnOnce(&Path, &Path)) {
    let theirs = attackers_folder();
    let ours = folder();
    let victim = ours.join("victim");
    fs::write(&victim, "root's").unwrap();
    fs::set_permissions(&victim, fs::Permissions::from_mode(0o600)).unwrap();
    let before = ownership(&victim);
    let socket = theirs.join("socket");
    let bait = theirs.join("bait");
    plant(&bait, &victim);

    let made = Inotify::init(InitFlags::empty()).unwrap();
    made.add_watch(&theirs, AddWatchFlags::IN_CREATE).unwrap();
    let mut manager = held_up_behind_bind(&socket, options);
    made.read_events().unwrap();
    renameat2(
        AT_FDCWD,
        &bait,
        AT_FDCWD,
        &socket,
        RenameFlags::RENAME_EXCHANGE,
    )
    .unwrap();

    let line = manager.line("replaced the socket file");
    assert!(line.contains(socket.to_str().unwrap()), "{line}");
    assert!(!manager.wait().success());
    assert_eq!(ownership(&victim), before, "of root's file");
    // What the attacker put there stays, too.
    assert!(socket.symlink_metadata().is_ok());
    fs::remove_dir_all(theirs).unwrap();
    fs::remove_dir_all(ours).unwrap();
}

#[test]
fn the_mode_is_not_set_through_a_symbolic_link() {
    swap_is_harmless(&["--listen-mode", "660"], |bait, victim| {
        symlink(victim, bait).unwrap();
    });
}

#[test]
fn the_owner_is_not_set_through_a_symbolic_link() {
    swap_is_harmless(&["--listen-owner", "nobody"], |bait, victim| {
        symlink(victim, bait).unwrap();
    });
}

#[test]
fn the_group_is_not_set_through_a_hard_link() {
    swap_is_harmless(&["--listen-group", "nogroup"], |bait, victim| {
        fs::hard_link(victim, bait).unwrap();
    });
}

#[test]
fn another_socket_of_roots_is_not_opened_up() {
    let ours = folder();
    let other = ours.join("private");
    let _listener = std::os::unix::net::UnixListener::bind(&other).unwrap();
    fs::set_permissions(&other, fs::Permissions::from_mode(0o600)).unwrap();
    let before = ownership(&other);
    swap_is_harmless(&["--listen-mode", "666"], |bait, _| {
        fs::hard_link(&other, bait).unwrap();
    });
    assert_eq!(ownership(&other), before);
    fs::remove_dir_all(ours).unwrap();
}
