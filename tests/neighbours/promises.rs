//! What holds behind every web server.

use std::thread;

use crate::content::{KIB, LARGEST, MIB, body};
use crate::street::Street;

const SIZES: [usize; 5] = [0, 1, 8 * KIB, MIB, LARGEST];
const HEADERS: usize = 200;
const CLIENTS: usize = 4;
const REQUESTS: usize = 1_000;

/// What servers and applications say about a client that has gone away.
const HANG_UPS: &[&str] = &[
    "a response was not taken to its end",
    "AH01075: Error dispatching request to : (reading input brigade)",
    "AH01095: prefetch request body failed",
];

/// What nginx and the applications say when the answer to a HEAD is not taken to its end.
const HEADS: &[&str] = &["a response was not taken to its end"];

pub(crate) fn bodies_of_every_size_arrive_whole(street: Street) {
    send_bodies(&street, &SIZES);
    street.close(&[]);
}

pub(crate) fn responses_of_every_size_arrive_whole(street: Street) {
    fetch_responses(&street, &SIZES);
    fetch_heads(&street);
    street.close(HEADS);
}

pub(crate) fn an_answer_that_ignores_its_body_arrives(street: Street) {
    for _ in 0..20 {
        ignore_body(&street);
    }
    street.close(&[]);
}

pub(crate) fn what_is_said_on_stderr_stands_in_the_error_log(street: Street) {
    let said = write_to_error_log(&street);
    street.close(&[said]);
}

pub(crate) fn a_client_that_hangs_up_harms_nobody_else(street: Street) {
    hang_up(&street);
    assert_eq!(street.application.workers_gone(), 0);
    street.close(HANG_UPS);
}

pub(crate) fn a_thousand_requests_on_kept_connections_are_answered(street: Street) {
    send_many(&street);
    if street.keeps {
        let kept = street.application.address.connections();
        assert!((1..=2 * CLIENTS).contains(&kept), "{kept} connections");
    }
    street.close(&[]);
}

pub(crate) fn nothing_is_lost_during_reloads(street: Street) {
    let mut said = "";
    let reloads = street.during_reloads(|| {
        send_many(&street);
        send_bodies(&street, &SIZES);
        fetch_responses(&street, &SIZES);
        fetch_heads(&street);
        ignore_body(&street);
        said = write_to_error_log(&street);
        hang_up(&street);
        send_many(&street);
    });
    assert!(reloads >= 3, "only {reloads} reloads");
    let harmless: Vec<&str> = HANG_UPS.iter().copied().chain([said]).collect();
    street.close(&harmless);
}

/// A thousand small requests of all kinds, on a connection for each client that stays the same.
fn send_many(street: &Street) {
    let one = street.application.hash_of_body(1);
    let some = street.application.hash_of_body(8 * KIB);
    let bytes = street.application.bytes(20_000);
    thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                let mut client = street.client();
                for number in 0..REQUESTS / CLIENTS {
                    match number % 5 {
                        0 => assert_eq!(client.post("/hash", body(1)).text(), one),
                        1 => assert_eq!(client.post("/hash", body(8 * KIB)).text(), some),
                        2 => assert!(client.get("/bytes?n=20000").body == bytes),
                        3 => assert!(client.head("/").body.is_empty()),
                        _ => {
                            let path = format!("/env?number={number}");
                            let answer = client.get(&path);
                            let wanted = format!("QUERY_STRING=number={number}\n");
                            assert!(answer.text().contains(&wanted), "{}", answer.text());
                            assert!(answer.text().contains("REQUEST_METHOD=GET\n"));
                        }
                    }
                }
            });
        }
    });
}

fn send_bodies(street: &Street, sizes: &[usize]) {
    let mut client = street.client();
    for &size in sizes {
        let answer = client.post("/hash", body(size));
        assert_eq!(answer.text(), street.application.hash_of_body(size));
        // nginx sends no more of a body once the answer has begun, so what the C example echoes
        // while it reads must fit into the buffers between them.
        if size <= 8 * KIB {
            let answer = client.post("/echo", body(size));
            assert!(answer.body == body(size), "{size} bytes echoed");
        }
    }
}

fn fetch_responses(street: &Street, sizes: &[usize]) {
    let mut client = street.client();
    for &size in sizes {
        let answer = client.get(&format!("/bytes?n={size}"));
        assert_eq!(answer.body.len(), size);
        assert!(
            answer.body == street.application.bytes(size),
            "{size} bytes"
        );
    }
    let answer = client.get(&format!("/headers?n={HEADERS}"));
    for number in street.application.header_numbers(HEADERS) {
        let value = answer.header(&format!("x-header-{number}"));
        assert_eq!(value, Some(format!("value {number}").as_str()));
    }
    assert!(answer.text().contains("headers"));
}

fn fetch_heads(street: &Street) {
    let mut client = street.client();
    for size in [0, 1, 8 * KIB, MIB] {
        let answer = client.head(&format!("/bytes?n={size}"));
        // Apache trusts no length that it cannot count itself, and leaves it out.
        let length = answer.header("content-length");
        assert!(length.is_none_or(|length| length == size.to_string()));
    }
    client.get("/");
}

/// A megabyte to a page that does not read it: the answer must not be lost behind it.
fn ignore_body(street: &Street) {
    let (method, page) = street.application.bodyless_page();
    let answer = street.client().request(method, page, body(MIB));
    assert!(answer.text().contains("worker"), "{}", answer.text());
    street.client().get("/");
}

fn write_to_error_log(street: &Street) -> &'static str {
    let (page, line) = street.application.error_page();
    street.client().get(page);
    street.server.wait_for_log(line);
    line
}

/// More clients than there are workers leave in the middle, of a response and of a body; those who
/// come after them are served.
fn hang_up(street: &Street) {
    for _ in 0..6 {
        street.client().get_part("/bytes?n=67108864", 100 * KIB);
        street.client().send_part("/hash", 4 * MIB, body(MIB));
        street.client().send_part("/hash", 4 * MIB, body(1));
    }
    let mut client = street.client();
    for _ in 0..10 {
        client.get("/");
        let answer = client.post("/hash", body(8 * KIB));
        assert_eq!(answer.text(), street.application.hash_of_body(8 * KIB));
    }
}
