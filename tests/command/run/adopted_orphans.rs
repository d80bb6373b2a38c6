//! `fcgipm run` as PID 1 or as a subreaper, which adopts the orphans of its programs.

use std::os::unix::process::CommandExt as _;
use std::time::Instant;
use std::{fs, thread};

use super::{Run, address, call, fifo, hello, pid_in, script};
use crate::managed::signal;
use crate::process::{LIMIT, fcgipm};

const PID_1: [&str; 5] = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"];

fn children(pid: u32) -> Vec<u32> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    children
        .split_whitespace()
        .map(|pid| pid.parse().unwrap())
        .collect()
}

/// The pid of the command that unshare(1) has started.
fn pid_1(run: &Run) -> u32 {
    let [command] = children(run.pid())[..] else {
        panic!("the command is the only child of unshare");
    };
    command
}

fn name(pid: u32) -> String {
    fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default()
}

/// Waits until a process has no orphans as children, including zombies.
fn wait_for_orphans(pid: u32) {
    let until = Instant::now() + LIMIT;
    loop {
        let names: Vec<_> = children(pid).into_iter().map(name).collect();
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

/// A program that creates ten short-lived orphans before it serves.
fn with_orphans() -> String {
    let orphan = "sh -c 'sleep 0.02 & :'\n";
    format!(
        "{}echo littered >&2\nexec {} fd:0",
        orphan.repeat(10),
        hello()
    )
}

#[test]
fn the_orphans_of_programs_are_reaped_without_losing_the_status_of_workers() {
    let folder = tempfile::tempdir().unwrap();
    let program = script(&folder, &with_orphans());
    let mut run = Run::pool_by(folder, &PID_1, &["--workers", "3"], &[&program], &[]);
    let mut before = run.ready_ones(3);
    let manager = pid_1(&run);
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
fn with_several_pools_the_parent_process_reaps() {
    let folder = tempfile::tempdir().unwrap();
    let program = script(&folder, &with_orphans());
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
    let top = pid_1(&run);
    wait_for_orphans(top);
    signal("HUP", top);
    run.lines_with("reload done", 2);
    wait_for_orphans(top);
    signal("TERM", top);
    let (status, lines) = run.end();
    assert_eq!(status.code(), Some(0), "{lines:#?}");
}

/// How the command comes to adopt orphans.
#[derive(Clone, Copy, Debug)]
enum Reaper {
    Pid1,
    Subreaper,
}

impl Reaper {
    /// Starts the command, and waits for its first worker. Returns the pid of the command as well.
    fn start(
        self,
        folder: tempfile::TempDir,
        arguments: &[&str],
        environment: &[(&str, &str)],
    ) -> (Run, u32) {
        let mut run = match self {
            Self::Pid1 => Run::start_by(folder, &PID_1, arguments, environment),
            Self::Subreaper => {
                let mut command = Run::command(&[], arguments, environment);
                let adopt = || Ok(nix::sys::prctl::set_child_subreaper(true)?);
                // SAFETY: it makes one system call and allocates nothing. What it sets outlives
                // exec(2).
                unsafe { command.pre_exec(adopt) };
                Run::spawn(folder, command)
            }
        };
        run.ready();
        let command = match self {
            Self::Pid1 => pid_1(&run),
            Self::Subreaper => run.pid(),
        };
        (run, command)
    }
}

/// The descendants of a process, including zombies.
fn below(pid: u32) -> Vec<u32> {
    // It may have exited.
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
    let children = children.unwrap_or_default();
    let pids = children.split_whitespace().map(|pid| pid.parse().unwrap());
    pids.flat_map(|pid| [vec![pid], below(pid)].concat())
        .collect()
}

/// Waits until a process has exited and was reaped.
fn wait_until_reaped(pid: u32) {
    let until = Instant::now() + LIMIT;
    while let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) {
        assert!(Instant::now() < until, "{stat}");
        thread::yield_now();
    }
}

/// Waits until the four processes of [`with_family`] run below the command. The first is the
/// worker.
fn family_below(command: u32) -> [u32; 4] {
    let until = Instant::now() + LIMIT;
    loop {
        let named = below(command).into_iter().map(|pid| (name(pid), pid));
        let mut found: Vec<_> = named
            .filter(|(name, _)| ["hello\n", "sh\n", "sleep\n"].contains(&&**name))
            .collect();
        found.sort_unstable();
        let names: Vec<_> = found.iter().map(|(name, _)| name.trim_end()).collect();
        if names == ["hello", "sleep", "sleep", "sleep"] {
            return [0, 1, 2, 3].map(|position| found[position].1);
        }
        assert!(Instant::now() < until, "{names:?}");
        thread::yield_now();
    }
}

/// A program that at its first start has a child and a grandchild, and another process in its group
/// whose parent has exited.
fn with_family(folder: &tempfile::TempDir) -> String {
    let begun = folder.path().join("begun");
    let text = format!(
        "if [ ! -e {begun} ]; then\n: >{begun}\n\
         sh -c 'sleep 1000 & exec sleep 1000' </dev/null >/dev/null 2>&1 &\n\
         sh -c 'sleep 1000 &' </dev/null >/dev/null 2>&1\nfi\nexec {} fd:0",
        hello(),
        begun = begun.display()
    );
    script(folder, &text)
}

#[test]
fn all_descendants_of_a_killed_worker_are_reaped_and_the_pool_continues() {
    // With a file, the parent of the manager reaps.
    for tail in [&["--pool", "one"][..], &[]] {
        for reaper in [Reaper::Pid1, Reaper::Subreaper] {
            let what = format!("{reaper:?} {tail:?}");
            let folder = tempfile::tempdir().unwrap();
            let (program, gate, address) = (with_family(&folder), fifo(&folder), address(&folder));
            let file = folder.path().join("run.toml");
            let text = format!(
                "[[pool]]\nname = \"one\"\nlisten = \"{address}\"\ncommand = [\"{program}\"]\npreload = false\n\
                 request_timeout = 0.5\nrequest_timeout_grace = 0.1\n"
            );
            fs::write(&file, text).unwrap();
            let arguments = [&["--config", file.to_str().unwrap()], tail].concat();
            let (mut run, command) = reaper.start(folder, &arguments, &[("HELLO_GATE", &gate)]);
            let family = family_below(command);
            let [child] = children(family[0])[..] else {
                panic!("{what}: not one child of the worker");
            };
            assert_eq!(children(child).len(), 1, "{what}");
            let adopted = children(command);
            let adopted = adopted.iter().filter(|pid| family[1..].contains(pid));
            assert_eq!(adopted.count(), 1, "{what}");

            let output = fcgipm(&["call", "--to", &address, "/stubborn"], b"");
            let output = String::from_utf8(output.stdout).unwrap();
            assert!(output.contains("took too long"), "{what}: {output}");
            run.lines_with("killed by SIGKILL", 1);
            family.into_iter().for_each(wait_until_reaped);
            // The replacement may be started already.
            run.lines_with(") ready", 2);
            assert!(call(&address).contains("Hello"), "{what}");
            signal("HUP", command);
            run.line("reload done");
            assert!(call(&address).contains("Hello"), "{what}");
            signal("TERM", command);
            let (status, lines) = run.end();
            assert_eq!(status.code(), Some(0), "{what}: {lines:#?}");
        }
    }
}
