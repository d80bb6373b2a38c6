//! The access log, as far as a request loop writes it: a line into the ring of its worker's page, from
//! which the manager takes it. It costs no system call, but for the processor time and the memory.

mod escape;
mod format;
mod line;
mod number;

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;

use self::format::Field;
pub use self::format::{Format, ParamNames};
use self::line::Facts;
use self::number::Times;
use crate::conn::{Pair, Params};
use crate::options::{Opt, Options};
use crate::sys::log::{self, Level};
use crate::sys::process::{self, ThreadUsage};
use crate::worker::{self, AccessSettings, Served};

/// Two threads must not write into the ring at a time.
static WRITING: Mutex<()> = Mutex::new(());

/// The access log of a request loop.
#[derive(Debug)]
pub(super) enum AccessLog {
    /// No request has begun. `is_asked_for`: by an option of this process.
    Unknown {
        is_asked_for: bool,
    },
    Off,
    On(Box<Active>),
}

#[derive(Debug)]
pub(super) struct Active {
    format: Format,
    settings: AccessSettings,
    /// Whether the line has processor time or memory.
    needs_usage: bool,
    /// When the first byte of the request was read.
    began: Instant,
    calendar: Calendar,
    /// At the end of the last request.
    usage: ThreadUsage,
    number: u64,
    // Memory that is used again.
    line: Vec<u8>,
    found: Vec<Pair>,
    times: Times,
}

impl AccessLog {
    pub(super) fn new(options: &Options) -> Self {
        let is_asked_for = options.text(Opt::AccessLog).is_some();
        Self::Unknown { is_asked_for }
    }

    /// Whether lines are written.
    #[inline]
    pub(super) const fn is_on(&self) -> bool {
        matches!(self, Self::On(_))
    }

    /// The first byte of a request was read.
    #[inline]
    pub(super) fn begin(&mut self) {
        match self {
            Self::Off => {}
            Self::On(active) => active.began = Instant::now(),
            Self::Unknown { is_asked_for } => *self = Self::of_worker(*is_asked_for),
        }
    }

    #[cold]
    fn of_worker(is_asked_for: bool) -> Self {
        if is_asked_for && worker::current().is_none() {
            log::limited(
                Level::Warning,
                "access_log has no effect: there is no manager",
            );
        }
        let settings = worker::current().and_then(|manager| manager.page.access().settings());
        let format = settings.as_ref().and_then(|settings| {
            let text = std::str::from_utf8(&settings.format).ok()?;
            Format::parse(text, param_names(settings)).ok()
        });
        let (Some(settings), Some(format)) = (settings, format) else {
            return Self::Off;
        };
        let needs_usage = format
            .has(|field| matches!(field, Field::Cpu(_) | Field::CpuSeconds | Field::Memory(_)));
        Self::On(Box::new(Active {
            format,
            settings,
            needs_usage,
            began: Instant::now(),
            calendar: Calendar::default(),
            usage: usage(needs_usage),
            number: 0,
            line: Vec::new(),
            found: Vec::new(),
            times: Times::default(),
        }))
    }

    /// A request has ended.
    pub(super) fn end(&mut self, served: &Served, params: &mut Params) {
        let Self::On(active) = self else { return };
        // A child of the worker writes nothing.
        if let Some(manager) = worker::current() {
            if active.add(served, params, manager.pid, manager.page) {
                manager.notify_manager();
            }
        }
    }
}

/// The names of the parameters in the settings.
#[must_use]
pub fn param_names(settings: &AccessSettings) -> ParamNames<'_> {
    ParamNames {
        request_id: &settings.request_id_param,
        request_start: &settings.request_start_param,
    }
}

impl Active {
    /// Adds the line. True: the manager is to be notified.
    fn add(
        &mut self,
        served: &Served,
        params: &mut Params,
        manager: i32,
        page: &worker::Page,
    ) -> bool {
        let now = usage(self.needs_usage);
        let before = std::mem::replace(&mut self.usage, now);
        self.number += 1;
        params.find_all(&self.format.wanted, &mut self.found);
        let facts = Facts {
            params,
            found: &self.found,
            began: self.calendar.since_epoch(self.began),
            duration: self.began.elapsed(),
            served,
            usage: now.since(&before),
            number: self.number,
            pid: process::pid(),
            manager,
            pool: &self.settings.pool,
        };
        self.line.clear();
        line::write(&mut self.line, &self.format, &mut self.times, &facts);
        let _writing = WRITING.lock();
        page.access().add_line(&self.line)
    }
}

/// Turns monotonic times into those of the calendar, whose clock is read once a second, and so follows
/// when it is set.
#[derive(Debug, Default)]
struct Calendar(Option<(Instant, Duration)>);

impl Calendar {
    fn since_epoch(&mut self, at: Instant) -> Duration {
        const VALID: Duration = Duration::from_secs(1);
        if let Some((read, epoch)) = self.0 {
            let since = at.saturating_duration_since(read);
            if since < VALID && at >= read {
                return epoch + since;
            }
        }
        let now = Instant::now();
        let wall = SystemTime::now().duration_since(UNIX_EPOCH);
        let epoch = wall.unwrap_or_default();
        self.0 = Some((now, epoch));
        epoch.saturating_sub(now.saturating_duration_since(at))
    }
}

fn usage(is_needed: bool) -> ThreadUsage {
    match is_needed {
        true => ThreadUsage::now(),
        false => ThreadUsage::default(),
    }
}
