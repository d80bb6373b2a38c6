//! The response header of an application, and the one of the gateway.

use fcgipm::wire::RecordType;

use crate::application::Application;
use crate::process::Gateway;
use crate::web;

/// A gateway for an application that answers with these bytes.
fn answered_with(bytes: &'static [u8]) -> (Application, Gateway) {
    let application = Application::answering(move |_, conversation| {
        conversation.stdin();
        bytes.to_vec()
    });
    let gateway = Gateway::to(&application.address, &[]);
    (application, gateway)
}

#[test]
fn the_status_field_becomes_the_status_line() {
    let (_application, gateway) = answered_with(b"Status: 418 Short and stout\nX-A: b\n\ntea");
    let response = web::get(&gateway.http, "/");
    assert!(
        response
            .head
            .starts_with("HTTP/1.1 418 Short and stout\r\n")
    );
    assert_eq!(response.header("x-a"), ["b"]);
    assert!(response.header("status").is_empty());
    assert_eq!(response.text(), "tea");
}

#[test]
fn two_hundred_response_headers_arrive_in_order() {
    let application = Application::answering(|_, conversation| {
        conversation.stdin();
        let mut text: String = (0..200).map(|n| format!("X-{n}: {n}\n")).collect();
        text += &(0..50)
            .map(|n| format!("Set-Cookie: c={n}\n"))
            .collect::<String>();
        (text + "\nbody").into_bytes()
    });
    let gateway = Gateway::to(&application.address, &[]);
    let response = web::get(&gateway.http, "/");
    for n in 0..200 {
        assert_eq!(response.header(&format!("x-{n}")), [n.to_string()]);
    }
    let cookies: Vec<String> = (0..50).map(|n| format!("c={n}")).collect();
    assert_eq!(response.header("set-cookie"), cookies);
}

#[test]
fn a_header_may_be_split_into_records_anywhere() {
    let application = Application::start(|mut conversation| {
        conversation.request();
        conversation.stdin();
        for byte in b"Status: 201 Created\r\nX-A: b\r\n\r\nbody" {
            conversation.write(RecordType::Stdout, &[*byte]);
        }
        conversation.write(RecordType::Stdout, b"");
        conversation.end(0);
    });
    let gateway = Gateway::to(&application.address, &[]);
    let response = web::get(&gateway.http, "/");
    assert_eq!((response.status, response.text()), (201, "body".into()));
}

#[test]
fn head_is_answered_with_only_the_header() {
    let (_application, gateway) = answered_with(b"Content-Length: 5\nX-A: b\n\nhello");
    let response = web::request(&gateway.http, "HEAD", "/", &[], b"");
    assert_eq!(response.status, 200);
    assert_eq!(response.header("content-length"), ["5"]);
    assert_eq!(response.body, b"");
    let (_application, gateway) = answered_with(b"X-A: b\n\nhello");
    let response = web::request(&gateway.http, "HEAD", "/", &[], b"");
    assert!(response.header("content-length").is_empty());
    assert_eq!(response.body, b"");
}

#[test]
fn a_client_of_http_1_0_gets_a_body_that_ends_with_the_connection() {
    let (_application, gateway) = answered_with(b"X-A: b\n\nhello");
    let request = b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n";
    let response = web::send(&gateway.http, request);
    assert!(!response.header("connection").contains(&"keep-alive"));
    assert_eq!(response.text(), "hello");
}

#[test]
fn no_content_and_not_modified_have_no_body() {
    for answer in [
        &b"Status: 204\n\nstray"[..],
        b"Status: 304\nETag: x\n\nstray",
    ] {
        let (_application, gateway) = answered_with(answer);
        let response = web::get(&gateway.http, "/");
        assert!(response.status == 204 || response.status == 304);
        assert_eq!(response.body, b"");
        assert!(response.header("transfer-encoding").is_empty());
    }
}

#[test]
fn an_absolute_location_redirects_the_client() {
    let (_application, gateway) = answered_with(b"Location: http://example.org/\n\n");
    let response = web::get(&gateway.http, "/");
    assert_eq!(response.status, 302);
    assert_eq!(response.header("location"), ["http://example.org/"]);
    let (_application, gateway) = answered_with(b"Status: 303\nLocation: /there\n\n");
    assert_eq!(web::get(&gateway.http, "/").status, 303);
}

#[test]
fn a_local_location_is_followed_internally_without_endless_loops() {
    let application = Application::answering(|request, conversation| {
        let body = conversation.stdin();
        match request.get("PATH_INFO") {
            Some("/start") => b"Location: /there?x=1\n\n".to_vec(),
            Some("/there") => format!(
                "X: 1\n\n{} {} {} {:?}",
                request.get("REQUEST_METHOD").unwrap(),
                request.get("QUERY_STRING").unwrap(),
                body.len(),
                request.get("CONTENT_LENGTH")
            )
            .into_bytes(),
            _ => b"Location: /loop\n\n".to_vec(),
        }
    });
    let gateway = Gateway::to(&application.address, &["--keep-conn"]);
    let response = web::request(&gateway.http, "POST", "/start", &[], b"body");
    assert_eq!(response.text(), "GET x=1 0 None");
    let response = web::get(&gateway.http, "/loop");
    assert_eq!(response.status, 502);
    assert!(response.text().contains("more than 10 local redirects"));
}

#[test]
fn stderr_of_the_application_is_logged_by_line_with_the_request() {
    let application = Application::start(|mut conversation| {
        conversation.request();
        conversation.stdin();
        conversation.write(RecordType::Stderr, b"first\nsec");
        conversation.stdout(b"X: 1\n\n");
        conversation.write(RecordType::Stderr, b"ond\nlast");
        conversation.end(0);
    });
    let gateway = Gateway::to(&application.address, &[]);
    assert_eq!(web::get(&gateway.http, "/x?y").status, 200);
    for line in ["first", "second", "last"] {
        assert_eq!(gateway.error_line(line), format!("GET /x?y: {line}"));
    }
}
