//! The manager's log: levels, times, and the file that logrotate(8) renames.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::peer::pool::{command, shell};
use super::peer::program::{Program, Transport, descriptors_of, folder, product};

/// The example with one worker that is ready; the lines do not matter.
fn started(environment: &[(&str, &str)], script: &str) -> Program {
    let (command, _) = command(1, environment);
    let program = Program::start(shell(script, &command), Transport::Unix);
    let pid = program.pid().to_string();
    let waited = std::process::Command::new(product("fcgipm"))
        .args(["wait", &pid])
        .output()
        .unwrap();
    assert!(waited.status.success(), "{waited:?}");
    program
}

fn worker_of(program: &Program) -> i32 {
    let output = std::process::Command::new(product("fcgipm"))
        .args(["status", "--json", &program.pid().to_string()])
        .output()
        .unwrap();
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    i32::try_from(report["workers"][0]["pid"].as_i64().unwrap()).unwrap()
}

/// Waits until the file contains the text, and returns all of it.
fn logged(file: &Path, text: &str) -> String {
    let until = std::time::Instant::now() + super::peer::connection::LIMIT;
    loop {
        let found = fs::read_to_string(file).unwrap_or_default();
        if found.contains(text) {
            return found;
        }
        assert!(std::time::Instant::now() < until, "no '{text}': {found}");
        std::thread::yield_now();
    }
}

/// Whether a line begins with a time, as in `2026-11-30T17:52:47.123Z `.
fn has_time(line: &str) -> bool {
    let form = "dddd-dd-ddTdd:dd:dd.dddZ ";
    line.len() > form.len()
        && form
            .bytes()
            .zip(line.bytes())
            .all(|(form, byte)| match form {
                b'd' => byte.is_ascii_digit(),
                other => byte == other,
            })
}

/// What a service manager sets when standard error leads to the journal.
const IN_JOURNAL: &str = "export JOURNAL_STREAM=$(stat -L -c %d:%i /proc/self/fd/2)";

#[test]
fn lines_in_the_journal_have_their_priority() {
    let folder = folder();
    let broken = folder.join("broken");
    let start = format!("test ! -e {}", broken.display());
    let environment = [("HELLO_START", &*start), ("FCGIPM_LOG_TIMESTAMPS", "1")];
    let mut program = started(&environment, IN_JOURNAL);
    program.line("<5>fcgipm: manager");
    let worker = worker_of(&program);
    program.line(&format!("worker (pid {worker}) ready"));
    kill(Pid::from_raw(worker), Signal::SIGKILL).unwrap();
    program.line("killed by SIGKILL");
    program.line(") ready");
    fs::write(&broken, "").unwrap();
    program.signal(Signal::SIGHUP);
    program.line("reload failed");
    program.signal(Signal::SIGTERM);
    assert!(program.wait().success());
    for (text, priority) in [
        ("managing 1 worker", "<5>"),
        (") ready", "<6>"),
        ("killed by SIGKILL", "<4>"),
        ("received SIGHUP", "<5>"),
        ("reload begun", "<5>"),
        ("reload failed", "<3>"),
        ("stopping", "<5>"),
    ] {
        let lines = program.all_lines();
        let line = lines.iter().find(|line| line.contains(text)).unwrap();
        assert!(line.starts_with(priority), "{priority}: {line}");
        assert!(line[3..].starts_with("fcgipm: manager"), "{line}");
    }
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn standard_error_that_is_not_the_journal_gets_no_priority_and_the_time_if_wanted() {
    let elsewhere = "export JOURNAL_STREAM=1:1";
    for (value, wanted) in [("0", false), ("1", true)] {
        let mut program = started(&[("FCGIPM_LOG_TIMESTAMPS", value)], elsewhere);
        let line = program.line(") ready");
        assert_eq!(has_time(&line), wanted, "{line}");
        assert_eq!(line.starts_with("fcgipm: manager"), !wanted, "{line}");
    }
}

#[test]
fn less_important_lines_are_left_out() {
    let mut program = started(&[("FCGIPM_LOG_LEVEL", "warning")], "true");
    let worker = worker_of(&program);
    kill(Pid::from_raw(worker), Signal::SIGKILL).unwrap();
    program.line("killed by SIGKILL");
    program.signal(Signal::SIGTERM);
    assert!(program.wait().success());
    for line in program.all_lines() {
        let matters = line.contains("killed by") || line.contains("emergency");
        assert!(matters, "{line}");
    }
}

#[test]
fn a_file_is_opened_again_after_it_was_renamed() {
    let folder = folder();
    let (file, old) = (folder.join("log"), folder.join("log.1"));
    let mut program = started(&[("FCGIPM_LOG", file.to_str().unwrap())], "true");
    let text = logged(&file, ") ready");
    assert!(text.lines().all(has_time), "{text}");
    for (signal, said) in [
        (Signal::SIGUSR1, "received SIGUSR1"),
        (Signal::SIGHUP, "reload done"),
    ] {
        fs::rename(&file, &old).unwrap();
        program.signal(signal);
        // The file that was open has the line about the signal.
        logged(&old, &format!("received {signal}"));
        if signal == Signal::SIGHUP {
            logged(&file, said);
        }
        let until = std::time::Instant::now() + super::peer::connection::LIMIT;
        while !file.exists() {
            assert!(std::time::Instant::now() < until, "{signal}");
            std::thread::yield_now();
        }
    }
    // A worker could write lines in the manager's name.
    let worker = worker_of(&program);
    let name = file.to_str().unwrap();
    let has_file = |pid| descriptors_of(pid).iter().any(|link| link.contains(name));
    assert!(has_file(program.pid()));
    assert!(!has_file(worker));
    // One that cannot be opened leaves the log where it is.
    fs::rename(&file, &old).unwrap();
    fs::create_dir(&file).unwrap();
    program.signal(Signal::SIGUSR1);
    let line = "is not a regular file; continuing with the file that is open";
    logged(&old, line);
    program.signal(Signal::SIGTERM);
    assert!(program.wait().success());
    logged(&old, "stopped");
    assert!(program.all_lines().is_empty(), "{:?}", program.all_lines());
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn only_a_regular_file_that_no_other_user_can_replace_is_opened() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = folder();
    let path = |name: &str| folder.join(name);
    nix::unistd::mkfifo(&path("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    symlink("/dev/null", path("link")).unwrap();
    fs::create_dir(path("shared")).unwrap();
    fs::set_permissions(path("shared"), fs::Permissions::from_mode(0o777)).unwrap();
    for (name, why) in [
        // An open for writing would wait for a reader.
        ("fifo", "is not a regular file"),
        ("link", "is not a regular file"),
        ("shared/log", "could replace the file"),
        ("missing/log", "No such file"),
    ] {
        let file = path(name);
        let environment = [("FCGIPM_LOG", file.to_str().unwrap())];
        let (command, _) = command(1, &environment);
        let mut program = Program::start(command, Transport::Unix);
        let line = program.line("log file");
        assert!(line.contains(file.to_str().unwrap()), "{line}");
        assert!(line.contains(why), "{line}");
        assert!(!program.wait().success());
    }
    fs::remove_dir_all(folder).unwrap();
}
