//! When a run ends, and what it reports.

use std::process::{Child, Command};
use std::sync::Mutex;
use std::sync::atomic::Ordering;
use std::sync::mpsc::channel;
use std::time::Duration;

use super::{finish, good, load, numbered, start};
use crate::process::fcgipm;

fn signal(child: &Child, name: &str) {
    let pid = child.id().to_string();
    let status = Command::new("kill").args([name, &pid]).status();
    assert!(status.unwrap().success());
}

/// Waits until a process has no pending signals and all its threads sleep again, so it has handled
/// the signals.
fn until_signal_is_handled(child: &Child) {
    let threads = format!("/proc/{}/task", child.id());
    let is_idle = |status: &str| {
        let field = |name| status.lines().find_map(|line| line.strip_prefix(name));
        let is_none = |mask: &str| mask.trim().bytes().all(|digit| digit == b'0');
        field("State:").is_some_and(|state| state.trim().starts_with('S'))
            && ["SigPnd:", "ShdPnd:"]
                .into_iter()
                .all(|name| field(name).is_some_and(is_none))
    };
    loop {
        let threads = std::fs::read_dir(&threads).unwrap().flatten();
        let statuses = threads.map(|thread| std::fs::read_to_string(thread.path().join("status")));
        // An exited thread has no CPU time.
        if statuses.flatten().all(|status| is_idle(&status)) {
            return;
        }
        std::thread::yield_now();
    }
}

#[test]
fn a_run_sends_exactly_the_requested_number_of_requests() {
    let (application, count) = numbered(|_, conversation| good(conversation));
    for (options, requests) in [
        (&["-c", "8", "-n", "1003", "--keep"][..], 1003),
        (&["-c", "8", "-n", "203"], 203),
        (&["-c", "8", "-n", "8"], 8),
        (&[], 1000),
    ] {
        count.store(0, Ordering::SeqCst);
        let loaded = load(&application.address, options);
        assert_eq!(loaded.counts(), (requests, Vec::new()));
        assert_eq!(count.load(Ordering::SeqCst) as u64, requests);
    }
}

#[test]
fn a_timed_run_stops_and_counts_each_request_that_began() {
    let (application, count) = numbered(|_, conversation| good(conversation));
    let loaded = load(&application.address, &["-c", "4", "-t", "0.5", "--keep"]);
    let (ok, lost) = loaded.counts();
    assert_eq!(
        (ok, lost),
        (count.load(Ordering::SeqCst) as u64, Vec::new())
    );
    let time = loaded.json()["time"].as_f64().unwrap();
    assert!((0.5..30.0).contains(&time), "{time}");

    // The address is closed: the clients pause between their attempts, and the run still ends.
    let address = crate::application::Application::closed_address();
    let loaded = load(&address, &["-c", "2", "-t", "0.3"]);
    let (ok, lost) = loaded.counts();
    assert_eq!(ok, 0);
    assert!(lost[0].1 <= 2 * 31, "{lost:?}");
}

#[test]
fn a_signal_ends_the_run_and_the_counts_are_printed() {
    for name in ["-INT", "-TERM"] {
        let (sender, eleventh) = channel();
        let sender = Mutex::new(sender);
        let (application, _) = numbered(move |number, conversation| {
            if number < 10 {
                return good(conversation);
            }
            sender.lock().unwrap().send(()).unwrap();
            conversation.wait_for_end();
        });
        let child = start(&application.address, &["-t", "3600"]);
        eleventh.recv().unwrap();
        signal(&child, name);
        let loaded = finish(child);
        assert_eq!(loaded.counts(), (10, Vec::new()));
        let json = loaded.json();
        assert_eq!(json["interrupted"], true);
        assert_eq!(json["unfinished"], 1);
    }
}

#[test]
fn an_active_request_may_finish_after_a_signal() {
    let (sender, asked) = channel();
    let (answer, may_answer) = channel();
    let (sender, may_answer) = (Mutex::new(sender), Mutex::new(may_answer));
    let (application, _) = numbered(move |_, conversation| {
        sender.lock().unwrap().send(()).unwrap();
        may_answer.lock().unwrap().recv().unwrap();
        good(conversation);
    });
    let child = start(&application.address, &["-n", "5", "--keep"]);
    asked.recv().unwrap();
    signal(&child, "-INT");
    until_signal_is_handled(&child);
    answer.send(()).unwrap();
    let loaded = finish(child);
    assert_eq!(loaded.counts(), (1, Vec::new()));
    assert_eq!(loaded.json()["interrupted"], true);
    assert_eq!(loaded.json()["unfinished"], 0);
}

#[test]
fn the_report_begins_with_a_line_for_scripts() {
    let (application, _) = numbered(|number, conversation| match number {
        3 => conversation.disconnect(),
        _ => good(conversation),
    });
    let output = fcgipm(&["load", "-n", "10", &application.address], b"");
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<_> = text.lines().collect();
    assert!(
        lines[0].starts_with("requests=10 ok=9 lost=1 time="),
        "{text}"
    );
    assert!(
        lines[0].contains("s rate=") && lines[0].ends_with("/s"),
        "{text}"
    );
    assert_eq!(lines[1], "lost before: 1");
    assert!(lines[2].starts_with("latency: p50=") && lines[2].contains(" p99.9="));
    assert!(lines[3].starts_with("longest silence: "), "{text}");
    assert_eq!(lines[4], "connections: 10");
    assert_eq!(lines[5], "first losses:");
    let loss = "before: connection closed before any byte of the response";
    assert!(lines[6].ends_with(loss), "{text}");
    assert_eq!(lines.len(), 7);
}

#[test]
fn the_longest_silence_is_measured_with_its_position() {
    let pause = Duration::from_millis(300);
    let (application, _) = numbered(move |number, conversation| {
        if number == 5 {
            // The length of the silence is the scenario.
            std::thread::sleep(pause);
        }
        good(conversation);
    });
    let json = load(&application.address, &["-n", "10"]).json();
    let silence = &json["longest_silence"];
    let (length, began) = (
        silence["length"].as_f64().unwrap(),
        silence["began"].as_f64().unwrap(),
    );
    assert!(length >= pause.as_secs_f64() && began > 0.0, "{json}");
    assert!(began + length <= json["time"].as_f64().unwrap(), "{json}");
    let max = json["latency"]["max"].as_f64().unwrap();
    assert!((max - length).abs() < 0.05 * length, "{json}");
}
