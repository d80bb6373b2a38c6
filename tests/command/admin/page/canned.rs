//! The page with data of the test's choice: its files are those of `fcgipm admin`, the JSON is not.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::{Value, json};

use super::super::Admin;
use crate::web::Response;

/// A server of one page.
pub(super) struct Canned {
    pub(super) url: String,
    answers: Arc<Mutex<Answers>>,
}

struct Answers {
    page: Response,
    status: Value,
    history: Value,
}

impl Canned {
    pub(super) fn start(status: Value, history: Value) -> Self {
        // There is no such manager, but the page is there.
        let missing = tempfile::tempdir().unwrap();
        let admin = Admin::of(missing.path().join("pid").to_str().unwrap());
        let page = admin.get("/");
        assert_eq!(page.status, 200);
        let answers = Arc::new(Mutex::new(Answers {
            page,
            status,
            history,
        }));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let shared = Arc::clone(&answers);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let shared = Arc::clone(&shared);
                thread::spawn(move || answer(stream.unwrap(), &shared));
            }
        });
        Self { url, answers }
    }

    pub(super) fn set_status(&self, status: Value) {
        self.answers.lock().unwrap().status = status;
    }
}

fn answer(mut stream: TcpStream, answers: &Mutex<Answers>) {
    let mut head = Vec::new();
    let mut bytes = [0; 4_096];
    while !head.windows(4).any(|window| window == b"\r\n\r\n") {
        match stream.read(&mut bytes) {
            Ok(length @ 1..) => head.extend(&bytes[..length]),
            // A connection that the browser opens in advance.
            _ => return,
        }
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let path = head.split(' ').nth(1).unwrap();
    let answers = answers.lock().unwrap();
    let (head, body) = match path {
        "/" => {
            let policy = answers.page.header("content-security-policy")[0];
            let head = format!("Content-Type: text/html\r\nContent-Security-Policy: {policy}");
            (head, answers.page.body.clone())
        }
        "/status.json" | "/history.json" => {
            let value = if path == "/status.json" {
                &answers.status
            } else {
                &answers.history
            };
            let head = "Content-Type: application/json".to_owned();
            (head, value.to_string().into_bytes())
        }
        other => panic!("{other}"),
    };
    drop(answers);
    let length = body.len();
    let head = format!(
        "HTTP/1.1 200 OK\r\n{head}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n"
    );
    // The browser may have closed it.
    let _ = stream.write_all(&[head.as_bytes(), &body].concat());
}

/// An idle worker.
pub(super) fn worker(number: u64) -> Value {
    json!({
        "slot": number, "pid": 4_000 + number, "state": "idle", "activity": "idle", "age": 9_876.5,
        "since": 0.8 + number as f64 / 10.0, "generation": 3, "requests": 1_200 + 37 * (number % 10),
        "disconnected": 0, "method": null, "uri": null, "request_age": null,
        "memory": (38 + number % 7) * 1_048_576, "cpu": 12.5 + number as f64 % 9.0, "last_exit": null,
    })
}

/// A worker with a request.
pub(super) fn busy(number: u64, method: &str, uri: &str, age: f64) -> Value {
    let mut busy = worker(number);
    for (key, value) in [
        ("state", json!("busy")),
        ("activity", json!("busy")),
        ("method", json!(method)),
        ("uri", json!(uri)),
        ("since", json!(age)),
        ("request_age", json!(age)),
    ] {
        busy[key] = value;
    }
    busy
}

/// A pool with these workers.
pub(super) fn pool(workers: Vec<Value>) -> Value {
    let in_state = |state: &str| workers.iter().filter(|w| w["state"] == state).count();
    let idle = in_state("idle");
    let count = workers.len();
    json!({
        "manager": 3_901, "version": "0.1.0", "files": [], "uptime": 271_934.2, "pm": "dynamic",
        "draining": false, "stopping": false, "wanted": count, "max": count + 4, "processes": count,
        "starting": 0, "ready": count, "retiring": 0, "idle": idle, "busy": count - idle,
        "listen_queue": 0, "listeners": [{ "address": "/run/shop/fcgi.sock", "waiting": 0 }],
        "reload": { "state": "none", "done": 0, "failed": 0, "message": "", "age": null },
        "forks": count, "deaths": 0, "recycled": 0, "requests": 482_113, "disconnected": 12,
        "overloaded": 0, "slow": 3, "timed_out": 0, "saturated": 0, "aborted": 4, "last_exit": null,
        "workers": workers,
    })
}

/// Samples of the last minutes: a value for each number of seconds.
pub(super) fn history(
    seconds: u32,
    sample: impl Fn(f64) -> [Option<f64>; 4],
    reloads: Value,
) -> Value {
    let ages = Vec::from_iter(
        (0..=seconds / 5)
            .rev()
            .map(|number| f64::from(number) * 5.0),
    );
    let column = |index: usize| Vec::from_iter(ages.iter().map(|age| sample(*age)[index]));
    json!({
        "interval": 5, "length": 900, "reloads": reloads,
        "samples": {
            "age": ages, "requests_per_second": column(0), "mean_duration": column(1),
            "busy": column(2), "listen_queue": column(3),
        },
    })
}
