//! The invariants of deadlines, limits and the back-off.

use std::time::Duration;

use fcgipm::pool::{Config, Overdue, Recycle};

use crate::checks::Books;
use crate::worker::{Worker, overdue_since};
use crate::world::{Code, SECOND, World};

const WINDOW: Duration = Duration::from_secs(10);

impl Books {
    /// The worker has reported that it is ready, or it is silent and has run for long enough.
    pub(crate) fn ready(&mut self, world: &mut World, slot: usize) {
        let (now, delay) = (world.now, world.config.ready_delay);
        let worker = world.workers.get_mut(&slot).expect("no worker is ready");
        if !worker.ready {
            let (executed, delay) = (
                worker.executed.expect("not executed"),
                delay.expect("no delay"),
            );
            assert!(worker.silent && now >= executed + delay, "ready too early");
            worker.ready = true;
            self.count("silent workers ready");
        }
    }

    pub(crate) fn kill(
        &mut self,
        config: &Config,
        now: Duration,
        overdue: Overdue,
        worker: &mut Worker,
    ) {
        let (since, limit) = match overdue {
            Overdue::Start => {
                self.count("killed in its start");
                assert!(!worker.ready);
                if worker.asked_at.is_some() {
                    self.count("killed in its start, although it was asked to exit");
                }
                (worker.born, config.start_timeout)
            }
            Overdue::Exit => {
                self.count("killed after die_timeout");
                (
                    worker.asked_at.expect("not asked to exit"),
                    config.die_timeout,
                )
            }
            Overdue::Request => {
                self.count("killed for its request");
                let grace = config.request_timeout_grace;
                let timeout = config.request_timeout.expect("no limit");
                overdue_since(worker, now, timeout + grace);
                let (request, noticed) = worker.noticed.expect("no notice");
                assert_eq!(Some(request), worker.report.map(|report| report.request));
                (noticed, Some(grace))
            }
        };
        let limit = limit.expect("kill without a limit");
        let took = now - since;
        assert!(took >= limit, "killed after {took:?} of {limit:?}");
        worker.asked_at.get_or_insert(now);
    }

    pub(crate) fn check_limit(
        &mut self,
        config: &Config,
        now: Duration,
        why: Recycle,
        worker: &Worker,
    ) {
        match why {
            Recycle::Requests => {
                self.count("recycled for requests");
                assert!(worker.limit > 0 && worker.heard_requests >= worker.limit);
            }
            Recycle::Memory => {
                self.count("recycled for memory");
                assert!(config.max_memory > 0 && worker.heard_memory > config.max_memory);
            }
            Recycle::Lifetime => {
                self.count("recycled for age");
                assert!(now >= worker.forked + config.max_lifetime.expect("no limit"));
            }
            Recycle::Refork => panic!("no refork was reported"),
        }
    }

    /// P4, with exact counts.
    pub(crate) fn check_crash_loop(&self, world: &World) {
        assert_eq!(world.code, Code::CrashLoop);
        let Some(&first) = self.forks.first() else {
            return;
        };
        let spent_first = Self::new(&world.config).wanted;
        let early = self.forks.iter().filter(|at| **at < first + WINDOW);
        let early = early.count();
        // Until the back-off begins, replacements of workers that reached a limit are additional.
        let config = &world.config;
        let is_limited =
            config.max_lifetime.is_some() || config.max_requests > 0 || config.max_memory > 0;
        if config.start_delay.is_zero() && !is_limited {
            assert!(
                early <= 10.max(spent_first + 1),
                "{early} forks in 10 s, {spent_first} wanted: {:?}, {:?}",
                self.forks,
                world.config
            );
        }
        let late: Vec<_> = self.forks[spent_first.min(self.forks.len())..]
            .iter()
            .filter(|at| **at >= first + WINDOW)
            .collect();
        assert!(
            late.windows(2).all(|pair| *pair[1] >= *pair[0] + SECOND),
            "more than one per second: {:?}, {:?}",
            self.forks,
            world.config
        );
    }
}
