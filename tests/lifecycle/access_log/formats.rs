//! What a line contains.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::Value;

use super::super::peer::program::{Program, TRANSPORTS, product};
use super::super::peer::records::{ID, request};
use super::super::php_fpm::Fpm;
use super::super::{Pool, call};
use super::{Logged, lines_of};
use crate::admin_listener::refusal;

fn json(line: &str) -> Value {
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
}

/// Each run of digits is N, each decimal is D, and a month is MON.
fn normal(line: &str) -> String {
    let mut text = String::new();
    for character in line.chars() {
        match character {
            '0'..='9' if text.ends_with(['.', 'D']) => text.push('D'),
            '0'..='9' if text.ends_with('N') => {}
            '0'..='9' => text.push('N'),
            other => text.push(other),
        }
    }
    let months = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec";
    for month in months.split(' ') {
        text = text.replace(&format!("/{month}/"), "/MON/");
    }
    text
}

/// The answer of `fcgipm call`.
fn ask(socket: &str, arguments: &[&str]) -> String {
    let output = Command::new(product("fcgipm"))
        .args(["call", "--include", "--to", socket])
        .args(arguments)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// All letters but %R and %u, which there are the address of the web server, and the user of an
/// Authorization header.
#[test]
fn php_fpm_writes_the_same_for_its_letters() {
    const LETTERS: &str = "m=%m r=%r Q=%Q q=%q s=%s f=%f l=%l n=%n p=%p P=%P t=%t T=%T \
        d=%d ds=%{seconds}d dm=%{milliseconds}d dn=%{milli}d du=%{microseconds}d dv=%{micro}d \
        C=%C Cu=%{user}C Cs=%{system}C Ct=%{total}C M=%M Mk=%{kilo}M Mm=%{megabytes}M \
        e=%{REQUEST_SCHEME}e percent=%%";
    let format = format!("access.format = \"{LETTERS}\"\naccess.log = FOLDER/access\n");
    let fpm = Fpm::start(&format);
    let script = fpm.folder.join("script.php");
    fs::write(&script, "<?php echo 'x';").unwrap();
    for path in [&fpm.folder, &script] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let script = script.to_str().unwrap();
    let ours = Logged::start(1, LETTERS, &[]);
    let https = ["--param=REQUEST_SCHEME=https"];
    for (number, (uri, more)) in [
        ("/script.php", &[][..]),
        ("/script.php?a=b&c=d", &https[..]),
        ("/script.php", &["--body", script]),
        ("/script.php?", &["--method", "HEAD"]),
    ]
    .into_iter()
    .enumerate()
    {
        let file = format!("--param=SCRIPT_FILENAME={script}");
        let common = ["--script-name", "/script.php", &file, uri];
        let arguments = [more, &common[..]].concat();
        ask(fpm.folder.join("socket").to_str().unwrap(), &arguments);
        ask(&ours.pool.program.address.text(), &arguments);
        let wanted = lines_of(&fpm.folder.join("access"), number + 1);
        let lines = ours.lines(number + 1);
        assert_eq!(
            normal(&lines[number]),
            normal(&wanted[number]),
            "\n{}\n{}",
            lines[number],
            wanted[number]
        );
    }
}

#[test]
fn json_lines_have_every_field_with_its_value() {
    let options = [("FCGIPM_REQUEST_START_PARAM", "HTTP_X_REQUEST_START")];
    let logged = Logged::start(1, "json", &options);
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let received = now() - Duration::from_secs(3);
    let ask = call("/headers?n=2")
        .param("REMOTE_ADDR", "2001:db8::1")
        .param("REMOTE_USER", "joe")
        .param("SCRIPT_FILENAME", "/srv/app")
        .param("HTTP_X_REQUEST_ID", "id-1")
        .param(
            "HTTP_TRACEPARENT",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        )
        .param(
            "HTTP_X_REQUEST_START",
            format!("t={:.3}", received.as_secs_f64()),
        )
        .body("12345");
    let answer = logged.pool.program.call(&ask);
    let lines = logged.lines(1);
    let line = json(&lines[0]);
    let sent: usize = answer.stdout.len();
    for (field, wanted) in [
        ("pool", Value::from("default")),
        ("pid", logged.pool.workers[0].into()),
        ("request_number", 1.into()),
        ("client", "2001:db8::1".into()),
        ("method", "GET".into()),
        ("uri", "/headers?n=2".into()),
        ("status", 200.into()),
        ("bytes_in", 5.into()),
        ("bytes_out", sent.into()),
        ("request_id", "id-1".into()),
        ("trace_id", "4bf92f3577b34da6a3ce929d0e0e4736".into()),
        ("aborted", false.into()),
        ("user", "joe".into()),
        ("script", "/srv/app".into()),
    ] {
        assert_eq!(line[field], wanted, "{field}: {line}");
    }
    let number = |field: &str| line[field].as_f64().unwrap();
    assert!((2.9..60.0).contains(&number("queue_wait")), "{line}");
    assert!((0.0..60.0).contains(&number("duration")), "{line}");
    assert!((0.0..60.0).contains(&number("cpu")), "{line}");
    assert!(number("memory") > 1e6, "{line}");
    let time = line["time"].as_str().unwrap();
    assert_eq!(normal(time), "N-N-NTN:N:N.DDDZ");
    // What is missing is null.
    logged.pool.program.call(&request("/headers?n=1"));
    let line = json(&logged.lines(2)[1]);
    for field in [
        "client",
        "method",
        "user",
        "request_id",
        "trace_id",
        "queue_wait",
    ] {
        assert_eq!(line[field], Value::Null, "{field}: {line}");
    }
    assert_eq!(line["request_number"], 2);
}

#[test]
fn a_hostile_client_writes_neither_lines_nor_control_characters() {
    let all: Vec<u8> = (1..=255).collect();
    let hostile: [&[u8]; 5] = [
        b"/a\n127.0.0.1 - - forged",
        b"/\",\"status\":999,\"x\":\"",
        b"/\x1b[2J\x07\r\x00\x7f",
        "/\u{202e}\u{1f600}".as_bytes(),
        &all,
    ];
    let long = b"/\x01".repeat(20_000);
    for format in ["json", "%R \"%m %r%Q%q\" %s %{HTTP_COOKIE}e"] {
        let logged = Logged::start(1, format, &[]);
        let values = hostile.into_iter().chain([&long[..]]);
        for (number, value) in values.enumerate() {
            let ask = request("/headers?n=1")
                .param("REQUEST_METHOD", value)
                .param("REQUEST_URI", value)
                .param("HTTP_COOKIE", value)
                .param("REMOTE_ADDR", value)
                .param("HTTP_X_REQUEST_ID", value)
                .param("HTTP_TRACEPARENT", value);
            logged.pool.program.call(&ask);
            let lines = logged.lines(number + 1);
            assert_eq!(lines.len(), number + 1, "{lines:?}");
            let line = &lines[number];
            assert!(line.len() < 4_096, "{}", line.len());
            let is_plain = line.bytes().all(|byte| (b' '..=b'~').contains(&byte));
            assert!(is_plain, "{line:?}");
            if format == "json" {
                let parsed = json(line);
                assert_eq!(parsed["status"], 200);
                assert_eq!(parsed["trace_id"], Value::Null);
                if let Ok(text) = std::str::from_utf8(value) {
                    if text.len() < 100 && !text.contains('\0') {
                        assert_eq!(parsed["uri"], text);
                    }
                }
            }
        }
    }
}

/// The seconds of the last of this many lines.
fn duration(logged: &Logged, count: usize) -> f64 {
    json(&logged.lines(count)[count - 1])["duration"]
        .as_f64()
        .unwrap()
}

#[test]
fn the_duration_begins_with_the_first_byte_of_the_request() {
    const PAUSE: Duration = Duration::from_millis(300);
    let logged = Logged::start(1, "json", &[]);
    // The parameters arrive slowly.
    let begun = Instant::now();
    let (mut connection, rest) = logged.pool.half(&call("/headers?n=1").keep(true));
    // The pauses are the scenario.
    std::thread::sleep(PAUSE);
    connection.send(&rest);
    connection.response_to(ID);
    let slow = duration(&logged, 1);
    assert!(slow >= PAUSE.as_secs_f64(), "{slow}");
    assert!(slow <= begun.elapsed().as_secs_f64(), "{slow}");
    // A keep-alive connection is idle between two requests.
    let idle = Instant::now();
    std::thread::sleep(4 * PAUSE);
    let idle = idle.elapsed().as_secs_f64();
    connection.call(&call("/headers?n=1").keep(true));
    let fast = duration(&logged, 2);
    assert!(fast < idle, "{fast}");
}

#[test]
fn aborted_and_failed_requests_have_lines_too() {
    let logged = Logged::start(1, "json", &[]);
    let connection = logged.pool.paused(false);
    let gate = logged.pool.gate();
    drop(connection);
    drop(gate);
    let line = json(&logged.lines(1)[0]);
    assert_eq!(line["uri"], "/pause");
    logged.pool.program.call(&call("/nothing"));
    assert!(logged.lines(2)[1].contains("\"uri\":\"/nothing\""));
    logged.pool.program.call(&call("/exit"));
    assert!(logged.lines(3)[2].contains("\"uri\":\"/exit\""));
}

#[test]
fn what_is_wrong_is_named_at_the_start() {
    for (options, why) in [
        (
            &[("FCGIPM_ACCESS_LOG", "access.log")][..],
            "option access_log: 'access.log': not stderr, syslog:FACILITY, or the absolute path",
        ),
        (
            &[("FCGIPM_ACCESS_LOG", "/nonexistent/log")],
            "option access_log: log file /nonexistent/log: ",
        ),
        (
            &[("FCGIPM_REQUEST_ID_PARAM", "X Y")],
            "option request_id_param: 'X Y' is not the name of a parameter",
        ),
        (
            &[("FCGIPM_ACCESS_LOG", "syslog:kern")],
            "option access_log: 'syslog:kern': unknown facility",
        ),
        (
            &[
                ("FCGIPM_ACCESS_LOG", "stderr"),
                ("FCGIPM_ACCESS_FORMAT", "%R %z"),
            ],
            "option access_format: '%R %z': at byte 4: %z: unknown letter",
        ),
    ] {
        let error = refusal(options);
        assert!(error.contains(why), "{why}: {error}");
    }
    let long = "x".repeat(2_000);
    let options = [
        ("FCGIPM_ACCESS_LOG", "stderr"),
        ("FCGIPM_ACCESS_FORMAT", long.as_str()),
    ];
    assert!(refusal(&options).contains("is too long"));
}

#[test]
fn without_a_manager_there_is_a_warning() {
    let (command, _gate) = crate::command(0, &[("FCGIPM_ACCESS_LOG", "stderr")]);
    let mut program = Program::start(command, TRANSPORTS[0]);
    program.call(&call("/headers?n=1"));
    program.line("access_log has no effect: there is no manager");
}

#[test]
fn the_pool_of_fcgipm_run_is_named() {
    let pool = Pool::start(
        TRANSPORTS[0],
        1,
        &[
            ("FCGIPM_ACCESS_LOG", "stderr"),
            (
                "FCGIPM_ACCESS_FORMAT",
                "log of %n, request %{request_number}x",
            ),
            ("FCGIPM_PM_TITLE", "shop"),
        ],
    );
    pool.program.call(&call("/headers?n=1"));
    let mut pool = pool;
    pool.program.line("log of shop, request 1");
}

/// With ids only where a request is named, which is when it has a limit.
#[test]
fn a_slow_request_is_reported_with_its_ids() {
    let ask = || {
        call("/pause")
            .param("HTTP_X_REQUEST_ID", "id\n1")
            .param(
                "HTTP_TRACEPARENT",
                "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            )
            .bytes()
    };
    let mut pool = Pool::start(TRANSPORTS[0], 1, &[("FCGIPM_SLOW_REQUEST", "0.05")]);
    let mut connection = pool.program.connect();
    connection.send(&ask());
    let _gate = pool.gate();
    let line = pool.program.line("slow request");
    let ids = ": GET /pause (request id id\\u{a}1, trace id 4bf92f3577b34da6a3ce929d0e0e4736)";
    assert!(line.ends_with(ids), "{line}");
    let worker = &pool.status()["workers"][0];
    assert_eq!(worker["request_id"], "id\\u{a}1");
    assert_eq!(worker["trace_id"], "4bf92f3577b34da6a3ce929d0e0e4736");
    let pool = Pool::start(TRANSPORTS[0], 1, &[]);
    let mut connection = pool.program.connect();
    connection.send(&ask());
    let _gate = pool.gate();
    assert_eq!(pool.status()["workers"][0]["request_id"], Value::Null);
}

#[test]
fn waits_are_counted_without_an_access_log() {
    let options = [("FCGIPM_REQUEST_START_PARAM", "HTTP_X_REQUEST_START")];
    let pool = Pool::start(TRANSPORTS[0], 1, &options);
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let ago = |seconds: u64| {
        let start = now() - Duration::from_secs(seconds);
        format!("t={:.3}", start.as_secs_f64())
    };
    // Those that nobody can have measured do not count.
    for start in [ago(3), ago(20), ago(4_000), "t=x".to_owned(), String::new()] {
        let ask = call("/headers?n=1").param("HTTP_X_REQUEST_START", start);
        pool.program.call(&ask);
    }
    let status = pool.status();
    let waits = &status["queue_waits"];
    let sum = waits["sum"].as_f64().unwrap();
    assert!((22.9..90.0).contains(&sum), "{waits}");
    let buckets = waits["buckets"].as_array().unwrap();
    let counts = buckets
        .iter()
        .map(|bucket| bucket["count"].as_u64().unwrap());
    assert_eq!(counts.sum::<u64>(), 2, "{waits}");
}
