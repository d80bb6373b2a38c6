//! Reloads, one after another, while 32 clients send requests: no response is lost or truncated.

use nix::sys::signal::Signal;

use super::host::{self, Language};
use super::load::Load;
use super::peer::program::{TRANSPORTS, Transport};

/// The counts of a storm.
#[derive(Debug, Default)]
struct Storm {
    requests: u64,
    reloads: u64,
}

/// Reloads under load until these numbers of requests and reloads are reached.
fn storm(
    language: Language,
    transport: Transport,
    options: &[&str],
    requests: u64,
    reloads: u64,
) -> Storm {
    let mut pool = host::start(language, transport, 2, &[]);
    let address = host::address(&pool);
    let mut seen = Storm::default();
    while seen.requests < requests || seen.reloads < reloads {
        let count = requests.saturating_sub(seen.requests).max(requests / 4);
        let mut arguments = ["-c", "32", "-n", &count.to_string()]
            .map(str::to_owned)
            .to_vec();
        arguments.extend(host::bytes(language, 2_000));
        arguments.extend(options.iter().map(|&word| word.to_owned()));
        let mut load = Load::start(&address, &arguments);
        while !load.is_done() {
            host::reload(&mut pool);
            seen.reloads += u64::from(!load.is_done());
        }
        let tally = load.finish();
        assert_eq!(
            tally.lost(),
            0,
            "{language:?} {transport:?} {options:?}: {tally:?}"
        );
        assert_eq!(tally.ok(), count);
        seen.requests += count;
    }
    println!(
        "measured: reload storm, {language:?} {transport:?} {options:?}: {} requests, {} reloads, lost=0",
        seen.requests, seen.reloads
    );
    pool.stop();
    seen
}

/// On new and on keep-alive connections, with the parameters in one segment and in two.
fn storms(language: Language, whole: (u64, u64), split: (u64, u64)) -> Storm {
    let mut all = Storm::default();
    for transport in TRANSPORTS {
        for (options, (requests, reloads)) in [
            (&[][..], whole),
            (&["--keep"], whole),
            (&["--split", "1"], split),
            (&["--split", "1", "--keep"], split),
        ] {
            let one = storm(language, transport, options, requests, reloads);
            all.requests += one.requests;
            all.reloads += one.reloads;
        }
    }
    println!("measured: reload storms in {language:?}: {all:?}, lost=0");
    all
}

pub(crate) fn reload_storms_lose_nothing_in_c() {
    storms(Language::C, (100_000, 100), (100_000, 100));
}

pub(crate) fn reload_storms_lose_nothing_in_perl() {
    assert!(host::perl_has_threads(), "Debian's perl has threads");
    let all = storms(Language::Perl, (15_000, 15), (10_000, 10));
    assert!(all.requests >= 100_000 && all.reloads >= 100, "{all:?}");
}

/// Any number of HUPs during a reload cause one more reload.
pub(crate) fn reloads_requested_during_reloads_lose_nothing() {
    for transport in TRANSPORTS {
        let mut pool = host::start(Language::C, transport, 4, &[]);
        let address = host::address(&pool);
        let mut arguments = ["-c", "16", "-n", "50000", "--keep", "--split", "1"]
            .map(str::to_owned)
            .to_vec();
        arguments.extend(host::bytes(Language::C, 2_000));
        let mut load = Load::start(&address, &arguments);
        let mut requested = 0;
        while !load.is_done() {
            // Without waiting for the previous reload.
            for _ in 0..7 {
                pool.program.signal(Signal::SIGHUP);
                pool.program.line("received SIGHUP");
                requested += 1;
            }
            pool.program.line("reload done");
        }
        let tally = load.finish();
        assert_eq!(
            (tally.lost(), tally.ok()),
            (0, 50_000),
            "{transport:?}: {tally:?}"
        );
        let queued = pool.program.lines();
        let queued = queued
            .iter()
            .filter(|line| line.contains("another one follows"))
            .count();
        assert!(
            requested >= 100 && queued >= 10,
            "{requested} requested, {queued} queued"
        );
        println!(
            "measured: {requested} reloads requested, {queued} during another, {transport:?}: lost=0"
        );
        pool.stop();
    }
}
