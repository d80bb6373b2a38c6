//! How often an idle manager wakes up, and how long a busy one does not react.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::host::{self, Language};
use super::peer::pool::Pool;
use super::peer::program::{Transport, context_switches};

/// The maximum pause in the loop of the manager.
const BOUND: Duration = Duration::from_millis(100);

/// How often a process has gone to sleep, which it does after each wake-up.
fn sleeps(pid: i32) -> u64 {
    context_switches(pid).into_iter().sum()
}

/// Sends a signal to a manager, and waits until it sleeps again.
fn settle(pool: &mut Pool) {
    pool.program.signal(Signal::SIGUSR1);
    pool.program.line("USR1");
    let path = format!("/proc/{}/stat", pool.program.pid());
    while !std::fs::read_to_string(&path).unwrap().contains(") S ") {
        std::thread::yield_now();
    }
}

/// The name, the language of the host, the options, and whether they set a deadline for an idle
/// pool.
type Setting<'a> = (&'a str, Language, &'a [(&'a str, &'a str)], bool);

pub(crate) fn an_idle_manager_wakes_at_most_once_per_second() {
    const LENGTH: Duration = Duration::from_secs(10);
    let dynamic = [
        ("FCGIPM_PM", "dynamic"),
        ("FCGIPM_START_SERVERS", "4"),
        ("FCGIPM_MIN_SPARE", "4"),
        ("FCGIPM_MAX_SPARE", "4"),
    ];
    let every = [
        ("FCGIPM_REQUEST_TIMEOUT", "60"),
        ("FCGIPM_SLOW_REQUEST", "10"),
        ("FCGIPM_MAX_LIFETIME", "3600"),
        ("FCGIPM_MAX_MEMORY", "1g"),
        ("FCGIPM_MAX_REQUESTS", "1000000"),
        dynamic[0],
        dynamic[1],
        dynamic[2],
        dynamic[3],
    ];
    let settings: [Setting<'_>; 9] = [
        ("none", Language::C, &[], false),
        ("none, in Perl", Language::Perl, &[], false),
        ("max_requests", Language::C, &[every[4]], false),
        ("request_timeout", Language::C, &[every[0]], true),
        ("slow_request", Language::C, &[every[1]], true),
        ("max_lifetime", Language::C, &[every[2]], true),
        ("max_memory", Language::C, &[every[3]], true),
        ("pm=dynamic", Language::C, &dynamic, true),
        ("all of them", Language::C, &every, true),
    ];
    let mut pools = settings.map(|(_, language, environment, _)| {
        host::start(language, Transport::Unix, 4, environment)
    });
    pools.iter_mut().for_each(settle);
    // Checks since the start are due within a second.
    std::thread::sleep(Duration::from_secs(1));
    let start = Instant::now();
    let before: Vec<_> = pools.iter().map(|p| sleeps(p.program.pid())).collect();
    // The time is the scenario.
    std::thread::sleep(LENGTH);
    let after: Vec<_> = pools.iter().map(|p| sleeps(p.program.pid())).collect();
    let length = start.elapsed();
    for ((name, _, _, has_deadline), (before, after)) in
        settings.iter().zip(before.into_iter().zip(after))
    {
        let woken = after - before;
        println!("measured: idle for {length:.2?} with {name}: woken {woken} times");
        let most = if *has_deadline {
            length.as_secs_f64().ceil() as u64
        } else {
            0
        };
        assert!(woken <= most, "{name}: woken {woken} times, {most} allowed");
    }
    pools.into_iter().for_each(Pool::stop);
}

/// How long a thread has run, and how long it has waited for a CPU.
fn schedule(thread: &Path) -> (Duration, Duration) {
    let Ok(stat) = std::fs::read_to_string(thread.join("schedstat")) else {
        // It has exited meanwhile.
        return (Duration::ZERO, Duration::ZERO);
    };
    let mut times = stat.split(' ').map(|time| time.parse().unwrap());
    let mut next = || Duration::from_nanos(times.next().unwrap());
    (next(), next())
}

/// How long the threads of this process have waited for a CPU.
fn our_delay() -> Duration {
    let threads = std::fs::read_dir("/proc/self/task").unwrap();
    threads
        .map(|thread| schedule(&thread.unwrap().path()).1)
        .sum()
}

/// Reloads, and sends signals that the manager answers all the time. Returns the longest pause.
fn longest_pause(pool: &mut Pool) -> Duration {
    let path = PathBuf::from(format!("/proc/{}", pool.program.pid()));
    let mut checked = pool.program.lines().len();
    let begun = Instant::now();
    pool.program.signal(Signal::SIGHUP);
    let mut samples = Vec::new();
    loop {
        let (start, before, ours) = (Instant::now(), schedule(&path), our_delay());
        pool.program.signal(Signal::SIGUSR1);
        pool.program.line("received SIGUSR1");
        let took = start.elapsed();
        let after = schedule(&path);
        // The time in which the manager or this test wait for a CPU does not count, and neither
        // does what the manager computes while this test waits.
        let (computed, waited) = (after.0 - before.0, after.1 - before.1);
        let answered = took.saturating_sub(our_delay().saturating_sub(ours));
        let pause = answered.saturating_sub(waited).max(computed.min(answered));
        if pause > BOUND {
            println!(
                "{took:?}: it ran {computed:?}, waited {waited:?}; without the waits of the test {answered:?}"
            );
        }
        samples.push((took, pause));
        let lines = pool.program.lines();
        if lines[checked..].iter().any(|l| l.contains("reload done")) {
            break;
        }
        checked = lines.len();
    }
    let whole = begun.elapsed();
    let quantiles = |pick: fn(&(Duration, Duration)) -> Duration| {
        let mut list: Vec<_> = samples.iter().map(pick).collect();
        list.sort();
        [0.5, 0.99, 1.0].map(|share: f64| list[((list.len() - 1) as f64 * share) as usize])
    };
    let (took, pause) = (quantiles(|s| s.0), quantiles(|s| s.1));
    println!(
        "measured: 1000 workers replaced in {whole:.2?}; {} signals meanwhile, answered in {took:.1?} (p50, p99, most), \
         without the waits for a CPU {pause:.1?}",
        samples.len()
    );
    assert!(samples.len() >= 20, "{} signals", samples.len());
    pause[2]
}

pub(crate) fn a_thousand_workers_reload_without_a_pause_in_the_loop() {
    let mut pool = Pool::start(Transport::Unix, 1_000, &[]);
    // A pause of the loop itself occurs in every reload, one of the machine does not.
    let mut pauses = [(); 5].map(|()| longest_pause(&mut pool));
    pauses.sort();
    assert!(pauses[2] <= BOUND, "the median of {pauses:?}");
    pool.stop();
}
