//! Threads that share a listening socket, each with its own FCGX_Request.

use std::process::Command;

use nix::sys::signal::Signal;

use crate::peer::connection::Address;
use crate::peer::records::{Request, request};
use crate::place;
use crate::side::{Side, built};

const CLIENTS: usize = 16;
const REQUESTS: usize = 50;

type Answer = (Vec<u8>, Vec<u8>, u32);

fn asked(client: usize, number: usize) -> Request {
    let mark = client * 1000 + number;
    let body: Vec<u8> = (0..number * 400)
        .map(|n| ((n + mark) * 7 % 251) as u8)
        .collect();
    request(&format!("/{mark}?{}", number * number * 30))
        .param("MARK", mark.to_string().repeat(number + 1))
        .body(body)
}

/// Every client sends its requests one by one, with `keeps` on one connection.
fn answers(address: &Address, keeps: bool) -> Vec<Answer> {
    let one = |client: usize| -> Vec<Answer> {
        let mut kept = keeps.then(|| address.connect());
        let requests = (0..REQUESTS).map(|number| asked(client, number));
        let responses = requests.map(|request| match &mut kept {
            Some(connection) => connection.call(&request.keep(true)),
            None => address.call(&request),
        });
        responses
            .map(|r| (r.stdout, r.stderr, r.app_status))
            .collect()
    };
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| scope.spawn(move || one(client)))
            .collect();
        clients
            .into_iter()
            .flat_map(|client| client.join().unwrap())
            .collect()
    })
}

fn same(threads: usize, has_lock: bool) {
    let folder = place::folder();
    let run = |side: Side, keeps: bool| {
        let mut command = Command::new(built("threads.c", &[]));
        command.arg(threads.to_string());
        if has_lock {
            command.arg("lock");
        }
        let mut program = side.start(command, &folder.path().join("socket"));
        let answers = answers(&program.address, keeps);
        side.assert_loaded(program.pid());
        if side == Side::DropIn {
            // All threads return from accept, and the program exits.
            program.signal(Signal::SIGTERM);
            assert_eq!(program.wait().code(), Some(0));
        }
        answers
    };
    let stock = run(Side::Stock, false);
    assert_eq!(stock.len(), CLIENTS * REQUESTS);
    let first = String::from_utf8_lossy(&stock[7].0);
    assert!(first.contains("\nPATH_INFO=/7\n"), "{first:.300}");
    for keeps in [false, true] {
        let ours = run(Side::DropIn, keeps);
        for (number, (a, b)) in stock.iter().zip(&ours).enumerate() {
            assert!(
                a == b,
                "{threads} threads, lock {has_lock}, keep-alive {keeps}: {number}"
            );
        }
        assert_eq!(stock.len(), ours.len());
    }
}

pub(crate) fn threads_that_accept_together_answer_as_on_libfcgi() {
    same(8, false);
}

pub(crate) fn threads_that_accept_one_at_a_time_answer_as_on_libfcgi() {
    same(8, true);
}

pub(crate) fn more_threads_than_clients_and_a_single_thread_answer_as_on_libfcgi() {
    same(32, false);
    same(1, true);
}
