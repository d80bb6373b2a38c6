//! The memory of large pools, and for large bodies.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};

use nix::sys::signal::Signal;

use super::peer::connection::Address;
use super::peer::program::{TRANSPORTS, Transport, compiled};
use super::peer::records::*;
use super::{Pool, ask_keep_alive, call};

const GIB: usize = 1 << 30;

/// Memory that a process shares with no other, in KiB.
fn private(pid: i32) -> u64 {
    let rollup = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
    let field = |name: &str| -> u64 {
        let line = rollup.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    };
    field("Private_Clean:") + field("Private_Dirty:")
}

/// The private memory of a forked child that only waits, in a program with the same libraries.
fn bare_fork() -> u64 {
    let mut child = Command::new(compiled("lifecycle/bare_fork.c"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut text = [0; 16];
    let count = child.stdout.as_mut().unwrap().read(&mut text).unwrap();
    let pid = std::str::from_utf8(&text[..count])
        .unwrap()
        .trim()
        .parse()
        .unwrap();
    let private = private(pid);
    drop(child.stdin.take());
    child.wait().unwrap();
    private
}

#[test]
fn five_hundred_workers_start_serve_reload_and_stop_with_little_memory() {
    let mut pool = Pool::start(Transport::Unix, 500, &[]);
    for _ in 0..2_000 {
        assert!(pool.program.call(&call("/")).text().contains("Hello"));
    }
    let baseline = bare_fork();
    let mut most = 0;
    for pid in &pool.workers {
        most = most.max(private(*pid));
    }
    println!("measured: 500 workers: at most {most} KiB private, a bare fork has {baseline} KiB");
    assert!(
        most - baseline.min(most) < 256,
        "{most} KiB, a bare fork has {baseline} KiB"
    );
    pool.program.signal(Signal::SIGHUP);
    pool.program.line("reload done");
    assert!(pool.program.call(&call("/")).text().contains("Hello"));
    pool.stop();
}

#[test]
fn a_worker_with_a_hundred_keep_alive_connections_needs_little_memory() {
    let pool = Pool::start(Transport::Unix, 1, &[]);
    let mut kept: Vec<_> = (0..100).map(|_| pool.program.connect()).collect();
    kept.iter_mut()
        .for_each(|connection| ask_keep_alive(connection).unwrap());
    kept.iter_mut()
        .for_each(|connection| ask_keep_alive(connection).unwrap());
    let (now, baseline) = (private(pool.workers[0]), bare_fork());
    println!(
        "measured: 100 keep-alive connections: {now} KiB private, a bare fork has {baseline} KiB"
    );
    assert!(
        now - baseline.min(now) < 256,
        "{now} KiB, a bare fork has {baseline} KiB"
    );
    pool.stop();
}

/// The maximum resident memory of a process so far, in KiB.
fn peak(pid: i32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmHWM:"))
        .unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn a_body_of_a_gibibyte_grows_the_worker_by_less_than_a_mebibyte() {
    let pool = Pool::start(Transport::Unix, 1, &[]);
    let worker = pool.workers[0];
    // Smaller ones first, to allocate what every request needs.
    let warm = vec![b'x'; 200_000];
    for _ in 0..3 {
        pool.program.call(&call("/hash").body(&warm));
    }
    let before = peak(worker);
    let mut connection = pool.program.connect();
    connection.send(
        &call("/hash")
            .param("CONTENT_LENGTH", GIB.to_string())
            .head(),
    );
    let part = record(STDIN, ID, &[b'x'; 32_768]).repeat(32);
    for _ in 0..GIB >> 20 {
        connection.send(&part);
    }
    connection.send(&record(STDIN, ID, &[]));
    assert!(connection.response().text().contains("1073741824 "));
    let grown = peak(worker) - before;
    println!("measured: 1 GiB read: {grown} KiB more at the peak");
    assert!(grown < 1_024, "{grown} KiB more");
    pool.stop();
}

#[test]
fn a_response_of_a_gibibyte_grows_the_worker_by_less_than_a_mebibyte() {
    let pool = Pool::start(TRANSPORTS[0], 1, &[]);
    let worker = pool.workers[0];
    for _ in 0..3 {
        pool.program.call(&call("/bytes?n=200000"));
    }
    let before = peak(worker);
    let Address::Unix(path) = &pool.program.address else {
        panic!("not a unix socket")
    };
    let mut socket = UnixStream::connect(path).unwrap();
    socket
        .write_all(&call(&format!("/bytes?n={GIB}")).bytes())
        .unwrap();
    let (mut total, mut tail, mut buffer) = (0, Vec::new(), vec![0; 1 << 18]);
    loop {
        let count = socket.read(&mut buffer).unwrap();
        if count == 0 {
            break;
        }
        total += count;
        tail.extend_from_slice(&buffer[count.saturating_sub(16)..count]);
        tail.drain(..tail.len().saturating_sub(16));
    }
    assert!(total > GIB, "{total} bytes");
    assert_eq!(tail, [1, END, 0, 1, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    let grown = peak(worker) - before;
    println!("measured: 1 GiB written: {grown} KiB more at the peak");
    assert!(grown < 1_024, "{grown} KiB more");
    pool.stop();
}
