//! The log, which is standard error or the manager's [`file`]: shared by the library, the command and
//! the drop-in.
//!
//! A line is written or dropped, and never blocks: a manager that waited for the reader of its log
//! would not look after its workers. Dropped lines are counted, and reported before the next line.

pub(crate) mod attempt;
pub(crate) mod file;
pub(crate) mod stderr;
pub mod time;

use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU8, AtomicU64, Ordering};
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
    /// An event that an operator has caused, or wants to know of.
    Notice = 5,
    /// An event.
    Info = 6,
    /// Of interest to developers.
    Debug = 7,
}

impl Level {
    /// The level of a line that begins with its priority, and the rest of the line (sd-daemon(3)).
    fn of(line: &[u8]) -> (Option<Self>, &[u8]) {
        let [b'<', digit, b'>', rest @ ..] = line else {
            return (None, line);
        };
        let level = match digit {
            b'0'..=b'3' => Self::Error,
            b'4' => Self::Warning,
            b'5' => Self::Notice,
            b'6' => Self::Info,
            b'7' => Self::Debug,
            _ => return (None, line),
        };
        (Some(level), rest)
    }
}

/// The least important level that is written.
static THRESHOLD: AtomicU8 = AtomicU8::new(Level::Debug as u8);
/// Lines on standard error begin with the time.
static HAS_TIME: AtomicBool = AtomicBool::new(false);

/// How the lines of this process are written from here on, and those of children that it forks.
pub(crate) fn configure(threshold: Level, has_time: bool) {
    THRESHOLD.store(threshold as u8, Ordering::Relaxed);
    HAS_TIME.store(has_time, Ordering::Relaxed);
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

/// Writes whole lines of a host or of another process. The first may begin with its priority, as in
/// `<4>`; everything else is unchanged. Returns whether they were written.
pub fn forward(bytes: &[u8]) -> bool {
    let (level, rest) = Level::of(bytes);
    put(level, rest.iter().copied(), false)
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
    if level.is_some_and(|level| level as u8 > THRESHOLD.load(Ordering::Relaxed)) {
        return true;
    }
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
            "fcgipm: (pid {}) {dropped} log {lines} dropped here: {} did not accept more\n",
            pid(),
            if file::is_open() {
                "the file"
            } else {
                "standard error"
            }
        );
        let begin = beginning(Some(Level::Warning));
        bytes.extend(begin.bytes().chain(report.bytes()));
    }
    bytes.extend(beginning(level).bytes());
    if is_line {
        let left = WHOLE - 1 - bytes.len();
        bytes.extend(text.take(left));
        bytes.push(b'\n');
    } else {
        bytes.extend(text);
    }
    let written = file::append(&bytes).unwrap_or_else(|| attempt(stderr(), &bytes));
    match written {
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

/// What precedes a line: its priority in the journal (sd-daemon(3)), which has the time itself, or the
/// time. Lines of others have no level, and are unchanged on standard error.
fn beginning(level: Option<Level>) -> String {
    if file::is_open() {
        return time::stamp();
    }
    let Some(level) = level else {
        return String::new();
    };
    if is_journal() {
        return format!("<{}>", level as u8);
    }
    if HAS_TIME.load(Ordering::Relaxed) {
        return time::stamp();
    }
    String::new()
}

/// Whether standard error leads to the journal (systemd.exec(5), JOURNAL_STREAM).
fn is_journal() -> bool {
    static JOURNAL: Lazy<Option<String>> = Lazy::new(|| std::env::var("JOURNAL_STREAM").ok());
    let Some(journal) = JOURNAL.as_ref() else {
        return false;
    };
    fstat(stderr()).is_ok_and(|stat| *journal == format!("{}:{}", stat.st_dev, stat.st_ino))
}
