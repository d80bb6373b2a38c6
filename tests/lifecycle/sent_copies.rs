//! A worker that is killed for its request, under a filter that refuses pidfd_getfd(2): the worker itself
//! sends its connection to the manager, and the client receives the end of a response.

use std::collections::BTreeSet;
use std::process::Command;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::filtered::forbid;
use super::hostile_workers::{assert_ends_promptly, open_files, pool_as};
use super::peer::connection::LIMIT;
use super::peer::pool::{Pool, call, command, followed_by};
use super::peer::program::{Program, TRANSPORTS, Transport, guardian_of, product, unused};
use super::peer::records::END;

const LIMITS: [(&str, &str); 2] = [
    ("FCGIPM_REQUEST_TIMEOUT", "0.2"),
    ("FCGIPM_REQUEST_TIMEOUT_GRACE", "0.1"),
];

fn filter(command: &mut Command) {
    let refuse = libc::SECCOMP_RET_ERRNO | libc::EPERM as u32;
    forbid(command, &[libc::SYS_pidfd_getfd], refuse);
}

fn filtered(transport: Transport, workers: usize) -> Pool {
    let (mut command, gate) = command(workers, &LIMITS);
    filter(&mut command);
    Pool::ready(Program::start(command, transport), gate, workers)
}

#[test]
fn the_client_receives_a_504() {
    for transport in TRANSPORTS {
        for keep in [false, true] {
            let mut pool = filtered(transport, 1);
            let mut stubborn = pool.program.connect();
            stubborn.send(&call("/stubborn").keep(keep).bytes());
            let response = stubborn.response();
            let text = response.text();
            assert!(
                text.starts_with("Status: 504 Gateway Timeout\r\n"),
                "{text}"
            );
            assert_eq!(response.app_status, 137);
            stubborn.assert_closed();
            let _ = pool.next_ready();
            assert!(pool.program.call(&call("/")).text().contains("Hello"));
        }
    }
}

#[test]
fn a_response_that_has_begun_is_ended() {
    for transport in TRANSPORTS {
        let pool = filtered(transport, 1);
        let mut stubborn = pool.program.connect();
        stubborn.send(&call("/stubborn?n=100000").bytes());
        let response = stubborn.response();
        let text = response.text();
        let (_, body) = text.split_once("\r\n\r\n").unwrap();
        assert_eq!(body, "x".repeat(100_000));
        assert_eq!(response.records.last().unwrap().kind, END);
        assert_eq!(response.app_status, 137);
        stubborn.assert_closed();
    }
}

#[test]
fn each_of_many_clients_receives_a_504() {
    const WORKERS: usize = 8;
    let pool = filtered(Transport::Unix, WORKERS);
    let mut clients: Vec<_> = (0..WORKERS).map(|_| pool.program.connect()).collect();
    for client in &mut clients {
        client.send(&call("/stubborn").bytes());
    }
    for client in &mut clients {
        assert!(client.response().text().contains("504"));
    }
}

/// The workers after a reload of the program are forked by its template.
#[test]
fn the_client_of_a_worker_of_a_template_receives_a_504() {
    let mut pool = filtered(Transport::Unix, 1);
    pool.program.signal(Signal::SIGUSR2);
    pool.program.line("reload done");
    let mut stubborn = pool.program.connect();
    stubborn.send(&call("/stubborn").bytes());
    assert!(stubborn.response().text().contains("504"));
}

/// perl runs its handlers only after the call of crypt(3); that of the library runs meanwhile.
#[test]
fn the_client_of_a_perl_program_receives_a_504() {
    const PROGRAM: &str = r#"
        use FCGIPM;
        use FCGIPM::ProcManager;
        my $request = FCGIPM::Request(\*STDIN, \*STDOUT, \*STDERR, \%ENV, FCGIPM::OpenSocket('fd:0', 100));
        FCGIPM::ProcManager->new({ n_processes => 1 })->pm_manage;
        while ($request->Accept >= 0) {
            my $word = 'x';
            crypt $word, '$6$rounds=999999999$salt' if $ENV{PATH_INFO} eq '/stubborn';
            print "Content-Type: text/plain\r\n\r\nHello";
        }"#;
    product("libfcgipm.so");
    let modules = concat!(env!("CARGO_MANIFEST_DIR"), "/bindings/perl/lib");
    for transport in TRANSPORTS {
        let mut perl = Command::new("perl");
        perl.args([&format!("-I{modules}"), "-we", PROGRAM])
            .envs(LIMITS);
        filter(&mut perl);
        let mut program = Program::start(perl, transport);
        program.line("initialized");
        let mut stubborn = program.connect();
        stubborn.send(&call("/stubborn").bytes());
        assert!(stubborn.response().text().contains("504"));
        stubborn.assert_closed();
        assert!(program.call(&call("/")).text().contains("Hello"));
    }
}

/// The program's copy of the library gets the connection by FCGIPM_WORKER.
#[test]
fn the_client_of_a_program_of_fcgipm_run_receives_a_504() {
    let address = unused(Transport::Unix);
    let (hello, gate) = command(1, &[]);
    let mut run = Command::new(product("fcgipm"));
    run.args(["run", "--workers", "1", "--listen", &address.text()])
        .args(["--request-timeout", "0.2", "--request-timeout-grace", "0.1"])
        .arg("--");
    let mut run = followed_by(run, &hello);
    run.env_remove("FCGIPM_N_PROCESSES");
    filter(&mut run);
    let program = Program::start_opening(run, address.clone());
    let mut pool = Pool::ready(program, gate, 1);
    let mut stubborn = pool.program.connect();
    stubborn.send(&call("/stubborn").bytes());
    assert!(stubborn.response().text().contains("504"));
    let _ = pool.next_ready();
    assert!(pool.program.call(&call("/")).text().contains("Hello"));
    pool.program.signal(Signal::SIGTERM);
    assert_eq!(pool.program.wait().code(), Some(0));
    address.remove();
}

#[test]
fn a_worker_that_blocks_all_signals_is_killed_without_an_answer() {
    let mut pool = pool_as(filter, Transport::Unix, 1, &LIMITS);
    let mut blocked = pool.program.connect();
    blocked.send(&call("/block").bytes());
    blocked.assert_closed();
    let _ = pool.next_ready();
    assert!(pool.program.call(&call("/")).text().ends_with(" 0\n"));
    assert_ends_promptly(pool, "a worker that blocks all signals");
}

#[test]
fn what_a_hostile_worker_sends_is_closed_and_does_not_block_the_manager() {
    let mut pool = pool_as(filter, Transport::Unix, 1, &LIMITS);
    assert!(pool.program.call(&call("/")).text().ends_with(" 0\n"));
    let manager = pool.program.pid();
    // It has a connection to its guardian.
    guardian_of(manager, 1, &[]);
    let before = open_files(manager);
    for _ in 0..3 {
        let mut hostile = pool.program.connect();
        hostile.send(&call("/copies").bytes());
        hostile.assert_closed();
        let _ = pool.next_ready();
        assert!(pool.program.call(&call("/")).text().ends_with(" 0\n"));
    }
    let begin = Instant::now();
    while open_files(manager).len() != before.len() {
        assert!(
            begin.elapsed() < LIMIT,
            "{before:?} {:?}",
            open_files(manager)
        );
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_ends_promptly(pool, "descriptors of a hostile worker");
}

/// The sockets of a process that keep the boundaries of messages.
fn packet_sockets(pid: i32) -> usize {
    let table = std::fs::read_to_string("/proc/net/unix").unwrap();
    let packets: BTreeSet<_> = table
        .lines()
        .filter_map(|line| {
            let fields: Vec<_> = line.split_whitespace().collect();
            (fields.get(4) == Some(&"0005")).then(|| format!("socket:[{}]", fields[6]))
        })
        .collect();
    let files = open_files(pid);
    files.iter().filter(|file| packets.contains(*file)).count()
}

#[test]
fn only_where_the_call_is_refused_do_workers_have_the_connection() {
    let pool = filtered(Transport::Unix, 2);
    assert_eq!(packet_sockets(pool.program.pid()), 2);
    for worker in &pool.workers {
        assert_eq!(packet_sockets(*worker), 1);
    }
    pool.stop();
    let pool = Pool::start(Transport::Unix, 2, &LIMITS);
    assert_eq!(packet_sockets(pool.program.pid()), 0);
    for worker in &pool.workers {
        assert_eq!(packet_sockets(*worker), 0);
    }
    pool.stop();
}
