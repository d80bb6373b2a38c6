//! Workers that are copies of one that has served requests (option `refork_after`).

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::code::{Answer, Language, Preloaded, WORKERS, address_text, exists};
use super::load::Load;
use super::peer::connection::LIMIT;
use super::peer::pool::call;
use super::peer::program::{TRANSPORTS, Transport, ended_within};

const AFTER: u32 = 10;

fn start(language: Language, transport: Transport, more: &[(&str, &str)]) -> Preloaded {
    let environment = [&[("FCGIPM_REFORK_AFTER", "10")], more].concat();
    Preloaded::start(language, transport, &environment)
}

/// Sends requests until a worker has become the model, and every worker is a copy. Returns the template.
fn refork(preloaded: &mut Preloaded) -> i32 {
    for _ in 0..WORKERS as u32 * AFTER {
        preloaded.ask();
    }
    let template = ready_template(preloaded);
    for _ in 0..WORKERS {
        let line = preloaded.pool.program.line("by a copy of the template");
        let worker = pid_after(&line, "recycling worker (pid ");
        assert!(ended_within(worker, LIMIT), "worker {worker} remains");
    }
    template
}

/// Waits until this is true.
pub(crate) fn until(mut is_true: impl FnMut() -> bool) {
    let end = Instant::now() + LIMIT;
    while !is_true() {
        assert!(Instant::now() < end, "not in time");
        std::thread::yield_now();
    }
}

pub(crate) fn ready_template(preloaded: &mut Preloaded) -> i32 {
    let line = preloaded.pool.program.line("refork: template (pid ");
    pid_after(&line, "template (pid ")
}

pub(crate) fn pid_after(line: &str, text: &str) -> i32 {
    let (_, rest) = line.split_once(text).unwrap();
    let (pid, _) = rest.split_once(')').unwrap();
    pid.parse().unwrap()
}

/// The answers of all workers, which have served at least this many requests before they existed.
pub(crate) fn assert_warm(preloaded: &Preloaded) {
    for _ in 0..10 {
        let answer = preloaded.ask();
        let parent = preloaded.pool.program.pid();
        assert!(
            answer.served >= AFTER && answer.parent == parent,
            "{answer:?}"
        );
    }
}

fn assert_cold(answer: &Answer) {
    assert!(answer.served < AFTER, "{answer:?}");
}

#[test]
fn workers_are_replaced_by_copies_of_one_that_has_served_requests() {
    for language in [Language::C, Language::Perl] {
        let mut preloaded = start(language, Transport::Unix, &[]);
        assert_cold(&preloaded.ask());
        let template = refork(&mut preloaded);
        assert!(exists(template));
        assert_warm(&preloaded);
        // One that replaces a worker is a copy, too.
        let killed = preloaded.ask().worker;
        kill(Pid::from_raw(killed), Signal::SIGKILL).unwrap();
        preloaded.pool.program.line("started");
        assert_warm(&preloaded);
        preloaded.stop();
        assert!(ended_within(template, LIMIT), "the template remains");
    }
}

#[test]
fn a_reload_of_the_workers_begins_anew() {
    for language in [Language::C, Language::Perl] {
        let mut preloaded = start(language, Transport::Unix, &[]);
        let template = refork(&mut preloaded);
        preloaded.pool.program.signal(Signal::SIGHUP);
        preloaded.pool.program.line("reload done");
        assert_cold(&preloaded.ask());
        assert!(ended_within(template, LIMIT), "the template remains");
        // And a new worker becomes the model.
        refork(&mut preloaded);
        assert_warm(&preloaded);
        preloaded.stop();
    }
}

#[test]
fn a_reload_of_the_program_begins_anew() {
    for language in [Language::C, Language::Perl] {
        let mut preloaded = start(language, Transport::Unix, &[]);
        let template = refork(&mut preloaded);
        preloaded.reload("second");
        let answer = preloaded.ask();
        assert_eq!(answer.word, "second");
        assert_cold(&answer);
        assert!(ended_within(template, LIMIT), "the template remains");
        refork(&mut preloaded);
        preloaded.assert_serves("second");
        assert_warm(&preloaded);
        // A broken deploy changes nothing.
        preloaded.failed_reload("broken");
        preloaded.assert_serves("second");
        assert_warm(&preloaded);
        preloaded.stop();
    }
}

#[test]
fn a_template_that_is_killed_is_replaced_by_the_process_before() {
    for language in [Language::C, Language::Perl] {
        let mut preloaded = start(language, Transport::Unix, &[]);
        let template = refork(&mut preloaded);
        kill(Pid::from_raw(template), Signal::SIGKILL).unwrap();
        let line = preloaded.pool.program.line("refork failed: ");
        assert!(line.contains("killed by SIGKILL"), "{line}");
        let killed = preloaded.ask().worker;
        kill(Pid::from_raw(killed), Signal::SIGKILL).unwrap();
        preloaded.pool.program.line("started");
        while preloaded.ask().served >= AFTER {}
        preloaded.stop();
    }
}

#[test]
fn a_template_and_its_workers_end_with_a_killed_manager() {
    for language in [Language::C, Language::Perl] {
        let mut preloaded = start(language, Transport::Unix, &[]);
        let template = refork(&mut preloaded);
        let worker = preloaded.ask().worker;
        preloaded.pool.program.signal(Signal::SIGKILL);
        for pid in [template, worker] {
            assert!(ended_within(pid, LIMIT), "{language:?}: {pid} remains");
        }
    }
}

#[test]
fn copies_that_fail_end_a_refork() {
    let mut preloaded = start(Language::C, Transport::Unix, &[]);
    preloaded.reload("copies-fail");
    for _ in 0..WORKERS as u32 * AFTER {
        preloaded.ask();
    }
    preloaded
        .pool
        .program
        .line("refork failed: the workers of ");
    // The workers that were to be replaced continue, and a new one is a copy of a process that works.
    preloaded.assert_serves("copies-fail");
    let killed = preloaded.ask().worker;
    kill(Pid::from_raw(killed), Signal::SIGKILL).unwrap();
    preloaded.pool.program.line(") ready");
    preloaded.assert_serves("copies-fail");
    preloaded.stop();
}

#[test]
fn a_worker_with_threads_is_not_copied() {
    let mut preloaded = start(Language::C, Transport::Unix, &[]);
    preloaded.reload("threads");
    for _ in 0..WORKERS as u32 * AFTER {
        preloaded.ask();
    }
    let line = preloaded.pool.program.line("refork failed: ");
    assert!(line.contains("the process has 2 threads"), "{line}");
    preloaded.assert_serves("threads");
    preloaded.stop();
}

/// What a program has noted of its exit would be noted in all copies.
#[test]
fn a_worker_that_is_to_exit_is_not_copied() {
    let mut preloaded = start(Language::C, Transport::Unix, &[]);
    preloaded.reload("retires");
    for _ in 0..WORKERS as u32 * AFTER {
        preloaded.ask();
    }
    let line = preloaded.pool.program.line("refork");
    assert!(line.contains("forks a template"), "{line}");
    let line = preloaded.pool.program.line("refork");
    assert!(
        line.contains("the worker has closed its connection"),
        "{line}"
    );
    preloaded.assert_serves("retires");
    preloaded.stop();
}

/// A handler of SIGCHLD that waits for a child must not run for the process that forks the template: it
/// would wait for another one.
#[test]
fn a_handler_of_the_program_learns_nothing_of_the_fork() {
    let mut preloaded = start(Language::Perl, Transport::Unix, &[]);
    preloaded.reload("waiting");
    refork(&mut preloaded);
    preloaded.assert_serves("waiting");
    preloaded.stop();
}

#[test]
fn a_fork_that_is_abandoned_leaves_no_signal_blocked() {
    let mut preloaded = start(Language::Perl, Transport::Unix, &[]);
    preloaded.reload("abandoning");
    for _ in 0..WORKERS as u32 * AFTER {
        preloaded.ask();
    }
    let line = preloaded.pool.program.line("abandoned");
    assert!(line.contains("TERM is not blocked"), "{line}");
    preloaded.pool.program.line("refork failed: ");
    preloaded.assert_serves("abandoning");
    preloaded.stop();
}

/// A copy has the descriptors that a worker needs, and none of those of its model or its template.
#[test]
fn copies_have_no_more_descriptors_than_other_workers() {
    // A worker may watch connections by epoll. Its template has a copy of that, and /dev/null instead of
    // each of them.
    let others = ["anon_inode:[eventpoll]", "/dev/null"].map(Path::new);
    let descriptors = |pid| {
        let folder = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
        let files = folder.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
        files
            .filter(|file| !others.contains(&file.as_path()))
            .count()
    };
    for language in [Language::C, Language::Perl] {
        let mut preloaded = start(language, Transport::Unix, &[]);
        // The least of each worker: it may not have closed the connection of its last request.
        let mut least = BTreeMap::new();
        for _ in 0..AFTER {
            let worker = preloaded.ask().worker;
            let least = least.entry(worker).or_insert(usize::MAX);
            *least = descriptors(worker).min(*least);
        }
        let most = *least.values().max().unwrap();
        let template = refork(&mut preloaded);
        assert!(descriptors(template) <= most, "{language:?}");
        let warm = preloaded.ask().worker;
        until(|| descriptors(warm) <= most);
        preloaded.stop();
    }
}

#[test]
fn hooks_run_around_each_fork() {
    let mut preloaded = start(
        Language::C,
        Transport::Unix,
        &[("PRELOADED_HOOKS", "hooks")],
    );
    for hook in ["before", "after"] {
        let line = format!("hooks: {hook} the fork, 0 served");
        until(|| preloaded.pool.program.count(&line) >= WORKERS);
        assert_eq!(preloaded.pool.program.count(&line), WORKERS);
    }
    refork(&mut preloaded);
    let blocked = preloaded
        .pool
        .program
        .count("preloaded: signals are blocked");
    assert_eq!(blocked, 0, "in a worker");
    let after = format!("hooks: after the fork, {AFTER} served");
    assert!(preloaded.pool.program.count(&after) <= WORKERS);
    preloaded.stop();
}

/// A template has copies of the connections of its worker, and must close them: otherwise they would
/// not end when the worker closes them.
#[test]
fn a_connection_of_the_worker_ends_as_before() {
    for language in [Language::C, Language::Perl] {
        for transport in TRANSPORTS {
            let limit = [("FCGIPM_IDLE_TIMEOUT", "5")];
            let mut preloaded = start(language, transport, &limit);
            let mut kept: Vec<_> = (0..8).map(|_| preloaded.pool.program.connect()).collect();
            for connection in &mut kept {
                connection.call(&call("/").keep(true));
            }
            let template = refork(&mut preloaded);
            // Where they are served now has nothing to do with it.
            for connection in &mut kept {
                connection.call(&call("/").keep(true));
            }
            for connection in &mut kept {
                connection.assert_closed();
            }
            assert!(exists(template));
            preloaded.stop();
        }
    }
}

/// With a process group for each worker, the template is in none of them.
#[test]
fn a_kill_of_a_process_group_spares_the_template() {
    let group = [("FCGIPM_PROCESS_GROUP", "1")];
    let mut preloaded = start(Language::C, Transport::Unix, &group);
    let template = refork(&mut preloaded);
    let worker = preloaded.ask().worker;
    let group = |pid| nix::unistd::getpgid(Some(Pid::from_raw(pid))).unwrap();
    assert_eq!(group(template), Pid::from_raw(template));
    assert_eq!(group(worker), Pid::from_raw(worker));
    preloaded.stop();
}

/// Requests while workers become models and reloads begin anew: nothing is lost.
#[test]
fn reforks_and_reloads_lose_nothing() {
    for language in [Language::C, Language::Perl] {
        for transport in TRANSPORTS {
            for options in [&["-c", "8"][..], &["-c", "8", "--keep"]] {
                let mut preloaded = start(language, transport, &[]);
                let address = address_text(&preloaded.pool.program.address);
                let forever = ["-n", "100000000", "--expect", "worker"];
                let load = Load::start(&address, &[options, &forever[..]].concat());
                for round in 0..6 {
                    ready_template(&mut preloaded);
                    let signal = match round % 3 {
                        0 => Signal::SIGUSR2,
                        _ => Signal::SIGHUP,
                    };
                    // At once, or when all workers are copies.
                    if round % 2 == 0 {
                        preloaded.pool.program.line("by a copy of the template");
                        preloaded.pool.program.line("by a copy of the template");
                    }
                    preloaded.pool.program.signal(signal);
                    // The next refork may begin before the last old worker has exited.
                    preloaded.pool.program.line("reload begun");
                }
                let tally = load.stop();
                assert_eq!(tally.lost(), 0, "{language:?} {transport:?}: {tally:?}");
                println!(
                    "measured: 6 reforks and reloads, {language:?} {transport:?} {options:?}: {} requests, \
                     lost=0",
                    tally.requests()
                );
                preloaded.stop();
            }
        }
    }
}
