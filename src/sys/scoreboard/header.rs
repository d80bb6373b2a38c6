//! The manager's own state, and its table of slots. Only the manager writes here; no worker has
//! this memory.

use std::sync::atomic::{AtomicI32, AtomicU32, AtomicU64, Ordering, fence};
use std::time::Duration;

use super::exits::{CAUSES, ExitCause};
use super::status::{
    End, FIGURES, Figures, LastExit, OUTCOMES, PoolStatus, Reload, ReloadEnd, SlotStatus, Stage,
    TOTALS, Total,
};
use super::tally::{Tallies, Tally};
use super::version::{MAGIC, VERSION};
use super::words::Words;
use crate::sys::clock;

/// Listening sockets that can be named.
const LISTENERS: usize = 8;

/// Attempts to read what is being written, before it is shown as it is.
const TRIES: usize = 8;

/// The manager's own state.
#[derive(Debug)]
#[repr(C, align(64))]
pub struct Header {
    magic: AtomicU64,
    version: AtomicU32,
    slots: AtomicU32,
    /// Bytes from one region to the next.
    stride: AtomicU32,
    manager: AtomicI32,
    started: AtomicU64,
    /// Number of slots, from the first on, that were ever used.
    used: AtomicU32,
    end: AtomicU32,
    pm: Words<2>,
    /// The version of the library that the manager runs.
    release: Words<4>,
    figures: [AtomicU64; FIGURES],
    totals: [AtomicU64; TOTALS],
    listeners: [AtomicU64; LISTENERS],
    /// When the manager last acted on a signal that resizes the pool, in nanoseconds.
    resized_at: AtomicU64,
    requests: RequestLine,
    reload: ReloadLine,
    /// Workers that exited, by cause.
    exits: [AtomicU64; CAUSES],
    /// What workers counted that no longer exist.
    retired: Tally,
}

/// Requests for a reload, numbered from 1 on. The sequence number is odd while the line is written.
#[derive(Debug)]
#[repr(C)]
struct RequestLine {
    sequence: AtomicU64,
    /// The number of the last one.
    received: AtomicU64,
    /// When the manager noticed it, in nanoseconds: it is compared with the time of a kill(2).
    received_at: AtomicU64,
    /// Reloads that are over. The outcome of each is in `outcomes`, at this number modulo its length.
    ended: AtomicU64,
    outcomes: [Outcome; OUTCOMES],
}

/// How a reload ended.
#[derive(Debug)]
#[repr(C)]
struct Outcome {
    /// Twice the number of the last request that it covered, plus 1 if it failed.
    request: AtomicU64,
    /// That of its new workers.
    generation: AtomicU64,
}

/// The last reload. The sequence number is odd while it is written.
#[derive(Debug)]
#[repr(C)]
struct ReloadLine {
    sequence: AtomicU64,
    result: AtomicU64,
    at: AtomicU64,
    message: Words<64>,
}

/// A slot in the manager's table.
#[derive(Debug)]
#[repr(C, align(64))]
pub struct SlotLine {
    /// Odd while the line is written.
    sequence: AtomicU64,
    pid: AtomicI32,
    stage: AtomicU32,
    born: AtomicU64,
    generation: AtomicU64,
    exit_pid: AtomicI32,
    exit_status: AtomicI32,
    exit_at: AtomicU64,
}

const _: () = assert!(size_of::<SlotLine>() == 64);

/// Written by the manager.
impl Header {
    pub(super) fn begin(&self, slots: u32, stride: u32, manager: i32) {
        self.slots.store(slots, Ordering::Relaxed);
        self.stride.store(stride, Ordering::Relaxed);
        self.manager.store(manager, Ordering::Relaxed);
        self.started.store(micros(clock::now()), Ordering::Relaxed);
        self.release.store(env!("CARGO_PKG_VERSION").as_bytes());
        self.version.store(VERSION, Ordering::Relaxed);
        self.magic.store(MAGIC, Ordering::Release);
    }

    /// A slot is about to be used.
    pub(super) fn mark_used(&self, slot: usize) {
        let used = u32::try_from(slot + 1).unwrap_or(u32::MAX);
        if self.used.load(Ordering::Relaxed) < used {
            self.used.store(used, Ordering::Relaxed);
        }
    }

    /// How the number of workers is chosen: a word of up to 15 bytes.
    pub fn set_pm(&self, pm: &str) {
        self.pm.store(pm.as_bytes());
    }

    /// The inode numbers of the listening sockets; only the first eight are stored.
    pub fn set_listeners(&self, inodes: &[u64]) {
        let all = inodes.iter().copied().chain(std::iter::repeat(0));
        for (place, inode) in self.listeners.iter().zip(all) {
            place.store(inode, Ordering::Relaxed);
        }
    }

    /// How many workers there are now.
    pub fn set_figures(&self, figures: &Figures) {
        for (place, number) in self.figures.iter().zip(figures.as_array()) {
            place.store(number, Ordering::Relaxed);
        }
    }

    /// Adds to a counter.
    pub fn add(&self, total: Total, more: u64) {
        increase(&self.totals[total as usize], more);
    }

    /// A worker has exited that has counted this.
    pub fn add_exit(&self, cause: ExitCause, counted: &Tallies) {
        increase(&self.exits[cause as usize], 1);
        let mut sums = self.retired.load();
        sums.add(counted);
        self.retired.store(&sums);
    }

    /// A reload has begun or ended. Its end is counted. The message is cut to 512 bytes.
    pub fn set_reload(&self, result: Reload, message: &str) {
        match result {
            Reload::None | Reload::Running => {}
            Reload::Done => self.add(Total::ReloadsDone, 1),
            Reload::Failed => self.add(Total::ReloadsFailed, 1),
        }
        let line = &self.reload;
        write_guarded(&line.sequence, || {
            line.result.store(result as u64, Ordering::Relaxed);
            line.at.store(micros(clock::now()), Ordering::Relaxed);
            line.message.store(message.as_bytes());
        });
    }

    /// A request for a reload was noticed at this time. Returns its number.
    pub fn receive_reload(&self, at: Duration) -> u64 {
        let line = &self.requests;
        let received = number(&line.received) + 1;
        write_guarded(&line.sequence, || {
            line.received.store(received, Ordering::Relaxed);
            line.received_at.store(nanos(at), Ordering::Relaxed);
        });
        received
    }

    /// A reload is over.
    pub fn end_reload(&self, end: ReloadEnd) {
        let line = &self.requests;
        let ended = number(&line.ended);
        write_guarded(&line.sequence, || {
            if let Some(place) = line.outcomes.get((ended % OUTCOMES as u64) as usize) {
                let request = end.through << 1 | u64::from(end.has_failed);
                place.request.store(request, Ordering::Relaxed);
                place.generation.store(end.generation, Ordering::Relaxed);
            }
            line.ended.store(ended + 1, Ordering::Relaxed);
        });
    }

    /// The manager has acted on a signal that resizes the pool, and the figures show the effect.
    pub fn set_resized(&self, at: Duration) {
        self.resized_at.store(nanos(at), Ordering::Release);
    }

    /// The pool will stop, or is stopping.
    pub fn set_end(&self, end: End) {
        self.end.store(end as u32, Ordering::Relaxed);
    }
}

/// For readers.
impl Header {
    /// An error is another version, or 0 if this is not a scoreboard.
    pub(super) fn check_version(&self) -> Result<(), u32> {
        if self.magic.load(Ordering::Acquire) != MAGIC {
            return Err(0);
        }
        match self.version.load(Ordering::Relaxed) {
            VERSION => Ok(()),
            other => Err(other),
        }
    }

    /// Slots, and bytes from one region to the next.
    pub(super) fn shape(&self) -> (usize, usize) {
        let number = |word: &AtomicU32| word.load(Ordering::Relaxed) as usize;
        (number(&self.slots), number(&self.stride))
    }

    pub(super) fn status(&self) -> PoolStatus {
        let line = &self.reload;
        let (reload, reload_at, reload_message) = read_guarded(&line.sequence, || {
            let result = match line.result.load(Ordering::Relaxed) {
                1 => Reload::Running,
                2 => Reload::Done,
                3 => Reload::Failed,
                _ => Reload::None,
            };
            (result, time(&line.at), line.message.printable())
        });
        let listeners = self.listeners.iter().map(|at| at.load(Ordering::Relaxed));
        let resized_at = Duration::from_nanos(self.resized_at.load(Ordering::Acquire));
        let line = &self.requests;
        let (received, received_at, reload_ends) = read_guarded(&line.sequence, || {
            let kept = number(&line.ended).min(OUTCOMES as u64) as usize;
            let ends = line.outcomes.iter().take(kept).map(|place| {
                let request = number(&place.request);
                ReloadEnd {
                    through: request >> 1,
                    has_failed: request & 1 == 1,
                    generation: number(&place.generation),
                }
            });
            let at = Duration::from_nanos(number(&line.received_at));
            (number(&line.received), at, ends.collect())
        });
        PoolStatus {
            manager: self.manager.load(Ordering::Relaxed),
            started: time(&self.started),
            end: match self.end.load(Ordering::Relaxed) {
                0 => End::None,
                2 => End::Draining,
                _ => End::Stopping,
            },
            pm: self.pm.printable(),
            release: self.release.printable(),
            resized_at,
            reloads_received: received,
            reload_received_at: received_at,
            reload_ends,
            slots_used: self.used.load(Ordering::Relaxed) as usize,
            figures: Figures::from_array(self.figures.each_ref().map(number)),
            totals: self.totals.each_ref().map(number),
            exits: self.exits.each_ref().map(number),
            retired: self.retired.load(),
            listeners: listeners.filter(|inode| *inode != 0).collect(),
            reload,
            reload_at,
            reload_message,
        }
    }
}

impl SlotLine {
    /// A worker was forked into the slot.
    pub fn set_worker(&self, pid: i32, generation: u64) {
        write_guarded(&self.sequence, || {
            self.pid.store(pid, Ordering::Relaxed);
            self.stage.store(Stage::Starting as u32, Ordering::Relaxed);
            self.born.store(micros(clock::now()), Ordering::Relaxed);
            self.generation.store(generation, Ordering::Relaxed);
        });
    }

    /// How long the worker has existed, or existed if it exits now.
    #[must_use]
    pub fn age(&self) -> Duration {
        clock::now().saturating_sub(time(&self.born))
    }

    /// The stage that was published last.
    #[must_use]
    pub fn stage(&self) -> Stage {
        Stage::from_number(self.stage.load(Ordering::Relaxed))
    }

    /// The worker has reached another stage.
    pub fn set_stage(&self, stage: Stage) {
        self.stage.store(stage as u32, Ordering::Relaxed);
    }

    /// The worker has exited, with this wait status; -1: unknown.
    pub fn set_exit(&self, pid: i32, status: i32) {
        write_guarded(&self.sequence, || {
            self.stage.store(Stage::Empty as u32, Ordering::Relaxed);
            self.exit_pid.store(pid, Ordering::Relaxed);
            self.exit_status.store(status, Ordering::Relaxed);
            self.exit_at.store(micros(clock::now()), Ordering::Relaxed);
        });
    }

    pub(super) fn status(&self) -> SlotStatus {
        read_guarded(&self.sequence, || {
            let exit_pid = self.exit_pid.load(Ordering::Relaxed);
            SlotStatus {
                stage: self.stage(),
                pid: self.pid.load(Ordering::Relaxed),
                born: time(&self.born),
                generation: number(&self.generation),
                last_exit: (exit_pid != 0).then(|| LastExit {
                    pid: exit_pid,
                    status: self.exit_status.load(Ordering::Relaxed),
                    at: time(&self.exit_at),
                }),
            }
        })
    }
}

fn write_guarded(sequence: &AtomicU64, write: impl FnOnce()) {
    let before = sequence.load(Ordering::Relaxed);
    sequence.store(before | 1, Ordering::Relaxed);
    fence(Ordering::Release);
    write();
    sequence.store((before | 1).wrapping_add(1), Ordering::Release);
}

/// If the manager was stopped in the middle of a write, the unfinished state is returned.
fn read_guarded<T>(sequence: &AtomicU64, read: impl Fn() -> T) -> T {
    for _ in 0..TRIES {
        let before = sequence.load(Ordering::Acquire);
        let found = read();
        fence(Ordering::Acquire);
        if before & 1 == 0 && sequence.load(Ordering::Relaxed) == before {
            return found;
        }
    }
    read()
}

/// Only the manager writes here.
fn increase(word: &AtomicU64, more: u64) {
    word.store(number(word).saturating_add(more), Ordering::Relaxed);
}

fn number(word: &AtomicU64) -> u64 {
    word.load(Ordering::Relaxed)
}

fn time(word: &AtomicU64) -> Duration {
    Duration::from_micros(number(word))
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
