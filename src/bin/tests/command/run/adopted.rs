//! As PID 1, to which the orphans of its programs come.

use std::fs;
use std::thread;
use std::time::Instant;

use super::{Run, address, hello, pid_in, script};
use crate::managed::signal;
use crate::process::LIMIT;

const PID_1: [&str; 5] = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"];

fn children(pid: u32) -> Vec<u32> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    children
        .split_whitespace()
        .map(|pid| pid.parse().unwrap())
        .collect()
}

/// Waits until none of the orphans is a process's child, zombies included.
fn wait_for_orphans(pid: u32) {
    let until = Instant::now() + LIMIT;
    loop {
        let name = |pid: &u32| fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        let names: Vec<_> = children(pid).iter().map(name).collect();
        if !names
            .iter()
            .any(|name| ["sh\n", "sleep\n"].contains(&&**name))
        {
            return;
        }
        assert!(Instant::now() < until, "{names:?}");
        thread::yield_now();
    }
}

/// A program that leaves ten orphans behind, whose end is near, before it serves.
fn littering() -> String {
    let orphan = "sh -c 'sleep 0.02 & :'\n";
    format!(
        "{}echo littered >&2\nexec {} fd:0",
        orphan.repeat(10),
        hello()
    )
}

#[test]
fn the_orphans_of_programs_are_reaped_and_the_status_of_no_worker_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let program = script(&folder, &littering());
    let address = address(&folder);
    let arguments = [
        "--no-preload",
        "--listen",
        &address,
        "--workers",
        "3",
        "--",
        &program,
    ];
    let mut run = Run::start_by(folder, &PID_1, &arguments, &[]);
    let mut before = run.ready_ones(3);
    let [manager] = children(run.pid())[..] else {
        panic!("the command is the only child of unshare");
    };
    wait_for_orphans(manager);
    for _ in 0..5 {
        signal("HUP", manager);
        let after: Vec<_> = (0..3).map(|_| pid_in(&run.line(") ready"))).collect();
        for pid in before {
            run.lines_with(&format!("worker (pid {pid}) exited with status 0"), 1);
        }
        run.lines_with("reload done", 1);
        wait_for_orphans(manager);
        before = after;
    }
    run.call();
    signal("TERM", manager);
    let (status, lines) = run.end();
    assert_eq!(status.code(), Some(0), "{lines:#?}");
    let littered = lines
        .iter()
        .filter(|line| line.contains("littered"))
        .count();
    assert_eq!(littered, 18, "{lines:#?}");
}

#[test]
fn with_several_pools_the_process_above_reaps() {
    let folder = tempfile::tempdir().unwrap();
    let program = script(&folder, &littering());
    let place = folder.path().display();
    let mut text = String::new();
    for name in ["one", "two"] {
        text += &format!(
            "[[pool]]\nname = \"{name}\"\nlisten = \"{place}/{name}\"\ncommand = [\"{program}\"]\npreload = false\n"
        );
    }
    let file = folder.path().join("run.toml");
    fs::write(&file, text).unwrap();
    let file = file.to_str().unwrap().to_owned();
    let mut run = Run::start_by(folder, &PID_1, &["--config", &file], &[]);
    run.ready_ones(2);
    let [top] = children(run.pid())[..] else {
        panic!("the command is the only child of unshare");
    };
    wait_for_orphans(top);
    signal("HUP", top);
    run.lines_with("reload done", 2);
    wait_for_orphans(top);
    signal("TERM", top);
    let (status, lines) = run.end();
    assert_eq!(status.code(), Some(0), "{lines:#?}");
}
