//! The first start of a program: one that cannot be executed is reported immediately.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use super::{Run, address, hello, script, status};

/// Runs the command until it exits, and returns its status and its lines on standard error.
fn refused(folder: &TempDir, options: &[&str], program: &[&str]) -> (Option<i32>, String) {
    let address = address(folder);
    // A running program would never exit.
    let output = Command::new("timeout")
        .args(["--signal=KILL", "30", env!("CARGO_BIN_EXE_fcgipm"), "run"])
        .args(["--no-preload", "--listen", &address])
        .args(options)
        .arg("--")
        .args(program)
        .output()
        .unwrap();
    assert!(!fs::exists(&address).unwrap(), "the socket's file is left");
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code(), errors)
}

fn file(folder: &TempDir, name: &str, text: &[u8], mode: u32) -> String {
    let path = folder.path().join(name);
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn a_program_that_cannot_be_executed_ends_the_command_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().to_str().unwrap();
    let plain = file(&folder, "plain", b"#!/bin/sh\n", 0o644);
    let empty = file(&folder, "empty", b"", 0o755);
    let lost = file(&folder, "lost", b"#!/no/such/perl -w\n", 0o755);
    let nested = file(&folder, "nested", format!("#!{lost}\n").as_bytes(), 0o755);
    let absent = format!("{place}/absent");
    for (program, status, why) in [
        ("no-such-program", 127, "there is no such program in PATH"),
        (&*absent, 127, "No such file or directory"),
        (
            &*lost,
            127,
            "its interpreter '/no/such/perl' does not exist",
        ),
        (
            &*nested,
            127,
            &*format!("its interpreter '{lost}': its interpreter '/no/such/perl' does not exist"),
        ),
        (place, 126, "it is a directory"),
        (&*plain, 126, "it is not executable (its mode is 0644)"),
        (&*empty, 126, "it is empty"),
    ] {
        let outcome = refused(&folder, &["--workers", "3"], &[program]);
        let (code, errors) = &outcome;
        assert_eq!(*code, Some(status), "{errors}");
        let expected = format!("fcgipm run: cannot execute '{program}': {why}");
        assert!(errors.starts_with(&expected), "{errors}");
        assert_eq!(errors.lines().count(), 1, "{errors}");
    }
}

#[test]
fn a_program_is_checked_with_the_identity_of_its_worker() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().to_str().unwrap();
    let own = file(&folder, "own", b"#!/bin/sh\n", 0o700);
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    for (options, program, status, why) in [
        (
            ["--user", "nobody"],
            &*own,
            126,
            "Permission denied (its mode is 0700",
        ),
        (["--chdir", "/"], "./own", 127, "No such file or directory"),
        (
            ["--chroot", place],
            "/bin/sh",
            127,
            "No such file or directory",
        ),
        (
            ["--chroot", place],
            "/own",
            127,
            "its interpreter '/bin/sh' does not exist",
        ),
    ] {
        let (code, errors) = refused(&folder, &options, &[program]);
        assert_eq!(code, Some(status), "{errors}");
        let expected = format!("cannot execute '{program}': {why}");
        assert!(errors.contains(&expected), "{errors}");
    }
    // A wrong user is not reported as a wrong program.
    let (code, errors) = refused(&folder, &["--user", "no-such-user"], &[&own]);
    assert_eq!(code, Some(1), "{errors}");
    // A program that the user can execute is started.
    let mut run = Run::pool_in(
        folder,
        &[
            "--chdir",
            Path::new(&hello()).parent().unwrap().to_str().unwrap(),
        ],
        &["./hello", "fd:0"],
    );
    run.ready();
    run.stop();
}

#[test]
fn a_failure_of_exec_ends_the_first_start() {
    let folder = tempfile::tempdir().unwrap();
    let alien = file(
        &folder,
        "alien",
        b"\x7fELF\x02\x01\x01\0of no machine\0",
        0o755,
    );
    let (code, errors) = refused(&folder, &["--workers", "3"], &[&alien]);
    assert_eq!(code, Some(126), "{errors}");
    let expected = format!("fcgipm run: cannot execute '{alien}': Exec format error\n");
    assert!(errors.ends_with(&expected), "{errors}");
}

#[test]
fn a_text_file_without_an_interpreter_is_a_script_for_sh() {
    let folder = tempfile::tempdir().unwrap();
    let text = format!("exec {} \"$1\"\n", hello());
    let program = file(&folder, "program", text.as_bytes(), 0o755);
    let mut run = Run::pool_in(folder, &[], &[&program, "fd:0"]);
    run.ready();
    run.stop();
}

#[test]
fn a_program_that_is_removed_later_only_fails_the_reload() {
    let folder = tempfile::tempdir().unwrap();
    let good = format!("exec {} fd:0", hello());
    let program = script(&folder, &good);
    let mut run = Run::pool_in(folder, &["--workers", "2"], &[&program]);
    run.ready_ones(2);
    for (text, why) in [
        (
            &b"#!/no/such/sh\n"[..],
            "its interpreter '/no/such/sh' does not exist",
        ),
        (b"", "it is empty"),
        (b"\x7fELF\0", "Exec format error"),
    ] {
        let new = file(&run.folder, "new", text, 0o755);
        fs::rename(new, &program).unwrap();
        run.signal("HUP");
        let line = run.line("reload failed");
        let expected = format!("cannot execute '{program}': {why}");
        assert!(line.contains(&expected), "{line}");
        assert!(run.call().contains("Hello"));
    }
    assert_eq!(status(&run.address())["reload"]["failed"], 3);
    script(&run.folder, &good);
    run.signal("HUP");
    run.line("reload done");
    run.stop();
}
