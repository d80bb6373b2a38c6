//! An application that fails in every possible way.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::channel;

use crate::application::{Application, Conversation};
use crate::process::Gateway;
use crate::web::{self, Response};

/// The response to a client and the log, for an application with this behaviour.
fn result_of(
    options: &[&str],
    act: impl Fn(&mut Conversation) + Send + Sync + 'static,
) -> (Gateway, Response) {
    let application = Application::start(move |mut conversation| {
        conversation.request();
        conversation.stdin();
        act(&mut conversation);
    });
    let gateway = Gateway::to(&application.address, options);
    let response = web::get(&gateway.http, "/path");
    (gateway, response)
}

fn assert_failure(
    act: impl Fn(&mut Conversation) + Send + Sync + 'static,
    status: u16,
    reason: &str,
) {
    let (gateway, response) = result_of(&[], act);
    assert_eq!(response.status, status, "{}", response.text());
    let text = response.text();
    assert!(text.contains(reason), "{text}");
    assert_eq!(text.lines().count(), 1);
    gateway.error_line(&format!("GET /path: {status}: {}", text.trim_end()));
}

#[test]
fn an_unreachable_application_is_a_502() {
    let nowhere = Application::closed_address();
    let gateway = Gateway::to(&nowhere, &[]);
    let response = web::request(&gateway.http, "POST", "/", &[], &[0; 100_000]);
    assert_eq!(response.status, 502);
    assert!(
        response
            .text()
            .contains(&format!("cannot connect to {nowhere}: Connection refused"))
    );
    let gateway = Gateway::to("@no-such-socket-of-fcgipm", &[]);
    assert_eq!(web::get(&gateway.http, "/").status, 502);
}

#[test]
fn an_application_that_disconnects_before_or_in_its_header_is_a_502() {
    let closed = "closed the connection, before the end of the response header";
    assert_failure(|conversation| conversation.disconnect(), 502, closed);
    assert_failure(
        |conversation| {
            conversation.stdout(b"Content-Ty");
            conversation.disconnect();
        },
        502,
        closed,
    );
}

#[test]
fn a_response_without_a_header_is_a_502() {
    let act = |conversation: &mut Conversation| conversation.end(9);
    assert_failure(act, 502, "without a response header (application status 9)");
    let act = |conversation: &mut Conversation| {
        conversation.stdout(b"Content-Ty");
        conversation.end(0);
    };
    assert_failure(act, 502, "in the middle of the response header");
}

#[test]
fn a_refused_request_is_a_502_and_an_overload_a_503() {
    assert_failure(
        |conversation| conversation.refuse(0, 3),
        502,
        "UNKNOWN_ROLE",
    );
    assert_failure(|conversation| conversation.refuse(0, 2), 503, "OVERLOADED");
}

#[test]
fn garbage_instead_of_records_is_a_502() {
    assert_failure(
        |conversation| conversation.raw(b"HTTP/1.1 200 OK\r\n\r\n"),
        502,
        "version 72 instead of 1",
    );
    assert_failure(
        |conversation| conversation.raw(&[1, 6, 0, 9, 0, 0, 0, 0]),
        502,
        "request 9 instead of 1",
    );
    assert_failure(
        |conversation| conversation.raw(&[1, 99, 0, 1, 0, 0, 0, 0]),
        502,
        "type 99",
    );
}

#[test]
fn an_invalid_or_too_large_header_is_a_502_with_the_reason() {
    assert_failure(
        |conversation| conversation.stdout(b"no header here\n\n"),
        502,
        "'no header here'",
    );
    assert_failure(
        |conversation| conversation.stdout(b"HTTP/1.1 200 OK\n\n"),
        502,
        "takes a 'Status:' field",
    );
    assert_failure(
        |conversation| conversation.stdout(format!("X: {}\n\n", "x".repeat(200_000)).as_bytes()),
        502,
        "larger than 131072 bytes",
    );
}

#[test]
fn an_application_that_never_answers_is_a_504_and_is_aborted() {
    let (sender, aborted) = channel();
    let sender = Mutex::new(sender);
    let (_gateway, response) = result_of(&["--timeout", "0.3"], move |conversation| {
        let aborted = conversation.wait_for_end();
        sender.lock().unwrap().send(aborted).unwrap();
    });
    assert_eq!(response.status, 504);
    assert!(response.text().contains("no response header within 0.3 s"));
    assert!(aborted.recv().unwrap());
}

#[test]
fn a_response_that_breaks_off_in_its_body_is_visibly_incomplete() {
    for header in ["X: 1\n\n", "Content-Length: 100\n\n"] {
        for ends in [false, true] {
            let (gateway, response) = result_of(&[], move |conversation| {
                conversation.stdout(format!("{header}half").as_bytes());
                if ends && header.starts_with('C') {
                    conversation.end(0);
                }
                conversation.disconnect();
            });
            assert_eq!(response.status, 200);
            assert_eq!(response.text(), "half");
            assert!(!response.complete, "{header:?} {ends}");
            gateway.error_line("GET /path: the application");
        }
    }
}

#[test]
fn a_response_longer_than_its_content_length_is_truncated() {
    let (_gateway, response) = result_of(&[], |conversation| {
        conversation.stdout(b"Content-Length: 4\n\nfour and more");
        conversation.end(0);
    });
    assert_eq!(response.text(), "four");
}

#[test]
fn random_bytes_of_an_application_do_not_end_the_gateway() {
    let seed = AtomicU64::new(1);
    let application = Application::start(move |mut conversation| {
        conversation.request();
        let mut state = seed.fetch_add(1, Ordering::SeqCst);
        let mut noise = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (state >> 56) as u8
        };
        // Half of it begins like records, so that more than the first header is parsed.
        let kind = [3, 6, 7, 10, noise()][usize::from(noise()) % 5];
        let mut bytes = vec![1, kind, 0, 1, 0, noise() % 64, noise(), noise()];
        bytes.extend((0..300).map(|_| noise()));
        conversation.raw(&bytes);
        conversation.disconnect();
    });
    let gateway = Gateway::to(&application.address, &["--keep-conn"]);
    for _ in 0..200 {
        let response = web::get(&gateway.http, "/");
        assert!(response.status == 502 || response.status == 503 || !response.complete);
    }
}
