//! Random options of a pool.

use std::time::Duration;

use fcgipm::pool::{Config, Sizing};

use crate::random::Random;

pub(crate) fn config(random: &mut Random) -> Config {
    let size = if random.one_in(7) { 40 } else { 8 };
    let processes = 1 + random.below(size) as usize;
    let up_to = |random: &mut Random, most: usize| random.below(most as u64 + 1) as usize;
    let sizing = match random.below(3) {
        0 => Sizing::Static,
        1 => {
            let min_spare = 1 + up_to(random, processes);
            Sizing::Dynamic {
                start: up_to(random, processes),
                min_spare,
                max_spare: min_spare + up_to(random, 4),
            }
        }
        _ => Sizing::OnDemand {
            idle_timeout: (!random.one_in(4)).then(|| random.millis(20_000)),
        },
    };
    let limit = |random: &mut Random, from, to| random.one_in(2).then(|| random.seconds(from, to));
    Config {
        processes,
        max_processes: processes + 5,
        slots: 2 * processes + 16,
        reload_surge: random.below(4) as usize,
        start_delay: if random.one_in(3) {
            random.millis(500)
        } else {
            Duration::ZERO
        },
        start_timeout: (!random.one_in(4)).then(|| random.seconds(1, 61)),
        ready_delay: random.one_in(3).then(|| random.millis(3_000)),
        die_timeout: (!random.one_in(4)).then(|| random.seconds(1, 61)),
        drain_delay: match random.one_in(2) {
            true => random.seconds(0, 30),
            false => Duration::ZERO,
        },
        sizing,
        max_requests: if random.one_in(3) {
            1 + random.below(30)
        } else {
            0
        },
        max_requests_jitter: random.below(10),
        max_memory: if random.one_in(3) { 6_000 } else { 0 },
        max_lifetime: random.one_in(3).then(|| random.seconds(5, 120)),
        request_timeout: limit(random, 0, 30),
        request_timeout_grace: random.millis(6_000),
        slow_request: limit(random, 0, 10),
        seed: random.next(),
    }
}
