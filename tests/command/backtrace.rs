//! `fcgipm backtrace`: what a process does, in C and in Perl, without disturbing it.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::Instant;

use serde_json::Value;

use crate::managed::{Pool, signal};
use crate::process::{LIMIT, fcgipm};

/// A process to look at. It ends with the test.
struct Target {
    child: Child,
    output: BufReader<ChildStdout>,
}

fn root(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .join(path)
}

/// The C program, compiled once.
fn c_program() -> &'static PathBuf {
    static FOLDER: OnceLock<(tempfile::TempDir, PathBuf)> = OnceLock::new();
    let (_, program) = FOLDER.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("target");
        let compiled = Command::new("cc")
            .args(["-O1", "-g", "-pthread", "-fno-ipa-ra", "-o"])
            .arg(&program)
            .arg(root("tests/command/backtrace/target.c"))
            .status();
        assert!(compiled.unwrap().success());
        (folder, program)
    });
    program
}

impl Target {
    fn start(command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let mut target = Self { child, output };
        assert_eq!(target.line(), "ready\n");
        target
    }

    fn c(arguments: &[&str]) -> Self {
        Self::start(Command::new(c_program()).args(arguments))
    }

    fn perl(arguments: &[&str]) -> Self {
        let folders = ["bindings/perl/lib", "target/release/perl"].map(root);
        let mut command = Command::new("perl");
        command
            .env("PERL5LIB", std::env::join_paths(folders).unwrap())
            .arg(root("tests/command/backtrace/target.pl"))
            .args(arguments);
        Self::start(&mut command)
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        line
    }

    fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Looks until the text has all of this. After its line, the process has some steps left.
    fn shows(&self, parts: &[&str]) -> String {
        let begun = Instant::now();
        loop {
            let text = shown(self.pid());
            if parts.iter().all(|part| text.contains(part)) {
                return text;
            }
            assert!(begun.elapsed() < LIMIT, "not {parts:?} in:\n{text}");
        }
    }

    /// The same, for the Perl frames.
    fn shows_perl(&self, frames: &[&str]) -> String {
        let file = root("tests/command/backtrace/target.pl");
        let file = file.display();
        let frames = frames.iter().map(|frame| match frame.split_once(" line ") {
            Some((name, line)) if !name.contains(" at ") => {
                format!("  {name} at {file} line {line}\n")
            }
            _ => format!("  {frame}\n"),
        });
        let end = format!("  main program at {file} line 30\n");
        let text: String = frames.chain([end]).collect();
        self.shows(&[&format!("Perl:\n{text}Thread: ")])
    }

    fn rest(mut self) -> String {
        let mut text = String::new();
        self.output.read_to_string(&mut text).unwrap();
        text
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        // A child of it may be waited for.
        let children = fs::read_to_string(format!("/proc/{0}/task/{0}/children", self.pid()));
        for pid in children.unwrap_or_default().split_whitespace() {
            signal("KILL", pid.parse().unwrap());
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn backtrace(pid: u32) -> Output {
    fcgipm(&["backtrace", &pid.to_string()], b"")
}

fn shown(pid: u32) -> String {
    let output = backtrace(pid);
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{errors}");
    assert_eq!(errors, "");
    String::from_utf8(output.stdout).unwrap()
}

fn json(pid: u32) -> Value {
    let output = fcgipm(&["backtrace", "--json", &pid.to_string()], b"");
    assert!(output.status.success());
    serde_json::from_slice(&output.stdout).unwrap()
}

/// These functions are called by each other, in this order.
fn assert_in_order(text: &str, functions: &[&str]) {
    let places = functions.iter().map(|name| {
        text.find(&format!("  {name} "))
            .unwrap_or_else(|| panic!("no {name} in:\n{text}"))
    });
    assert!(places.is_sorted(), "{text}");
}

#[test]
fn perl_code_is_shown_with_files_and_lines() {
    let total = "Shop::Cart::total line 25";
    for (what, wait, line) in [
        ("system", "sleeping in wait4", 4),
        ("loop", "running", 5),
        ("regex", "running", 6),
        ("socket", "sleeping in read(", 7),
    ] {
        let target = Target::perl(&[what]);
        let text = target.shows_perl(&[&format!("main::__ANON__ line {line}"), total]);
        assert!(text.contains(&format!("Thread: {wait}")), "{what}:\n{text}");
        assert!(
            text.contains("  Perl_runops_standard in "),
            "{what}:\n{text}"
        );
    }
}

#[test]
fn perl_code_in_eval_sort_and_destructors_is_shown() {
    let total = "Shop::Cart::total line 25";
    Target::perl(&["sort"]).shows_perl(&["main::__ANON__ line 8", total]);
    Target::perl(&["eval"]).shows_perl(&["(eval) line 9", "main::__ANON__ line 9", total]);
    // Modules have numbered evals before it.
    let text = Target::perl(&["string"]).shows(&["  (eval) at (eval ", ") line 3\n"]);
    assert!(
        text.contains("target.pl line 10\n  Shop::Cart::total"),
        "{text}"
    );
    let destroy = [
        "Closing::DESTROY line 18",
        "(eval) line 13",
        "main::__ANON__ line 13",
        total,
    ];
    Target::perl(&["destroy"]).shows_perl(&destroy);
}

#[test]
fn code_that_is_loaded_now_is_shown() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("Slow.pm");
    fs::write(
        &file,
        "package Slow;\nprint qq{ready\\n};\nsleep 1000;\n1;\n",
    )
    .unwrap();
    let file = file.to_str().unwrap();
    let target = Target::perl(&["require", file]);
    let innermost = format!("(require) at {file} line 3");
    target.shows_perl(&[
        &innermost,
        "main::__ANON__ line 12",
        "Shop::Cart::total line 25",
    ]);
}

#[test]
fn a_deep_recursion_is_cut() {
    let target = Target::perl(&["deep"]);
    let text = target.shows(&["note: only the innermost 64 Perl frames are shown"]);
    assert!(text.contains("main::deep at "));
    assert!(text.len() < 16 * 1024, "{text}");
}

#[test]
fn perl_without_the_compiled_part_says_so() {
    let mut command = Command::new("perl");
    let target = Target::start(command.args(["-e", "$| = 1; print qq{ready\\n}; sleep 1000"]));
    let reason =
        "note: no Perl frames: the compiled part of the Perl binding, FCGIPM::XS, is not loaded";
    target.shows(&["Perl_pp_sleep in ", reason]);
}

#[test]
fn functions_of_c_are_shown() {
    let chain = ["inner_read", "middle", "outer", "main"];
    let target = Target::c(&["read"]);
    let text = target.shows(&["sleeping in read(3: unix socket)", "inner_read at "]);
    assert_in_order(&text, &chain);
    assert!(text.contains("target.c line 31"), "{text}");
    assert!(!text.contains("Perl"), "{text}");
    let text = Target::c(&["loop"]).shows(&["inner_loop"]);
    assert_in_order(&text, &["inner_loop", "middle", "outer", "main"]);
    // What was called before the signal is not found.
    let text = Target::c(&["handler"]).shows(&["sleeping in read"]);
    assert_in_order(&text, &["inner_read", "middle", "outer", "on_signal"]);
    let text = Target::c(&["thread"]).shows(&["sleeping in read"]);
    assert_in_order(&text, &["main", "inner_read", "of_thread"]);
}

#[test]
fn a_stopped_process_is_shown_and_stays_stopped() {
    for what in ["read", "loop"] {
        let target = Target::c(&[what]);
        signal("STOP", target.pid());
        let text = target.shows(&["stopped by a signal", "outer at "]);
        assert_in_order(&text, &["middle", "outer", "main"]);
        target.shows(&["stopped by a signal"]);
    }
}

#[test]
fn a_process_that_cannot_be_shown_has_a_reason() {
    let output = backtrace(4_194_305);
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(errors, "fcgipm backtrace: there is no process 4194305\n");
    for wrong in [&["backtrace"][..], &["backtrace", "0"], &["backtrace", "x"]] {
        assert_eq!(fcgipm(wrong, b"").status.code(), Some(2), "{wrong:?}");
    }
    // It has exited, and is not reaped.
    let mut target = Target::c(&["interrupted"]);
    drop(target.child.stdin.take());
    target.shows(&["a zombie"]);
}

#[test]
fn system_calls_of_the_process_do_not_fail() {
    let mut target = Target::c(&["interrupted"]);
    let (mut stops, mut looks) = (0, 0);
    while stops < 20 {
        let report = json(target.pid());
        let threads = report["threads"].as_array().unwrap();
        stops += threads
            .iter()
            .filter(|one| !one["stopped_ms"].is_null())
            .count();
        looks += 1;
        assert!(looks < 5000, "it was stopped {stops} times");
    }
    drop(target.child.stdin.take());
    assert_eq!(target.rest(), "EINTR 0 times\n");
}

#[test]
fn a_busy_process_is_stopped_for_a_moment() {
    let pause_of = |looks: usize| {
        let target = Target::c(&["gaps"]);
        let stops: Vec<f64> = (0..looks)
            .filter_map(|_| json(target.pid())["threads"][0]["stopped_ms"].as_f64())
            .collect();
        assert!(looks == 0 || !stops.is_empty());
        signal("TERM", target.pid());
        let text = target.rest();
        let longest = text.trim_end().strip_prefix("longest ").unwrap();
        let longest: f64 = longest.parse().unwrap();
        (longest / 1000.0, stops.into_iter().fold(0.0, f64::max))
    };
    let (without, _) = pause_of(0);
    let (with, stopped) = pause_of(20);
    println!("longest pause {with} ms, {without} ms without; it was stopped for {stopped} ms");
    // The scheduler of a busy machine pauses it for longer.
    assert!(
        stopped < 50.0 && with < 50.0 + without.max(100.0),
        "{with} ms"
    );
}

#[test]
fn the_request_of_a_worker_is_shown() {
    let (pool, _socket, address) = Pool::on_unix(1);
    let worker = pool.workers[0];
    let manager = pool.pid();
    let text = shown(worker);
    let idle = format!("worker of manager {manager}: idle\n");
    assert!(text.contains(&idle), "{text}");
    assert!(
        text.contains("sleeping in accept4(0: unix socket "),
        "{text}"
    );
    let (mut client, gate) = pool.paused(&address, "/pause?of=%1B");
    let text = shown(worker);
    let busy = format!("worker of manager {manager}: busy\nrequest: GET /pause?of=%1B, for ");
    assert!(text.contains(&busy), "{text}");
    assert_eq!(json(worker)["worker"]["uri"], "/pause?of=%1B");
    drop(gate);
    assert!(client.wait().unwrap().success());
}
