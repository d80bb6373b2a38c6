//! A reload of workers that take half a second to start is hardly noticed by clients.

use std::time::Instant;

use super::host::{self, Language};
use super::load::Load;
use super::peer::program::Transport;

/// The number of rounds, each without and with a reload.
const ROUNDS: usize = 7;

fn median(mut list: Vec<f64>) -> f64 {
    list.sort_by(f64::total_cmp);
    list[list.len() / 2]
}

pub(crate) fn a_reload_of_slow_starting_workers_at_most_doubles_the_longest_silence() {
    // The time that the start takes is the scenario.
    let mut pool = host::start(
        Language::C,
        Transport::Unix,
        2,
        &[("HELLO_START", "sleep 0.5")],
    );
    let address = host::address(&pool);
    let options = ["-c", "8", "-t", "1.2", "--split", "3", "--expect", "Hello"];
    let (mut calm, mut reloading) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        for reloads in [false, true] {
            let start = Instant::now();
            let load = Load::start(&address, &options);
            if reloads {
                host::reload(&mut pool);
                let took = start.elapsed();
                assert!(
                    took.as_secs_f64() > 0.5,
                    "the workers start too fast: {took:?}"
                );
            }
            let tally = load.finish();
            assert_eq!(tally.lost(), 0, "{tally:?}");
            let list = if reloads { &mut reloading } else { &mut calm };
            list.push(tally.silence());
        }
    }
    println!("longest silences in seconds, calm {calm:.4?}, with a reload {reloading:.4?}");
    let (calm, reloading) = (median(calm), median(reloading));
    println!("measured: medians: calm {calm:.4} s, with a reload {reloading:.4} s");
    assert!(reloading <= 2.0 * calm, "{reloading} > 2 * {calm}");
    pool.stop();
}
