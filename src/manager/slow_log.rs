//! Where a slow request is: `fcgipm backtrace` is asked, and its answer is logged.
//!
//! The manager waits for nothing: the command is another process, one at a time, at most once a second,
//! and is ended if it takes too long.

use std::ffi::{CString, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::manager::event::Event;
use crate::manager::own_command;
use crate::manager::settings::Settings;
use crate::manager::watch::{REAP_INTERVAL, Source, Watch};
use crate::options::{Opt, Options};
use crate::sys::process::helper::{Command, Helper};

/// The minimum time between two.
const INTERVAL: Duration = Duration::from_secs(1);
/// The maximum time for an answer.
const LIMIT: Duration = Duration::from_secs(10);

#[derive(Debug, Default)]
pub(super) struct SlowLog {
    running: Option<Running>,
    /// These have ended, and are not reaped.
    ended: Vec<Helper>,
    /// When the next one may start.
    next: Duration,
    /// The last explanation of what is missing, which is logged once.
    note: String,
}

#[derive(Debug)]
struct Running {
    helper: Helper,
    worker: i32,
    until: Duration,
}

impl SlowLog {
    /// The event: why there will be no backtraces, if the options ask for them.
    pub(super) fn new(settings: &Settings) -> (Self, Option<Event>) {
        let mut this = Self::default();
        let is_wanted = is_wanted(&settings.options);
        let error = is_wanted.then(|| own_command::file(settings).err());
        let event = error.flatten().and_then(|error| this.without(&error));
        (this, event)
    }

    /// A request of this worker is slow.
    pub(super) fn begin(
        &mut self,
        worker: i32,
        settings: &Settings,
        now: Duration,
    ) -> Option<Event> {
        if self.running.is_some() || now < self.next || !is_wanted(&settings.options) {
            return None;
        }
        self.next = now + INTERVAL;
        let file = match own_command::file(settings) {
            Ok(file) => file,
            Err(error) => return self.without(&error),
        };
        match start(&file, worker) {
            Ok(helper) => {
                let until = now + LIMIT;
                self.running = Some(Running {
                    helper,
                    worker,
                    until,
                });
                None
            }
            Err(error) => Some(failed(worker, &format!("was not started: {error}"))),
        }
    }

    /// The command cannot be executed.
    fn without(&mut self, error: &Error) -> Option<Event> {
        self.explain(format!(
            "slow requests are logged without backtraces: the command: {error}"
        ))
    }

    /// An explanation, once.
    fn explain(&mut self, note: String) -> Option<Event> {
        let is_new = self.note != note;
        self.note = note;
        is_new.then(|| Event::warning(self.note.as_str()))
    }

    pub(super) fn watch<'a>(&'a self, watch: &mut Watch<'a>) {
        if let Some(running) = &self.running {
            watch.add(Source::Backtrace, running.helper.channel());
            watch.until(Some(running.until));
        }
        if !self.ended.is_empty() {
            watch.until(Some(watch.now() + REAP_INTERVAL));
        }
    }

    /// Logs an answer that has arrived. `is_ready`: the command may have ended.
    pub(super) fn advance(&mut self, is_ready: bool, now: Duration) -> Vec<Event> {
        self.ended.retain(|one| !one.is_reaped());
        let Some(running) = &mut self.running else {
            return Vec::new();
        };
        let has_ended = is_ready && running.helper.try_wait().is_some();
        if !has_ended && now < running.until {
            return Vec::new();
        }
        let Some(running) = self.running.take() else {
            return Vec::new();
        };
        let (helper, worker) = (running.helper, running.worker);
        let output = helper.output();
        if !has_ended {
            helper.ask_to_end();
        }
        self.ended.push(helper);
        match has_ended {
            true => self.events(worker, &output),
            false => vec![failed(worker, &format!("was not ready within {LIMIT:?}"))],
        }
    }

    fn events(&mut self, worker: i32, output: &[u8]) -> Vec<Event> {
        let text = String::from_utf8_lossy(output);
        let mut lines = text.lines().map(escaped);
        let Some(line) = lines.next().filter(|line| !line.is_empty()) else {
            return vec![failed(worker, "has failed")];
        };
        let mut events = vec![Event::warning(format!(
            "slow request: worker (pid {worker}) is {line}"
        ))];
        let note = lines.next();
        events.extend(note.and_then(|note| self.explain(format!("slow requests: {note}"))));
        events
    }
}

fn is_wanted(options: &Options) -> bool {
    options.seconds(Opt::SlowRequest).is_some() && options.flag(Opt::SlowRequestBacktrace)
}

fn start(file: &OsString, worker: i32) -> Result<Helper> {
    let words = [file.as_bytes(), b"backtrace", b"--line"];
    let words = words
        .into_iter()
        .map(CString::new)
        .filter_map(std::result::Result::ok);
    let pid = CString::new(worker.to_string());
    Helper::start(&Command {
        name: "a backtrace",
        arguments: words.chain(pid).collect(),
        environment: own_command::environment(),
        has_output: true,
    })
}

fn failed(worker: i32, what: &str) -> Event {
    Event::warning(format!(
        "slow request: the backtrace of worker (pid {worker}) {what}"
    ))
}

/// A line of another process, without what could control a terminal.
fn escaped(line: &str) -> String {
    let letters = line.chars().map(|letter| match letter {
        letter if letter.is_control() => '?',
        letter => letter,
    });
    letters.collect()
}
