//! `fcgipm admin` of real managers.

mod access;
mod counters;
mod endpoints;
mod limits;
mod metrics;
mod monitoring;
mod page;
mod prometheus;
mod readiness;
mod several;

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::Receiver;
use std::thread;
use std::time::Instant;

use serde_json::Value;

use crate::process::{LIMIT, line_with, lines_of};
use crate::run::{Run, hello};
use crate::web::{Response, send};

/// All that there is.
const PATHS: [&str; 6] = [
    "/",
    "/status.json",
    "/history.json",
    "/metrics",
    "/healthz",
    "/readyz",
];

/// Two pools of one worker each, called shop and wiki, and their file.
fn shop_and_wiki() -> (Run, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let pool = |name: &str| {
        let listen = folder.path().join(name);
        format!(
            "[[pool]]\nname = \"{name}\"\nlisten = \"{}\"\ncommand = [\"{}\", \"fd:0\"]\npreload = false\n",
            listen.display(),
            hello()
        )
    };
    let file = folder.path().join("run.toml");
    std::fs::write(&file, pool("shop") + &pool("wiki")).unwrap();
    let mut run = Run::start(folder, &["--config", file.to_str().unwrap()], &[]);
    run.ready_ones(2);
    (run, file)
}

/// A running `fcgipm admin`, which is killed with the test.
struct Admin {
    child: Child,
    /// Its address, as HOST:PORT or unix:PATH.
    address: String,
    errors: Receiver<String>,
}

impl Admin {
    /// On a free port.
    fn of(target: &str) -> Self {
        Self::with(&["--listen", "127.0.0.1:0", target])
    }

    fn with(arguments: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_fcgipm"))
            .arg("admin")
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let out = child.stdout.take().unwrap();
        BufReader::new(out).read_line(&mut line).unwrap();
        let errors = lines_of(child.stderr.take());
        let Some(place) = line.strip_prefix("fcgipm admin: ") else {
            panic!("'{line}'; {:?}", Vec::from_iter(errors));
        };
        let place = place.trim_end().trim_start_matches("http://");
        Self {
            address: place.trim_end_matches('/').to_owned(),
            child,
            errors,
        }
    }

    fn error_line(&self, text: &str) -> String {
        line_with(&self.errors, text)
    }

    fn get(&self, path: &str) -> Response {
        self.request("GET", path, &["Host: localhost"])
    }

    fn request(&self, method: &str, path: &str, headers: &[&str]) -> Response {
        send(&self.address, head(method, path, headers).as_bytes())
    }

    fn json(&self) -> Value {
        let response = self.get("/status.json");
        assert_eq!(response.status, 200, "{}", response.text());
        serde_json::from_slice(&response.body).unwrap()
    }

    fn metrics(&self) -> String {
        let response = self.get("/metrics");
        assert_eq!(response.status, 200, "{}", response.text());
        response.text()
    }

    /// Waits until a path has an answer with this status and text. An answer may be a moment old.
    fn wait_for(&self, path: &str, status: u16, text: &str) -> Response {
        let until = Instant::now() + LIMIT;
        loop {
            let response = self.get(path);
            let body = response.text();
            if response.status == status && body.contains(text) {
                return response;
            }
            assert!(Instant::now() < until, "{}: {body}", response.status);
            thread::yield_now();
        }
    }
}

impl Drop for Admin {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A request without a body.
fn head(method: &str, path: &str, headers: &[&str]) -> String {
    let headers: String = headers.iter().map(|line| format!("{line}\r\n")).collect();
    format!("{method} {path} HTTP/1.1\r\n{headers}\r\n")
}
