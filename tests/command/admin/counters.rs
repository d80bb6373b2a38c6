//! What workers count of their requests.

use std::fs;
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use serde_json::Value;

use super::Admin;
use super::metrics::Parsed;
use crate::managed::{Pool, RECORDS, random, signal};
use crate::process::{LIMIT, fcgipm, line_with, lines_of};

const OF_POOL: &str = "pool=\"default\"";

fn load(address: &str, arguments: &[&str]) {
    let output = fcgipm(&[&["load", address], arguments].concat(), b"");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}");
}

/// The length of the response to one request.
fn call(address: &str, path: &str) -> usize {
    let output = fcgipm(&["call", "--to", address, "--include", path], b"");
    assert!(output.status.success());
    output.stdout.len()
}

/// The metrics once this many requests are finished.
fn after(admin: &Admin, requests: u64) -> Parsed {
    let line = format!("fcgipm_requests_total{{{OF_POOL}}} {requests}\n");
    Parsed::of(&admin.wait_for("/metrics", 200, &line).text(), false)
}

fn status(pid_file: &str) -> Value {
    let output = fcgipm(&["status", "--json", pid_file], b"");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn count_of(report: &Value) -> u64 {
    let buckets = report["durations"]["buckets"].as_array().unwrap();
    let counts = buckets.iter().map(|bucket| bucket["count"].as_u64());
    counts.map(Option::unwrap).sum()
}

fn responses(parsed: &Parsed) -> [f64; 5] {
    ["other", "2xx", "3xx", "4xx", "5xx"].map(|class| {
        let labels = format!("{OF_POOL},class=\"{class}\"");
        parsed.value("fcgipm_responses_total", &labels)
    })
}

fn exits(parsed: &Parsed, cause: &str) -> f64 {
    let labels = format!("{OF_POOL},cause=\"{cause}\"");
    parsed.value("fcgipm_worker_exits_total", &labels)
}

fn assert_counts(parsed: &Parsed, counts: &[(&str, usize)]) {
    for (name, expected) in counts {
        assert_eq!(parsed.value(name, OF_POOL), *expected as f64, "{name}");
    }
    let all = parsed.value("fcgipm_requests_total", OF_POOL);
    let durations = parsed.value("fcgipm_request_duration_seconds_count", OF_POOL);
    assert_eq!((durations, responses(parsed).iter().sum()), (all, all));
    let last = format!("{OF_POOL},le=\"+Inf\"");
    let last = parsed.value("fcgipm_request_duration_seconds_bucket", &last);
    assert_eq!(last, durations);
}

#[test]
fn requests_of_a_c_program_are_counted_through_reloads_and_exits() {
    const BODY: usize = 100_000;
    let (pool, _socket, address) = Pool::on_unix(2);
    let admin = Admin::of(&pool.pid_file());
    let size = BODY.to_string();
    load(
        &address,
        &[
            "-n", "60", "-c", "3", "-k", "--uri", "/hash", "--body", &size,
        ],
    );
    let hash = "Content-Type: text/plain\r\n\r\n100000 0123456789abcdef\n".len();
    let path = format!("/bytes?n={BODY}");
    load(&address, &["-n", "40", "-c", "2", "--uri", &path]);
    let head = "Content-Type: application/octet-stream\r\nContent-Length: 100000\r\n\r\n".len();
    let mut sent = 60 * hash + 40 * (head + BODY);
    let received = 60 * BODY;
    let counts = |sent| {
        [
            ("fcgipm_received_bytes_total", received),
            ("fcgipm_sent_bytes_total", sent),
            ("fcgipm_requests_aborted_total", 0),
        ]
    };
    assert_counts(&after(&admin, 100), &counts(sent));
    signal("HUP", pool.pid());
    let workers = [pool.ready(), pool.ready()];
    pool.line("reload done");
    let parsed = after(&admin, 100);
    assert_counts(&parsed, &counts(sent));
    for (path, cause) in [("/exit?n=3", "failed"), ("/exit?n=0", "exited")] {
        sent += call(&address, path);
        let line = format!("fcgipm_worker_exits_total{{{OF_POOL},cause=\"{cause}\"}} 1\n");
        admin.wait_for("/metrics", 200, &line);
        pool.ready();
    }
    let gone: Vec<_> = workers
        .iter()
        .filter(|pid| fs::exists(format!("/proc/{pid}")).unwrap())
        .collect();
    for pid in &gone {
        signal("KILL", **pid);
        pool.ready();
    }
    let parsed = after(&admin, 102);
    assert_counts(&parsed, &counts(sent));
    assert_eq!(responses(&parsed), [0.0, 102.0, 0.0, 0.0, 0.0]);
    let causes = ["retired", "failed", "exited", "signal", "request_timeout"];
    let counted = causes.map(|cause| exits(&parsed, cause));
    assert_eq!(counted, [2.0, 1.0, 1.0, gone.len() as f64, 0.0]);

    // The client of a request that takes long disconnects.
    let (mut client, gate) = pool.paused(&address, "/pause");
    let until = Instant::now() + LIMIT;
    loop {
        assert!(Instant::now() < until);
        let age = &status(&pool.pid_file())["workers"];
        let mut ages = age.as_array().unwrap().iter();
        if ages.any(|worker| worker["request_age"].as_f64() > Some(0.06)) {
            break;
        }
    }
    client.kill().unwrap();
    client.wait().unwrap();
    drop(gate);
    let parsed = after(&admin, 103);
    assert_eq!(parsed.value("fcgipm_requests_aborted_total", OF_POOL), 1.0);
    assert!(parsed.value("fcgipm_request_duration_seconds_sum", OF_POOL) > 0.04);
    let short = format!("{OF_POOL},le=\"0.025\"");
    assert!(parsed.value("fcgipm_request_duration_seconds_bucket", &short) <= 102.0);
    let report = status(&pool.pid_file());
    assert_eq!(count_of(&report), 103);
    assert_eq!(report["responses"]["2xx"], 103);
    assert_eq!(report["exits"]["failed"], 1);
}

/// Two of hello's requests exceed their limits: one reacts to the notice, and one is killed.
#[test]
fn slow_requests_and_timeouts_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let listener = UnixListener::bind(&path).unwrap();
    let limits = "export FCGIPM_SLOW_REQUEST=0.05 FCGIPM_REQUEST_TIMEOUT=0.3 \
                  FCGIPM_REQUEST_TIMEOUT_GRACE=0.3; exec \"$0\" fd:0";
    let pool = Pool::start_as(listener, 1, limits);
    let admin = Admin::of(&pool.pid_file());
    let address = path.to_str().unwrap();
    // Nobody opens the other end of what these two read.
    for path in ["/pause", "/stubborn"] {
        let _ = fcgipm(&["call", "--to", address, path], b"");
    }
    let killed = format!("fcgipm_worker_exits_total{{{OF_POOL},cause=\"request_timeout\"}} 1\n");
    let text = admin.wait_for("/metrics", 200, &killed).text();
    let parsed = Parsed::of(&text, false);
    assert_counts(
        &parsed,
        &[
            ("fcgipm_requests_slow_total", 2),
            ("fcgipm_requests_timed_out_total", 2),
            ("fcgipm_requests_total", 1),
        ],
    );
    assert_eq!(responses(&parsed), [0.0, 0.0, 0.0, 0.0, 1.0]);
    let short = format!("{OF_POOL},le=\"0.25\"");
    assert_eq!(
        parsed.value("fcgipm_request_duration_seconds_bucket", &short),
        0.0
    );
}

/// A program with its own manager, which is killed with the test.
struct Perl {
    child: Child,
    _folder: tempfile::TempDir,
}

impl Drop for Perl {
    fn drop(&mut self) {
        let group = format!("-{}", self.child.id());
        let _ = Command::new("kill").args(["-KILL", "--", &group]).status();
        let _ = self.child.wait();
    }
}

#[test]
fn responses_of_a_perl_program_are_counted_by_their_status() {
    const PROGRAM: &str = r#"
        use FCGIPM;
        use FCGIPM::ProcManager;
        my $request = FCGIPM::Request(\*STDIN, \*STDOUT, \*STDERR, \%ENV, FCGIPM::OpenSocket('fd:0', 100));
        FCGIPM::ProcManager->new({ n_processes => 2 })->pm_manage;
        while ($request->Accept >= 0) {
            my ($kind, $status) = split /-/, substr $ENV{PATH_INFO}, 1;
            read STDIN, my $body, $ENV{CONTENT_LENGTH} || 0;
            next if $kind eq 'nothing';
            print "Status: ", $status, " Text\r\n" if $kind eq 'first';
            print STDERR "Status: 500\r\n" if $kind eq 'stderr';
            print "Content-Type: text/plain\r\n";
            print "Location: /\r\n" if $kind eq 'location';
            print "Status: $status\r\n" if $kind eq 'last';
            print "\r\n", "Status: 404\r\n" x 3;
            print "x" x 50_000 if $kind eq 'large';
        }"#;
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("socket");
    let listener = UnixListener::bind(&socket).unwrap();
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    let child = Command::new("perl")
        .args([&format!("-I{root}/bindings/perl/lib"), "-we", PROGRAM])
        .process_group(0)
        .stdin(Stdio::from(std::os::fd::OwnedFd::from(listener)))
        .stderr(Stdio::piped())
        .spawn();
    let mut perl = Perl {
        child: child.unwrap(),
        _folder: folder,
    };
    let lines = lines_of(perl.child.stderr.take());
    line_with(&lines, "initialized");
    line_with(&lines, "initialized");
    let admin = Admin::of(&perl.child.id().to_string());
    let address = socket.to_str().unwrap();
    let mut requests = 0;
    for (kind, times) in [
        ("first-404", 7),
        ("first-200", 5),
        ("last-503", 3),
        ("last-301", 2),
        ("location", 4),
        ("stderr", 6),
        ("large", 8),
        ("plain", 1),
    ] {
        let path = format!("/{kind}");
        for _ in 0..times {
            fcgipm(&["call", "--to", address, &path], b"");
        }
        requests += times;
    }
    fcgipm(&["call", "--to", address, "/nothing"], b"");
    let parsed = after(&admin, requests + 1);
    assert_counts(&parsed, &[]);
    assert_eq!(responses(&parsed), [1.0, 20.0, 6.0, 7.0, 3.0]);
    let before = parsed.value("fcgipm_sent_bytes_total", OF_POOL);
    let fields = [
        "-n", "50", "-c", "2", "-k", "--body", "1000", "--uri", "/large",
    ];
    load(address, &fields);
    let parsed = after(&admin, requests + 51);
    let each = "Content-Type: text/plain\r\n\r\n".len() + 3 * "Status: 404\r\n".len() + 50_000;
    let sent = parsed.value("fcgipm_sent_bytes_total", OF_POOL) - before;
    assert_eq!(sent, 50.0 * each as f64);
    assert_counts(&parsed, &[("fcgipm_received_bytes_total", 50_000)]);
}

#[test]
fn random_bytes_in_the_page_of_a_worker_count_as_nothing() {
    let (pool, _socket, address) = Pool::on_unix(2);
    let admin = Admin::of(&pool.pid_file());
    load(&address, &["-n", "50", "-c", "4"]);
    let before = after(&admin, 50);
    let region = pool.region(pool.workers[0]);
    let mut state = 1_u64;
    for round in 0..40 {
        let mut garbage = vec![0xff; RECORDS];
        for word in garbage.chunks_exact_mut(8).filter(|_| round > 0) {
            let number = random(&mut state);
            // Some are small.
            let shift = if round % 2 == 0 { number % 64 } else { 0 };
            word.copy_from_slice(&(number >> shift).to_ne_bytes());
        }
        region.write(&garbage);
        let report = status(&pool.pid_file());
        assert!(count_of(&report) <= 50, "{report}");
        assert!(report["sent"].as_u64().unwrap() < 50_000, "{report}");
        let seen = Parsed::of(&admin.metrics(), false);
        for name in [
            "fcgipm_request_duration_seconds_count",
            "fcgipm_request_duration_seconds_sum",
            "fcgipm_sent_bytes_total",
            "fcgipm_requests_total",
        ] {
            assert_eq!(seen.value(name, OF_POOL), before.value(name, OF_POOL));
        }
    }
    signal("KILL", pool.workers[0]);
    pool.ready();
    let report = status(&pool.pid_file());
    assert!(
        count_of(&report) <= 50 && report["requests"].as_u64() <= Some(50),
        "{report}"
    );
    assert_eq!(report["aborted"], 0);
}
