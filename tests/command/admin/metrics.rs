use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::process::{Command, Stdio};

use super::Admin;
use crate::managed::{Pool, signal};
use crate::process::fcgipm;

/// The metrics of docs/OPERATIONS.md.
const DOCUMENT: &str = include_str!("../../../docs/OPERATIONS.md");

/// The samples by name and labels, and the names of the metrics with their types.
pub(super) struct Parsed {
    pub(super) samples: BTreeMap<(String, String), f64>,
    types: BTreeMap<String, String>,
}

impl Parsed {
    /// Checks the grammar, too.
    pub(super) fn of(text: &str, is_open: bool) -> Self {
        let mut parsed = Self {
            samples: BTreeMap::new(),
            types: BTreeMap::new(),
        };
        let (mut family, mut helped) = (String::new(), String::new());
        let body = match text.strip_suffix("# EOF\n") {
            Some(body) if is_open => body,
            None if !is_open => text,
            _ => panic!("{text}"),
        };
        assert!(body.ends_with('\n'));
        for line in body.lines() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, help) = rest.split_once(' ').unwrap();
                assert!(!help.is_empty());
                helped = name.to_owned();
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').unwrap();
                assert_eq!(name, helped);
                name.clone_into(&mut family);
                let first = parsed
                    .types
                    .insert(name.to_owned(), kind.to_owned())
                    .is_none();
                assert!(first, "{name} twice");
            } else if let Some(rest) = line.strip_prefix("# UNIT ") {
                let (name, unit) = rest.split_once(' ').unwrap();
                assert!(
                    is_open && name == family && name.ends_with(&format!("_{unit}")),
                    "{line}"
                );
            } else {
                let (series, value) = line.rsplit_once(' ').unwrap();
                let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
                let labels = labels.strip_suffix('}').unwrap();
                let suffix = match (&*parsed.types[&family], is_open) {
                    ("counter", true) => "_total",
                    ("info", true) => "_info",
                    ("histogram", _) => name.strip_prefix(&*family).unwrap(),
                    _ => "",
                };
                if parsed.types[&family] == "histogram" {
                    assert!(["_bucket", "_sum", "_count"].contains(&suffix), "{line}");
                }
                assert_eq!(name, format!("{family}{suffix}"), "{line}");
                let letters = |c: char| c.is_ascii_lowercase() || c == '_' || c.is_ascii_digit();
                assert!(
                    (name.starts_with("fcgipm_") || name.starts_with("phpfpm_"))
                        && name.chars().all(letters),
                    "{line}"
                );
                let value: f64 = value.parse().unwrap();
                assert!(value.is_finite() && value >= 0.0, "{line}");
                let key = (name.to_owned(), labels.to_owned());
                assert!(parsed.samples.insert(key, value).is_none(), "{line} twice");
            }
        }
        parsed
    }

    pub(super) fn value(&self, name: &str, labels: &str) -> f64 {
        let key = (name.to_owned(), labels.to_owned());
        *self
            .samples
            .get(&key)
            .unwrap_or_else(|| panic!("{key:?}: {:#?}", self.samples))
    }
}

#[test]
fn metrics_have_the_numbers_of_the_pool_in_both_formats() {
    let (pool, _socket, address) = Pool::on_unix(2);
    let admin = Admin::of(&pool.pid_file());
    for _ in 0..3 {
        assert!(
            fcgipm(&["call", "--to", &address, "/"], b"")
                .status
                .success()
        );
    }
    signal("HUP", pool.pid());
    let new = [pool.ready(), pool.ready()];
    pool.line("reload done");
    let (mut client, gate) = pool.paused(&address, "/pause");
    let busy = "fcgipm_workers{pool=\"default\",state=\"busy\"} 1\n";
    let text = admin.wait_for("/metrics?pss", 200, busy);
    assert_eq!(
        text.header("content-type"),
        ["text/plain; version=0.0.4; charset=utf-8"]
    );
    let accept = "Accept: application/openmetrics-text;version=1.0.0,text/plain;q=0.5";
    let open = admin.request("GET", "/metrics", &["Host: localhost", accept]);
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    assert_eq!(open.header("content-type"), [kind]);
    let [text, open] =
        [(text, false), (open, true)].map(|(r, is_open)| Parsed::of(&r.text(), is_open));
    let of_pool = "pool=\"default\"";
    for parsed in [&text, &open] {
        for (name, value) in [
            ("fcgipm_up", 1.0),
            ("fcgipm_ready", 1.0),
            ("fcgipm_workers_wanted", 2.0),
            ("fcgipm_workers_ready", 2.0),
            ("fcgipm_workers_busy", 1.0),
            ("fcgipm_workers_idle", 1.0),
            ("fcgipm_requests_total", 3.0),
            ("fcgipm_worker_forks_total", 4.0),
            ("fcgipm_request_duration_seconds_count", 3.0),
            ("fcgipm_draining", 0.0),
            ("fcgipm_stopping", 0.0),
            ("fcgipm_last_reload_failed", 0.0),
        ] {
            assert_eq!(parsed.value(name, of_pool), value, "{name}");
        }
        let result = |result: &str| {
            parsed.value(
                "fcgipm_reloads_total",
                &format!("{of_pool},result=\"{result}\""),
            )
        };
        assert_eq!((result("done"), result("failed")), (1.0, 0.0));
        let retired = parsed.value(
            "fcgipm_worker_exits_total",
            &format!("{of_pool},cause=\"retired\""),
        );
        assert_eq!(retired, 2.0);
        let queue = format!("{of_pool},address=\"{address}\"");
        assert_eq!(parsed.value("fcgipm_listen_queue_connections", &queue), 0.0);
        let workers = parsed
            .samples
            .keys()
            .filter(|(name, _)| name == "fcgipm_worker_resident_memory_bytes");
        assert_eq!(workers.count(), new.len());
        let ages = parsed
            .samples
            .keys()
            .filter(|(name, _)| name == "fcgipm_worker_request_age_seconds");
        assert_eq!(ages.count(), 1);
    }
    // Start times do not move between readings.
    let start = |parsed: &Parsed| parsed.value("fcgipm_start_time_seconds", of_pool);
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    assert!((0.0..600.0).contains(&(now.as_secs_f64() - start(&text))));
    assert_eq!(start(&text), start(&open));
    let rows = DOCUMENT
        .lines()
        .filter_map(|line| line.strip_prefix("| `fcgipm_"));
    let documented: BTreeSet<_> = rows
        .map(|row| format!("fcgipm_{}", row.split(['{', '`']).next().unwrap()))
        .collect();
    let exposed: BTreeSet<_> = text.types.keys().cloned().collect();
    assert_eq!(exposed, documented, "docs/OPERATIONS.md");
    drop(gate);
    assert!(client.wait().unwrap().success());
}

#[test]
fn promtool_accepts_the_metrics() {
    let (pool, _socket, _) = Pool::on_unix(2);
    let admin = Admin::of(&pool.pid_file());
    let mut check = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool, of the Debian package prometheus");
    check
        .stdin
        .take()
        .unwrap()
        .write_all(admin.metrics().as_bytes())
        .unwrap();
    let output = check.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    assert!(
        output.status.success() && said.is_empty(),
        "{}",
        String::from_utf8_lossy(&said)
    );
}

#[test]
fn counters_do_not_decrease_when_workers_exit() {
    let (pool, _socket, address) = Pool::on_unix(1);
    let admin = Admin::of(&pool.pid_file());
    let requests =
        || Parsed::of(&admin.metrics(), false).value("fcgipm_requests_total", "pool=\"default\"");
    let mut last = 0.0;
    for round in 1..=10 {
        assert!(
            fcgipm(&["call", "--to", &address, "/exit?n=0"], b"")
                .status
                .success()
        );
        // Every reading until the replacement is ready, and then until the count is complete.
        while last < f64::from(round) {
            let next = requests();
            assert!(next >= last, "{next} after {last}");
            last = next;
        }
    }
    assert_eq!(requests(), 10.0);
}
