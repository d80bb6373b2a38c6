//! Requests, and how responses are read.

use std::io::{Read, Write};
use std::net::{Ipv6Addr, TcpListener};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::sync::Mutex;
use std::sync::mpsc::channel;
use std::thread;

use fcgipm::wire::{EndRequest, RecordType};

use super::{GOOD, finish, good, load, numbered, start};
use crate::application::{Application, Conversation, Request};

/// The first request with these options, and its body.
fn sent(options: &[&str]) -> (Request, Vec<u8>) {
    let (sender, requests) = channel();
    let sender = Mutex::new(sender);
    let application = Application::start(move |mut conversation| {
        let Some(request) = conversation.request() else {
            return;
        };
        let body = conversation.stdin();
        good(&mut conversation);
        // Only the first one is received.
        let _ = sender.lock().unwrap().send((request, body));
    });
    let loaded = load(&application.address, &[options, &["-n", "1"]].concat());
    assert_eq!(loaded.counts(), (1, Vec::new()), "{}", loaded.out);
    requests.recv().unwrap()
}

#[test]
fn a_request_has_the_parameters_of_a_web_server() {
    let (request, body) = sent(&["--uri", "/a%20b?c=d"]);
    assert!(!request.keep);
    assert_eq!(request.role, 1);
    assert_eq!(request.params.len(), 28);
    for (name, value) in [
        ("REQUEST_METHOD", "GET"),
        ("REQUEST_URI", "/a%20b?c=d"),
        ("PATH_INFO", "/a b"),
        ("QUERY_STRING", "c=d"),
        ("SERVER_PROTOCOL", "HTTP/1.1"),
        ("HTTP_HOST", "localhost"),
    ] {
        assert_eq!(request.get(name), Some(value), "{name}");
    }
    assert_eq!(request.get("CONTENT_LENGTH"), None);
    assert_eq!(body, b"");
}

#[test]
fn parameters_have_the_requested_number_and_names() {
    let (request, _) = sent(&[
        "-p",
        "SCRIPT_FILENAME=/x.php",
        "-p",
        "HTTP_HOST=there",
        "--params",
        "60",
    ]);
    assert_eq!(request.params.len(), 60);
    assert_eq!(request.get("SCRIPT_FILENAME"), Some("/x.php"));
    assert_eq!(request.get("HTTP_HOST"), Some("there"));
    let (request, _) = sent(&["--method", "PURGE", "--params", "15"]);
    assert_eq!(request.params.len(), 15);
    assert_eq!(request.get("REQUEST_METHOD"), Some("PURGE"));
    let without = ["REDIRECT_STATUS", "SERVER_SOFTWARE", "HTTP_COOKIE"];
    let mut options: Vec<&str> = without
        .iter()
        .flat_map(|name| ["--without", name])
        .collect();
    options.extend(["--params", "13"]);
    let (request, _) = sent(&options);
    assert_eq!(request.params.len(), 13);
    let (request, _) = sent(&options[..6]);
    assert_eq!(request.params.len(), 28);
    assert!(without.iter().all(|name| request.get(name).is_none()));
}

#[test]
fn a_body_arrives_completely() {
    for (size, bytes) in [("0", 0), ("5", 5), ("70k", 70 << 10), ("3m", 3 << 20)] {
        let (request, body) = sent(&["--body", size]);
        assert_eq!(request.get("REQUEST_METHOD"), Some("POST"));
        assert_eq!(request.get("CONTENT_LENGTH"), Some(&*bytes.to_string()));
        let expected: Vec<u8> = (0..=250).cycle().take(bytes).collect();
        assert!(body == expected, "{size}: {} bytes", body.len());
    }
}

#[test]
fn a_body_can_be_the_content_of_a_file() {
    let file = tempfile::NamedTempFile::new().unwrap();
    for content in [&b""[..], b"one line\nand another\n", &[7; 100_000]] {
        std::fs::write(file.path(), content).unwrap();
        let (request, body) = sent(&["--body-file", file.path().to_str().unwrap()]);
        assert_eq!(request.get("REQUEST_METHOD"), Some("POST"));
        assert_eq!(
            request.get("CONTENT_LENGTH"),
            Some(&*content.len().to_string())
        );
        assert!(body == content, "{} bytes", body.len());
    }
}

#[test]
fn an_unread_body_does_not_hide_the_response() {
    // It does not fit into a socket buffer. The client continues on a new connection.
    let application = Application::start(|mut conversation| {
        conversation.request();
        good(&mut conversation);
        // Open and unread until the test exits.
        loop {
            thread::park();
        }
    });
    for keep in [&[][..], &["--keep"]] {
        let options = [keep, &["-n", "2", "--body", "64m"]].concat();
        let loaded = load(&application.address, &options);
        assert_eq!(loaded.counts(), (2, Vec::new()), "{}", loaded.out);
        assert_eq!(loaded.json()["connections"], 2);
    }
}

/// The number of bytes that arrive first, and in total, for each request.
fn segments(options: &[&str]) -> Vec<(usize, usize)> {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let child = start(&address, &[options, &["-n", "2"]].concat());
    let mut seen = Vec::new();
    for _ in 0..2 {
        let (mut stream, _) = listener.accept().unwrap();
        let mut bytes = vec![0; 64 * 1024];
        let first = stream.read(&mut bytes).unwrap();
        let mut all = first;
        // A request ends with an empty STDIN record.
        while !bytes[..all].ends_with(&[1, 5, 0, 1, 0, 0, 0, 0]) {
            all += stream.read(&mut bytes[all..]).unwrap();
        }
        seen.push((first, all));
        let mut response = vec![1, 6, 0, 1, 0, GOOD.len() as u8, 0, 0];
        response.extend(GOOD);
        response.extend([1, 3, 0, 1, 0, EndRequest::LEN as u8, 0, 0]);
        response.extend([0; EndRequest::LEN]);
        stream.write_all(&response).unwrap();
    }
    let loaded = finish(child);
    assert_eq!(loaded.counts(), (2, Vec::new()));
    seen
}

#[test]
fn with_split_parameters_arrive_in_two_segments() {
    let whole = segments(&[]);
    assert!(whole.iter().all(|(first, all)| first == all), "{whole:?}");
    let halves = segments(&["--split", "500"]);
    assert_eq!(halves[0], halves[1]);
    let (first, all) = halves[0];
    // After BEGIN_REQUEST and the header of PARAMS, and before its end.
    assert!(first > 24 && first < all - 16, "{halves:?}");
    assert_eq!(all, whole[0].1);
}

#[test]
fn keep_alive_connections_are_reused_and_others_are_not() {
    let (application, count) = numbered(|_, conversation| good(conversation));
    let loaded = load(&application.address, &["-c", "4", "-n", "400", "--keep"]);
    assert_eq!(loaded.counts(), (400, Vec::new()));
    assert_eq!(loaded.json()["connections"], 4);
    assert_eq!(count.load(std::sync::atomic::Ordering::SeqCst), 400);
    let loaded = load(&application.address, &["-c", "4", "-n", "40"]);
    assert_eq!(loaded.json()["connections"], 40);
}

#[test]
fn a_response_is_read_in_pieces_of_any_size() {
    let (application, _) = numbered(|_, conversation| {
        conversation.stdout(b"Status: 200 OK\r\n\r\n a nee");
        conversation.write(RecordType::Stderr, b"XX");
        conversation.stdout(b"dle");
        conversation.end(0);
    });
    let options = ["-n", "3", "--keep", "--expect", "a needle"];
    let loaded = load(&application.address, &options);
    assert_eq!(loaded.counts(), (3, Vec::new()), "{}", loaded.out);

    let single_bytes = |conversation: &mut Conversation| {
        for byte in [1, 6, 0, 1, 0, 9, 7, 0].iter().chain(b"X: y\n\nabc.......") {
            conversation.raw(&[*byte]);
        }
        for byte in [1, 3, 0, 1, 0, 8, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9, 9, 9] {
            conversation.raw(&[byte]);
        }
    };
    let (application, _) = numbered(move |_, conversation| single_bytes(conversation));
    for keep in [&[][..], &["--keep"]] {
        let options = [keep, &["-n", "20", "--expect", "abc"]].concat();
        let loaded = load(&application.address, &options);
        assert_eq!(loaded.counts(), (20, Vec::new()), "{}", loaded.out);
    }
}

#[test]
fn a_huge_response_is_not_stored() {
    let (pid, peer) = channel::<u32>();
    let (sender, most) = channel();
    let (peer, sender) = (Mutex::new(peer), Mutex::new(sender));
    let application = Application::start(move |mut conversation| {
        conversation.request();
        conversation.stdin();
        conversation.stdout(b"Content-Length: 67108864\n\n");
        for _ in 0..1024 {
            conversation.stdout(&[b'x'; 65_528]);
        }
        conversation.stdout(&[b'x'; 8 * 1024]);
        let status = format!("/proc/{}/status", peer.lock().unwrap().recv().unwrap());
        let status = std::fs::read_to_string(status).unwrap();
        sender.lock().unwrap().send(status).unwrap();
        conversation.end(0);
    });
    let child = start(&application.address, &["-n", "1", "--expect", "y"]);
    pid.send(child.id()).unwrap();
    let loaded = finish(child);
    // The response is searched to its end, without a match.
    assert_eq!(loaded.json()["lost_by_kind"]["content"], 1);
    assert!(loaded.out.contains("--expect"), "{}", loaded.out);
    let status = most.recv().unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    let kib = line.unwrap().split_whitespace().nth(1).unwrap();
    assert!(kib.parse::<u64>().unwrap() < 20 * 1024, "{kib} KiB");
}

#[test]
fn every_kind_of_address_works() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let name = format!("fcgipm-load-{}", std::process::id());
    let abstract_name = SocketAddr::from_abstract_name(&name).unwrap();
    for (listener, address) in [
        (
            UnixListener::bind(&path).unwrap(),
            path.display().to_string(),
        ),
        (
            UnixListener::bind_addr(&abstract_name).unwrap(),
            format!("@{name}"),
        ),
    ] {
        Application::unix(listener, |mut conversation| {
            conversation.request();
            conversation.stdin();
            good(&mut conversation);
        });
        let loaded = load(&address, &["-c", "3", "-n", "30"]);
        assert_eq!(
            loaded.counts(),
            (30, Vec::new()),
            "{address}: {}",
            loaded.out
        );
    }
    // Only ::1 listens. A refusal by 127.0.0.1 does not count as a loss if another address works.
    let (listener, port) = (0..100)
        .map(|_| Application::taken_port())
        .find_map(|port| Some((TcpListener::bind((Ipv6Addr::LOCALHOST, port)).ok()?, port)))
        .unwrap();
    Application::tcp(listener, |mut conversation| {
        conversation.request();
        conversation.stdin();
        good(&mut conversation);
    });
    let address = format!(":{port}");
    let loaded = load(&address, &["-c", "3", "-n", "30"]);
    assert_eq!(loaded.counts(), (30, Vec::new()), "{}", loaded.out);
}
