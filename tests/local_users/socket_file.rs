//! The directory of the socket belongs to the attacker, who replaces the file that root has bound.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::Command;

use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};

use crate::peer::connection::Address;
use crate::peer::program::{Program, folder, product};
use crate::{attackers_folder, ownership};

/// A manager of root that strace delays after each bind(2).
fn delayed_after_bind(socket: &Path, options: &[&str]) -> Program {
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

fn assert_swap_is_harmless(options: &[&str], plant: impl FnOnce(&Path, &Path)) {
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
    let mut manager = delayed_after_bind(&socket, options);
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
    assert_eq!(ownership(&victim), before, "the file of root has changed");
    // The file of the attacker is not removed.
    assert!(socket.symlink_metadata().is_ok());
    fs::remove_dir_all(theirs).unwrap();
    fs::remove_dir_all(ours).unwrap();
}

#[test]
fn the_mode_is_not_set_through_a_symbolic_link() {
    assert_swap_is_harmless(&["--listen-mode", "660"], |bait, victim| {
        symlink(victim, bait).unwrap();
    });
}

#[test]
fn the_owner_is_not_set_through_a_symbolic_link() {
    assert_swap_is_harmless(&["--listen-owner", "nobody"], |bait, victim| {
        symlink(victim, bait).unwrap();
    });
}

#[test]
fn the_group_is_not_set_through_a_hard_link() {
    assert_swap_is_harmless(&["--listen-group", "nogroup"], |bait, victim| {
        fs::hard_link(victim, bait).unwrap();
    });
}

#[test]
fn the_mode_of_another_socket_of_root_is_not_changed() {
    let ours = folder();
    let other = ours.join("private");
    let _listener = std::os::unix::net::UnixListener::bind(&other).unwrap();
    fs::set_permissions(&other, fs::Permissions::from_mode(0o600)).unwrap();
    let before = ownership(&other);
    assert_swap_is_harmless(&["--listen-mode", "666"], |bait, _| {
        fs::hard_link(&other, bait).unwrap();
    });
    assert_eq!(ownership(&other), before);
    fs::remove_dir_all(ours).unwrap();
}
