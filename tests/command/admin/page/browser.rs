//! Chromium without a display, by the protocol of WebDriver.

use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::process::{LIMIT, line_with};
use crate::web;

/// One at a time: each has several processes.
static ONE: Mutex<()> = Mutex::new(());

/// A browser with one page, and the program that drives it.
pub(super) struct Browser {
    driver: Child,
    /// HOST:PORT of the driver.
    address: String,
    session: String,
    browser: i32,
    _lines: Receiver<String>,
    _folder: TempDir,
    _one: MutexGuard<'static, ()>,
}

impl Browser {
    pub(super) fn start() -> Self {
        let one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
        let folder = tempfile::tempdir().unwrap();
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            .env("HOME", folder.path())
            .env("TMPDIR", folder.path())
            .env("XDG_CONFIG_HOME", folder.path())
            .env("XDG_CACHE_HOME", folder.path())
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromedriver: packaging/setup.sh test installs it");
        let (sender, lines) = channel();
        let out = driver.stdout.take().unwrap();
        thread::spawn(move || {
            let lines = std::io::BufRead::lines(std::io::BufReader::new(out));
            for line in lines.map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        let line = line_with(&lines, "started successfully on port");
        let port = line.trim_end_matches('.').rsplit(' ').next().unwrap();
        let mut browser = Self {
            driver,
            address: format!("127.0.0.1:{port}"),
            session: String::new(),
            browser: 0,
            _lines: lines,
            _folder: folder,
            _one: one,
        };
        browser.begin();
        browser
    }

    fn begin(&mut self) {
        let profile = format!(
            "--user-data-dir={}",
            self._folder.path().join("profile").display()
        );
        let arguments = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--hide-scrollbars",
            &profile,
        ];
        let wanted = json!({ "capabilities": { "alwaysMatch": {
            "goog:chromeOptions": { "binary": "/usr/bin/chromium", "args": arguments },
            "goog:loggingPrefs": { "browser": "ALL" },
            "timeouts": { "script": LIMIT.as_millis() as u64, "pageLoad": LIMIT.as_millis() as u64 },
        } } });
        let made = self.call("POST", "/session", Some(&wanted));
        self.session = format!("/session/{}", made["sessionId"].as_str().unwrap());
        let pid = made["capabilities"]["goog:processID"].as_i64().unwrap();
        self.browser = i32::try_from(pid).unwrap();
    }

    fn call(&self, method: &str, path: &str, body: Option<&Value>) -> Value {
        let body = body.map(Value::to_string).unwrap_or_default();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            self.address,
            body.len()
        );
        let response = web::exchange(&self.address, request.as_bytes());
        let mut answer: Value = serde_json::from_slice(&response.body).unwrap();
        assert_eq!(response.status, 200, "{path} {body}: {answer:#}");
        answer["value"].take()
    }

    fn post(&self, command: &str, body: &Value) -> Value {
        self.call("POST", &format!("{}/{command}", self.session), Some(body))
    }

    pub(super) fn open(&self, url: &str) {
        self.post("url", &json!({ "url": url }));
    }

    /// The value of an expression in the page.
    pub(super) fn value(&self, expression: &str) -> Value {
        let script = format!("return ({expression});");
        self.post("execute/sync", &json!({ "script": script, "args": [] }))
    }

    pub(super) fn text(&self, selector: &str) -> String {
        let found = self.value(&format!(
            "document.querySelector({})?.textContent",
            json!(selector)
        ));
        found.as_str().unwrap_or_default().to_owned()
    }

    /// Runs a script of which `done` is called with the result.
    pub(super) fn finish(&self, script: &str) -> Value {
        let script = format!("const done = arguments[arguments.length - 1]; {script}");
        self.post("execute/async", &json!({ "script": script, "args": [] }))
    }

    /// Waits in the page until an expression is true, and returns for how many milliseconds.
    pub(super) fn wait_for(&self, expression: &str) -> u64 {
        let limit = LIMIT.as_millis() / 2;
        let waited = self.finish(&format!(
            "const begin = performance.now(); const check = () => {{ \
               const waited = performance.now() - begin; \
               if ({expression}) done(Math.round(waited)); \
               else if (waited > {limit}) done(document.body.innerText); \
               else setTimeout(check, 20); }}; check();"
        ));
        let milliseconds = waited.as_u64();
        milliseconds.unwrap_or_else(|| panic!("never: {expression}; the page shows {waited:#}"))
    }

    /// Waits until the page shows a text.
    pub(super) fn wait_for_text(&self, text: &str) -> u64 {
        self.wait_for(&format!(
            "document.body.innerText.includes({})",
            json!(text)
        ))
    }

    /// What the console of the page has printed since the last call, and violations of the policy.
    pub(super) fn console(&self) -> Vec<String> {
        let entries = self.post("se/log", &json!({ "type": "browser" }));
        let entries = entries.as_array().unwrap().iter();
        entries.map(|entry| entry["message"].to_string()).collect()
    }

    fn devtools(&self, command: &str, parameters: &Value) -> Value {
        self.post(
            "goog/cdp/execute",
            &json!({ "cmd": command, "params": parameters }),
        )
    }

    pub(super) fn resize(&self, width: u32, height: u32, scale: u32) {
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": scale, "mobile": width < 600 });
        self.devtools("Emulation.setDeviceMetricsOverride", &size);
    }

    /// `light` or `dark`, with motion or without.
    pub(super) fn prefer(&self, scheme: &str, motion: &str) {
        let features = json!([
            { "name": "prefers-color-scheme", "value": scheme },
            { "name": "prefers-reduced-motion", "value": motion },
        ]);
        self.devtools(
            "Emulation.setEmulatedMedia",
            &json!({ "features": features }),
        );
    }

    /// The page, or of this height from its top, as PNG in base64.
    pub(super) fn picture(&self, width: u32, height: u32, scale: u32) -> String {
        let clip = json!({ "x": 0, "y": 0, "width": width, "height": height, "scale": 1 });
        self.resize(width, height, scale);
        let taken = self.devtools("Page.captureScreenshot", &json!({ "clip": clip }));
        taken["data"].as_str().unwrap().to_owned()
    }

    /// Presses keys one after another: a character each.
    pub(super) fn press(&self, keys: &str) {
        let of = |kind: &str, key: char| json!({ "type": kind, "value": key });
        let pressed = keys
            .chars()
            .flat_map(|key| [of("keyDown", key), of("keyUp", key)]);
        let actions = Vec::from_iter(pressed);
        self.post(
            "actions",
            &json!({ "actions": [{ "type": "key", "id": "keys", "actions": actions }] }),
        );
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // What is waited for nowhere else: the driver kills the browser, too.
        if self.browser > 0 {
            let _ = kill(Pid::from_raw(self.browser), Signal::SIGKILL);
        }
        let _ = killpg(Pid::from_raw(self.driver.id() as i32), Signal::SIGKILL);
        let _ = self.driver.wait();
    }
}
