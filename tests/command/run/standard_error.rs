//! Standard error of programs, before and after they are ready.

use std::fs;
use std::path::PathBuf;

use super::{Run, fifo, hello, plain, script, status, wait_until_exited};

fn link(pid: u32, fd: u32) -> PathBuf {
    fs::read_link(format!("/proc/{pid}/fd/{fd}")).unwrap()
}

#[test]
fn the_last_lines_of_a_program_that_cannot_start_are_logged() {
    // A program with the library, and one without.
    for (good, options) in [
        (format!("exec {} fd:0", hello()), &["--workers", "2"][..]),
        (
            format!("exec {} graceful", plain()),
            &["--workers", "2", "--ready-delay", "0.2"],
        ),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let program = script(&folder, &good);
        let mut run = Run::pool_in(folder, options, &[&program]);
        run.ready_ones(2);
        script(&run.folder, "echo 'Fatal: no config' >&2\nexit 78");
        run.signal("HUP");
        let line = run.line("reload failed");
        let expected = "exited with status 78 before it was ready; its last lines on standard error: Fatal: no config";
        assert!(line.ends_with(expected), "{line}");
        let message = status(&run.address())["reload"]["message"].to_string();
        assert!(message.contains(expected), "{message}");
        // Its lines are logged as well.
        run.lines_with("Fatal: no config", 2);
        run.call();
        run.stop();
    }
}

#[test]
fn a_program_with_the_library_gets_its_standard_error_back_at_its_first_accept() {
    let folder = tempfile::tempdir().unwrap();
    let text = format!("echo begun >&2\nexec {} fd:0", hello());
    let program = script(&folder, &text);
    for (options, caught) in [(&[][..], true), (&["--catch-start-stderr=0"], false)] {
        let gate_folder = tempfile::tempdir().unwrap();
        let gate = fifo(&gate_folder);
        let start = format!("HELLO_START=head -c1 {gate} > /dev/null");
        let options = [&["--env", &start], options].concat();
        let mut run = Run::pool(&options, &[&program]);
        let pid = super::pid_in(&run.line(") started"));
        run.lines_with("begun", 1);
        assert_eq!(link(pid, 2) != link(run.pid(), 2), caught);
        fs::write(&gate, "x").unwrap();
        run.ready();
        run.call();
        assert_eq!(link(pid, 2), link(run.pid(), 2));
        run.stop();
    }
}

#[test]
fn a_program_that_never_reports_continues_when_the_manager_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let gate = fifo(&folder);
    let result = folder.path().join("result");
    let text = format!(
        "trap '' TERM\necho begun >&2\nread -r x <{gate}\necho passed >&2\nread -r x <{gate}\n\
         echo into the void >&2 && echo written >{0}.new\nmv {0}.new {0}",
        result.display()
    );
    let program = script(&folder, &text);
    let mut run = Run::pool_in(folder, &["--ready-delay", "0.1"], &[&program]);
    let pid = run.ready();
    // The pipe to the manager is not replaced.
    fs::write(&gate, "x\n").unwrap();
    run.line("passed");
    assert_ne!(link(pid, 2), link(run.pid(), 2));
    run.signal("KILL");
    wait_until_exited(run.pid());
    fs::write(&gate, "x\n").unwrap();
    wait_until_exited(pid);
    assert_eq!(fs::read_to_string(result).unwrap(), "written\n");
}

#[test]
fn the_user_of_the_worker_can_reopen_standard_error() {
    let folder = tempfile::tempdir().unwrap();
    let text = format!("echo by its name >/dev/stderr\nexec {} fd:0", hello());
    let program = script(&folder, &text);
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let options = ["--user", "nobody", "--listen-owner", "nobody"];
    let mut run = Run::pool_in(folder, &options, &[&program]);
    run.line("by its name");
    run.stop();
}
