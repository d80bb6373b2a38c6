//! `fcgipm call`: its output, and its exit status for each outcome.

use fcgipm::wire::{RecordType, Role};

use crate::application::{Application, Conversation};
use crate::process::{fcgipm, file};

struct Called {
    status: i32,
    out: String,
    err: String,
}

fn call(address: &str, options: &[&str], input: &[u8]) -> Called {
    let output = fcgipm(&[&["call", "--to", address], options].concat(), input);
    Called {
        status: output.status.code().unwrap(),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Calls an application with this behaviour.
fn call_to(act: impl Fn(&mut Conversation) + Send + Sync + 'static, options: &[&str]) -> Called {
    let application = Application::start(move |mut conversation| {
        conversation.request();
        conversation.stdin();
        act(&mut conversation);
    });
    call(&application.address, &[options, &["/"]].concat(), b"")
}

#[test]
fn a_successful_response_is_printed_with_status_0() {
    let act = |conversation: &mut Conversation| {
        conversation.write(RecordType::Stderr, b"a warning\n");
        conversation.stdout(b"Status: 201 Created\nX-A: b\n\nbody");
        conversation.end(0);
    };
    let called = call_to(act, &[]);
    assert_eq!(
        (called.status, &called.out[..], &called.err[..]),
        (0, "body", "a warning\n")
    );
    let called = call_to(act, &["--include"]);
    assert_eq!(called.out, "Status: 201 Created\nX-A: b\n\nbody");
}

#[test]
fn each_kind_of_failure_has_its_exit_status() {
    let called = call_to(
        |conversation| {
            conversation.stdout(b"Status: 404 Not Found\n\ngone");
            conversation.end(0);
        },
        &[],
    );
    assert_eq!((called.status, &called.out[..]), (22, "gone"));
    assert!(called.err.contains("404"), "{}", called.err);

    let called = call_to(
        |conversation| {
            conversation.stdout(b"X: 1\n\nbody");
            conversation.end(3);
        },
        &[],
    );
    assert_eq!((called.status, &called.out[..]), (1, "body"));

    let called = call_to(
        |conversation| {
            conversation.wait_for_end();
        },
        &["--timeout", "0.2"],
    );
    assert_eq!(called.status, 28, "{}", called.err);

    let broken: [fn(&mut Conversation); 6] = [
        |conversation| conversation.disconnect(),
        |conversation| {
            conversation.stdout(b"X: 1\n\nhalf");
            conversation.disconnect();
        },
        |conversation| conversation.raw(b"garbage garbage"),
        |conversation| conversation.refuse(0, 3),
        |conversation| conversation.end(0),
        |conversation| {
            conversation.stdout(b"Content-Length: 9\n\nfour");
            conversation.end(0);
        },
    ];
    for act in broken {
        let called = call_to(act, &[]);
        assert_eq!(called.status, 56, "{}", called.err);
        assert!(called.err.starts_with("fcgipm call: "));
    }

    let called = call(&Application::closed_address(), &["/"], b"");
    assert_eq!(called.status, 7);
    assert!(called.err.contains("Connection refused"));
}

#[test]
fn a_usage_error_has_status_2_and_names_the_value() {
    for (options, word) in [
        (&["--to", ":99999", "/"][..], ":99999"),
        (&["--to", ":9", "no-slash"], "no-slash"),
        (&["--to", ":9", "--timeout", "soon", "/"], "soon"),
        (&["--to", ":9", "--header", "novalue", "/"], "novalue"),
        (&["--to", ":9", "--param", "novalue", "/"], "novalue"),
        (
            &["--to", ":9", "--body", "/no/such/file", "/"],
            "/no/such/file",
        ),
        (&["--to", ":9", "--body", "/", "/"], "'/': is a directory"),
        (&["--to", ":9", "--role", "waiter", "/"], "waiter"),
        (
            &["--to", ":9", "--role", "authorizer", "--body", "-", "/"],
            "--body",
        ),
    ] {
        let output = fcgipm(&[&["call"], options].concat(), b"");
        assert_eq!(output.status.code(), Some(2), "{options:?}");
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(text.contains(word), "{text}");
    }
    for (options, word) in [
        (&["--to", ":9", "--http", "nowhere"][..], "nowhere"),
        (&["--to", ":9", "--http", "/run/x"], "/run/x"),
        (&["--to", "nowhere"], "nowhere"),
        (&["--to", ":9", "--script-name", "app"], "app"),
    ] {
        let output = fcgipm(&[&["gateway"], options].concat(), b"");
        assert_eq!(output.status.code(), Some(2), "{options:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains(word));
    }
}

#[test]
fn an_address_in_use_is_named_when_the_gateway_cannot_listen() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = fcgipm(&["gateway", "--http", &address, "--to", ":9"], b"");
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains(&address) && text.contains("in use"), "{text}");
}

#[test]
fn a_body_from_a_file_or_a_pipe_and_headers_arrive() {
    let application = Application::answering(|request, conversation| {
        let body = conversation.stdin();
        let get = |name| request.get(name).unwrap_or("none");
        let line = format!(
            "X: 1\n\n{} {} {} {} {} {} {}",
            get("REQUEST_METHOD"),
            get("PATH_INFO"),
            get("QUERY_STRING"),
            get("CONTENT_LENGTH"),
            get("HTTP_X_A"),
            get("EXTRA"),
            body.len()
        );
        line.into_bytes()
    });
    let large = vec![7; 1_000_000];
    let stored = file(&large);
    let path = stored.path().to_str().unwrap();
    let common = ["--header", "X-A: b", "--param", "EXTRA=e", "/p%20q?x=1"];
    for name in [path, "-"] {
        let called = call(
            &application.address,
            &[&["--body", name], &common[..]].concat(),
            &large,
        );
        assert_eq!(called.out, "POST /p q x=1 1000000 b e 1000000");
        assert_eq!(called.status, 0);
    }
    let called = call(&application.address, &common, b"");
    assert_eq!(called.out, "GET /p q x=1 none b e 0");
}

#[test]
fn a_filter_gets_its_second_stream_and_an_authorizer_none() {
    let application = Application::start(|mut conversation| {
        let request = conversation.request().unwrap();
        let mut text = format!("X: 1\n\n{}", request.role);
        if request.role == Role::Filter.number() {
            let body = conversation.input(RecordType::Stdin);
            let data = conversation.input(RecordType::Data);
            let length = request.get("FCGI_DATA_LENGTH").unwrap();
            text += &format!(" {} {} {length}", body.len(), data.len());
        } else {
            for name in ["PATH_INFO", "SCRIPT_NAME", "CONTENT_LENGTH"] {
                assert_eq!(request.get(name), None);
            }
        }
        conversation.stdout(text.as_bytes());
        conversation.end(0);
    });
    let data = file(&[1; 5000]);
    let path = data.path().to_str().unwrap();
    let options = ["--role", "filter", "--data", path, "--body", "-", "/"];
    let called = call(&application.address, &options, b"abc");
    assert_eq!(called.out, "3 3 5000 5000", "{}", called.err);
    let called = call(&application.address, &["--role", "authorizer", "/"], b"");
    assert_eq!(called.out, "2", "{}", called.err);
}
