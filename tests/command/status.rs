//! `fcgipm status` of a real manager and its workers, and its errors.

mod rates;

use std::fs::{self, File};
use std::io::Write as _;
use std::net::{TcpListener, TcpStream};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::fs::{FileExt as _, MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::Instant;

use serde_json::Value;

use crate::managed::{Pool, RECORDS, signal};
use crate::process::{LIMIT, fcgipm};

fn status(arguments: &[&str]) -> Output {
    fcgipm(&[&["status"], arguments].concat(), b"")
}

fn shown(arguments: &[&str]) -> String {
    let output = status(arguments);
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{arguments:?}: {errors}");
    assert_eq!(errors, "");
    String::from_utf8(output.stdout).unwrap()
}

fn json(arguments: &[&str]) -> Value {
    serde_json::from_str(&shown(&[arguments, &["--json"]].concat())).unwrap()
}

/// It fails with this reason, and prints nothing else.
fn assert_refused(arguments: &[&str], reason: &str) {
    let output = status(arguments);
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{arguments:?}: {errors}");
    assert!(errors.starts_with("fcgipm status: "), "{errors}");
    assert!(errors.contains(reason), "{arguments:?}: {errors}");
    assert!(output.stdout.is_empty());
}

/// The JSON of the worker with this pid.
fn worker(report: &Value, pid: u32) -> &Value {
    let workers = report["workers"].as_array().unwrap();
    workers.iter().find(|worker| worker["pid"] == pid).unwrap()
}

#[test]
fn every_worker_is_shown_with_its_request() {
    let (pool, _socket, address) = Pool::on_unix(3);
    let report = json(&[&pool.pid_file()]);
    assert_eq!(report["manager"], pool.pid());
    assert_eq!(
        (&report["wanted"], &report["ready"]),
        (&3.into(), &3.into())
    );
    assert_eq!((&report["idle"], &report["busy"]), (&3.into(), &0.into()));
    assert_eq!(report["pm"], "static");
    assert_eq!(report["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(report["listen_queue"], 0);
    assert_eq!(report["listeners"][0]["address"], *address);
    assert_eq!(report["reload"]["state"], "none");
    assert_eq!(report["last_exit"], Value::Null);
    let (mut client, gate) = pool.paused(&address, "/pause?of=%1B&this=%c3%a4");
    let report = json(&[&pool.pid_file()]);
    assert_eq!((&report["idle"], &report["busy"]), (&2.into(), &1.into()));
    let workers = report["workers"].as_array().unwrap();
    let busy: Vec<_> = workers
        .iter()
        .filter(|worker| worker["state"] == "busy")
        .collect();
    let [busy] = busy[..] else {
        panic!("{report:#}")
    };
    assert!(pool.workers.iter().any(|pid| busy["pid"] == *pid));
    assert_eq!(busy["method"], "GET");
    assert_eq!(busy["uri"], "/pause?of=%1B&this=%c3%a4");
    assert!(busy["request_age"].as_f64().unwrap() <= report["uptime"].as_f64().unwrap());
    let table = shown(&[&pool.pid_file()]);
    assert!(table.contains("GET /pause?of=%1B&this=%c3%a4\n"), "{table}");
    assert!(table.contains("3 ready (2 idle, 1 busy)"), "{table}");
    drop(gate);
    assert!(client.wait().unwrap().success());
    // The client may have its answer before the worker reports that.
    let until = Instant::now() + LIMIT;
    let report = loop {
        let report = json(&[&pool.pid_file()]);
        if report["idle"] == 3 {
            break report;
        }
        assert!(Instant::now() < until, "{report:#}");
    };
    assert_eq!(report["requests"], 1);
    assert_eq!(report["busy"], 0);
    assert_eq!(report["workers"][0]["uri"], Value::Null);
}

#[test]
fn status_works_when_the_manager_and_all_workers_are_stopped() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let pool = Pool::start(listener, 2);
    let (mut client, _gate) = pool.paused(&address, "/pause");
    pool.stop_all();
    // They are in the queue after connect(2) returns.
    let queued = [(); 3].map(|()| TcpStream::connect(&address).unwrap());
    let report = json(&[&pool.pid_file()]);
    assert_eq!(report["listen_queue"], 3);
    assert_eq!((&report["idle"], &report["busy"]), (&1.into(), &1.into()));
    assert!(shown(&[&address]).contains("GET /pause"));
    drop(queued);
    client.kill().unwrap();
    client.wait().unwrap();
}

#[test]
fn connections_that_wait_on_a_unix_socket_are_counted() {
    let (pool, _socket, address) = Pool::on_unix(1);
    pool.stop_all();
    let _queued = [(); 2].map(|()| UnixStream::connect(&address).unwrap());
    assert_eq!(json(&[&pool.pid_file()])["listen_queue"], 2);
}

#[test]
fn a_worker_with_an_invalid_page_is_shown_without_details() {
    let (pool, _socket, _) = Pool::on_unix(2);
    pool.stop_all();
    let [bad, good] = pool.workers[..] else {
        panic!("{:?}", pool.workers)
    };
    let region = pool.region(bad);
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for round in 0..20 {
        let mut garbage = vec![0xff; RECORDS];
        for byte in garbage.iter_mut().filter(|_| round > 0) {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            *byte = (state >> 56) as u8;
        }
        region.write(&garbage);
        let report = json(&[&pool.pid_file()]);
        assert_eq!(worker(&report, bad)["state"], "unknown");
        assert_eq!(worker(&report, bad)["requests"], Value::Null);
        assert_eq!(worker(&report, good)["state"], "idle");
        let table = shown(&[&pool.pid_file()]);
        let harmless = |letter: char| letter == '\n' || (' '..='~').contains(&letter);
        assert!(table.chars().all(harmless), "{table:?}");
    }
}

#[test]
fn a_manager_of_a_release_with_another_layout_is_refused() {
    let (pool, _socket, address) = Pool::on_unix(1);
    let maps = fs::read_to_string(format!("/proc/{}/maps", pool.pid())).unwrap();
    let line = maps.lines().find(|line| line.contains("fcgipm-scoreboard"));
    let (start, _) = line.unwrap().split_once('-').unwrap();
    let memory = File::options()
        .write(true)
        .open(format!("/proc/{}/mem", pool.pid()))
        .unwrap();
    // The version follows the number that marks a scoreboard.
    let version = u64::from_str_radix(start, 16).unwrap() + 8;
    memory.write_all_at(&99_u32.to_ne_bytes(), version).unwrap();
    let reason = "the scoreboard has layout 99, this command knows ";
    let of_manager = format!("process {}: {reason}", pool.pid());
    assert_refused(&[&pool.pid_file()], &of_manager);
    // A child that it has just forked, and that has not closed its copies yet, may be found first.
    assert_refused(&[&address], reason);
}

#[test]
fn control_characters_of_a_uri_are_not_printed() {
    let (pool, _socket, address) = Pool::on_unix(1);
    let client = UnixStream::connect(&address).unwrap();
    let mut pairs = Vec::new();
    let evil = b"/pause\x1b[2J\r\n\x9b\xff";
    for (name, value) in [
        (&b"REQUEST_METHOD"[..], &b"G\x07T"[..]),
        (b"REQUEST_URI", evil),
        (b"SCRIPT_NAME", b"/pause"),
    ] {
        fcgipm::wire::encode_pair(name, value, &mut pairs);
    }
    let mut bytes = vec![1, 1, 0, 1, 0, 8, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    bytes.extend([1, 4, 0, 1, 0, pairs.len() as u8, 0, 0]);
    bytes.extend(&pairs);
    bytes.extend([1, 4, 0, 1, 0, 0, 0, 0, 1, 5, 0, 1, 0, 0, 0, 0]);
    (&client).write_all(&bytes).unwrap();
    let gate = File::options()
        .write(true)
        .open(pool.folder.path().join("gate"));
    let table = shown(&[&pool.pid_file()]);
    let shown_text = r"G\u{7}T /pause\u{1b}[2J\u{d}\u{a}\x9b\xff";
    assert!(table.contains(shown_text), "{table:?}");
    assert_eq!(
        worker(&json(&[&pool.pid_file()]), pool.workers[0])["uri"],
        &shown_text[8..]
    );
    drop(gate);
}

#[test]
fn the_exit_of_a_worker_remains_visible() {
    let (pool, _socket, _) = Pool::on_unix(1);
    signal("KILL", pool.workers[0]);
    let successor = pool.ready();
    let report = json(&[&pool.pid_file()]);
    for exit in [
        &report["last_exit"],
        &worker(&report, successor)["last_exit"],
    ] {
        assert_eq!(exit["pid"], pool.workers[0]);
        assert_eq!((&exit["signal"], &exit["code"]), (&9.into(), &Value::Null));
    }
    assert_eq!(
        (&report["forks"], &report["deaths"]),
        (&2.into(), &1.into())
    );
    let shown_text = format!("pid {}, signal 9, ", pool.workers[0]);
    assert_eq!(shown(&[&pool.pid_file()]).matches(&shown_text).count(), 2);
    signal("HUP", pool.pid());
    let new = pool.ready();
    pool.line("reload done");
    let report = json(&[&pool.pid_file()]);
    let reload = &report["reload"];
    assert_eq!(
        (&reload["state"], &reload["done"]),
        (&"done".into(), &1.into())
    );
    assert_eq!(worker(&report, new)["generation"], 1);
}

#[test]
fn a_manager_is_found_by_pid_pid_file_and_address() {
    let (pool, socket, path) = Pool::on_unix(1);
    let unix = format!("unix:{path}");
    let dotted = format!("{}/./socket", socket.path().display());
    for target in [
        &pool.pid().to_string(),
        &pool.pid_file(),
        &path,
        &unix,
        &dotted,
    ] {
        assert_eq!(json(&[target])["manager"], pool.pid(), "{target}");
    }
    // Relative to the folder of the socket or of the pid file.
    for (folder, target) in [(socket.path(), "socket"), (pool.folder.path(), "pid")] {
        let output = Command::new(env!("CARGO_BIN_EXE_fcgipm"))
            .args(["status", target])
            .current_dir(folder)
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
    }

    let name = format!("fcgipm-status-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).unwrap();
    let on_abstract = Pool::start(UnixListener::bind_addr(&address).unwrap(), 1);
    assert_eq!(json(&[&format!("@{name}")])["manager"], on_abstract.pid());

    let any = TcpListener::bind("0.0.0.0:0").unwrap();
    let port = any.local_addr().unwrap().port();
    let on_any = Pool::start(any, 1);
    for host in ["", "127.0.0.1", "localhost", "0.0.0.0"] {
        let target = format!("{host}:{port}");
        assert_eq!(json(&[&target])["manager"], on_any.pid(), "{target}");
    }
}

#[test]
fn targets_that_are_not_managers_are_refused_with_the_reason() {
    let (pool, _socket, _) = Pool::on_unix(1);
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let worker = pool.workers[0];
    assert_refused(
        &[&worker.to_string()],
        &format!("its parent, process {}, is", pool.pid()),
    );
    let own = std::process::id().to_string();
    let name = fs::read_to_string("/proc/self/comm").unwrap();
    let line = format!(
        "fcgipm status: process {own} ('{}') is not an fcgipm manager\n",
        name.trim_end()
    );
    let errors = status(&[&own]).stderr;
    assert_eq!(String::from_utf8_lossy(&errors), line);
    // Above the maximum pid (proc(5), pid_max).
    assert_refused(&["4194305"], "there is no process 4194305");
    let stale = file("stale", "4194305\n");
    assert_refused(
        &[&stale],
        &format!("pid file {stale} is stale: there is no process 4194305"),
    );
    assert_refused(&[&file("odd", "-1\u{1b}\n")], r"'-1\u{1b}' is not a pid");
    assert_refused(&[&file("empty", "")], "'' is not a pid");
    assert_refused(&["/dev/zero"], "/dev/zero: not a regular file");
    assert_refused(&[folder.path().to_str().unwrap()], "not a regular file");
    assert_refused(&["missing.pid"], "missing.pid: No such file");
    assert_refused(
        &["nothing"],
        "is not a pid, an existing pid file or an address",
    );
    let missing = folder.path().join("gone");
    assert_refused(&[missing.to_str().unwrap()], "nothing listens on");
    assert_refused(&["127.0.0.1:99999"], "out of range");
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = other.local_addr().unwrap().to_string();
    assert_refused(&[&address], "no fcgipm manager");
    for wrong in [
        &["status"][..],
        &["status", "a", "b"],
        &["status", "--what", "1"],
    ] {
        assert_eq!(fcgipm(wrong, b"").status.code(), Some(2));
    }
}

#[test]
fn other_users_get_permission_denied() {
    let (pool, _socket, path) = Pool::on_unix(1);
    let folder = tempfile::tempdir().unwrap();
    let mut command: PathBuf = env!("CARGO_BIN_EXE_fcgipm").into();
    let mut target = "1".to_owned();
    let root = fs::metadata(folder.path()).unwrap().uid() == 0;
    if root {
        // A copy that all users can execute. Another process writes it: a child of another test
        // could inherit a descriptor that is open for writing, and executing it would fail with
        // ETXTBSY.
        let copy = folder.path().join("fcgipm");
        let copied = Command::new("cp").args([&command, &copy]).status();
        assert!(copied.unwrap().success());
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        command = copy;
        target = pool.pid().to_string();
    }
    let refused = |target: &str| {
        let mut command = Command::new(&command);
        if root {
            command.uid(65_534).gid(65_534);
        }
        let output = command.args(["status", target]).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    let errors = refused(&target);
    assert!(
        errors.contains(&format!("process {target}: permission denied")),
        "{errors}"
    );
    if root {
        let errors = refused(&format!("unix:{path}"));
        assert!(
            errors.contains("could not be inspected: permission denied"),
            "{errors}"
        );
    }
}

/// The scoreboard exceeds the limit of the file size, which must not kill the manager by SIGXFSZ.
#[test]
fn a_manager_with_a_low_limit_of_file_size_runs_without_a_scoreboard() {
    let folder = tempfile::tempdir().unwrap();
    let listener = UnixListener::bind(folder.path().join("socket")).unwrap();
    let script = "ulimit -f 1000 && exec \"$0\" fd:0";
    let mut pool = Pool::start_as(listener, 2, script);
    assert_refused(&[&pool.pid_file()], "RLIMIT_FSIZE");
    signal("HUP", pool.pid());
    pool.line("reload done");
    signal("TERM", pool.pid());
    let ended = pool.child.wait().unwrap();
    pool.reaped = true;
    assert!(ended.success(), "{ended}");
}
