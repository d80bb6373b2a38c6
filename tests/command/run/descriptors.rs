//! The limit of open files: that of the manager, and that of its workers.

use std::fs;

use super::{Run, hello};
use crate::process::fcgipm;

/// Starts it under these limits, soft and hard.
fn limited(limits: &str, options: &[&str]) -> Run {
    let folder = tempfile::tempdir().unwrap();
    let limits = format!("--nofile={limits}");
    let program = [&hello(), "fd:0"];
    Run::pool_by(folder, &["prlimit", &limits], options, &program, &[])
}

/// A process's limits, soft and hard.
fn limits(pid: u32) -> (u64, u64) {
    let limits = fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"));
    let mut words = line.unwrap().split_whitespace();
    let mut number = || words.next().unwrap().parse().unwrap();
    (number(), number())
}

/// The number after a text in a line.
fn number_after(line: &str, text: &str) -> u64 {
    let (_, rest) = line.split_once(text).unwrap_or_else(|| panic!("{line}"));
    let digits = rest.split(|c: char| !c.is_ascii_digit()).next();
    digits.unwrap().parse().unwrap()
}

#[test]
fn the_manager_raises_its_soft_limit_and_workers_get_the_original_one() {
    for (options, of_worker) in [
        (&[][..], (64, 4_096)),
        (&["--rlimit-files", "100"], (100, 100)),
    ] {
        let options = [&["--workers", "60"], options].concat();
        let mut run = limited("64:4096", &options);
        let workers = run.ready_ones(60);
        let (soft, hard) = limits(run.pid());
        assert!((240..4_096).contains(&soft) && hard == 4_096, "{soft}");
        for pid in workers {
            assert_eq!(limits(pid), of_worker);
        }
        assert!(run.call().contains("Hello"));
        let lines = run.stop();
        for bad in ["kill", "not ready", "fork of"] {
            assert!(!lines.iter().any(|line| line.contains(bad)), "{lines:#?}");
        }
    }
    // A sufficient limit is not changed.
    let mut run = limited("1000:4096", &["--workers", "2"]);
    let worker = run.ready();
    assert_eq!([limits(run.pid()), limits(worker)], [(1_000, 4_096); 2]);
    run.stop();
}

#[test]
fn with_a_hard_limit_that_is_too_low_it_does_not_start_and_prints_both_numbers() {
    for options in [
        &["--workers", "60"][..],
        &["--workers", "60", "--pm", "dynamic"],
    ] {
        let mut run = limited("64:64", options);
        let (status, lines) = run.end();
        assert_eq!((status.code(), lines.len()), (Some(1), 1), "{lines:#?}");
        let expected = "fcgipm run: the manager of 60 workers may need ";
        assert!(lines[0].starts_with(expected), "{lines:#?}");
        assert!(number_after(&lines[0], expected) > 240, "{lines:#?}");
        let behind = "open files, but its hard limit (RLIMIT_NOFILE) is 64";
        assert!(lines[0].ends_with(behind), "{lines:#?}");
        let address = run.address();
        assert!(!fs::exists(address).unwrap());
    }
}

#[test]
fn a_pool_grows_up_to_the_limit_and_logs_that() {
    let mut run = limited("20:20", &["--workers", "2"]);
    let (_, lines) = run.end();
    let needed = number_after(&lines[0], "may need ");
    let mut run = limited(&format!("20:{needed}"), &["--workers", "2"]);
    run.ready_ones(2);
    let resized = fcgipm(&["resize", &run.pid().to_string(), "9"], b"");
    assert_eq!(resized.status.code(), Some(1));
    let errors = String::from_utf8_lossy(&resized.stderr);
    assert!(
        errors.contains("the manager stays at 2 workers: its log has the reason"),
        "{errors}"
    );
    let line = run.line("may need");
    let expected = format!("limit (RLIMIT_NOFILE) is {needed}: the number of workers stays at 2");
    assert!(line.contains("the manager of 3 workers"), "{line}");
    assert!(line.ends_with(&expected), "{line}");
    run.signal("HUP");
    run.line("reload done");
    assert!(run.call().contains("Hello"));
    let lines = run.stop();
    assert!(
        !lines
            .iter()
            .any(|line| line.contains("number of workers set to")),
        "{lines:#?}"
    );
    // With a higher limit it grows.
    let mut run = limited(&format!("20:{}", needed + 10), &["--workers", "2"]);
    run.ready_ones(2);
    run.signal("TTIN");
    run.line("number of workers set to 3");
    run.ready();
    run.stop();
}
