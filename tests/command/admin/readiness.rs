use std::fs::{self, File};
use std::os::unix::net::UnixListener;

use super::Admin;
use crate::managed::{Pool, signal};
use crate::run::{Run, fifo, hello};

#[test]
fn a_pool_that_stops_is_not_ready() {
    let (pool, _socket, address) = Pool::on_unix(2);
    let admin = Admin::of(&pool.pid_file());
    assert_eq!(admin.get("/readyz").text(), "ready: 2 of 2 workers\n");
    let (_client, _gate) = pool.paused(&address, "/pause");
    signal("TERM", pool.pid());
    pool.line("stopping");
    let response = admin.wait_for("/readyz", 503, "stopping");
    assert_eq!(response.text(), "not ready: the pool is stopping\n");
    assert_eq!(
        response.header("content-type"),
        ["text/plain; charset=utf-8"]
    );
    let metrics = admin.metrics();
    for line in [
        "fcgipm_ready{pool=\"default\"} 0\n",
        "fcgipm_stopping{pool=\"default\"} 1\n",
    ] {
        assert!(metrics.contains(line), "{metrics}");
    }
    assert_eq!(admin.get("/healthz").status, 200);
}

#[test]
fn a_pool_that_drains_is_not_ready() {
    let mut run = Run::pool(&["--drain-delay", "60"], &[&hello(), "fd:0"]);
    run.ready();
    let admin = Admin::of(&run.address());
    assert_eq!(admin.get("/readyz").status, 200);
    run.signal("TERM");
    run.line("draining");
    let response = admin.wait_for("/readyz", 503, "draining");
    assert_eq!(response.text(), "not ready: the pool is draining\n");
    assert!(
        admin
            .metrics()
            .contains("fcgipm_draining{pool=\"default\"} 1\n")
    );
    run.signal("INT");
    assert_eq!(run.end().0.code(), Some(0));
    let response = admin.wait_for("/readyz", 503, "nothing listens on");
    assert_eq!(response.header("cache-control"), ["no-store"]);
}

#[test]
fn a_pool_without_a_ready_worker_is_not_ready() {
    let folder = tempfile::tempdir().unwrap();
    let gate = fifo(&folder);
    let address = crate::run::address(&folder);
    let admin = Admin::of(&address);
    admin.error_line(&address);
    let response = admin.get("/status.json");
    assert_eq!(response.status, 503);
    assert!(response.text().contains("\"error\""), "{}", response.text());
    assert!(admin.metrics().contains("fcgipm_up{pool=\"default\"} 0\n"));
    assert_eq!(admin.get("/healthz").status, 200);
    let start = format!("exec 3<{gate}");
    let environment = [("HELLO_START", &*start)];
    let mut run = Run::pool_by(folder, &[], &[], &[&hello(), "fd:0"], &environment);
    run.line(") started");
    let reason = "not ready: none of 1 worker is ready, 1 starting\n";
    admin.wait_for("/readyz", 503, reason);
    admin.error_line("can be read again");
    drop(File::options().write(true).open(&gate).unwrap());
    admin.wait_for("/readyz", 200, "ready: 1 of 1 worker\n");
    run.stop();
}

#[test]
fn a_manager_that_restarts_is_found_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (pid_file, address) = (path("pid"), path("socket"));
    let listener = UnixListener::bind(&address).unwrap();
    let start = || {
        let pool = Pool::start(listener.try_clone().unwrap(), 1);
        fs::write(&pid_file, pool.pid().to_string()).unwrap();
        pool
    };
    let mut pool = start();
    let admins = [Admin::of(&pid_file), Admin::of(&address)];
    for _ in 0..3 {
        let manager = format!("\"manager\": {},", pool.pid());
        for admin in &admins {
            admin.wait_for("/status.json", 200, &manager);
            admin.wait_for("/readyz", 200, "ready: 1 of 1 worker\n");
        }
        drop(pool);
        for admin in &admins {
            admin.wait_for("/readyz", 503, "not ready: ");
            admin.wait_for("/status.json", 503, "\"error\"");
            admin.wait_for("/metrics", 200, "fcgipm_up{pool=\"default\"} 0\n");
        }
        pool = start();
    }
}
