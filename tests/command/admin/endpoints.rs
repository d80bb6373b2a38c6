use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::os::unix::net::UnixStream;
use std::time::Instant;

use serde_json::Value;

use super::{Admin, PATHS, head};
use crate::managed::{Pool, RECORDS, signal};
use crate::process::{LIMIT, drain, fcgipm};
use crate::web::parse;

#[test]
fn the_status_is_that_of_the_command() {
    let (pool, _socket, address) = Pool::on_unix(2);
    let admin = Admin::of(&pool.pid_file());
    let (mut client, gate) = pool.paused(&address, "/pause?%3Cscript%3E");
    admin.wait_for("/status.json", 200, "/pause?%3Cscript%3E");
    let report = admin.json();
    let printed = fcgipm(&["status", "--json", &pool.pid_file()], b"");
    let printed: Value = serde_json::from_slice(&printed.stdout).unwrap();
    let names = |value: &Value| Vec::from_iter(value.as_object().unwrap().keys().cloned());
    assert_eq!(names(&report), names(&printed));
    assert_eq!(names(&report["workers"][0]), names(&printed["workers"][0]));
    for name in [
        "manager",
        "version",
        "files",
        "listeners",
        "ready",
        "busy",
        "forks",
    ] {
        assert_eq!(report[name], printed[name], "{name}");
    }
    let workers = report["workers"].as_array().unwrap();
    for worker in workers {
        assert!(worker["memory"].as_u64().unwrap() > 100_000, "{worker}");
        assert!(worker["cpu"].as_f64().unwrap() < 60.0, "{worker}");
    }
    drop(gate);
    assert!(client.wait().unwrap().success());
}

#[test]
fn the_page_may_run_only_its_own_script() {
    let (pool, _socket, _) = Pool::on_unix(1);
    let admin = Admin::of(&pool.pid_file());
    let response = admin.get("/");
    assert_eq!(response.status, 200);
    assert_eq!(
        response.header("content-type"),
        ["text/html; charset=utf-8"]
    );
    let [policy] = response.header("content-security-policy")[..] else {
        panic!("{}", response.head)
    };
    assert!(policy.starts_with("default-src 'none'; script-src 'nonce-"));
    assert!(!policy.contains("unsafe"), "{policy}");
    let (_, rest) = policy.split_once("'nonce-").unwrap();
    let nonce = rest.split_once('\'').unwrap().0;
    let page = response.text();
    for tag in ["style", "script"] {
        assert!(page.contains(&format!("<{tag} nonce=\"{nonce}\">")));
        assert_eq!(page.matches(&format!("<{tag}")).count(), 1);
    }
    assert_ne!(admin.get("/").text(), page);
}

#[test]
fn head_has_the_header_of_get_and_no_body() {
    let (pool, _socket, _) = Pool::on_unix(1);
    let admin = Admin::of(&pool.pid_file());
    for path in PATHS {
        let get = admin.get(path);
        let head = admin.request("HEAD", path, &["Host: localhost"]);
        assert_eq!((get.status, head.status), (200, 200), "{path}");
        assert!(head.body.is_empty(), "{path}");
        assert_eq!(get.header("content-type"), head.header("content-type"));
        assert_eq!(get.header("content-length"), [get.body.len().to_string()]);
        assert_eq!(head.header("content-length").len(), 1, "{path}");
        for name in ["x-content-type-options", "cache-control", "x-frame-options"] {
            assert_eq!(head.header(name).len(), 1, "{path} {name}");
        }
    }
}

#[test]
fn nothing_can_be_changed_and_other_paths_do_not_exist() {
    let (pool, _socket, _) = Pool::on_unix(1);
    let admin = Admin::of(&pool.pid_file());
    for path in PATHS {
        for method in ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "BREW"] {
            let response = admin.request(method, path, &["Host: localhost"]);
            assert_eq!(response.status, 405, "{method} {path}");
            assert_eq!(response.header("allow"), ["GET, HEAD"]);
        }
    }
    // The response arrives although the body is not read.
    let body = [
        &head("POST", "/", &["Host: localhost", "Content-Length: 60000"]),
        &*"x".repeat(60_000),
    ];
    let response = crate::web::send(&admin.address, body.concat().as_bytes());
    assert_eq!(response.status, 405);
    for path in [
        "/x",
        "/status",
        "/metrics/",
        "//",
        "/../etc/passwd",
        "/%2e%2e/",
        "/favicon.ico",
    ] {
        assert_eq!(admin.get(path).status, 404, "{path}");
    }
    assert_eq!(admin.get("/healthz?verbose").status, 200);
    for bytes in [
        "x\r\n\r\n",
        "GET / HTTP/1.1\r\nHost\r\n\r\n",
        "\x16\x03\x01\r\n\r\n",
    ] {
        assert_eq!(
            crate::web::send(&admin.address, bytes.as_bytes()).status,
            400
        );
    }
}

#[test]
fn a_unix_socket_has_its_mode_and_is_removed_at_the_end() {
    let (pool, folder, _) = Pool::on_unix(1);
    let path = folder.path().join("admin.sock");
    let place = path.to_str().unwrap();
    // A socket that nobody listens on any more is replaced.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    for (mode, bits) in [("0600", 0o600), ("0666", 0o666)] {
        let mut admin = Admin::with(&["--listen", place, "--socket-mode", mode, &pool.pid_file()]);
        assert_eq!(admin.address, format!("unix:{place}"));
        let file = fs::symlink_metadata(&path).unwrap();
        assert!(file.file_type().is_socket());
        assert_eq!(file.permissions().mode() & 0o777, bits);
        let mut stream = UnixStream::connect(&path).unwrap();
        stream
            .write_all(head("GET", "/readyz", &["Host: localhost"]).as_bytes())
            .unwrap();
        let response = parse(&drain(stream), false);
        assert_eq!(
            (response.status, &*response.text()),
            (200, "ready: 1 of 1 worker\n")
        );
        let second = fcgipm(&["admin", "--listen", place, &pool.pid_file()], b"");
        assert_eq!(second.status.code(), Some(1));
        assert!(
            String::from_utf8_lossy(&second.stderr).contains("in use by"),
            "{second:?}"
        );
        signal("TERM", admin.child.id());
        assert_eq!(admin.child.wait().unwrap().code(), Some(0));
        assert!(!path.exists());
    }
    for (arguments, status, reason) in [
        (
            &["--listen", place, "--socket-mode", "rw"][..],
            1,
            "--socket-mode rw: not permissions",
        ),
        (&["--listen", "nothing"], 2, "not HOST:PORT"),
        (
            &["--listen", "/missing/dir/socket"],
            1,
            "/missing/dir/socket",
        ),
    ] {
        let output = fcgipm(&[&["admin"], arguments, &["1"]].concat(), b"");
        assert_eq!(output.status.code(), Some(status), "{output:?}");
        assert!(
            String::from_utf8_lossy(&output.stderr).contains(reason),
            "{output:?}"
        );
    }
}

#[test]
fn everything_is_answered_while_the_manager_and_all_workers_are_stopped() {
    let (pool, _socket, address) = Pool::on_unix(2);
    let admin = Admin::of(&address);
    let (mut client, _gate) = pool.paused(&address, "/pause");
    pool.stop_all();
    for path in PATHS {
        assert_eq!(admin.get(path).status, 200, "{path}");
    }
    let _queued = UnixStream::connect(&address).unwrap();
    admin.wait_for("/status.json", 200, "\"listen_queue\": 1");
    let metrics = admin.metrics();
    assert!(
        metrics.contains("fcgipm_workers{pool=\"default\",state=\"busy\"} 1\n"),
        "{metrics}"
    );
    client.kill().unwrap();
    client.wait().unwrap();
}

#[test]
fn random_bytes_from_a_worker_do_no_harm() {
    let (pool, _socket, _) = Pool::on_unix(2);
    let admin = Admin::of(&pool.pid_file());
    pool.stop_all();
    let memory = pool.region(pool.workers[0]);
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let until = Instant::now() + LIMIT;
    for _ in 0..20 {
        let mut garbage = vec![0; RECORDS];
        for byte in &mut garbage {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            *byte = (state >> 56) as u8;
        }
        memory.write(&garbage);
        loop {
            let report = admin.json();
            let workers = report["workers"].as_array().unwrap();
            let bad = workers
                .iter()
                .find(|w| w["pid"] == pool.workers[0])
                .unwrap();
            if bad["state"] == "unknown" {
                break;
            }
            assert!(Instant::now() < until, "{report:#}");
        }
        let metrics = admin.metrics();
        assert!(
            metrics.contains("fcgipm_requests_total{pool=\"default\"} 0\n"),
            "{metrics}"
        );
        assert_eq!(admin.get("/readyz").status, 200);
    }
}
