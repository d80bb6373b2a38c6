//! The parameters of a request.

use crate::application::{Application, Request};
use crate::process::Gateway;
use crate::web;

/// An application that answers with all its parameters, one per line.
fn printing() -> Application {
    Application::answering(|request: &Request, conversation| {
        conversation.stdin();
        let lines: String = request
            .params
            .iter()
            .map(|(name, value)| format!("{name}={value}\n"))
            .collect();
        format!("Content-Type: text/plain\n\n{lines}").into_bytes()
    })
}

fn has(text: &str, line: &str) -> bool {
    text.lines().any(|other| other == line)
}

#[test]
fn a_request_has_the_variables_of_cgi() {
    let application = printing();
    let gateway = Gateway::to(&application.address, &[]);
    let (_, port) = gateway.http.rsplit_once(':').unwrap();
    let text = web::request(
        &gateway.http,
        "POST",
        "/a%20b/c?x=%20y&z",
        &[
            "Content-Type: text/x",
            "Cookie: a=1",
            "Cookie: b=2",
            "X-Many: 1",
            "X-Many: 2",
            "Authorization: Basic eDp5",
            "Proxy: http://evil/",
            "X_Under: 1",
        ],
        b"four",
    )
    .text();
    for line in [
        "GATEWAY_INTERFACE=CGI/1.1",
        "SERVER_SOFTWARE=fcgipm/0.1.0",
        "SERVER_PROTOCOL=HTTP/1.1",
        "REQUEST_METHOD=POST",
        "REQUEST_URI=/a%20b/c?x=%20y&z",
        "SCRIPT_NAME=",
        "PATH_INFO=/a b/c",
        "QUERY_STRING=x=%20y&z",
        "CONTENT_TYPE=text/x",
        "CONTENT_LENGTH=4",
        "REMOTE_ADDR=127.0.0.1",
        "SERVER_ADDR=127.0.0.1",
        "SERVER_NAME=test",
        &format!("SERVER_PORT={port}"),
        "REDIRECT_STATUS=200",
        "HTTP_HOST=test",
        "HTTP_COOKIE=a=1; b=2",
        "HTTP_X_MANY=1, 2",
        "HTTP_AUTHORIZATION=Basic eDp5",
    ] {
        assert!(has(&text, line), "no {line} in\n{text}");
    }
    assert!(text.contains("REMOTE_PORT="));
    for absent in [
        "HTTP_PROXY",
        "HTTP_CONTENT_",
        "HTTP_X_UNDER",
        "DOCUMENT_ROOT",
    ] {
        assert!(!text.contains(absent), "{absent} in\n{text}");
    }
}

#[test]
fn a_request_without_a_body_has_no_content_length_but_a_query_string() {
    let application = printing();
    let gateway = Gateway::to(&application.address, &[]);
    let text = web::get(&gateway.http, "/").text();
    assert!(!text.contains("CONTENT_LENGTH"), "{text}");
    assert!(!text.contains("CONTENT_TYPE"), "{text}");
    assert!(has(&text, "QUERY_STRING="), "{text}");
}

#[test]
fn options_set_paths_and_override_variables() {
    let application = printing();
    let gateway = Gateway::to(
        &application.address,
        &[
            "--script-name",
            "/app.pl",
            "--document-root",
            "/srv/www/",
            "--param",
            "SERVER_NAME=mine",
            "--param",
            "EMPTY=",
        ],
    );
    let text = web::get(&gateway.http, "/app.pl/more%2Fx").text();
    for line in [
        "SCRIPT_NAME=/app.pl",
        "PATH_INFO=/more/x",
        "DOCUMENT_ROOT=/srv/www",
        "SCRIPT_FILENAME=/srv/www/app.pl",
        "PATH_TRANSLATED=/srv/www/more/x",
        "SERVER_NAME=mine",
        "EMPTY=",
    ] {
        assert!(has(&text, line), "no {line} in\n{text}");
    }
    assert_eq!(web::get(&gateway.http, "/app.plus").status, 404);
    assert_eq!(web::get(&gateway.http, "/app.pl/%2e%2e/x").status, 400);
    assert_eq!(web::get(&gateway.http, "/app.pl/%zz").status, 400);
}

#[test]
fn two_hundred_request_headers_arrive() {
    let application = printing();
    let gateway = Gateway::to(&application.address, &[]);
    let headers: Vec<String> = (0..200).map(|n| format!("X-{n}: {n}")).collect();
    let headers: Vec<&str> = headers.iter().map(String::as_str).collect();
    let text = web::request(&gateway.http, "GET", "/", &headers, b"").text();
    for n in 0..200 {
        assert!(has(&text, &format!("HTTP_X_{n}={n}")));
    }
}
