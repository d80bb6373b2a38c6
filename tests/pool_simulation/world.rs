//! A pool, its workers and their clients in virtual time.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use fcgipm::pool::{Action, Config, Event, Exit, Pool, Sizing, SlotState, WorkerEvent};

use crate::checks::Books;
use crate::config::config;
use crate::random::Random;
use crate::worker::Worker;

pub(crate) const SECOND: Duration = Duration::from_secs(1);

/// What kind of workers an episode has.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Code {
    Good,
    Mixed,
    Broken,
    /// Every worker exits early, and there are no requests, so the back-off can be counted exactly.
    CrashLoop,
}

pub(crate) struct World {
    pub(crate) pool: Pool,
    pub(crate) config: Config,
    pub(crate) random: Random,
    pub(crate) code: Code,
    pub(crate) now: Duration,
    pub(crate) workers: BTreeMap<usize, Worker>,
    pub(crate) books: Books,
    pub(crate) events: u64,
    /// How long the request of each waiting connection will take.
    pub(crate) queue: VecDeque<Duration>,
    /// Mean time between connections.
    pub(crate) gap: Option<Duration>,
    pub(crate) arrives: Option<Duration>,
    pub(crate) liars: bool,
    /// Memory to be reported.
    pub(crate) measured: Vec<usize>,
    /// No request takes longer than a second.
    pub(crate) short: bool,
    /// The actions of the pool, if they are recorded.
    pub(crate) trace: Option<Vec<(Duration, Action)>>,
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        Self::with(seed, |_| {})
    }

    pub(crate) fn with(seed: u64, change: impl FnOnce(&mut Config)) -> Self {
        let mut random = Random(seed);
        let mut config = config(&mut random);
        change(&mut config);
        let code = match random.below(5) {
            0 | 1 => Code::Good,
            2 => Code::Mixed,
            3 => Code::Broken,
            _ => Code::CrashLoop,
        };
        if code == Code::CrashLoop {
            // A worker that is killed for a request is replaced immediately, and does not count
            // here.
            config.request_timeout = None;
        }
        let gap = match random.below(4) {
            0 => None,
            1 => Some(Duration::from_millis(20)),
            2 => Some(Duration::from_millis(300)),
            _ => Some(Duration::from_secs(5)),
        };
        let mut this = Self {
            pool: Pool::new(config.clone()),
            books: Books::new(&config),
            now: Duration::ZERO,
            workers: BTreeMap::new(),
            events: 0,
            queue: VecDeque::new(),
            gap: gap.filter(|_| code != Code::CrashLoop),
            arrives: None,
            // A worker that reports to be busy is not woken: only a limit ends it.
            liars: config.die_timeout.is_some() && random.one_in(3),
            measured: Vec::new(),
            short: false,
            trace: None,
            config,
            random,
            code,
        };
        if code == Code::CrashLoop {
            // A connection waits all the time.
            this.queue.push_back(SECOND);
        }
        this.arrives = this.gap;
        this
    }

    pub(crate) fn ready(&self) -> usize {
        self.workers
            .values()
            .filter(|worker| worker.serves())
            .count()
    }

    /// Reports one event, performs the actions, and checks the invariants.
    pub(crate) fn handle(&mut self, event: Event) {
        self.events += 1;
        let mut actions = Vec::new();
        self.pool.handle(self.now, event, &mut actions);
        if let Some(trace) = &mut self.trace {
            trace.extend(actions.iter().map(|action| (self.now, *action)));
        }
        let mut books = std::mem::take(&mut self.books);
        let fork = books.enter(self, event, &actions);
        self.books = books;
        let stops = actions.contains(&Action::Stop);
        for action in actions {
            match action {
                Action::Wake { slot } => self.may_exit(slot, true),
                Action::Terminate { slot } => self.may_exit(slot, false),
                Action::Kill { slot, .. } => {
                    let exit = (self.now + Duration::from_millis(1), Exit::Signal(9));
                    self.worker(slot).exit_at = Some(exit);
                }
                Action::Measure { slot } => self.measured.push(slot),
                Action::Fork { .. }
                | Action::Retire { .. }
                | Action::GiveNotice { .. }
                | Action::ClaimOffers { .. }
                | Action::Rebalance { .. }
                | Action::Notice(_)
                | Action::Stop
                | Action::Stopped => {}
            }
        }
        if stops {
            self.handle(Event::Stop);
        }
        if let Some(slot) = fork {
            self.fork(slot);
        }
    }

    pub(crate) fn worker(&mut self, slot: usize) -> &mut Worker {
        self.workers.get_mut(&slot).expect("no worker in the slot")
    }

    fn fork(&mut self, slot: usize) {
        if self.code != Code::CrashLoop && self.random.one_in(20) {
            return self.report(slot, WorkerEvent::ForkFailed { errno: 11 });
        }
        self.books.forks.push(self.now);
        let now = self.now;
        let good = match self.code {
            Code::Good => true,
            Code::Mixed => !self.random.one_in(3),
            Code::Broken => self.random.one_in(4),
            Code::CrashLoop => false,
        };
        let start = if self.random.one_in(2) { 3_000 } else { 20 };
        let ready_at = now + self.random.millis(start);
        let dies_at = now + self.random.millis(9_000);
        let exit = match self.random.below(3) {
            0 => Exit::Code(0),
            1 => Exit::Code(255),
            _ => Exit::Signal(11),
        };
        let hangs = !good && self.code != Code::CrashLoop && self.random.one_in(3);
        // In a dynamic crash loop no worker becomes ready, or the load would require more.
        let never = self.code == Code::CrashLoop && self.config.sizing != Sizing::Static;
        let mut worker = Worker::new(now, self.pool.request_limit(slot));
        worker.ready_at = (good || (!hangs && !never && self.random.one_in(2))).then_some(ready_at);
        worker.exit_at = (!good && !hangs).then_some((dies_at, exit));
        worker.stubborn = self.config.die_timeout.is_some() && self.random.one_in(10);
        worker.liar = self.liars && self.random.one_in(4);
        worker.generation = self.books.reloads[0];
        worker.departs = !self.short && self.random.one_in(8);
        // Polls are more frequent then, so a world that is compared with another one has none.
        worker.offers = !self.short && self.random.one_in(3);
        self.workers.insert(slot, worker);
        self.report(slot, WorkerEvent::Forked);
        if self.config.ready_delay.is_some() && !never && !self.random.one_in(10) {
            self.execute(slot);
        }
    }

    /// The worker executes a program that reports, that never does, or that does so late.
    fn execute(&mut self, slot: usize) {
        let (kind, now) = (self.random.below(4), self.now);
        let Some(worker) = self.workers.get_mut(&slot) else {
            return;
        };
        worker.executed = Some(now);
        worker.silent = kind < 3;
        if kind < 2 {
            worker.ready_at = None;
        }
        match kind {
            0..=2 => self.report(slot, WorkerEvent::Executed),
            _ if self.random.one_in(2) => {
                self.report(slot, WorkerEvent::Executed);
                self.report(slot, WorkerEvent::Announced);
            }
            _ => {
                self.report(slot, WorkerEvent::Announced);
                self.report(slot, WorkerEvent::Executed);
            }
        }
        if kind == 3 {
            self.worker(slot).executed = None;
        }
    }

    pub(crate) fn report(&mut self, slot: usize, event: WorkerEvent) {
        self.handle(Event::Worker { slot, event });
    }

    /// A worker was asked to exit: it does, unless it serves a request or is stubborn.
    fn may_exit(&mut self, slot: usize, woken: bool) {
        let soon = self.random.millis(20);
        // One wake-up in four arrives between the check of the flag and the wait. The signal that
        // stops a program is never missed, because a timer in the worker repeats it.
        let missed = self.random.one_in(4) && woken;
        let now = self.now;
        let worker = self.worker(slot);
        let reached = if worker.silent {
            worker.work.is_none() && !woken
        } else if worker.ready {
            worker.work.is_none() && !missed
        } else {
            // A worker that has just reached its first wait needs no wake-up: it checks the flag.
            !woken
        };
        if reached && !worker.stubborn && worker.exit_at.is_none() {
            worker.exit_at = Some((now + soon, Exit::Code(0)));
        }
    }

    /// Polls the page of a worker.
    pub(crate) fn poll(&mut self, slot: usize) {
        let now = self.now;
        match self.pool.state(slot) {
            SlotState::Ready | SlotState::Retiring => {}
            SlotState::Empty | SlotState::Starting | SlotState::Killed => return,
        }
        let Some(worker) = self.workers.get_mut(&slot) else {
            return;
        };
        if let Some(report) = worker.observation(now, &mut self.random) {
            self.report(slot, WorkerEvent::Observed(report));
        }
    }

    /// Observes everything that is due, then ticks.
    pub(crate) fn observe(&mut self) {
        let now = self.now;
        let slots: Vec<_> = self.workers.keys().copied().collect();
        for &slot in &slots {
            let worker = self.worker(slot);
            let reports = worker.ready_at.is_some_and(|at| at <= now);
            if worker.ready && reports && worker.silent && worker.asked_at.is_none() {
                worker.ready_at = None;
                worker.silent = false;
            }
            if !worker.ready && reports {
                worker.ready_at = None;
                worker.silent = false;
                if worker.asked_at.is_none() {
                    worker.ready = true;
                    self.report(slot, WorkerEvent::Ready);
                }
            }
        }
        self.work();
        for &slot in &slots {
            let exit = self.worker(slot).exit_at;
            if let Some((_, exit)) = exit.filter(|(at, _)| *at <= now) {
                let worker = &self.workers[&slot];
                let has_served = worker.number > 0 && !worker.silent && !worker.mute;
                let departs = worker.serves() && exit == Exit::Code(0);
                // The pool believes its report, which another test covers.
                let may_claim = worker.liar && self.code != Code::CrashLoop;
                if has_served || may_claim && self.random.one_in(2) {
                    if departs {
                        self.books.departed();
                    }
                    self.report(slot, WorkerEvent::Served);
                }
                let gone = self.workers.remove(&slot).expect("no worker");
                self.books.exited(now, slot, &gone);
                self.report(slot, WorkerEvent::Exited(exit));
            }
        }
        for slot in std::mem::take(&mut self.measured) {
            if let Some(worker) = self.workers.get_mut(&slot) {
                let bytes = worker.memory;
                worker.heard_memory = bytes;
                self.report(slot, WorkerEvent::Memory { bytes });
            }
        }
        // Other events wake the manager, too.
        let by_chance = !self.short && self.random.one_in(50);
        let due = self.pool.poll_at().is_some_and(|at| at <= now) || by_chance;
        for &slot in &slots {
            if due || self.pool.state(slot) == SlotState::Retiring {
                self.poll(slot);
            }
        }
        self.handle(Event::Tick);
    }

    /// When something happens on its own.
    fn next(&self) -> Option<Duration> {
        let workers = self.workers.values();
        let waits = !self.queue.is_empty();
        workers
            .flat_map(|w| {
                let reports = (!w.ready || w.silent) && w.asked_at.is_none();
                let ready_at = w.ready_at.filter(|_| reports);
                let exit_at = w.exit_at.map(|(at, _)| at);
                [ready_at, exit_at, w.work.map(|work| work.ends)]
            })
            .chain([self.pool.deadline(), self.arrives])
            .chain([self.pool.watch_listener().filter(|_| waits)])
            .chain([self.served_now().filter(|_| waits)])
            .flatten()
            .min()
    }

    /// A silent worker has become ready with the last tick, and accepts what waits.
    fn served_now(&self) -> Option<Duration> {
        let mut workers = self.workers.values();
        let takes = |worker: &Worker| worker.silent && worker.takes(self.now);
        (self.code != Code::CrashLoop && workers.any(takes)).then_some(self.now)
    }

    /// Continues to the next thing that happens on its own; `false` if nothing will.
    pub(crate) fn advance(&mut self) -> bool {
        let next = self.next();
        if let Some(next) = next {
            self.books.turn(self.now, next);
            self.now = self.now.max(next);
            self.observe();
        }
        next.is_some()
    }

    /// Continues to this time.
    pub(crate) fn advance_to(&mut self, end: Duration) {
        while self.next().is_some_and(|next| next < end) {
            self.advance();
        }
        self.now = end;
    }
}
