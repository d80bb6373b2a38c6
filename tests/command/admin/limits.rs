use std::io::Write as _;
use std::net::TcpStream;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::socket::{setsockopt, sockopt};

use super::{Admin, head};
use crate::managed::Pool;
use crate::process::drain;
use crate::web::{connect, parse};

fn allow_many_descriptors() {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, most, most).unwrap();
}

fn request(path: &str) -> String {
    head("GET", path, &["Host: localhost"])
}

/// A client that sends a request, and reads nothing of the response.
fn reads_nothing(admin: &Admin, path: &str) -> TcpStream {
    let mut stream = connect(&admin.address);
    setsockopt(&stream, sockopt::RcvBuf, &1_024).unwrap();
    stream.write_all(request(path).as_bytes()).unwrap();
    stream
}

#[test]
fn clients_that_send_nothing_or_read_nothing_delay_nobody() {
    let (pool, _socket, _) = Pool::on_unix(2);
    let admin = Admin::of(&pool.pid_file());
    let silent = Vec::from_iter((0..30).map(|_| connect(&admin.address)));
    let readers = (0..30).map(|number| ["/", "/status.json", "/metrics"][number % 3]);
    let readers = Vec::from_iter(readers.map(|path| reads_nothing(&admin, path)));
    for path in ["/healthz", "/readyz", "/status.json", "/metrics", "/"] {
        assert_eq!(admin.get(path).status, 200, "{path}");
    }
    // The answers are complete when they are read at last.
    for stream in readers {
        let response = parse(&drain(stream), false);
        assert_eq!(response.status, 200);
        assert!(response.complete);
    }
    // A client that sends no request is disconnected, one that sends half a header, too.
    let mut half = connect(&admin.address);
    half.write_all(b"GET / HTTP/1.1\r\nHost: local").unwrap();
    for stream in silent.into_iter().chain([half]) {
        assert_eq!(drain(stream), b"");
    }
}

#[test]
fn a_thousand_requests_at_the_same_time_are_answered_or_refused() {
    allow_many_descriptors();
    let (pool, _socket, _) = Pool::on_unix(2);
    let admin = Admin::of(&pool.pid_file());
    let clients = (0..1_000).map(|number| {
        let mut stream = connect(&admin.address);
        let path = ["/metrics", "/healthz", "/status.json", "/readyz"][number % 4];
        // One that is refused may be closed already.
        let _ = stream.write_all(request(path).as_bytes());
        stream
    });
    let clients = Vec::from_iter(clients);
    let mut served = 0;
    for stream in clients {
        let bytes = drain(stream);
        if bytes.is_empty() {
            // It was closed before its request was read.
            continue;
        }
        let response = parse(&bytes, false);
        assert!(response.complete);
        match response.status {
            200 => served += 1,
            503 => assert_eq!(response.text(), "too many requests\n"),
            other => panic!("{other}"),
        }
    }
    assert!(served >= 64, "{served}");
    assert_eq!(admin.get("/healthz").status, 200);
}

#[test]
fn a_thousand_silent_clients_delay_nobody() {
    allow_many_descriptors();
    let (pool, _socket, _) = Pool::on_unix(1);
    let admin = Admin::of(&pool.pid_file());
    let clients = Vec::from_iter((0..1_000).map(|_| connect(&admin.address)));
    for path in ["/healthz", "/readyz", "/status.json", "/metrics", "/"] {
        assert_eq!(admin.get(path).status, 200, "{path}");
    }
    // The silent ones were closed without a response, the oldest first.
    let mut clients = clients.into_iter();
    assert_eq!(drain(clients.next().unwrap()), b"");
    drop(clients);
    assert_eq!(admin.get("/healthz").status, 200);
}

#[test]
fn clients_that_read_nothing_take_places_for_a_limited_time() {
    allow_many_descriptors();
    let (pool, _socket, _) = Pool::on_unix(1);
    let admin = Admin::of(&pool.pid_file());
    // Each has a place until it is closed, or for a second after the response was sent.
    let mut readers = Vec::new();
    let refused = loop {
        readers.extend((0..64).map(|_| reads_nothing(&admin, "/")));
        let response = admin.get("/healthz");
        if response.status == 503 {
            break response;
        }
        assert!(readers.len() < 2_048, "{}", response.text());
    };
    assert_eq!(refused.text(), "too many requests\n");
    assert_eq!(refused.header("retry-after"), ["1"]);
    for stream in readers {
        let response = parse(&drain(stream), false);
        assert!([200, 503].contains(&response.status));
        assert!(response.complete);
    }
    admin.wait_for("/healthz", 200, "alive");
}
