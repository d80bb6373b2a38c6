//! A real Prometheus scrapes a pool for a minute, with the rules and the configuration of the documents.

use std::fs;
use std::os::unix::net::UnixListener;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use super::Admin;
use crate::managed::Pool;
use crate::process::{LIMIT, fcgipm};
use crate::web;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
const A_MINUTE: Duration = Duration::from_secs(60);

/// Prometheus, which is killed with the test.
struct Prometheus {
    child: Child,
    address: String,
    _folder: TempDir,
}

impl Prometheus {
    /// Scrapes this address each second.
    fn of(target: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let page = fs::read_to_string(format!("{ROOT}/docs/OPERATIONS.md")).unwrap();
        let job = page
            .lines()
            .skip_while(|line| line.trim() != "scrape_configs:")
            .take_while(|line| !line.is_empty())
            .map(|line| format!("{}\n", line.strip_prefix("    ").unwrap()));
        let job = job.collect::<String>().replace("127.0.0.1:9100", target);
        let configuration = folder.path().join("prometheus.yml");
        let text = format!(
            "global:\n  scrape_interval: 1s\n  evaluation_interval: 1s\n\
             rule_files: ['{ROOT}/docs/alerts.yml']\n{job}"
        );
        fs::write(&configuration, text).unwrap();
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = free.local_addr().unwrap().to_string();
        drop(free);
        let child = Command::new("prometheus")
            .arg(format!("--config.file={}", configuration.display()))
            .arg(format!("--storage.tsdb.path={}", folder.path().display()))
            .arg(format!("--web.listen-address={address}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("prometheus, of the Debian package of this name");
        Self {
            child,
            address,
            _folder: folder,
        }
    }

    /// The data of an answer of its API. `None`: it is not ready.
    fn api(&self, path: &str) -> Option<Value> {
        std::net::TcpStream::connect(&self.address).ok()?;
        let response = web::get(&self.address, &format!("/api/v1/{path}"));
        if response.status == 503 {
            return None;
        }
        assert_eq!(response.status, 200, "{path}: {}", response.text());
        let mut answer: Value = serde_json::from_slice(&response.body).unwrap();
        Some(answer["data"].take())
    }

    /// The value of an expression; `None` if it has none.
    fn value(&self, expression: &str) -> Option<f64> {
        let data = self.api(&format!("query?query={expression}"))?;
        let value = data["result"].get(0)?["value"].get(1)?;
        Some(value.as_str().unwrap().parse().unwrap())
    }

    fn wait_for(&self, limit: Duration, expression: &str, is_right: impl Fn(f64) -> bool) -> f64 {
        let until = Instant::now() + limit;
        loop {
            let value = self.value(expression);
            if let Some(value) = value.filter(|value| is_right(*value)) {
                return value;
            }
            assert!(Instant::now() < until, "{expression}: {value:?}");
            thread::sleep(Duration::from_millis(100));
        }
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn prometheus_scrapes_a_pool_for_a_minute_and_fires_an_alert() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let listener = UnixListener::bind(&path).unwrap();
    let limits = "FCGIPM_REQUEST_TIMEOUT=0.3 FCGIPM_REQUEST_TIMEOUT_GRACE=0";
    let pool = Pool::start_as(listener, 2, &format!("{limits} exec \"$0\" fd:0"));
    let address = path.to_str().unwrap();
    let admin = Admin::of(&pool.pid_file());
    let prometheus = Prometheus::of(&admin.address);
    prometheus.wait_for(LIMIT, "fcgipm_up", |value| value == 1.0);
    let begin = Instant::now();
    for _ in 0..7 {
        let call = fcgipm(&["call", "--to", address, "/"], b"");
        assert!(call.status.success());
    }
    prometheus.wait_for(LIMIT, "fcgipm_requests_total", |value| value == 7.0);
    // The rule counts an increase, so there has to be a sample before.
    prometheus.wait_for(
        LIMIT,
        "count_over_time(fcgipm_worker_exits_total%7Bcause=%22request_timeout%22%7D[5m])",
        |count| count >= 2.0,
    );
    // One that heeds the notice could be answered before it is killed.
    let killed = fcgipm(&["call", "--to", address, "/stubborn"], b"");
    assert!(!killed.status.success());
    prometheus.wait_for(
        LIMIT,
        "ALERTS%7Balertname=%22FcgipmRequestTimeouts%22,alertstate=%22firing%22%7D",
        |value| value == 1.0,
    );
    // No scrape has failed, and the rules are evaluated without an error.
    prometheus.wait_for(2 * A_MINUTE, "count_over_time(up[5m])", |count| {
        count >= 60.0
    });
    assert!(begin.elapsed() > A_MINUTE - Duration::from_secs(5));
    assert_eq!(prometheus.value("min_over_time(up[5m])"), Some(1.0));
    let rules = prometheus.api("rules").unwrap();
    let rules = rules["groups"][0]["rules"].as_array().unwrap().clone();
    assert!(rules.len() >= 9, "{rules:?}");
    for rule in rules {
        assert_eq!(rule["health"], "ok", "{rule}");
    }
    let duration = prometheus.value("max_over_time(scrape_duration_seconds[5m])");
    println!("the longest scrape took {duration:?} s");
}
