//! Rates, durations and memory, again and again, and in colours.

use std::process::{Child, Command, Stdio};
use std::sync::mpsc::Receiver;
use std::time::Instant;

use super::shown;
use crate::managed::Pool;
use crate::process::{LIMIT, fcgipm, line_with, lines_of};

/// `fcgipm status --watch`, which is killed with the test.
struct Watching {
    child: Child,
    lines: Receiver<String>,
}

impl Watching {
    fn start(arguments: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_fcgipm"))
            .arg("status")
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = lines_of(child.stdout.take());
        Self { child, lines }
    }

    fn line(&self) -> String {
        self.lines.recv_timeout(LIMIT).unwrap()
    }

    /// Waits for a line that contains this.
    fn until(&self, text: &str) -> String {
        line_with(&self.lines, text)
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn call(address: &str, path: &str) {
    let called = fcgipm(&["call", "--to", address, path], b"");
    assert!(called.status.success(), "{called:?}");
}

/// The line that begins so.
fn line<'t>(table: &'t str, begin: &str) -> &'t str {
    let line = table.lines().find(|line| line.starts_with(begin));
    line.unwrap_or_else(|| panic!("no line '{begin}' in {table}"))
}

#[test]
fn what_was_served_is_shown_with_averages_since_the_start() {
    let (pool, _socket, address) = Pool::on_unix(1);
    let table = shown(&[&pool.pid_file()]);
    assert!(!table.contains("rate "), "{table}");
    for _ in 0..3 {
        call(&address, "/");
    }
    let table = shown(&[&pool.pid_file()]);
    let rate = line(&table, "rate      ");
    assert!(rate.ends_with(" requests/s since the start; 0% with status 5xx"));
    assert!(!rate.starts_with("rate      0 "), "{rate}");
    let durations = line(&table, "durations ");
    assert!(durations.contains(" on average; 50% <="), "{durations}");
    assert!(durations.contains(", 99% <="), "{durations}");
    let histogram = line(&table, "histogram <=");
    let parts = histogram["histogram ".len()..].split(", ");
    let counts = parts.map(|part| part.rsplit_once(' ').unwrap().1.parse::<u64>().unwrap());
    assert_eq!(counts.sum::<u64>(), 3, "{histogram}");
    let head = line(&table, "PID ");
    let columns = [
        "REQUESTS",
        "REQ/S",
        "MEMORY",
        "LAST EXIT OF SLOT",
        "REQUEST",
    ];
    let places = columns.map(|name| head.rfind(name).unwrap());
    assert!(places[1..].is_sorted(), "{head}");
    let row = line(&table, &format!("{} ", pool.workers[0]));
    let memory = row[places[2]..].split(' ').next().unwrap();
    assert!(memory.ends_with(['K', 'M']), "{row}");
}

#[test]
fn watching_prints_frames_with_the_rates_of_their_intervals() {
    let (pool, _socket, address) = Pool::on_unix(1);
    call(&address, "/");
    let watching = Watching::start(&["--watch=100ms", &pool.pid_file()]);
    let time = watching.line();
    assert!(
        time.starts_with("time      2") && time.ends_with('Z'),
        "{time}"
    );
    let rate = watching.until("rate      ");
    assert!(rate.contains(" since the start"), "{rate}");
    watching.until("");
    let rate = watching.until("rate      ");
    assert!(
        rate.starts_with("rate      0 requests/s in the last 0."),
        "{rate}"
    );
    // A request makes a rate of one of the next frames.
    call(&address, "/");
    let until = Instant::now() + LIMIT;
    while watching.until("rate      ").starts_with("rate      0 ") {
        assert!(Instant::now() < until);
    }
    // A frame ends with an empty line, which is followed by the time.
    watching.until(&format!("{} ", pool.workers[0]));
    assert_eq!(watching.line(), "");
    assert!(watching.line().starts_with("time      "));
    // The end of the manager does not end it.
    drop(pool);
    watching.until("error     ");
}

#[test]
fn watching_prints_json_as_one_line_for_each_reading() {
    let (pool, _socket, _) = Pool::on_unix(1);
    let watching = Watching::start(&["--watch=100ms", "--json", &pool.pid_file()]);
    for _ in 0..2 {
        let report: serde_json::Value = serde_json::from_str(&watching.line()).unwrap();
        assert_eq!(report["manager"], pool.pid());
    }
}

#[test]
fn colours_are_for_terminals_unless_they_are_asked_for() {
    let (pool, _socket, _) = Pool::on_unix(1);
    let file = pool.pid_file();
    assert!(!shown(&[&file]).contains('\u{1b}'));
    assert!(!shown(&[&file, "--color=never"]).contains('\u{1b}'));
    let table = shown(&[&file, "--color=always"]);
    assert!(table.contains("\u{1b}[32midle\u{1b}[m "), "{table}");
    assert!(table.contains("\u{1b}[1mPID\u{1b}[m "), "{table}");
    // script(1) runs it in a terminal.
    for (no_color, has_colours) in [("", true), ("1", false)] {
        let command = format!("{} status {file}", env!("CARGO_BIN_EXE_fcgipm"));
        let output = Command::new("script")
            .args(["-qec", &command, "/dev/null"])
            .env("NO_COLOR", no_color)
            .output()
            .unwrap();
        let table = String::from_utf8(output.stdout).unwrap();
        assert!(table.contains("idle"), "{table}");
        assert_eq!(table.contains('\u{1b}'), has_colours, "{table:?}");
    }
}

#[test]
fn the_pid_is_not_taken_for_the_interval() {
    let (pool, _socket, _) = Pool::on_unix(1);
    let pid = pool.pid().to_string();
    let watching = Watching::start(&["--watch", &pid]);
    watching.until(&format!("manager   pid {pid}, "));
    let output = fcgipm(&["status", "--watch=0", &pid], b"");
    assert_eq!(output.status.code(), Some(2));
}
