//! The command as a process.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

/// The maximum time to wait for anything.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// The lines of a process's output, as they arrive.
pub(crate) fn lines_of(output: Option<impl Read + Send + 'static>) -> Receiver<String> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        let lines = output
            .into_iter()
            .flat_map(|output| BufReader::new(output).lines());
        for line in lines.map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

/// Waits for the next line that contains `text`.
pub(crate) fn line_with(lines: &Receiver<String>, text: &str) -> String {
    let mut seen = Vec::new();
    loop {
        match lines.recv_timeout(LIMIT) {
            Ok(line) if line.contains(text) => return line,
            Ok(line) => seen.push(line),
            Err(error) => panic!("no line with '{text}' ({error}); the lines are {seen:#?}"),
        }
    }
}

/// A running gateway, which is killed with the test.
pub(crate) struct Gateway {
    child: Child,
    /// Its address, as HOST:PORT.
    pub(crate) http: String,
    errors: Receiver<String>,
}

impl Gateway {
    pub(crate) fn to(address: &str, options: &[&str]) -> Self {
        Self::logging_to(Stdio::piped(), address, options)
    }

    /// The same, with this standard error.
    pub(crate) fn logging_to(stderr: Stdio, address: &str, options: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_fcgipm"))
            .args(["gateway", "--http", "127.0.0.1:0", "--to", address])
            .args(options)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(stderr)
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let rest = line.strip_prefix("fcgipm gateway: http://").unwrap();
        let (http, to) = rest.split_once("/ -> ").unwrap();
        assert_eq!(to.trim_end(), address);
        let errors = lines_of(child.stderr.take());
        Self {
            http: http.to_owned(),
            child,
            errors,
        }
    }

    /// Waits for a line on standard error that contains `text`.
    pub(crate) fn error_line(&self, text: &str) -> String {
        line_with(&self.errors, text)
    }

    pub(crate) fn terminate(&self) {
        let pid = self.child.id().to_string();
        let status = Command::new("kill").args(["-TERM", &pid]).status();
        assert!(status.unwrap().success());
    }

    pub(crate) fn wait(&mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }

    /// Resident memory in KiB, and its maximum so far.
    pub(crate) fn memory(&self) -> (u64, u64) {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let field = |name: &str| {
            let line = status.lines().find(|line| line.starts_with(name)).unwrap();
            let number = line.split_whitespace().nth(1).unwrap();
            number.parse().unwrap()
        };
        (field("VmRSS:"), field("VmHWM:"))
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs the command until it exits.
pub(crate) fn fcgipm(arguments: &[&str], input: &[u8]) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_fcgipm"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    // It may exit without reading its input.
    let writer = thread::spawn(move || drop(stdin.write_all(&input)));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    output
}

/// A new file with these bytes.
pub(crate) fn file(bytes: &[u8]) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    file
}

/// The rest of a stream.
pub(crate) fn drain(mut stream: impl Read) -> Vec<u8> {
    let mut bytes = Vec::new();
    // A reset counts as an end.
    let _ = stream.read_to_end(&mut bytes);
    bytes
}
