//! Keep-alive connections, clients that disconnect, and the stop of the gateway.

use std::io::Write;
use std::net::Shutdown;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

use crate::application::{Application, Conversation};
use crate::process::{Gateway, drain};
use crate::web;

/// Answers each request with the number of its connection, and its number on that connection.
/// `then` decides whether the connection stays open.
fn counting(then: impl Fn(usize, usize) -> bool + Send + Sync + 'static) -> Application {
    let connections = AtomicUsize::new(0);
    Application::start(move |mut conversation| {
        let connection = connections.fetch_add(1, Ordering::SeqCst);
        for number in 0.. {
            let Some(request) = conversation.request() else {
                return;
            };
            conversation.stdin();
            if !then(connection, number) {
                conversation.disconnect();
                return;
            }
            let text = format!("{connection}.{number} {}", request.keep);
            // Without a length, the client sees the end only after the gateway keeps the
            // connection.
            let header = match request.get("PATH_INFO") {
                Some("/length") => format!("Content-Length: {}\n\n", text.len()),
                _ => "X: 1\n\n".to_owned(),
            };
            conversation.stdout((header + &text).as_bytes());
            conversation.end(0);
        }
    })
}

#[test]
fn a_keep_alive_connection_carries_the_next_requests() {
    let application = counting(|_, _| true);
    let gateway = Gateway::to(&application.address, &["--keep-conn"]);
    for number in 0..100 {
        let text = web::get(&gateway.http, "/").text();
        assert_eq!(text, format!("0.{number} true"));
    }
}

#[test]
fn a_connection_is_kept_although_the_client_was_served_before_the_request_ended() {
    let application = counting(|_, _| true);
    let gateway = Gateway::to(&application.address, &["--keep-conn"]);
    for number in 0..100 {
        let method = if number % 2 == 0 { "HEAD" } else { "GET" };
        let response = web::request(&gateway.http, method, "/length", &[], b"");
        assert_eq!(response.status, 200);
    }
    let text = web::get(&gateway.http, "/").text();
    let connection: usize = text.split('.').next().unwrap().parse().unwrap();
    assert!(connection < 50, "connection {connection} for 100 requests");
}

#[test]
fn a_keep_alive_connection_does_not_block_a_request_that_waits_for_its_worker() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("app.sock");
    let (sender, started) = channel();
    let (release, held) = channel::<()>();
    let both = Mutex::new((sender, held));
    // The application serves one connection at a time, until the gateway closes it.
    Application::unix(
        UnixListener::bind(&path).unwrap(),
        move |mut conversation| {
            while conversation.request().is_some() {
                conversation.stdin();
                let both = both.lock().unwrap();
                both.0.send(()).unwrap();
                both.1.recv().unwrap();
                conversation.stdout(b"X: 1\n\ndone");
                conversation.end(0);
            }
        },
    );
    let gateway = Gateway::to(path.to_str().unwrap(), &["--keep-conn", "--timeout", "5"]);
    std::thread::scope(|scope| {
        let first = scope.spawn(|| web::get(&gateway.http, "/first"));
        started.recv().unwrap();
        let second = scope.spawn(|| web::get(&gateway.http, "/second"));
        release.send(()).unwrap();
        release.send(()).unwrap();
        assert_eq!(first.join().unwrap().text(), "done");
        assert_eq!(second.join().unwrap().text(), "done");
    });
}

#[test]
fn without_keep_conn_every_request_has_a_new_connection() {
    let application = counting(|_, _| true);
    let gateway = Gateway::to(&application.address, &[]);
    for connection in 0..5 {
        let text = web::get(&gateway.http, "/").text();
        assert_eq!(text, format!("{connection}.0 false"));
    }
}

#[test]
fn a_request_on_a_closed_keep_alive_connection_is_repeated_once() {
    let application = counting(|connection, number| connection > 0 || number == 0);
    let gateway = Gateway::to(&application.address, &["--keep-conn"]);
    assert_eq!(web::get(&gateway.http, "/").text(), "0.0 true");
    assert_eq!(web::get(&gateway.http, "/").text(), "1.0 true");
}

#[test]
fn a_request_that_may_have_had_an_effect_is_not_repeated() {
    let application = counting(|_, number| number == 0);
    let gateway = Gateway::to(&application.address, &["--keep-conn"]);
    assert_eq!(web::get(&gateway.http, "/").text(), "0.0 true");
    let response = web::request(&gateway.http, "POST", "/", &[], b"once");
    assert_eq!(response.status, 502);
}

#[test]
fn a_request_that_fails_on_a_new_connection_is_not_repeated() {
    let application = counting(|_, _| false);
    let gateway = Gateway::to(&application.address, &["--keep-conn"]);
    assert_eq!(web::get(&gateway.http, "/").status, 502);
}

/// An application that reports each request, and then whether it was aborted.
fn reporting(start: &'static [u8]) -> (Application, Receiver<&'static str>) {
    let (sender, events) = channel();
    let sender = Mutex::new(sender);
    let application = Application::start(move |mut conversation: Conversation| {
        let sender: Sender<_> = sender.lock().unwrap().clone();
        conversation.request();
        conversation.stdin();
        conversation.stdout(start);
        sender.send("started").unwrap();
        let aborted = conversation.wait_for_end();
        let _ = sender.send(if aborted { "aborted" } else { "closed" });
    });
    (application, events)
}

#[test]
fn a_client_that_disconnects_aborts_its_request() {
    for start in [&b""[..], b"X: 1\n\nsome"] {
        let (application, events) = reporting(start);
        let gateway = Gateway::to(&application.address, &[]);
        let mut client = web::connect(&gateway.http);
        client
            .write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            .unwrap();
        assert_eq!(events.recv().unwrap(), "started");
        client.shutdown(Shutdown::Both).unwrap();
        drop(client);
        assert_eq!(events.recv().unwrap(), "aborted");
    }
}

#[test]
fn a_client_that_disconnects_within_its_body_aborts_the_request() {
    let (sender, events) = channel();
    let sender = Mutex::new(sender);
    let application = Application::start(move |mut conversation| {
        conversation.request();
        conversation.record();
        let sender = sender.lock().unwrap();
        sender.send(true).unwrap();
        sender.send(conversation.wait_for_end()).unwrap();
    });
    let gateway = Gateway::to(&application.address, &[]);
    let mut client = web::connect(&gateway.http);
    client
        .write_all(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nfive!")
        .unwrap();
    assert!(events.recv().unwrap());
    drop(client);
    assert!(events.recv().unwrap(), "no ABORT_REQUEST");
}

#[test]
fn active_requests_finish_after_a_stop_signal() {
    let (release, held) = channel::<()>();
    let held = Arc::new(Mutex::new(held));
    let (sender, started) = channel();
    let sender = Mutex::new(sender);
    let application = Application::answering(move |_, conversation| {
        conversation.stdin();
        sender.lock().unwrap().send(()).unwrap();
        held.lock().unwrap().recv().unwrap();
        b"X: 1\n\ndone".to_vec()
    });
    let mut gateway = Gateway::to(&application.address, &[]);
    let mut client = web::connect(&gateway.http);
    client
        .write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        .unwrap();
    started.recv().unwrap();
    // A connection without a request must not delay the stop.
    let idle = web::connect(&gateway.http);
    gateway.terminate();
    // It is closed when the gateway handles the signal.
    assert_eq!(drain(idle), b"");
    release.send(()).unwrap();
    let response = web::parse(&drain(client), false);
    assert!(response.complete);
    assert_eq!(response.text(), "done");
    assert!(gateway.wait().success());
}

#[test]
fn every_form_of_address_reaches_the_application() {
    let serve = |mut conversation: Conversation| {
        conversation.request();
        conversation.stdin();
        conversation.stdout(b"X: 1\n\nhere");
        conversation.end(0);
    };
    let tcp = Application::start(serve);
    let (_, port) = tcp.address.rsplit_once(':').unwrap();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("app.sock");
    Application::unix(UnixListener::bind(&path).unwrap(), serve);
    let path = path.to_str().unwrap();
    let name = format!("fcgipm-test-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).unwrap();
    Application::unix(UnixListener::bind_addr(&address).unwrap(), serve);
    for to in [
        &tcp.address,
        &format!("localhost:{port}"),
        &format!(":{port}"),
        path,
        &format!("unix:{path}"),
        &format!("@{name}"),
    ] {
        let gateway = Gateway::to(to, &[]);
        assert_eq!(web::get(&gateway.http, "/").text(), "here", "{to}");
    }
}
