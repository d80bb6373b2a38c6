//! The access log: lines travel from the workers' rings to the process that writes them.
//!
//! The manager moves them, and waits for nobody. If the writer does not keep up, the rings fill, and
//! workers drop lines.

mod target;

use std::collections::BTreeMap;
use std::time::Duration;

use crate::error::{Code, Error, Result};
use crate::manager::event::Event;
use crate::manager::restart_pause::RestartPause;
use crate::manager::settings::Settings;
use crate::manager::watch::{REAP_INTERVAL, Source, Watch};
use crate::options::{Opt, Options};
use crate::server::access_log::Format;
use crate::sys::process::log_writer::{LOST, LogWriter, Passed, Target};
use crate::worker::{
    ACCESS_FORMAT_MAX, ACCESS_NAME_MAX, AccessPosition, AccessSettings, Fill, Page, Scoreboard,
    Total,
};

/// How long lines are collected before they are written.
const PERIOD: Duration = Duration::from_millis(250);
/// When lines that the writer did not take are passed to it again.
const RETRY: Duration = Duration::from_millis(10);
/// What the manager holds for the writer at most, before it leaves lines in the rings.
const HELD_MAX: usize = 256 * 1_024;
/// The same for lines of workers that have ended, whose rings are about to be used again.
const HELD_OF_ENDED_MAX: usize = 4 * HELD_MAX;
/// The minimum time between two log lines about dropped lines.
const REPORT_PERIOD: Duration = Duration::from_secs(60);

/// What is moved, and where to.
#[derive(Debug)]
pub(super) struct AccessLog {
    /// For the workers.
    settings: AccessSettings,
    /// `None`: there is no access log.
    active: Option<Active>,
}

#[derive(Debug)]
struct Active {
    target: Target,
    writer: Option<LogWriter>,
    /// These have ended, and are not reaped.
    ended: Vec<LogWriter>,
    /// Lines for the writer.
    held: Vec<u8>,
    /// How much of that it has taken.
    passed: usize,
    /// What was read of each worker's ring, by slot.
    positions: BTreeMap<usize, AccessPosition>,
    /// When rings are read next. `None`: all are empty, and a worker will notify.
    due: Option<Duration>,
    restart: RestartPause,
    dropped: Dropped,
}

/// Lines that were dropped.
#[derive(Debug, Default)]
struct Dropped {
    /// Not yet published.
    new: u64,
    /// Not yet logged.
    unlogged: u64,
    logged_at: Option<Duration>,
}

impl AccessLog {
    /// Starts the writer, if the options ask for an access log.
    ///
    /// # Errors
    /// An option has no valid value, or the file cannot be opened.
    pub(super) fn new(settings: &Settings) -> Result<Self> {
        let options = &settings.options;
        let text = options.text(Opt::AccessLog);
        let settings = AccessSettings {
            is_logged: text.is_some(),
            is_identified: false,
            format: bytes_of(options, Opt::AccessFormat),
            request_id_param: name_of(options, Opt::RequestIdParam)?,
            request_start_param: name_of(options, Opt::RequestStartParam)?,
            pool: settings.manager_title().unwrap_or("default").into(),
        };
        let Some(text) = text else {
            let active = None;
            return Ok(Self { settings, active });
        };
        let target = target::parse(&text)?;
        check_format(&settings)?;
        let writer = LogWriter::start(&target).map_err(|error| {
            let code = error.code();
            Error::new(code, format!("option access_log: {error}"))
        })?;
        let active = Active {
            target,
            writer: Some(writer),
            ended: Vec::new(),
            held: Vec::new(),
            passed: 0,
            positions: BTreeMap::new(),
            due: None,
            restart: RestartPause::default(),
            dropped: Dropped::default(),
        };
        Ok(Self {
            settings,
            active: Some(active),
        })
    }

    /// A new worker is about to get this page, and these options.
    pub(super) fn begin(&mut self, slot: usize, page: &Page, options: &Options, now: Duration) {
        // Its requests are named where one is slow.
        let limits = [Opt::SlowRequest, Opt::RequestTimeout];
        let is_limited = |opt: &Opt| options.seconds(*opt).is_some();
        self.settings.is_identified = limits.iter().any(is_limited);
        page.access().set(&self.settings);
        if let Some(active) = &mut self.active {
            active.positions.insert(slot, AccessPosition::new(now));
        }
    }

    pub(super) fn watch<'a>(&'a self, watch: &mut Watch<'a>) {
        let Some(active) = &self.active else { return };
        match &active.writer {
            Some(writer) => {
                watch.add(Source::LogWriter, writer.channel());
                watch.until((active.held_bytes() > 0).then(|| watch.now() + RETRY));
            }
            None => watch.until(Some(active.restart.due())),
        }
        watch.until(active.due);
        watch.until(active.dropped.report_at());
        if !active.ended.is_empty() {
            watch.until(Some(watch.now() + REAP_INTERVAL));
        }
    }

    /// Moves lines, and looks after the writer. `is_ready`: it may have reported something.
    /// `is_woken`: a worker may have written into an empty ring.
    pub(super) fn advance(
        &mut self,
        [is_ready, is_woken]: [bool; 2],
        now: Duration,
        scoreboard: &Scoreboard,
    ) -> Vec<Event> {
        let Some(active) = &mut self.active else {
            return Vec::new();
        };
        let mut events = Vec::new();
        active.ended.retain(|writer| !writer.is_reaped());
        if is_ready {
            active.listen(now, &mut events);
        }
        active.restart_writer(now, &mut events);
        let is_due = active.due.is_some_and(|due| due <= now);
        if is_woken || is_due {
            active.collect(is_due, now, scoreboard);
        }
        active.send();
        let dropped = active.dropped.publish(now, &mut events);
        scoreboard.header().add(Total::AccessDropped, dropped);
        events
    }

    /// The worker in a slot has ended, and its ring does not change any more.
    pub(super) fn take_last(&mut self, slot: usize, page: &Page, now: Duration) {
        let Some(active) = &mut self.active else {
            return;
        };
        let ring = page.access();
        if let Some(mut position) = active.positions.remove(&slot) {
            if active.held_bytes() < HELD_OF_ENDED_MAX {
                ring.take_lines(&mut position, &mut active.held);
            } else {
                let mut lines = Vec::new();
                ring.take_lines(&mut position, &mut lines);
                let lines = lines.iter().filter(|byte| **byte == b'\n');
                active.dropped.add(lines.count() as u64);
            }
            active.dropped.add(ring.take_dropped(&mut position, now));
            active.due.get_or_insert(now + PERIOD);
        }
    }

    /// Files may have been renamed.
    pub(super) fn reopen(&mut self) {
        if let Some(active) = &mut self.active {
            active.held.extend_from_slice(LogWriter::REOPEN_MARK);
            active.send();
        }
    }

    /// Waits briefly until everything is written.
    pub(super) fn end(&mut self) {
        if let Some(active) = self.active.take() {
            if let Some(writer) = active.writer {
                writer.finish(&active.held[active.passed..]);
            }
        }
    }
}

impl Active {
    /// Reads rings. Unless they are due, only those that are half full: the others wait for more.
    fn collect(&mut self, is_due: bool, now: Duration, scoreboard: &Scoreboard) {
        let mut has_more = false;
        let mut positions = std::mem::take(&mut self.positions);
        for (slot, position) in &mut positions {
            let ring = scoreboard.page(*slot).access();
            let fill = ring.fill(position);
            has_more |= fill != Fill::Empty;
            if (is_due || fill == Fill::Half) && self.held_bytes() < HELD_MAX {
                ring.take_lines(position, &mut self.held);
            }
            self.dropped.add(ring.take_dropped(position, now));
        }
        self.positions = positions;
        // What a worker writes from now on into an empty ring, it announces.
        let next = has_more.then_some(now + PERIOD);
        self.due = match is_due {
            true => next,
            false => self.due.or(next),
        };
    }

    /// What the writer has not taken.
    fn held_bytes(&self) -> usize {
        self.held.len() - self.passed
    }

    /// Passes on what the writer takes.
    fn send(&mut self) {
        let Some(writer) = &self.writer else { return };
        while let rest @ [_, ..] = &self.held[self.passed..] {
            match writer.pass(rest) {
                Passed::Some(count) => self.passed += count,
                Passed::None => break,
                // Its channel will show it.
                Passed::Ended => return,
            }
        }
        if self.held_bytes() == 0 {
            self.held.clear();
            self.passed = 0;
        } else if self.passed > HELD_MAX {
            // The last byte tells whether the rest begins with a whole line.
            self.held.drain(..self.passed - 1);
            self.passed = 1;
        }
    }

    /// Forgets what was passed on, and the rest of a line whose beginning was.
    fn forget_passed(&mut self) {
        let (passed, rest) = self.held.split_at(self.passed);
        let is_between = passed.last().is_none_or(u8::is_ascii_control);
        let end = rest.iter().position(|byte| *byte == b'\n');
        let torn = if is_between {
            0
        } else {
            end.map_or(rest.len(), |end| end + 1)
        };
        self.held.drain(..self.passed + torn);
        self.passed = 0;
    }

    /// Reads what the writer reports.
    fn listen(&mut self, now: Duration, events: &mut Vec<Event>) {
        let Some(writer) = &mut self.writer else {
            return;
        };
        let Some(report) = writer.report() else {
            self.ended.extend(self.writer.take());
            self.forget_passed();
            let what = "the writer of the access log has ended";
            events.push(self.restart.ended(what, now));
            return;
        };
        for line in report.lines() {
            match line.strip_prefix(LOST) {
                Some(count) => self.dropped.add(count.parse().unwrap_or(0)),
                None => events.push(Event::warning(format!("access log: {line}"))),
            }
        }
    }

    fn restart_writer(&mut self, now: Duration, events: &mut Vec<Event>) {
        if self.writer.is_some() || now < self.restart.due() {
            return;
        }
        match LogWriter::start(&self.target) {
            Ok(writer) => {
                self.writer = Some(writer);
                self.restart.started(now);
                self.due.get_or_insert(now);
            }
            Err(error) => {
                let what = format!("the writer of the access log was not started: {error}");
                events.push(self.restart.again(&what, now));
            }
        }
    }
}

impl Dropped {
    fn add(&mut self, lines: u64) {
        self.new = self.new.saturating_add(lines);
    }

    /// When lines are logged that were dropped soon after others.
    fn report_at(&self) -> Option<Duration> {
        let logged_at = self.logged_at.filter(|_| self.unlogged > 0);
        logged_at.map(|at| at + REPORT_PERIOD)
    }

    /// What was added, which is logged once a minute.
    fn publish(&mut self, now: Duration, events: &mut Vec<Event>) -> u64 {
        let new = std::mem::take(&mut self.new);
        self.unlogged = self.unlogged.saturating_add(new);
        if self.unlogged > 0 && self.report_at().is_none_or(|at| now >= at) {
            self.logged_at = Some(now);
            let lines = std::mem::take(&mut self.unlogged);
            let what = format!("access log: {lines} lines were dropped");
            events.push(Event::warning(what));
        }
        new
    }
}

fn bytes_of(options: &Options, opt: Opt) -> Vec<u8> {
    options.text(opt).unwrap_or_default().into_bytes()
}

/// # Errors
/// The value cannot be the name of a parameter.
fn name_of(options: &Options, opt: Opt) -> Result<Vec<u8>> {
    let name = options.text(opt).unwrap_or_default();
    let is_name = name
        .bytes()
        .all(|byte| byte.is_ascii_graphic() && byte != b'=');
    if is_name && name.len() <= ACCESS_NAME_MAX {
        return Ok(name.into_bytes());
    }
    let option = opt.name();
    let why = format!("option {option}: '{name}' is not the name of a parameter");
    Err(Error::new(Code::Value, why))
}

/// # Errors
/// Names what is wrong with the format.
fn check_format(settings: &AccessSettings) -> Result<()> {
    let text = String::from_utf8_lossy(&settings.format);
    let refused = |why: &str| {
        let why = format!("option access_format: '{text}': {why}");
        Error::new(Code::Value, why)
    };
    if text.len() > ACCESS_FORMAT_MAX {
        return Err(refused("is too long"));
    }
    Format::parse(&text, &settings.request_id_param)
        .map_or_else(|why| Err(refused(&why)), |_| Ok(()))
}
