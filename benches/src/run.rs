//! The rounds. In each, every peer has its turn, in a different order.

use std::path::Path;
use std::sync::Mutex;

use crate::load::{self, Length};
use crate::machine::Machine;
use crate::peer::{Peer, Places};
use crate::results::{CaseResults, Measured, Results};
use crate::scenario::Case;
use crate::server::Server;
use crate::statistics::median;
use crate::{bounds, count, launch, procfs, table};

/// The parameters of a run.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) rounds: usize,
    pub(crate) seconds: f64,
    /// Only these, if there are any.
    pub(crate) peers: Vec<Peer>,
    pub(crate) counts: bool,
}

/// The minimum number of rounds for a median.
const LEAST_ROUNDS: usize = 3;

/// The length of a round with reloads, which take time.
const RELOAD_SECONDS: f64 = 3.0;

/// A first round for caches and branch predictors, which does not count.
const WARMTH_SECONDS: f64 = 0.1;

/// Measures all cases, and prints each when it is done.
pub(crate) fn all(cases: &[Case], plan: &Plan, places: &Places) -> Result<Results, String> {
    let machine = Machine::here(places);
    println!("{}\n{}\n", machine.line(), machine.versions_line());
    let mut results = Results {
        machine,
        rounds: plan.rounds,
        seconds: plan.seconds,
        foreign: 0.0,
        cases: Vec::new(),
        bounds: Vec::new(),
        budgets: Vec::new(),
    };
    for case in cases {
        let measured =
            one(case, plan, places).map_err(|reason| format!("{}: {reason}", case.id()))?;
        if let Some(measured) = measured {
            print!("{}", table::case(&measured));
            results.cases.push(measured);
        }
    }
    let rounds = results
        .cases
        .iter()
        .flat_map(|case| &case.peers)
        .flat_map(|peer| &peer.rounds);
    results.foreign = median(&rounds.map(|round| round.foreign).collect::<Vec<_>>());
    results.bounds = bounds::verdicts(&results);
    results.budgets = bounds::outlays(&results);
    Ok(results)
}

/// Measures a case, if one of its peers is selected.
fn one(case: &Case, plan: &Plan, places: &Places) -> Result<Option<CaseResults>, String> {
    let is_wanted = |peer: &Peer| plan.peers.is_empty() || plan.peers.contains(peer);
    let peers: Vec<Peer> = case.peers.iter().copied().filter(is_wanted).collect();
    if peers.is_empty() {
        return Ok(None);
    }
    let directory = tempfile::Builder::new()
        .prefix("fcgipm-bench-")
        .tempdir()
        .map_err(|error| error.to_string())?;
    let directory = directory.path();
    let mut sides = Vec::new();
    for peer in peers {
        sides.push((start(peer, case, places, directory)?, Measured::of(peer)));
    }

    let has_bound = bounds::has_bound(&case.id());
    let (rounds, seconds) = match (case.reload, has_bound) {
        (true, _) => (
            LEAST_ROUNDS.min(plan.rounds),
            plan.seconds.min(1.0) * RELOAD_SECONDS,
        ),
        (false, true) => (plan.rounds, plan.seconds),
        (false, false) => (
            plan.rounds.div_ceil(2).max(LEAST_ROUNDS.min(plan.rounds)),
            plan.seconds * 0.4,
        ),
    };
    take_turns(case, places, directory, rounds, seconds, &mut sides)?;
    // A miss may be noise: the same number of additional rounds decides, and all of them count.
    let is_missed = |sides: &[(Server, Measured)]| {
        let peers: Vec<&Measured> = sides.iter().map(|(_, measured)| measured).collect();
        bounds::verdicts_on(&case.id(), &peers)
            .iter()
            .any(|verdict| !verdict.met)
    };
    if rounds >= LEAST_ROUNDS && is_missed(&sides) {
        take_turns(case, places, directory, rounds, seconds, &mut sides)?;
    }

    for (server, measured) in &mut sides {
        measured.settle();
        let memory: Vec<(f64, f64)> = server
            .workers()
            .into_iter()
            .filter_map(procfs::memory)
            .collect();
        measured.resident_kib = median(
            &memory
                .iter()
                .map(|(resident, _)| *resident)
                .collect::<Vec<_>>(),
        );
        measured.proportional_kib = median(
            &memory
                .iter()
                .map(|(_, proportional)| *proportional)
                .collect::<Vec<_>>(),
        );
    }
    let mut done: Vec<Measured> = sides.into_iter().map(|(_, measured)| measured).collect();
    if let Some(requests) = case.counted.filter(|_| plan.counts) {
        count_all(case, places, directory, requests, &mut done);
    }
    Ok(Some(CaseResults {
        id: case.id(),
        scenario: case.scenario,
        name: case.name.clone(),
        x: case.x,
        workers: case.workers,
        clients: case.clients,
        description: case.describe(),
        peers: done,
    }))
}

fn start(peer: Peer, case: &Case, places: &Places, directory: &Path) -> Result<Server, String> {
    let socket = directory.join(peer.name());
    let command = launch::command(peer, places, case, case.workers, &socket)?;
    let mut server = Server::start(command, &socket, case.workers)?;
    server.reload_signal = peer.reload_signal();
    server.stop_signal = peer.stop_signal();
    let plain = Case {
        reload: false,
        ..case.clone()
    };
    load::check(places, &plain, &server, directory)
        .map_err(|reason| format!("{}: {reason}", peer.name()))?;
    load::round(
        places,
        &plain,
        &server,
        directory,
        Length::Seconds(WARMTH_SECONDS),
    )?;
    Ok(server)
}

fn take_turns(
    case: &Case,
    places: &Places,
    directory: &Path,
    rounds: usize,
    seconds: f64,
    sides: &mut [(Server, Measured)],
) -> Result<(), String> {
    for round in 0..rounds {
        for turn in 0..sides.len() {
            let at = (round + turn) % sides.len();
            let (server, measured) = &mut sides[at];
            let failed = |reason| format!("{}: {reason}", measured.peer.name());
            let found = load::round(places, case, server, directory, Length::Seconds(seconds))
                .map_err(failed)?;
            if found.lost > 0 && !case.reload {
                return Err(failed(format!(
                    "{} of {} requests were lost",
                    found.lost, found.requests
                )));
            }
            if case.reload {
                server.settle();
            }
            measured.rounds.push(found);
        }
    }
    Ok(())
}

/// Counts for as many peers at the same time as there are CPUs, because counts do not depend on time.
fn count_all(
    case: &Case,
    places: &Places,
    directory: &Path,
    requests: u32,
    peers: &mut [Measured],
) {
    let left = Mutex::new(peers.iter_mut());
    let next = || left.lock().ok()?.next();
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let Some(measured) = next() {
                    let peer = measured.peer;
                    let directory = directory.join(format!("{}-counts", peer.name()));
                    let calls = count::syscalls(places, case, peer, &directory, requests);
                    measured.syscalls = or_warned(peer, calls);
                    let instructions =
                        count::instructions(places, case, peer, &directory, requests);
                    measured.instructions = or_warned(peer, instructions);
                }
            });
        }
    });
}

/// Warns about a failed count, for example without ptrace, and continues.
fn or_warned<T>(peer: Peer, counted: Result<T, String>) -> Option<T> {
    counted
        .map_err(|reason| eprintln!("{}: not counted: {reason}", peer.name()))
        .ok()
}
