//! The dashboard, the alert rules, and the names of php-fpm's metrics.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::process::{Command, Output, Stdio};
use std::time::Instant;

use serde_json::Value;

use super::Admin;
use super::metrics::Parsed;
use crate::managed::Pool;
use crate::process::{LIMIT, fcgipm};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

fn promtool(arguments: &[&str], input: &[u8]) -> String {
    let mut command = Command::new("promtool")
        .args(arguments)
        .current_dir(ROOT)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool, of the Debian package prometheus");
    command.stdin.take().unwrap().write_all(input).unwrap();
    let Output {
        status,
        stdout,
        stderr,
    } = command.wait_with_output().unwrap();
    let text = String::from_utf8([stdout, stderr].concat()).unwrap();
    assert!(status.success(), "{text}");
    text
}

/// The names of metrics in an expression.
fn names_in(text: &str) -> BTreeSet<String> {
    let words = text.split(|letter: char| !(letter.is_ascii_alphanumeric() || letter == '_'));
    let names = words.filter(|word| word.starts_with("fcgipm_"));
    names.map(str::to_owned).collect()
}

/// All strings of a key, at any depth.
fn strings<'v>(value: &'v Value, key: &str, found: &mut Vec<&'v str>) {
    match value {
        Value::Object(map) => {
            for (name, inner) in map {
                if let (true, Some(text)) = (name == key, inner.as_str()) {
                    found.push(text);
                }
                strings(inner, key, found);
            }
        }
        Value::Array(list) => list.iter().for_each(|inner| strings(inner, key, found)),
        _ => {}
    }
}

#[test]
fn promtool_accepts_the_alert_rules_and_each_fires_for_its_trouble() {
    let text = promtool(&["check", "rules", "docs/alerts.yml"], b"");
    assert!(text.contains("9 rules found"), "{text}");
    promtool(
        &["test", "rules", "tests/command/admin/alerts.test.yml"],
        b"",
    );
}

#[test]
fn the_dashboard_and_the_rules_use_only_metrics_that_exist() {
    let (pool, _socket, address) = Pool::on_unix(2);
    let admin = Admin::of(&pool.pid_file());
    let (mut client, gate) = pool.paused(&address, "/pause");
    // The age of a request, and the time of a reload, exist only while there is one.
    let busy = "fcgipm_worker_request_age_seconds{";
    let seen = Parsed::of(&admin.wait_for("/metrics", 200, busy).text(), false);
    let exposed: BTreeSet<_> = seen.samples.keys().map(|(name, _)| name.clone()).collect();
    let dashboard = std::fs::read_to_string(format!("{ROOT}/docs/grafana.json")).unwrap();
    let dashboard: Value = serde_json::from_str(&dashboard).unwrap();
    let mut expressions = Vec::new();
    for key in ["expr", "query", "definition"] {
        strings(&dashboard, key, &mut expressions);
    }
    assert!(expressions.len() > 25, "{expressions:?}");
    let rules = std::fs::read_to_string(format!("{ROOT}/docs/alerts.yml")).unwrap();
    // Comments and texts name no metric.
    let used = names_in(&(expressions.join("\n") + &rules));
    assert!(used.len() > 20, "{used:?}");
    let missing: Vec<_> = used.difference(&exposed).collect();
    assert!(missing.is_empty(), "{missing:?}");
    // What promtool parses are the expressions with values for the variables.
    let mut queries = Vec::new();
    strings(&dashboard, "expr", &mut queries);
    let mut file = tempfile::NamedTempFile::new().unwrap();
    writeln!(file, "groups:\n  - name: dashboard\n    rules:").unwrap();
    for (number, query) in queries.iter().enumerate() {
        let query = query.replace("$__rate_interval", "5m").replace('\'', "''");
        writeln!(file, "      - record: q:{number}\n        expr: '{query}'").unwrap();
    }
    promtool(&["check", "rules", file.path().to_str().unwrap()], b"");
    drop(gate);
    assert!(client.wait().unwrap().success());
}

/// What Grafana requires of a dashboard that is imported.
#[test]
fn the_dashboard_has_the_form_of_one() {
    let dashboard = std::fs::read_to_string(format!("{ROOT}/docs/grafana.json")).unwrap();
    let dashboard: Value = serde_json::from_str(&dashboard).unwrap();
    assert!(dashboard["title"].is_string() && dashboard["uid"].is_string());
    assert!(dashboard["schemaVersion"].as_u64() >= Some(36));
    assert!(dashboard["time"]["from"].is_string() && dashboard["annotations"]["list"].is_array());
    let variables = dashboard["templating"]["list"].as_array().unwrap();
    let names: Vec<_> = variables
        .iter()
        .map(|one| one["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["datasource", "job", "pool"]);
    let panels = dashboard["panels"].as_array().unwrap();
    let mut ids = BTreeSet::new();
    let mut taken = BTreeSet::new();
    for panel in panels {
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{panel}");
        assert!(["stat", "timeseries"].contains(&panel["type"].as_str().unwrap()));
        assert_eq!(panel["datasource"]["uid"], "${datasource}");
        assert!(!panel["title"].as_str().unwrap().is_empty());
        let at = |key: &str| panel["gridPos"][key].as_u64().unwrap();
        assert!(at("x") + at("w") <= 24, "{panel}");
        for x in at("x")..at("x") + at("w") {
            for y in at("y")..at("y") + at("h") {
                assert!(taken.insert((x, y)), "overlaps: {panel}");
            }
        }
        let mut letters = BTreeSet::new();
        for target in panel["targets"].as_array().unwrap() {
            assert!(letters.insert(target["refId"].as_str().unwrap()));
            assert!(target["legendFormat"].is_string());
        }
    }
}

#[test]
fn the_names_of_php_fpm_are_added_on_demand() {
    let (pool, _socket, address) = Pool::on_unix(2);
    let admin = Admin::of(&pool.pid_file());
    for _ in 0..3 {
        assert!(
            fcgipm(&["call", "--to", &address, "/"], b"")
                .status
                .success()
        );
    }
    let (mut client, gate) = pool.paused(&address, "/pause");
    let running = "state=\"Running\"";
    let text = admin.wait_for("/metrics?phpfpm", 200, running).text();
    // A reading that takes long measures only some workers.
    let until = Instant::now() + LIMIT;
    let pss = "fcgipm_worker_proportional_memory_bytes{";
    while admin.get("/metrics?pss").text().matches(pss).count() < 2 {
        assert!(Instant::now() < until);
    }
    let accept = "Accept: application/openmetrics-text";
    let open = admin.request(
        "GET",
        "/metrics?phpfpm=1&pss=1",
        &["Host: localhost", accept],
    );
    for (text, is_open) in [(&text, false), (&open.text(), true)] {
        let parsed = Parsed::of(text, is_open);
        for (name, value) in [
            ("phpfpm_up", 1.0),
            ("phpfpm_accepted_connections", 3.0),
            ("phpfpm_active_processes", 1.0),
            ("phpfpm_idle_processes", 1.0),
            ("phpfpm_total_processes", 2.0),
            ("phpfpm_max_active_processes", 1.0),
            ("phpfpm_listen_queue", 0.0),
            ("phpfpm_max_listen_queue", 0.0),
            ("phpfpm_max_children_reached", 0.0),
            ("phpfpm_slow_requests", 0.0),
        ] {
            assert_eq!(parsed.value(name, "pool=\"default\""), value, "{name}");
        }
        assert!(parsed.value("phpfpm_start_since", "pool=\"default\"") > 0.0);
        let of = |name: &'static str| parsed.samples.iter().filter(move |(key, _)| key.0 == name);
        assert_eq!(
            of("phpfpm_process_requests")
                .map(|(_, value)| value)
                .sum::<f64>(),
            3.0
        );
        assert_eq!(of("phpfpm_process_state").count(), 2);
        let durations: Vec<_> = of("phpfpm_process_request_duration").collect();
        assert_eq!(durations.len(), 1);
        let pss: Vec<_> = of("fcgipm_worker_proportional_memory_bytes").collect();
        assert_eq!(pss.len(), if is_open { 2 } else { 0 });
        for (key, proportional) in pss {
            let key = (
                "fcgipm_worker_resident_memory_bytes".to_owned(),
                key.1.clone(),
            );
            let resident = parsed.samples[&key];
            assert!(
                (1.0..=resident).contains(proportional),
                "{proportional} of {resident}"
            );
        }
    }
    let said = promtool(&["check", "metrics"], text.as_bytes());
    assert_eq!(said, "");
    assert!(!admin.metrics().contains("phpfpm_"));
    drop(gate);
    assert!(client.wait().unwrap().success());
}
