//! The log, which is standard error: shared by the library, the command and the drop-in.
//!
//! A line is written or dropped, and never blocks: a manager that waited for the reader of its log
//! would not look after its workers. Dropped lines are counted, and reported before the next line.

pub(crate) mod attempt;
pub(crate) mod stderr;

use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use nix::sys::stat::fstat;
use once_cell::sync::Lazy;
use parking_lot::Mutex;

use crate::sys::log::attempt::{Attempt, WHOLE, attempt};
use crate::sys::log::stderr::stderr;
use crate::sys::process::pid;

/// How much a line matters. The numbers are those of syslog(3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Level {
    /// Something does not work, and the operator should act.
    Error = 3,
    /// Something went wrong, and was handled.
    Warning = 4,
    /// An event.
    Info = 6,
    /// Of interest to developers.
    Debug = 7,
}

/// Writes a line. Control characters become spaces.
pub fn line(level: Level, text: &str) {
    let text = text
        .bytes()
        .map(|byte| if byte < b' ' { b' ' } else { byte });
    put(Some(level), text, true);
}

/// Writes a line with this process's prefix. Peers may cause any number of such lines, so only the
/// first 20 in a second are written, and then the number of the others.
pub fn limited(level: Level, text: &str) {
    const PER_SECOND: u64 = 20;
    static BUDGET: Mutex<(u64, u64)> = Mutex::new((0, 0));
    // A child that was forked while another thread held the lock writes nothing.
    let Some(mut budget) = BUDGET.try_lock() else {
        return;
    };
    let now = since_start().as_secs();
    let (second, lines) = *budget;
    if second != now {
        *budget = (now, 0);
        if let Some(omitted) = lines.checked_sub(PER_SECOND).filter(|n| *n > 0) {
            line(
                level,
                &format!("fcgipm: (pid {}) {omitted} more lines like these", pid()),
            );
        }
    }
    budget.1 += 1;
    if budget.1 > PER_SECOND {
        return;
    }
    line(level, &format!("fcgipm: (pid {}) {text}", pid()));
}

/// Writes another process's whole lines unchanged. Returns whether they were written.
pub fn forward(bytes: &[u8]) -> bool {
    put(None, bytes.iter().copied(), false)
}

fn since_start() -> Duration {
    static START: Lazy<Instant> = Lazy::new(Instant::now);
    START.elapsed()
}

/// Lines dropped since the last one that was written.
static DROPPED: AtomicU64 = AtomicU64::new(0);
/// The process that has counted. A child of a fork begins with 0.
static COUNTING: AtomicI32 = AtomicI32::new(0);
/// The last line was written only in part.
static TORN: AtomicBool = AtomicBool::new(false);

fn dropped() -> u64 {
    let pid = pid();
    if COUNTING.swap(pid, Ordering::Relaxed) != pid {
        DROPPED.store(0, Ordering::Relaxed);
    }
    DROPPED.load(Ordering::Relaxed)
}

fn put(level: Option<Level>, text: impl Iterator<Item = u8>, is_line: bool) -> bool {
    let mut bytes = Vec::with_capacity(256);
    if TORN.load(Ordering::Relaxed) {
        bytes.push(b'\n');
    }
    let dropped = dropped();
    if dropped != 0 {
        let lines = if dropped == 1 {
            "line was"
        } else {
            "lines were"
        };
        let report = format!(
            "fcgipm: (pid {}) {dropped} log {lines} dropped here: standard error did not accept more\n",
            pid()
        );
        bytes.extend(priority(Level::Warning).bytes().chain(report.bytes()));
    }
    bytes.extend(level.map_or("", priority).bytes());
    if is_line {
        let left = WHOLE - 1 - bytes.len();
        bytes.extend(text.take(left));
        bytes.push(b'\n');
    } else {
        bytes.extend(text);
    }
    match attempt(stderr(), &bytes) {
        Attempt::Wrote(count) if count == bytes.len() => {
            DROPPED.fetch_sub(dropped, Ordering::Relaxed);
            TORN.store(false, Ordering::Relaxed);
            true
        }
        Attempt::Wrote(count) => {
            DROPPED.fetch_add(1, Ordering::Relaxed);
            TORN.store(count != 0, Ordering::Relaxed);
            false
        }
        Attempt::Full | Attempt::Failed => {
            DROPPED.fetch_add(1, Ordering::Relaxed);
            false
        }
    }
}

/// The prefix of a line for the journal (sd-daemon(3)), if standard error leads there.
fn priority(level: Level) -> &'static str {
    static JOURNAL: Lazy<Option<String>> = Lazy::new(|| std::env::var("JOURNAL_STREAM").ok());
    let Some(journal) = JOURNAL.as_ref() else {
        return "";
    };
    match fstat(stderr()) {
        Ok(stat) if *journal == format!("{}:{}", stat.st_dev, stat.st_ino) => match level {
            Level::Error => "<3>",
            Level::Warning => "<4>",
            Level::Info => "<6>",
            Level::Debug => "<7>",
        },
        Ok(_) | Err(_) => "",
    }
}
