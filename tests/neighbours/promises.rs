//! Promises that hold behind every web server.

use std::thread;

use crate::content::{KIB, LARGEST, MIB, body};
use crate::stack::Stack;

const SIZES: [usize; 5] = [0, 1, 8 * KIB, MIB, LARGEST];
const HEADERS: usize = 200;
const CLIENTS: usize = 4;
const REQUESTS: usize = 1_000;

/// What servers and applications log about a client that has disconnected.
const DISCONNECTS: &[&str] = &[
    "the response was not sent completely",
    "had disconnected (option skip_disconnected)",
    "AH01075: Error dispatching request to : (reading input brigade)",
    "AH01095: prefetch request body failed",
];

/// What applications log when nginx does not read the complete answer to a HEAD request.
const HEADS: &[&str] = &["the response was not sent completely"];

pub(crate) fn bodies_of_every_size_arrive_unchanged(stack: Stack) {
    send_bodies(&stack, &SIZES);
    stack.close(&[]);
}

pub(crate) fn responses_of_every_size_arrive_unchanged(stack: Stack) {
    fetch_responses(&stack, &SIZES);
    fetch_heads(&stack);
    stack.close(HEADS);
}

pub(crate) fn an_answer_that_ignores_its_body_arrives(stack: Stack) {
    ignore_bodies(&stack);
    stack.close(&[]);
}

pub(crate) fn lines_on_stderr_are_in_the_error_log(stack: Stack) {
    let line = write_to_error_log(&stack);
    stack.close(&[line]);
}

pub(crate) fn a_client_that_disconnects_does_not_affect_others(stack: Stack) {
    disconnect(&stack);
    assert_eq!(stack.application.exited_workers(), 0);
    stack.close(DISCONNECTS);
}

pub(crate) fn a_thousand_requests_on_keep_alive_connections_are_answered(stack: Stack) {
    send_many(&stack);
    if stack.keeps {
        let open = stack.application.address.connections();
        assert!((1..=2 * CLIENTS).contains(&open), "{open} connections");
    }
    stack.close(&[]);
}

pub(crate) fn nothing_is_lost_during_reloads(stack: Stack) {
    let mut line = "";
    let reloads = stack.during_reloads(|| {
        send_many(&stack);
        send_bodies(&stack, &SIZES);
        fetch_responses(&stack, &SIZES);
        fetch_heads(&stack);
        ignore_bodies(&stack);
        line = write_to_error_log(&stack);
        disconnect(&stack);
        send_many(&stack);
    });
    assert!(reloads >= 3, "only {reloads} reloads");
    let harmless: Vec<&str> = DISCONNECTS.iter().copied().chain([line]).collect();
    stack.close(&harmless);
}

/// A thousand small requests of all kinds, on one connection per client.
fn send_many(stack: &Stack) {
    let one = stack.application.hash_of_body(1);
    let some = stack.application.hash_of_body(8 * KIB);
    let bytes = stack.application.bytes(20_000);
    thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                let mut client = stack.client();
                for number in 0..REQUESTS / CLIENTS {
                    match number % 5 {
                        0 => assert_eq!(client.post("/hash", body(1)).text(), one),
                        1 => assert_eq!(client.post("/hash", body(8 * KIB)).text(), some),
                        2 => assert!(client.get("/bytes?n=20000").body == bytes),
                        3 => assert!(client.head("/").body.is_empty()),
                        _ => {
                            let path = format!("/env?number={number}");
                            let answer = client.get(&path);
                            let expected = format!("QUERY_STRING=number={number}\n");
                            assert!(answer.text().contains(&expected), "{}", answer.text());
                            assert!(answer.text().contains("REQUEST_METHOD=GET\n"));
                        }
                    }
                }
            });
        }
    });
}

fn send_bodies(stack: &Stack, sizes: &[usize]) {
    let mut client = stack.client();
    for &size in sizes {
        let answer = client.post("/hash", body(size));
        assert_eq!(answer.text(), stack.application.hash_of_body(size));
        // nginx stops sending the body when the answer begins. The C example echoes while it reads,
        // so the body must fit into the buffers between them.
        if size <= 8 * KIB {
            let answer = client.post("/echo", body(size));
            assert!(answer.body == body(size), "{size} bytes echoed");
        }
    }
}

fn fetch_responses(stack: &Stack, sizes: &[usize]) {
    let mut client = stack.client();
    for &size in sizes {
        let answer = client.get(&format!("/bytes?n={size}"));
        assert_eq!(answer.body.len(), size);
        assert!(answer.body == stack.application.bytes(size), "{size} bytes");
    }
    let answer = client.get(&format!("/headers?n={HEADERS}"));
    for number in stack.application.header_numbers(HEADERS) {
        let value = answer.header(&format!("x-header-{number}"));
        assert_eq!(value, Some(format!("value {number}").as_str()));
    }
    assert!(answer.text().contains("headers"));
}

fn fetch_heads(stack: &Stack) {
    let mut client = stack.client();
    for size in [0, 1, 8 * KIB, MIB] {
        let answer = client.head(&format!("/bytes?n={size}"));
        // Apache removes a length that it cannot verify.
        let length = answer.header("content-length");
        assert!(length.is_none_or(|length| length == size.to_string()));
    }
    client.get("/");
}

/// Sends a megabyte to a page that does not read it, but answers.
fn ignore_bodies(stack: &Stack) {
    let (method, page) = stack.application.bodyless_page();
    for _ in 0..40 {
        let answer = stack.client().request(method, page, body(MIB));
        assert!(answer.text().contains("worker"), "{}", answer.text());
        stack.client().get("/");
    }
}

fn write_to_error_log(stack: &Stack) -> &'static str {
    let (page, line) = stack.application.error_page();
    stack.client().get(page);
    stack.server.wait_for_log(line);
    line
}

/// More clients than workers disconnect during a response and during a body. Later clients are
/// served.
fn disconnect(stack: &Stack) {
    for _ in 0..6 {
        stack.client().get_part("/bytes?n=67108864", 100 * KIB);
        stack.client().send_part("/hash", 4 * MIB, body(MIB));
        stack.client().send_part("/hash", 4 * MIB, body(1));
    }
    let mut client = stack.client();
    for _ in 0..10 {
        client.get("/");
        let answer = client.post("/hash", body(8 * KIB));
        assert_eq!(answer.text(), stack.application.hash_of_body(8 * KIB));
    }
}
