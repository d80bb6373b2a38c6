//! Bodies of all sizes in both directions, in bounded memory.

use std::hash::{DefaultHasher, Hasher};
use std::io::Write;
use std::sync::Mutex;
use std::sync::mpsc::channel;
use std::thread;

use fcgipm::wire::RecordType;

use crate::application::Application;
use crate::process::{Gateway, drain};
use crate::web;

const MIB: usize = 1024 * 1024;

fn pattern(length: usize) -> Vec<u8> {
    (0..length as u32)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect()
}

fn hash(bytes: &[u8]) -> String {
    let mut hasher = DefaultHasher::new();
    hasher.write(bytes);
    format!("{:x}", hasher.finish())
}

/// Answers with the length and the hash of the body.
fn hashing() -> Application {
    Application::answering(|request, conversation| {
        let body = conversation.stdin();
        let length = request.get("CONTENT_LENGTH").unwrap_or("none");
        format!("\r\nX: 1\r\n\r\n{length} {} {}", body.len(), hash(&body))
            .trim_start()
            .to_owned()
            .into_bytes()
    })
}

#[test]
fn posted_bodies_of_any_size_arrive_unchanged() {
    let application = hashing();
    let gateway = Gateway::to(&application.address, &[]);
    for size in [0, 1, 8 * 1024, MIB, 64 * MIB] {
        let body = pattern(size);
        let length = format!("Content-Length: {size}");
        let headers = if size == 0 { vec![&length[..]] } else { vec![] };
        let response = web::request(&gateway.http, "POST", "/", &headers, &body);
        assert_eq!(response.text(), format!("{size} {size} {}", hash(&body)));
    }
}

#[test]
fn a_body_without_a_length_is_sent_with_its_length() {
    let application = hashing();
    let gateway = Gateway::to(&application.address, &[]);
    for size in [0, 1, 3 * MIB] {
        let body = pattern(size);
        let mut bytes = b"POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\
            Transfer-Encoding: chunked\r\n\r\n"
            .to_vec();
        for chunk in body.chunks(100_000) {
            bytes.extend(format!("{:x}\r\n", chunk.len()).bytes());
            bytes.extend(chunk);
            bytes.extend(b"\r\n");
        }
        bytes.extend(b"0\r\n\r\n");
        let response = web::send(&gateway.http, &bytes);
        assert_eq!(response.text(), format!("{size} {size} {}", hash(&body)));
    }
}

#[test]
fn responses_of_any_size_arrive_unchanged_with_and_without_a_length() {
    let application = Application::answering(|request, conversation| {
        conversation.stdin();
        let size: usize = request.get("QUERY_STRING").unwrap().parse().unwrap();
        let length = if request.get("PATH_INFO") == Some("/length") {
            format!("Content-Length: {size}\r\n")
        } else {
            String::new()
        };
        let mut bytes = format!("Content-Type: x/y\r\n{length}\r\n").into_bytes();
        bytes.extend(pattern(size));
        bytes
    });
    let gateway = Gateway::to(&application.address, &[]);
    for size in [0, 1, 8 * 1024, MIB, 64 * MIB] {
        for path in ["/length", "/chunked"] {
            let response = web::get(&gateway.http, &format!("{path}?{size}"));
            assert!(response.complete);
            assert_eq!(response.body.len(), size);
            assert_eq!(hash(&response.body), hash(&pattern(size)));
            let lengths = response.header("content-length").len();
            assert_eq!(lengths, usize::from(path == "/length"));
        }
    }
}

#[test]
fn a_body_is_echoed_while_it_is_still_being_sent() {
    let application = Application::start(|mut conversation| {
        conversation.request();
        conversation.stdout(b"X: 1\n\n");
        while let Some((RecordType::Stdin, content)) = conversation.record() {
            if content.is_empty() {
                break;
            }
            conversation.stdout(&content);
        }
        conversation.end(0);
    });
    let gateway = Gateway::to(&application.address, &[]);
    let (before, _) = gateway.memory();
    let body = pattern(64 * MIB);
    let response = web::request(&gateway.http, "POST", "/", &[], &body);
    assert!(response.complete);
    assert_eq!(hash(&response.body), hash(&body));
    let (_, most) = gateway.memory();
    assert!(most < before + 8 * 1024, "{before} KiB grew to {most} KiB");
}

#[test]
fn a_slow_reader_on_either_side_slows_down_the_other_without_more_memory() {
    // Each side begins to read only when the other one is blocked, so the memory of the gateway
    // shows how much it buffers.
    let (go, held) = channel::<()>();
    let held = Mutex::new(held);
    let application = Application::start(move |mut conversation| {
        conversation.request();
        conversation.stdout(b"X: 1\n\n");
        held.lock().unwrap().recv().unwrap();
        let body = conversation.stdin();
        conversation.stdout(&body);
        conversation.end(0);
    });
    let gateway = Gateway::to(&application.address, &[]);
    let (before, _) = gateway.memory();
    let body = pattern(64 * MIB);
    let client = web::connect(&gateway.http);
    let mut sender = client.try_clone().unwrap();
    let head = format!(
        "POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    thread::scope(|scope| {
        let all = [head.as_bytes(), &body].concat();
        let (stuck, is_stuck) = channel();
        scope.spawn(move || {
            // Non-blocking, to notice when the buffers are full.
            sender.set_nonblocking(true).unwrap();
            let mut sent = 0;
            while let Ok(written) = sender.write(&all[sent..]) {
                sent += written;
            }
            // Before the reader starts, which has the same socket.
            sender.set_nonblocking(false).unwrap();
            stuck.send(()).unwrap();
            sender.write_all(&all[sent..]).unwrap();
        });
        is_stuck.recv().unwrap();
        go.send(()).unwrap();
        let response = web::parse(&drain(client), false);
        assert!(response.complete);
        assert_eq!(hash(&response.body), hash(&body));
    });
    let (_, most) = gateway.memory();
    assert!(most < before + 8 * 1024, "{before} KiB grew to {most} KiB");
}

#[test]
fn an_early_answer_reaches_a_client_that_is_still_sending() {
    let application = Application::start(|mut conversation| {
        conversation.request();
        conversation.stdout(b"Status: 413 Too much\n\nenough");
        conversation.end(0);
        // Closed with unread input, which resets the connection after the answer.
    });
    let gateway = Gateway::to(&application.address, &[]);
    for options in [&["Expect: 100-continue"][..], &[]] {
        let body = pattern(16 * MIB);
        let response = web::request(&gateway.http, "POST", "/", options, &body);
        assert_eq!((response.status, response.text()), (413, "enough".into()));
        assert!(response.complete);
    }
}
