//! The pid file: root writes it only where no other user could redirect it.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::sys::signal::Signal;
use nix::sys::stat::Mode;
use nix::unistd::Group;

use crate::peer::connection::Address;
use crate::peer::program::{Program, folder, product};
use crate::{attackers_folder, give};

fn manager(pid_file: &Path) -> (Program, PathBuf) {
    let own = folder();
    let socket = own.join("socket");
    let mut command = Command::new(product("fcgipm"));
    command
        .args(["run", "--workers", "1", "--ready-delay", "0.01", "--listen"])
        .arg(&socket)
        .arg("--pid-fname")
        .arg(pid_file)
        .args(["--", "/bin/sleep", "60"]);
    (Program::start_opening(command, Address::Unix(socket)), own)
}

/// The manager exits immediately and logs the reason.
fn assert_refused(pid_file: &Path, why: &str) {
    let (mut manager, own) = manager(pid_file);
    let line = manager.line("pid file");
    assert!(line.contains(pid_file.to_str().unwrap()), "{line}");
    assert!(line.contains(why), "{line}");
    assert!(!manager.wait().success());
    fs::remove_dir_all(own).unwrap();
}

/// The manager runs with it, and removes it.
fn assert_written(pid_file: &Path) {
    let (mut manager, own) = manager(pid_file);
    manager.line("ready");
    let text = fs::read_to_string(pid_file).unwrap();
    assert_eq!(text, format!("{}\n", manager.pid()));
    manager.signal(Signal::SIGTERM);
    assert!(manager.wait().success());
    assert!(!pid_file.exists());
    fs::remove_dir_all(own).unwrap();
}

fn shared_folder(mode: u32) -> PathBuf {
    let path = folder();
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    path
}

#[test]
fn a_link_in_another_users_directory_creates_nothing_and_changes_nothing() {
    let theirs = attackers_folder();
    let ours = folder();
    // An empty file could be the pid file of a manager that was about to write it.
    let (missing, empty) = (ours.join("missing"), ours.join("empty"));
    fs::write(&empty, "").unwrap();
    for target in [&missing, &empty] {
        let pid_file = theirs.join("pid");
        symlink(target, &pid_file).unwrap();
        assert_refused(&pid_file, "belongs to user nobody");
        fs::remove_file(&pid_file).unwrap();
    }
    assert!(!missing.exists());
    assert_eq!(fs::read_to_string(&empty).unwrap(), "");
    // It is refused without a link too, which could be created at any time.
    assert_refused(&theirs.join("pid"), "only the manager's user and root");
    fs::remove_dir_all(theirs).unwrap();
    fs::remove_dir_all(ours).unwrap();
}

#[test]
fn a_link_of_another_user_to_a_directory_of_root_is_refused() {
    let theirs = attackers_folder();
    let ours = folder();
    let link = theirs.join("run");
    symlink(&ours, &link).unwrap();
    assert_refused(&link.join("pid"), "belongs to user nobody");
    // In a directory like /tmp, the link itself belongs to that user.
    let shared = shared_folder(0o1777);
    let link = shared.join("run");
    symlink(&ours, &link).unwrap();
    nix::unistd::fchownat(
        nix::fcntl::AT_FDCWD,
        &link,
        Some(65534.into()),
        None,
        nix::fcntl::AtFlags::AT_SYMLINK_NOFOLLOW,
    )
    .unwrap();
    assert_refused(&link.join("pid"), "/run belongs to user nobody");
    assert_eq!(fs::read_dir(&ours).unwrap().count(), 0);
    for path in [theirs, ours, shared] {
        fs::remove_dir_all(path).unwrap();
    }
}

#[test]
fn links_of_root_are_followed_to_a_directory_but_not_to_a_file() {
    let ours = folder();
    let link = ours.join("var-run");
    let run = ours.join("run");
    fs::create_dir(&run).unwrap();
    symlink("run/../run", &link).unwrap();
    assert_written(&link.join("pid"));
    let pid_file = run.join("link");
    symlink(ours.join("elsewhere"), &pid_file).unwrap();
    assert_refused(&pid_file, "is a symbolic link");
    assert!(!ours.join("elsewhere").exists());
    fs::remove_dir_all(ours).unwrap();
}

#[test]
fn a_directory_that_others_can_write_is_refused_unless_it_is_sticky_and_the_file_is_ours() {
    assert_refused(&shared_folder(0o777).join("pid"), "other users may write");
    let by_group = shared_folder(0o775);
    let group = Group::from_name("nogroup").unwrap().unwrap().gid;
    chown(&by_group, None, Some(group.as_raw())).unwrap();
    assert_refused(&by_group.join("pid"), "other users may write");

    let sticky = shared_folder(0o1777);
    let pid_file = sticky.join("pid");
    assert_written(&pid_file);
    // The file of a killed manager.
    fs::write(&pid_file, "999999999\n").unwrap();
    assert_written(&pid_file);
    fs::write(&pid_file, "").unwrap();
    give(&pid_file);
    assert_refused(&pid_file, "belongs to user nobody");
    assert_eq!(fs::read_to_string(&pid_file).unwrap(), "");
    fs::remove_file(&pid_file).unwrap();
    let other = folder().join("empty");
    fs::write(&other, "").unwrap();
    fs::hard_link(&other, &pid_file).unwrap();
    assert_refused(&pid_file, "hard link");
    assert_eq!(fs::read_to_string(&other).unwrap(), "");
}

#[test]
fn only_a_regular_file_is_opened() {
    use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
    let ours = folder();
    let pid_file = ours.join("fifo");
    nix::unistd::mkfifo(&pid_file, Mode::from_bits_truncate(0o600)).unwrap();
    let opened = Inotify::init(InitFlags::IN_NONBLOCK).unwrap();
    opened.add_watch(&pid_file, AddWatchFlags::IN_OPEN).unwrap();
    assert_refused(&pid_file, "not a regular file");
    assert_eq!(
        opened.read_events().unwrap_err(),
        nix::errno::Errno::EAGAIN,
        "the FIFO was opened"
    );
    fs::remove_dir_all(ours).unwrap();
}
