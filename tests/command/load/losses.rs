//! Every kind of loss is counted exactly.

use std::os::fd::AsRawFd;
use std::os::unix::net::UnixListener;
use std::sync::Mutex;
use std::sync::mpsc::channel;

use fcgipm::wire::RecordType;
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, connect, listen, socket,
};

use super::{GOOD, good, load, lost, numbered};
use crate::application::{Application, Conversation};

/// The kind of the loss, and the behaviour of the application.
type Misbehaviour = (&'static str, fn(&mut Conversation));

/// Each kind of misbehaviour occurs for one request.
const MISBEHAVIOURS: [Misbehaviour; 19] = [
    ("", good),
    ("before", |_| {}),
    ("before", |conversation| conversation.disconnect()),
    ("within", |conversation| conversation.raw(&[1])),
    ("within", |conversation| conversation.stdout(GOOD)),
    ("within", |conversation| {
        conversation.stdout(GOOD);
        conversation.raw(&[1, 3, 0, 1, 0, 8, 0, 0, 0, 0, 0, 0, 0]);
    }),
    ("after", |conversation| {
        let mut bytes = vec![1, 6, 0, 1, 0, 11, 2, 0];
        bytes.extend(b"X: y\n\nHello  ");
        bytes.extend([1, 3, 0, 1, 0, 8, 0, 0]);
        bytes.extend([0; 8]);
        bytes.extend(b"more");
        conversation.raw(&bytes);
    }),
    ("status", |conversation| {
        conversation.stdout(b"Status: 500 Oh\r\nX: y\r\n\r\nHello");
        conversation.end(0);
    }),
    ("status", |conversation| {
        conversation.stdout(b"Location: /elsewhere\r\n\r\nHello");
        conversation.end(0);
    }),
    ("content", |conversation| {
        conversation.stdout(b"X: y\r\n\r\nGoodbye");
        conversation.end(0);
    }),
    ("content", |conversation| {
        conversation.stdout(b"Content-Length: 6\r\n\r\nHello");
        conversation.end(0);
    }),
    ("content", |conversation| {
        conversation.stdout(GOOD);
        conversation.end(7);
    }),
    ("content", |conversation| conversation.refuse(0, 2)),
    ("content", |conversation| conversation.end(0)),
    ("content", |conversation| {
        conversation.stdout(b"no field here\r\n\r\nHello");
        conversation.end(0);
    }),
    ("malformed", |conversation| {
        conversation.raw(b"HTTP/1.1 200 OK\r\n\r\n")
    }),
    ("malformed", |conversation| {
        conversation.write(RecordType::Stdin, b"Hello");
    }),
    ("stuck", |conversation| {
        conversation.wait_for_end();
    }),
    ("stuck", |conversation| {
        conversation.stdout(GOOD);
        conversation.wait_for_end();
    }),
];

#[test]
fn every_kind_of_loss_is_counted_by_kind() {
    let (application, _) = numbered(|number, conversation| MISBEHAVIOURS[number].1(conversation));
    let total = MISBEHAVIOURS.len().to_string();
    let options = ["-n", &total, "--expect", "Hello", "--timeout", "1"];
    let loaded = load(&application.address, &options);
    let mut expected: Vec<(&str, u64)> = Vec::new();
    for (kind, _) in MISBEHAVIOURS.iter().filter(|(kind, _)| !kind.is_empty()) {
        match expected.iter_mut().find(|(other, _)| other == kind) {
            Some((_, count)) => *count += 1,
            None => expected.push((kind, 1)),
        }
    }
    assert_eq!(loaded.counts(), (1, lost(&expected)), "{}", loaded.out);
    let first = &loaded.json()["first_losses"];
    assert_eq!(first.as_array().unwrap().len(), 5);
    assert_eq!(first[0]["kind"], "before");
    assert_eq!(
        first[2]["reason"],
        "connection closed after 1 bytes of the response"
    );
}

#[test]
fn a_refusal_by_the_application_is_named() {
    let (application, _) = numbered(|_, conversation| conversation.refuse(0, 2));
    let loaded = load(&application.address, &["-n", "1"]);
    assert!(loaded.out.contains("OVERLOADED"), "{}", loaded.out);
}

#[test]
fn a_refused_connection_is_reported_with_the_system_error() {
    let refused = |address: &str| {
        let loaded = load(address, &["-n", "3"]);
        assert_eq!(loaded.counts(), (0, lost(&[("refused", 3)])));
        loaded.json()["refused_by_errno"].to_string()
    };
    assert_eq!(
        refused(&Application::closed_address()),
        r#"{"ECONNREFUSED":3}"#
    );
    assert_eq!(refused("@no-process-listens"), r#"{"ECONNREFUSED":3}"#);

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let address = path.to_str().unwrap();
    assert_eq!(refused(address), r#"{"ENOENT":3}"#);

    drop(UnixListener::bind(&path).unwrap());
    assert_eq!(refused(address), r#"{"ECONNREFUSED":3}"#);
}

#[test]
fn a_full_listen_queue_refuses() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let fresh = |flags| socket(AddressFamily::Unix, SockType::Stream, flags, None).unwrap();
    let name = UnixAddr::new(&path).unwrap();
    let listener = fresh(SockFlag::empty());
    bind(listener.as_raw_fd(), &name).unwrap();
    listen(&listener, Backlog::new(1).unwrap()).unwrap();
    let mut waiting = Vec::new();
    loop {
        let client = fresh(SockFlag::SOCK_NONBLOCK);
        match connect(client.as_raw_fd(), &name) {
            Ok(()) => waiting.push(client),
            Err(errno) => break assert_eq!(errno, Errno::EAGAIN),
        }
    }
    let loaded = load(path.to_str().unwrap(), &["-n", "2"]);
    assert_eq!(loaded.counts(), (0, lost(&[("refused", 2)])));
    assert_eq!(loaded.json()["refused_by_errno"]["EAGAIN"], 2);
}

#[test]
fn a_reset_within_the_request_counts_as_before() {
    // Closing with unread input resets the connection.
    let application = Application::start(|mut conversation| {
        conversation.record();
    });
    let loaded = load(&application.address, &["-n", "4"]);
    assert_eq!(loaded.counts(), (0, lost(&[("before", 4)])));
    assert!(loaded.out.contains("ECONNRESET"), "{}", loaded.out);
}

#[test]
fn a_reset_after_the_response_is_noticed_while_the_next_request_runs() {
    let (sender, receiver) = channel();
    let (sender, receiver) = (Mutex::new(Some(sender)), Mutex::new(receiver));
    let application = Application::start(move |mut conversation| {
        let first = sender.lock().unwrap().take();
        match first {
            Some(sender) => {
                conversation.record();
                good(&mut conversation);
                drop(conversation);
                sender.send(()).unwrap();
            }
            None => {
                conversation.request();
                conversation.stdin();
                receiver.lock().unwrap().recv().unwrap();
                good(&mut conversation);
            }
        }
    });
    let loaded = load(&application.address, &["-n", "2"]);
    assert_eq!(
        loaded.counts(),
        (1, lost(&[("after", 1)])),
        "{}",
        loaded.out
    );
}

#[test]
fn a_keep_alive_connection_that_ends_before_a_response_is_counted_separately() {
    let (application, _) = numbered(|number, conversation| match number % 3 {
        0 | 1 => good(conversation),
        _ => conversation.disconnect(),
    });
    let loaded = load(&application.address, &["-n", "9", "--keep"]);
    assert_eq!(loaded.counts(), (6, lost(&[("before_reused", 3)])));
    assert_eq!(loaded.json()["connections"], 3);

    let (application, _) = numbered(|_, conversation| conversation.disconnect());
    let loaded = load(&application.address, &["-n", "2", "--keep"]);
    assert_eq!(loaded.counts(), (0, lost(&[("before", 2)])));
}

#[test]
fn the_connection_of_a_complete_but_lost_response_is_reused() {
    let (application, _) = numbered(|number, conversation| match number {
        1 => {
            conversation.stdout(b"Status: 503 Busy\n\n");
            conversation.end(0);
        }
        _ => good(conversation),
    });
    let loaded = load(&application.address, &["-n", "3", "--keep"]);
    assert_eq!(loaded.counts(), (2, lost(&[("status", 1)])));
    assert_eq!(loaded.json()["connections"], 1);
}
