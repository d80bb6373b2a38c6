//! A pool, its workers and their clients in virtual time.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use fcgipm::pool::{Action, Config, Event, Exit, Pool, Sizing, SlotState, WorkerEvent};

use crate::checks::Books;
use crate::random::Random;
use crate::worker::Worker;

pub(crate) const SECOND: Duration = Duration::from_secs(1);

/// What kind of workers an episode has.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Code {
    Good,
    Mixed,
    Broken,
    /// Every worker dies young, and nobody asks for anything: the back-off can be counted exactly.
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
    /// How long each connection that waits will take.
    pub(crate) queue: VecDeque<Duration>,
    /// Mean time between connections.
    pub(crate) gap: Option<Duration>,
    pub(crate) arrives: Option<Duration>,
    pub(crate) liars: bool,
    /// Memory to be reported.
    pub(crate) measured: Vec<usize>,
    /// No request takes longer than a second.
    pub(crate) short: bool,
    /// What the pool has answered, if anybody wants to know.
    pub(crate) trace: Option<Vec<(Duration, Action)>>,
}

fn config(random: &mut Random) -> Config {
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
            // Who is killed for a request is replaced at once, and is not what is counted here.
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
            // Who says that it is busy is not woken: only a limit ends it.
            liars: config.die_timeout.is_some() && random.one_in(3),
            measured: Vec::new(),
            short: false,
            trace: None,
            config,
            random,
            code,
        };
        if code == Code::CrashLoop {
            // Somebody waits all the time.
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

    /// Hands in one event, performs the actions, checks what must hold.
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
        for action in actions {
            match action {
                Action::Wake { slot } => self.may_leave(slot, true),
                Action::Terminate { slot } => self.may_leave(slot, false),
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
                | Action::Stopped => {}
            }
        }
        if let Some(slot) = fork {
            self.fork(slot);
        }
    }

    pub(crate) fn worker(&mut self, slot: usize) -> &mut Worker {
        self.workers.get_mut(&slot).expect("somebody in the slot")
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
        // With a crash loop by load none is ready: the load would ask for more of those that were.
        let never = self.code == Code::CrashLoop && self.config.sizing != Sizing::Static;
        let mut worker = Worker::new(now, self.pool.request_limit(slot));
        worker.ready_at = (good || (!hangs && !never && self.random.one_in(2))).then_some(ready_at);
        worker.exit_at = (!good && !hangs).then_some((dies_at, exit));
        worker.stubborn = self.config.die_timeout.is_some() && self.random.one_in(10);
        worker.liar = self.liars && self.random.one_in(4);
        worker.generation = self.books.reloads[0];
        worker.departs = !self.short && self.random.one_in(8);
        // Looks come more often then: a world that is compared with another has none.
        worker.offers = !self.short && self.random.one_in(3);
        self.workers.insert(slot, worker);
        self.report(slot, WorkerEvent::Forked);
        if self.config.ready_delay.is_some() && !never && !self.random.one_in(10) {
            self.execute(slot);
        }
    }

    /// The worker becomes a program that speaks, that never does, or that does so late.
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

    /// A worker was told to leave: it does, unless it has work, or will not.
    fn may_leave(&mut self, slot: usize, woken: bool) {
        let soon = self.random.millis(20);
        // One wake-up in four falls between a look at the flag and the wait. The signal that stops a program is never missed:
        // in the worker a timer repeats it.
        let missed = self.random.one_in(4) && woken;
        let now = self.now;
        let worker = self.worker(slot);
        let reached = if worker.silent {
            worker.work.is_none() && !woken
        } else if worker.ready {
            worker.work.is_none() && !missed
        } else {
            // One that has just reached its first wait needs no wake-up: it looks at the flag.
            !woken
        };
        if reached && !worker.stubborn && worker.exit_at.is_none() {
            worker.exit_at = Some((now + soon, Exit::Code(0)));
        }
    }

    /// What happens by itself: requests end, connections come and are taken.
    fn work(&mut self) {
        let now = self.now;
        let mut reached = Vec::new();
        for (slot, worker) in &mut self.workers {
            if worker.work.is_some_and(|work| work.ends <= now) {
                worker.finish();
                if worker.told.is_some() && !worker.stubborn && worker.exit_at.is_none() {
                    worker.exit_at = Some((now, Exit::Code(0)));
                }
                if worker.limit > 0 && worker.finished >= worker.limit {
                    reached.push(*slot);
                }
                if worker.departs && worker.finished > 0 && worker.exit_at.is_none() {
                    worker.exit_at = Some((now, Exit::Code(0)));
                }
            }
        }
        // Who has reached a limit wakes the manager.
        for slot in reached {
            self.look(slot);
        }
        while let (Some(at), Some(gap)) = (self.arrives, self.gap)
            && at <= now
        {
            let crowd = if self.random.one_in(10) {
                self.random.below(20)
            } else {
                0
            };
            for _ in 0..=crowd {
                let takes = self.takes();
                if self.queue.len() < 50 {
                    self.queue.push_back(takes);
                }
            }
            // Not the times of an absence all over again.
            self.arrives = Some(now + self.random.millis(2 * gap.as_millis() as u64 + 1));
        }
        let waits = !self.queue.is_empty();
        if waits && self.pool.watch_listener().is_some_and(|at| at <= now) && !self.random.one_in(4)
        {
            self.handle(Event::Connection);
        }
        if self.code == Code::CrashLoop {
            return;
        }
        for worker in self.workers.values_mut() {
            if worker.takes(now)
                && let Some(takes) = self.queue.pop_front()
            {
                // Nobody would end it.
                let takes = if worker.silent {
                    takes.min(60 * SECOND)
                } else {
                    takes
                };
                worker.accept(now, takes, &mut self.random);
            }
        }
    }

    /// How long a request takes: for ever only if somebody will end it.
    fn takes(&mut self) -> Duration {
        if self.short {
            return self.random.millis(900);
        }
        match self.random.below(12) {
            0 if self.config.die_timeout.is_some() && self.config.request_timeout.is_some() => {
                100_000 * SECOND
            }
            0 | 1 => self.random.millis(60_000),
            2..=4 => self.random.millis(4_000),
            _ => self.random.millis(60),
        }
    }

    /// Looks at the page of a worker.
    pub(crate) fn look(&mut self, slot: usize) {
        let now = self.now;
        match self.pool.state(slot) {
            SlotState::Ready | SlotState::Retiring => {}
            SlotState::Empty | SlotState::Starting | SlotState::Gone => return,
        }
        let Some(worker) = self.workers.get_mut(&slot) else {
            return;
        };
        if let Some(said) = worker.says(now, &mut self.random) {
            self.report(slot, WorkerEvent::Observed(said));
        }
    }

    /// Observes everything that is due, then ticks.
    pub(crate) fn observe(&mut self) {
        let now = self.now;
        let slots: Vec<_> = self.workers.keys().copied().collect();
        for &slot in &slots {
            let worker = self.worker(slot);
            let speaks = worker.ready_at.is_some_and(|at| at <= now);
            if worker.ready && speaks && worker.silent && worker.told.is_none() {
                worker.ready_at = None;
                worker.silent = false;
            }
            if !worker.ready && speaks {
                worker.ready_at = None;
                worker.silent = false;
                if worker.told.is_none() {
                    worker.ready = true;
                    self.report(slot, WorkerEvent::Ready);
                }
            }
        }
        self.work();
        for &slot in &slots {
            if let Some((at, exit)) = self.worker(slot).exit_at
                && at <= now
            {
                let worker = &self.workers[&slot];
                let has_served = worker.number > 0 && !worker.silent && !worker.mute;
                let departs = worker.serves() && exit == Exit::Code(0);
                // Its word is taken for it, which a test of its own is about.
                let may_claim = worker.liar && self.code != Code::CrashLoop;
                if has_served || may_claim && self.random.one_in(2) {
                    if departs {
                        self.books.departed();
                    }
                    self.report(slot, WorkerEvent::Served);
                }
                let gone = self.workers.remove(&slot).expect("somebody");
                self.books.gone(now, slot, &gone);
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
        // Other things wake the manager, too.
        let by_chance = !self.short && self.random.one_in(50);
        let due = self.pool.poll_at().is_some_and(|at| at <= now) || by_chance;
        for &slot in &slots {
            if due || self.pool.state(slot) == SlotState::Retiring {
                self.look(slot);
            }
        }
        self.handle(Event::Tick);
    }

    /// When something happens by itself.
    fn next(&self) -> Option<Duration> {
        let workers = self.workers.values();
        let waits = !self.queue.is_empty();
        workers
            .flat_map(|w| {
                let speaks = (!w.ready || w.silent) && w.told.is_none();
                let ready_at = w.ready_at.filter(|_| speaks);
                let exit_at = w.exit_at.map(|(at, _)| at);
                [ready_at, exit_at, w.work.map(|work| work.ends)]
            })
            .chain([self.pool.deadline(), self.arrives])
            .chain([self.pool.watch_listener().filter(|_| waits)])
            .chain([self.served_now().filter(|_| waits)])
            .flatten()
            .min()
    }

    /// A silent worker has become ready with the last tick, and takes what waits.
    fn served_now(&self) -> Option<Duration> {
        let mut workers = self.workers.values();
        let takes = |worker: &Worker| worker.silent && worker.takes(self.now);
        (self.code != Code::CrashLoop && workers.any(takes)).then_some(self.now)
    }

    /// Goes to the next thing that happens by itself; `false` if nothing will.
    pub(crate) fn advance(&mut self) -> bool {
        let next = self.next();
        if let Some(next) = next {
            self.books.turn(self.now, next);
            self.now = self.now.max(next);
            self.observe();
        }
        next.is_some()
    }

    /// Goes on to this time.
    pub(crate) fn advance_to(&mut self, end: Duration) {
        while self.next().is_some_and(|next| next < end) {
            self.advance();
        }
        self.now = end;
    }
}
