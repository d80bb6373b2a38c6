use std::net::TcpListener;

use super::{Admin, PATHS, head};
use crate::managed::Pool;
use crate::process::{fcgipm, file};
use crate::web::send;

#[test]
fn requests_for_another_host_are_refused() {
    let (pool, _socket, _) = Pool::on_unix(1);
    let admin = Admin::with(&[
        "--listen",
        "127.0.0.1:0",
        "--host",
        "Admin.example",
        "--host",
        "192.0.2.7",
        &pool.pid_file(),
    ]);
    let own = format!("Host: {}", admin.address);
    for host in [
        "Host: localhost",
        "Host: LOCALHOST.:1",
        "Host: 127.0.0.1",
        &own,
        "Host: [::1]:9",
        "Host: admin.EXAMPLE:9100",
        "Host: 192.0.2.7",
    ] {
        assert_eq!(
            admin.request("GET", "/status.json", &[host]).status,
            200,
            "{host}"
        );
    }
    for host in [
        "Host: evil.example",
        "Host: admin.example.evil.example",
        "Host: 192.0.2.8",
        "Host: localhost@evil.example",
        "Host: localhost.evil.example",
        "Host: user@localhost",
    ] {
        for path in PATHS.into_iter().chain(["/x"]) {
            let response = admin.request("GET", path, &[host]);
            assert_eq!(response.status, 421, "{host} {path}");
            assert!(response.text().contains("--host"));
        }
    }
    for hosts in [
        &[][..],
        &["Host: localhost", "Host: localhost"],
        &["Host: a b"],
        &["Host:"],
    ] {
        assert_eq!(admin.request("GET", "/", hosts).status, 400, "{hosts:?}");
    }
    // The request line has precedence over the header.
    let absolute = |host: &str| {
        admin.request(
            "GET",
            &format!("http://{host}/healthz"),
            &["Host: localhost"],
        )
    };
    assert_eq!(absolute("localhost").status, 200);
    assert_eq!(absolute("evil.example").status, 421);
    let probe = b"GET /healthz HTTP/1.0\r\n\r\n";
    assert_eq!(send(&admin.address, probe).status, 200);
}

#[test]
fn other_hosts_need_a_token() {
    let (pool, _socket, _) = Pool::on_unix(1);
    let target = pool.pid_file();
    let output = fcgipm(&["admin", "--listen", "0.0.0.0:0", &target], b"");
    assert_eq!(output.status.code(), Some(1));
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(
        errors.contains("other hosts can connect, so --token-file is required"),
        "{errors}"
    );
    for (token, reason) in [
        ("", "16 to 1024 characters, not 0"),
        ("short", "not 5"),
        ("a token with blanks in it", "without blanks"),
        (&*"x".repeat(2_000), "16 to 1024"),
    ] {
        let token = file(token.as_bytes());
        let path = token.path().to_str().unwrap();
        let output = fcgipm(&["admin", "--token-file", path, &target], b"");
        assert_eq!(output.status.code(), Some(1));
        let errors = String::from_utf8(output.stderr).unwrap();
        assert!(errors.contains(path) && errors.contains(reason), "{errors}");
    }
    let token = file(b"  secret-of-sixteen\n");
    let path = token.path().to_str().unwrap();
    let mut admin = Admin::with(&["--listen", "0.0.0.0:0", "--token-file", path, &target]);
    admin.address = admin.address.replace("0.0.0.0", "127.0.0.1");
    // Basic authentication with the user `any`.
    let basic = "Authorization: Basic YW55OnNlY3JldC1vZi1zaXh0ZWVu";
    let right = [
        "Authorization: Bearer secret-of-sixteen",
        "authorization: BEARER secret-of-sixteen",
        basic,
    ];
    let wrong = [
        "X-Nothing: x",
        "Authorization: Bearer secret-of-sixteeN",
        "Authorization: Bearer secret-of-sixteen0",
        "Authorization: Bearer",
        "Authorization: Basic c2VjcmV0LW9mLXNpeHRlZW4=",
        "Authorization: Basic *",
        "Authorization: secret-of-sixteen",
    ];
    for path in ["/", "/status.json", "/history.json", "/metrics"] {
        for header in right {
            let response = admin.request("GET", path, &["Host: localhost", header]);
            assert_eq!(response.status, 200, "{path} {header}");
        }
        for header in wrong {
            let response = admin.request("GET", path, &["Host: localhost", header]);
            assert_eq!(response.status, 401, "{path} {header}");
            assert_eq!(
                response.header("www-authenticate"),
                ["Basic realm=\"fcgipm\""]
            );
        }
    }
    let ready = |header| {
        admin
            .request("GET", "/readyz", &["Host: localhost", header])
            .text()
    };
    assert_eq!(ready(wrong[0]), "ready\n");
    assert_eq!(ready(right[0]), "ready: 1 of 1 worker\n");
    assert_eq!(admin.get("/healthz").status, 200);
}

#[test]
fn a_request_header_has_a_limit() {
    let (pool, _socket, _) = Pool::on_unix(1);
    let admin = Admin::of(&pool.pid_file());
    let large = format!("X: {}", "x".repeat(64 * 1024));
    assert_eq!(
        admin
            .request("GET", "/", &["Host: localhost", &large])
            .status,
        431
    );
    let fields: Vec<_> = (0..100).map(|number| format!("X-{number}: x")).collect();
    let mut fields = Vec::from_iter(fields.iter().map(String::as_str));
    fields.push("Host: localhost");
    assert_eq!(admin.request("GET", "/", &fields).status, 431);
    let long = head(
        "GET",
        &format!("/{}", "x".repeat(70_000)),
        &["Host: localhost"],
    );
    let status = send(&admin.address, long.as_bytes()).status;
    assert!([414, 431].contains(&status), "{status}");
    assert_eq!(admin.get("/healthz").status, 200);
}

#[test]
fn an_address_in_use_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = fcgipm(&["admin", "--listen", &address, "1"], b"");
    assert_eq!(output.status.code(), Some(1));
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(
        errors.contains(&format!("cannot listen on --listen {address}")),
        "{errors}"
    );
}
