//! System calls per request, counted by strace with the manager attached.

use std::collections::BTreeMap;
use std::process::Command;

use nix::sys::signal::Signal;

use super::disconnected::hold_for_long;
use super::peer::pool::followed_by;
use super::peer::program::{
    Program, TRANSPORTS, Transport, compiled, context_switches, folder, guardian_of,
    wait_until_asleep,
};
use super::peer::records::Request;
use super::{Pool, ask_keep_alive, call, command};

/// A path of the example that makes no system call of its own.
pub(super) const PLAIN: &str = "/headers?n=1";

/// Without the check for disconnected clients, which follows a long request.
const NO_DISCONNECT_CHECK: [(&str, &str); 1] = [("FCGIPM_SKIP_DISCONNECTED", "no")];

/// A pool whose processes write their system calls to a file, and that file.
pub(super) fn traced(
    transport: Transport,
    workers: usize,
    options: &[(&str, &str)],
) -> (Pool, std::path::PathBuf) {
    let (plain, gate) = command(workers, options);
    let trace = folder().join("trace");
    let mut command = Command::new("strace");
    // The tracer is a grandchild, so the child is the program itself.
    command.args(["-D", "-f", "-qq", "-o"]).arg(&trace);
    let command = followed_by(command, &plain);
    let pool = Pool::ready(Program::start(command, transport), gate, workers);
    // Once it exists, the next request of each worker has one additional system call.
    guardian_of(pool.program.pid(), workers, &[]);
    (pool, trace)
}

/// Stops a pool, and returns its trace.
pub(super) fn stop_traced(pool: Pool, trace: &std::path::Path) -> String {
    pool.program.signal(Signal::SIGTERM);
    trace_to_end(pool, trace)
}

/// The trace of a pool that stops.
pub(super) fn trace_to_end(mut pool: Pool, trace: &std::path::Path) -> String {
    pool.program.wait();
    // The tracer has the same standard error, which ends when the tracer exits.
    pool.program.all_lines();
    let text = std::fs::read_to_string(trace).unwrap();
    std::fs::remove_dir_all(trace.parent().unwrap()).unwrap();
    text
}

/// Stops a pool, and returns the calls of one of its processes.
pub(super) fn calls(pool: Pool, trace: &std::path::Path, pid: i32) -> Vec<String> {
    calls_of(&stop_traced(pool, trace), pid)
}

/// The calls of a process in a trace, in order: "name", or "name=-1" for a call that failed.
pub(super) fn calls_of(text: &str, pid: i32) -> Vec<String> {
    let mut names = Vec::new();
    for line in text.lines() {
        let Some((of, rest)) = line.split_once(' ') else {
            continue;
        };
        let rest = rest.trim_start();
        if of.parse() != Ok(pid) || rest.starts_with(['<', '-', '+']) {
            continue;
        }
        let name = rest.split('(').next().unwrap();
        names.push(if rest.contains(" = -1 ") {
            format!("{name}=-1")
        } else {
            name.to_owned()
        });
    }
    names
}

fn count(calls: &[String]) -> BTreeMap<&str, usize> {
    let mut counts = BTreeMap::new();
    for call in calls {
        *counts.entry(call.as_str()).or_insert(0) += 1;
    }
    counts
}

/// The calls of a traced worker for N requests and after them. The requests are complete in the
/// listen queue while the worker is held, so it never has to wait.
fn calls_for_queued(
    (pool, trace): (Pool, std::path::PathBuf),
    request: &[u8],
    count: usize,
    expect: &str,
) -> Vec<String> {
    let mut held = pool.paused(false);
    let gate = pool.gate();
    let mut queued: Vec<_> = (0..count).map(|_| pool.program.connect()).collect();
    queued
        .iter_mut()
        .for_each(|connection| connection.send(request));
    hold_for_long();
    drop(gate);
    held.response();
    for connection in &mut queued {
        assert!(connection.response().text().contains(expect));
        connection.assert_closed();
    }
    let worker = pool.workers[0];
    let mut calls = calls(pool, &trace, worker);
    // One of a worker's first requests has another one, when its guardian has started.
    if let Some(place) = calls.iter().rposition(|name| name == "prctl") {
        calls.remove(place);
    }
    // The last read(2) is that of the gate.
    let gate_read = calls.iter().rposition(|name| name == "read").unwrap();
    let accept = calls[gate_read..].iter().position(|name| name == "accept4");
    calls[gate_read + accept.unwrap()..].to_vec()
}

/// A small request costs these calls, after some preparation.
fn assert_costs(options: &[(&str, &str)], prepare: impl Fn(&Pool), each: &[&str]) {
    const REQUESTS: usize = 50;
    let request = call(PLAIN).bytes();
    for transport in TRANSPORTS {
        let worker = traced(transport, 1, options);
        prepare(&worker.0);
        let calls = calls_for_queued(worker, &request, REQUESTS, "1 headers");
        let served = &calls[..each.len() * REQUESTS];
        assert!(
            served.chunks(each.len()).all(|request| request == each),
            "{transport:?}: {:?}",
            count(served)
        );
    }
}

#[test]
fn a_small_request_on_a_new_connection_costs_four_system_calls() {
    let each = ["accept4", "recvfrom", "sendto", "close"];
    assert_costs(&NO_DISCONNECT_CHECK, |_| (), &each);
}

/// A line costs none, but for the notification of the manager by the first one in an empty ring. The
/// processor time and the memory of the JSON format cost one.
#[test]
fn the_access_log_costs_at_most_one_system_call() {
    const REQUESTS: usize = 50;
    let folder = folder();
    let file = folder.join("log");
    for (format, each) in [
        (
            "%R \"%m %r\" %s",
            &["accept4", "recvfrom", "sendto", "close"][..],
        ),
        (
            "json",
            &["accept4", "recvfrom", "sendto", "getrusage", "close"],
        ),
    ] {
        let options = [
            NO_DISCONNECT_CHECK[0],
            ("FCGIPM_ACCESS_LOG", file.to_str().unwrap()),
            ("FCGIPM_ACCESS_FORMAT", format),
        ];
        let worker = traced(Transport::Unix, 1, &options);
        let request = call(PLAIN).bytes();
        let mut calls = calls_for_queued(worker, &request, REQUESTS, "1 headers");
        let all = calls.len();
        calls.retain(|name| !name.starts_with("write"));
        // A traced worker is slow, and the manager takes lines every 250 ms.
        assert!(
            all - calls.len() < REQUESTS / 2,
            "{format}: {}",
            all - calls.len()
        );
        let served = &calls[..each.len() * REQUESTS];
        assert!(
            served.chunks(each.len()).all(|request| request == each),
            "{format}: {:?}",
            count(served)
        );
    }
    std::fs::remove_dir_all(folder).unwrap();
}

/// A worker that has had a keep-alive connection waits in epoll, but not for connections that are
/// already in the queue.
#[test]
fn a_small_request_costs_the_same_after_the_last_keep_alive_connection_has_closed() {
    let each = ["accept4", "recvfrom", "sendto", "close"];
    let prepare = |pool: &Pool| {
        let mut kept = pool.program.connect();
        ask_keep_alive(&mut kept).unwrap();
    };
    assert_costs(&NO_DISCONNECT_CHECK, prepare, &each);
}

#[test]
fn a_connection_wakes_only_one_of_several_workers_in_epoll() {
    const WORKERS: usize = 4;
    const REQUESTS: u64 = 200;
    for transport in TRANSPORTS {
        let pool = Pool::start(transport, WORKERS, &[]);
        // A worker that has a keep-alive connection waits in epoll.
        let mut kept: Vec<_> = (0..WORKERS).map(|_| pool.paused(true)).collect();
        let gate = pool.let_through(WORKERS);
        kept.iter_mut()
            .for_each(|connection| drop(connection.response()));
        drop(gate);
        let waits_of = |worker: &i32| context_switches(*worker)[0];
        let waits = || pool.workers.iter().map(waits_of).sum::<u64>();
        let before = waits();
        for _ in 0..REQUESTS {
            pool.program.call(&call(PLAIN));
        }
        // The worker that serves may wait twice: for the connection, and for its data.
        let each = (waits() - before) as f64 / REQUESTS as f64;
        println!("measured: waits for a connection, {WORKERS} workers, {transport:?}: {each}");
        assert!(each < 2.5, "{transport:?}: {each}");
        pool.stop();
    }
}

/// After a long request, the clients in the queue may have disconnected.
#[test]
fn a_small_request_after_a_long_one_costs_one_more_system_call() {
    let each = ["accept4", "poll", "recvfrom", "sendto", "close"];
    assert_costs(&[], |_| (), &each);
}

#[test]
fn a_small_request_on_a_keep_alive_connection_costs_three_system_calls() {
    const REQUESTS: usize = 50;
    for transport in TRANSPORTS {
        let (pool, trace) = traced(transport, 1, &[]);
        let mut kept = pool.program.connect();
        for _ in 0..REQUESTS + 2 {
            kept.call(&call(PLAIN).keep(true));
        }
        let worker = pool.workers[0];
        let calls = calls(pool, &trace, worker);
        let last = calls.iter().rposition(|name| name == "sendto").unwrap();
        let served = &calls[last + 1 - 3 * REQUESTS..=last];
        let each = ["epoll_wait", "recvfrom", "sendto"];
        assert!(
            served.chunks(3).all(|request| request == each),
            "{transport:?}: {:?}",
            count(served)
        );
    }
}

#[test]
fn a_large_body_that_has_arrived_costs_a_system_call_per_64_kib() {
    const REQUESTS: usize = 20;
    // It fits into the buffer of a unix socket, so all of it can wait in the queue.
    let request = call("/hash").body([b'x'; 150_000]).bytes();
    let worker = traced(Transport::Unix, 1, &NO_DISCONNECT_CHECK);
    let calls = calls_for_queued(worker, &request, REQUESTS, "150000");
    // The first read returns the parameters too, and the last one the end.
    let each = [
        "accept4", "recvfrom", "recvmsg", "recvmsg", "sendto", "close",
    ];
    let served = &calls[..each.len() * REQUESTS];
    assert!(
        served.chunks(each.len()).all(|request| request == each),
        "{:?}",
        count(served)
    );
}

/// The number of allocations since the previous answer.
fn allocations(answer: &str) -> u64 {
    let (count, _) = answer.split_once(" allocations since").unwrap();
    count.parse().unwrap()
}

/// A pool of one worker that counts its allocations.
fn counting(transport: Transport, options: &[(&str, &str)]) -> Pool {
    let gate = folder().join("gate");
    nix::unistd::mkfifo(&gate, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let mut command = Command::new(compiled("lifecycle/counted_allocations.c"));
    command.env("FCGIPM_N_PROCESSES", "1").env("GATE", &gate);
    command.envs(options.iter().copied());
    Pool::ready(Program::start(command, transport), gate, 1)
}

/// Twenty requests: without a body, and with a body that does not fit into the buffers of a socket.
fn requests() -> impl Iterator<Item = Request> {
    let both = || [call(PLAIN), call(PLAIN).body(vec![b'x'; 200_000])];
    (0..10).flat_map(move |_| both())
}

fn assert_steady(counts: &[u64], what: &str) {
    assert!(counts[..4].iter().sum::<u64>() > 0, "nothing was counted");
    let steady = &counts[counts.len() / 2..];
    assert!(steady.iter().all(|&count| count == 0), "{what}: {counts:?}");
}

/// For requests with parameters in two forms, a body and an answer, through the C ABI.
#[test]
fn in_the_steady_state_nothing_is_allocated() {
    for transport in TRANSPORTS {
        assert_nothing_is_allocated(transport, &[]);
    }
}

#[test]
fn in_the_steady_state_nothing_is_allocated_for_the_access_log() {
    for format in ["%R %t %{iso}T \"%m %r%Q%q\" %s", "json"] {
        let folder = folder();
        let file = folder.join("log");
        let options = [
            ("FCGIPM_ACCESS_LOG", file.to_str().unwrap()),
            ("FCGIPM_ACCESS_FORMAT", format),
        ];
        assert_nothing_is_allocated(Transport::Unix, &options);
        std::fs::remove_dir_all(folder).unwrap();
    }
}

fn assert_nothing_is_allocated(transport: Transport, options: &[(&str, &str)]) {
    /// It fits into the buffer of either kind of socket.
    const BEGINNING: usize = 4096;
    let pool = counting(transport, options);
    // They have sent data before they are accepted, so none is parked, even on a slow machine.
    let mut held = pool.paused(false);
    let gate = pool.gate();
    let queued = requests().map(|request| {
        let mut bytes = request.bytes();
        let rest = bytes.split_off(bytes.len().min(BEGINNING));
        let mut connection = pool.program.connect();
        connection.send(&bytes);
        (connection, rest)
    });
    let queued: Vec<_> = queued.collect();
    drop(gate);
    let mut counts = vec![allocations(&held.response().text())];
    for (mut connection, rest) in queued {
        connection.send(&rest);
        counts.push(allocations(&connection.response().text()));
        connection.assert_closed();
    }
    assert_steady(&counts, &format!("{transport:?}, {options:?}"));
    pool.stop();
}

/// With those, a new connection that has not sent anything when it is accepted is parked.
#[test]
fn in_the_steady_state_nothing_is_allocated_beside_keep_alive_connections() {
    for transport in TRANSPORTS {
        let pool = counting(transport, &[]);
        let mut kept: Vec<_> = (0..3).map(|_| pool.program.connect()).collect();
        let mut counts = Vec::new();
        for request in requests() {
            for connection in &mut kept {
                let response = connection.call(&request.clone().keep(true));
                counts.push(allocations(&response.text()));
            }
            let mut alone = pool.program.connect();
            wait_until_asleep(pool.workers[0]);
            alone.send(&request.bytes());
            counts.push(allocations(&alone.response().text()));
            alone.assert_closed();
        }
        assert_steady(&counts, &format!("{transport:?}"));
        pool.stop();
    }
}
