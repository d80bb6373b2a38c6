//! The environment of a program with more privileges than its caller.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::sys::signal::Signal;
use nix::unistd::{Gid, User, setresgid, setresuid};

use crate::ATTACKER;
use crate::peer::connection::Address;
use crate::peer::program::{Program, compiled, copy_program, folder, product};

/// A copy of the program in a world-writable folder. The files that it creates show which options
/// it has read.
pub(crate) fn installed(mode: u32) -> (PathBuf, PathBuf) {
    let folder = folder();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o1777)).unwrap();
    let program = folder.join("privileged");
    copy_program(&compiled("local_users/privileged.c"), &program);
    fs::set_permissions(&program, fs::Permissions::from_mode(mode)).unwrap();
    (folder, program)
}

/// The version of the scoreboard's layout: another one would be refused for that reason.
fn layout() -> u32 {
    let source = include_str!("../../src/sys/scoreboard/version.rs");
    let (_, rest) = source.split_once("VERSION: u32 = ").unwrap();
    rest.split_once(';').unwrap().0.parse().unwrap()
}

/// Runs it as the attacker, who controls the environment.
fn as_attacker(program: &Path) -> Command {
    let mut command = Command::new("/bin/sh");
    // FCGIPM_WORKER contains the pid of the process that must read it.
    let script = format!("FCGIPM_WORKER={}:$$:1:0 exec \"$0\" \"$@\"", layout());
    command.args(["-c", &script]);
    command.arg(program);
    become_attacker(&mut command);
    command
}

pub(crate) fn become_attacker(command: &mut Command) {
    let user = User::from_name(ATTACKER).unwrap().unwrap();
    let become_user = move || {
        let none = Gid::from_raw(user.gid.as_raw());
        setresgid(none, none, none)?;
        setresuid(user.uid, user.uid, user.uid)?;
        Ok(())
    };
    // SAFETY: two system calls, between fork and exec.
    unsafe { command.pre_exec(become_user) };
}

fn daemon(mut command: Command, folder: &Path) -> Program {
    let socket = folder.join("socket");
    command
        .arg(&socket)
        .env("FCGIPM_PID_FNAME", folder.join("pid"))
        .env("FCGIPM_LISTEN_MODE", "777");
    Program::start_opening(command, Address::Unix(socket))
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn a_set_user_id_program_reads_no_option_from_its_callers_environment() {
    let (folder, program) = installed(0o4755);
    let mut daemon = daemon(as_attacker(&program), &folder);
    let line = daemon.line("FCGIPM_ variables");
    assert!(line.contains("ignored"), "{line}");
    daemon.line("a worker is ready");
    assert!(!folder.join("pid").exists());
    assert_ne!(mode(&folder.join("socket")), 0o777);
    daemon.signal(Signal::SIGTERM);
    let status = daemon.wait();
    let lines = daemon.all_lines();
    assert!(status.success(), "{status}: {lines:#?}");
    let ignored = lines.iter().filter(|line| line.contains("ignored")).count();
    // Only the manager logs it, before it forks.
    assert_eq!(ignored, 1, "{lines:#?}");
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn the_same_program_without_set_user_id_reads_the_options() {
    let (folder, program) = installed(0o755);
    let mut daemon = daemon(Command::new(&program), &folder);
    daemon.line("a worker is ready");
    assert!(folder.join("pid").exists());
    assert_eq!(mode(&folder.join("socket")), 0o777);
    daemon.signal(Signal::SIGTERM);
    assert!(daemon.wait().success());
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn perl_loads_no_library_that_the_caller_names() {
    let (folder, program) = installed(0o4755);
    let modules = Path::new(env!("CARGO_MANIFEST_DIR")).join("bindings/perl/lib");
    let library = product("libfcgipm.so");
    let mut command = as_attacker(&program);
    command
        .args(["exec", "/usr/bin/perl"])
        .arg(format!("-I{}", modules.display()))
        .args(["-MFCGIPM", "-e", "print $FCGIPM::Library::FILE"])
        .env("FCGIPM_LIB", folder.join("evil.so"));
    let output = command.output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        library.to_str().unwrap(),
        "{errors}"
    );
    fs::remove_dir_all(folder).unwrap();
}
