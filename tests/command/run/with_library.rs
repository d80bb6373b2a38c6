//! Programs on this library, which are supervised like forked workers.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use super::{Run, fifo, hello, pid_in, script, status, wait_until_exited};
use crate::load;
use crate::managed::signal;

/// The log has no sign of a failure.
fn assert_quiet(lines: &[String]) {
    for bad in ["kill", "failed", "status 1", "hello:"] {
        assert!(!lines.iter().any(|line| line.contains(bad)), "{lines:#?}");
    }
}

#[test]
fn a_program_is_ready_at_its_first_accept_and_has_a_row_in_status() {
    let folder = tempfile::tempdir().unwrap();
    let gate = fifo(&folder);
    let start = format!("HELLO_START=head -c1 {gate} > /dev/null");
    let mut run = Run::pool_in(
        folder,
        &["--workers", "2", "--env", &start],
        &[&hello(), "fd:0"],
    );
    let started = pid_in(&run.line(") started"));
    let report = status(&run.address());
    assert_eq!(report["ready"], 0);
    assert_eq!(report["workers"][0]["pid"], started);
    assert_eq!(report["workers"][0]["state"], "starting");
    // A byte for each worker.
    let both = fs::File::options().read(true).write(true).open(&gate);
    both.as_ref().unwrap().write_all(b"xx").unwrap();
    let (first, second) = (run.ready(), run.ready());
    assert!(run.call().contains("Hello from worker"));
    let report = status(&run.address());
    assert_eq!(report["ready"], 2);
    for pid in [first, second] {
        let workers = report["workers"].as_array().unwrap();
        let row = workers.iter().find(|row| row["pid"] == pid).unwrap();
        assert!(["idle", "finishing"].contains(&row["state"].as_str().unwrap()));
    }
    assert_eq!(report["requests"], 1);
    assert_quiet(run.stop());
}

#[test]
fn a_storm_of_reloads_loses_no_request() {
    for options in [&["--split", "3"][..], &["--keep"]] {
        let mut run = Run::pool(&["--workers", "3"], &[&hello(), "fd:0"]);
        run.ready_ones(3);
        let clients = [&["-c", "6", "-t", "3600", "--expect", "Hello"], options].concat();
        let clients = load::start(&run.address(), &clients);
        for _ in 0..15 {
            run.signal("HUP");
            run.line("reload done");
        }
        signal("INT", clients.id());
        let (ok, lost) = load::finish(clients).counts();
        assert!(ok > 0 && lost.is_empty(), "{ok}, {lost:?}");
        assert_quiet(run.stop());
    }
}

#[test]
fn a_worker_that_reaches_max_requests_is_replaced() {
    let options = ["--workers", "1", "--max-requests", "3"];
    let mut run = Run::pool(&options, &[&hello(), "fd:0"]);
    let first = run.ready();
    for _ in 0..3 {
        assert!(run.call().contains(&format!("worker {first},")));
    }
    let second = run.ready();
    run.line("it has reached max_requests");
    run.line(&format!("worker (pid {first}) exited with status 0"));
    assert!(run.call().contains(&format!("worker {second},")));
    assert_quiet(run.stop());
}

#[test]
fn a_dynamic_pool_grows_and_shrinks() {
    let options = [
        "--n-processes",
        "4",
        "--pm",
        "ondemand",
        "--process-idle-timeout",
        "1",
    ];
    let mut run = Run::pool(&options, &[&hello(), "fd:0"]);
    run.line("managing 4 workers");
    assert!(run.call().contains("Hello"));
    let first = run.ready();
    run.line(&format!("worker (pid {first}) exited with status 0"));
    assert!(run.call().contains("Hello"));
    assert_quiet(run.stop());
}

#[test]
fn workers_exit_when_the_manager_is_killed_and_the_busy_one_responds_first() {
    let folder = tempfile::tempdir().unwrap();
    let gate = fifo(&folder);
    let mut run = Run::pool_in(
        folder,
        &["--workers", "3", "--env", &format!("HELLO_GATE={gate}")],
        &[&hello(), "fd:0"],
    );
    let workers = run.ready_ones(3);
    let address = run.address();
    let client = std::thread::spawn(move || {
        crate::process::fcgipm(&["call", "--to", &address, "/pause"], b"")
    });
    let open = fs::File::options().write(true).open(&gate).unwrap();
    run.signal("KILL");
    let idle = |pid: &u32| {
        let children = format!("/proc/{pid}/fd");
        let at_gate =
            |fd: fs::DirEntry| fs::read_link(fd.path()).is_ok_and(|link| link == Path::new(&gate));
        !fs::read_dir(children)
            .into_iter()
            .flatten()
            .flatten()
            .any(at_gate)
    };
    let (idle, busy): (Vec<u32>, Vec<u32>) = workers.into_iter().partition(idle);
    assert_eq!(busy.len(), 1);
    idle.into_iter().for_each(wait_until_exited);
    drop(open);
    let output = client.join().unwrap();
    assert!(String::from_utf8_lossy(&output.stdout).contains("waited"));
    wait_until_exited(busy[0]);
}

#[test]
fn a_broken_program_fails_the_reload_and_the_old_workers_continue() {
    let folder = tempfile::tempdir().unwrap();
    let good = format!("exec {} fd:0", hello());
    let program = script(&folder, &good);
    let mut run = Run::pool_in(folder, &["--workers", "2"], &[&program]);
    let before = run.ready_ones(2);
    for (text, why) in [
        ("exit 3", "exited with status 3 before it was ready"),
        ("kill -SEGV $$", "killed by SIGSEGV before it was ready"),
    ] {
        script(&run.folder, text);
        run.signal("HUP");
        let line = run.line("reload failed");
        assert!(line.contains(why), "{line}");
        assert!(run.call().contains("Hello"));
    }
    let report = status(&run.address());
    assert_eq!(report["reload"]["failed"], 2);
    for (change, why) in [
        (fs::remove_file as fn(_) -> _, "No such file or directory"),
        (|path| fs::create_dir(path), "it is a directory"),
    ] {
        change(&program).unwrap();
        run.signal("HUP");
        let line = run.line("reload failed");
        let expected = format!("cannot execute '{program}': {why}");
        assert!(line.contains(&expected), "{line}");
    }
    fs::remove_dir(&program).unwrap();
    let report = status(&run.address());
    let mut pids: Vec<_> = report["workers"].as_array().unwrap().iter().collect();
    pids.retain(|row| row["state"] == "idle");
    assert!(
        pids.iter()
            .all(|row| before.iter().any(|pid| row["pid"] == *pid))
    );
    script(&run.folder, &good);
    run.signal("HUP");
    run.line("reload done");
    run.signal("TERM");
    assert_eq!(run.end().0.code(), Some(0));
}

#[test]
fn a_signal_to_a_worker_retires_it_gracefully_with_any_shell_before_it() {
    let folder = tempfile::tempdir().unwrap();
    let program = script(&folder, &format!("exec {} fd:0", hello()));
    let mut run = Run::pool_in(folder, &["--workers", "1"], &[&program]);
    for name in ["TERM", "HUP", "INT", "QUIT"] {
        let pid = run.ready();
        signal(name, pid);
        run.line(&format!("worker (pid {pid}) exited with status 0"));
    }
    run.ready();
    assert_quiet(run.stop());
}

/// The open descriptors of a process, without those that this process has as well.
fn descriptors(pid: u32) -> Vec<(u32, String)> {
    let links = |pid: u32| -> Vec<(u32, String)> {
        let entries = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().flatten();
        let named = entries.filter_map(|entry| {
            let link = fs::read_link(entry.path()).ok()?;
            let number = entry.file_name().to_str()?.parse().ok()?;
            Some((number, link.to_str()?.to_owned()))
        });
        named.collect()
    };
    let inherited = links(std::process::id());
    let mut own = links(pid);
    own.retain(|(number, link)| *number > 2 && !inherited.iter().any(|(_, known)| known == link));
    own
}

#[test]
fn a_program_gets_only_the_descriptors_of_its_link_to_the_manager() {
    let mut run = Run::pool(&["--workers", "2"], &[&hello(), "fd:0"]);
    let workers = run.ready_ones(2);
    let managers = descriptors(run.pid());
    for pid in workers {
        let shared = descriptors(pid).into_iter().map(|(_, link)| link);
        let shared: Vec<_> = shared
            .filter(|link| managers.iter().any(|(_, other)| other == link))
            .collect();
        let count = |kind: &str| shared.iter().filter(|link| link.starts_with(kind)).count();
        // The wake and life pipes, both ends of the hand-over queue, and its own region.
        let counts = [
            count("pipe:"),
            count("socket:"),
            count("/memfd:fcgipm-region-"),
        ];
        assert_eq!((shared.len(), counts), (5, [2, 2, 1]), "{shared:?}");
    }
    assert_quiet(run.stop());
}

#[test]
fn a_program_gets_default_signals_and_the_requested_environment() {
    let folder = tempfile::tempdir().unwrap();
    let program = script(&folder, &format!("env >&2\nexec {} fd:0", hello()));
    let options = ["--clear-env", "--env", "A=b c", "--params-timeout", "7"];
    let mut run = Run::pool_by(folder, &[], &options, &[&program], &[("SECRET", "1")]);
    let set = |pid: u32, name: &str| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let set = status.lines().find_map(|line| line.strip_prefix(name));
        u64::from_str_radix(set.unwrap().trim(), 16).unwrap()
    };
    let pid = run.ready();
    // It blocks PIPE for a moment when it reports that it is ready. After an answer, it does not.
    run.call();
    assert_eq!(set(pid, "SigBlk:"), 0);
    // SIGPIPE, which the Rust runtime ignores, and the signals of the manager have their default
    // actions. The C library uses 32 and 33, which posix_spawn(3) leaves ignored.
    let others = !(1 << 12 | 1 << 31 | 1 << 32 | set(run.pid(), "SigCgt:"));
    let (its, own) = (set(pid, "SigIgn:"), set(std::process::id(), "SigIgn:"));
    assert_eq!((its & others, its & 1 << 12), (own & others, 0));
    let lines = run.stop();
    let has = |text: &str| lines.iter().any(|line| line.starts_with(text));
    assert!(has("A=b c") && has("FCGIPM_WORKER=5:") && has("FCGIPM_PARAMS_TIMEOUT=7"));
    assert!(!has("SECRET") && !has("HOME="), "{lines:#?}");
}

/// Compiles a C program on the library into this folder.
fn native(folder: &TempDir) -> String {
    let project = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let library = project.join("target/release").canonicalize().unwrap();
    let program = folder.path().join("native");
    let status = Command::new("cc")
        .args(["-std=gnu11", "-Wall", "-Wextra", "-Werror", "-I"])
        .arg(project.join("include"))
        .arg("-o")
        .arg(&program)
        .arg(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../tests/command/run/native.c"
        ))
        .arg("-L")
        .arg(&library)
        .arg("-lfcgipm")
        .arg(format!("-Wl,-rpath,{}", library.display()))
        .status();
    assert!(status.expect("cc, the C compiler").success());
    program.to_str().unwrap().to_owned()
}

#[test]
fn children_of_a_worker_inherit_nothing_of_its_manager() {
    let folder = tempfile::tempdir().unwrap();
    let program = native(&folder);
    let mut run = Run::pool_in(folder, &["--ready-delay", "0"], &[&program]);
    run.ready();
    assert_eq!(run.call(), "0\n");
    assert_quiet(run.stop());
}
