//! What a request loop does for the access log, and for others who want to know more of a request: it
//! writes a line into the ring of its worker's page, from which the manager takes it, without a system
//! call (but for processor time and memory); it reports ids; and it computes how long the request waited.

mod escape;
mod format;
mod headers;
mod line;
mod number;

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;

use self::format::Field;
pub use self::format::Format;
use self::line::Facts;
use self::number::Times;
use crate::conn::{Pair, Params, Wanted};
use crate::options::{Opt, Options};
use crate::sys::log::{self, Level};
use crate::sys::process::{self, ThreadUsage};
use crate::worker::{self, AccessSettings, LoopStatus, Served};

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
    settings: AccessSettings,
    /// When the first byte of the request was read.
    began: Instant,
    calendar: Calendar,
    /// The ids of a request: its own, and traceparent.
    ids: Wanted,
    found: Vec<Pair>,
    lines: Option<Lines>,
}

#[derive(Debug)]
struct Lines {
    format: Format,
    /// Whether the line has processor time or memory.
    needs_usage: bool,
    /// At the end of the last request.
    usage: ThreadUsage,
    number: u64,
    // Memory that is used again.
    line: Vec<u8>,
    times: Times,
}

impl AccessLog {
    pub(super) fn new(options: &Options) -> Self {
        let is_asked_for = options.text(Opt::AccessLog).is_some();
        Self::Unknown { is_asked_for }
    }

    /// The first byte of a request was read.
    #[inline]
    pub(super) fn begin(&mut self) {
        match self {
            Self::Off => {}
            Self::On(active) => {
                if active.needs_begin() {
                    active.began = Instant::now();
                }
            }
            Self::Unknown { is_asked_for } => *self = Self::of_worker(*is_asked_for),
        }
    }

    #[cold]
    fn of_worker(is_asked_for: bool) -> Self {
        let Some(manager) = worker::current() else {
            if is_asked_for {
                log::limited(
                    Level::Warning,
                    "access_log has no effect: there is no manager",
                );
            }
            return Self::Off;
        };
        let settings = manager.page.access().settings();
        let lines = Lines::new(&settings);
        let mut ids = Wanted::default();
        ids.add(&settings.request_id_param);
        ids.add(headers::TRACEPARENT);
        let active = Active {
            settings,
            began: Instant::now(),
            calendar: Calendar::default(),
            ids,
            found: Vec::new(),
            lines,
        };
        match active.needs_begin() || active.settings.is_identified {
            true => Self::On(Box::new(active)),
            false => Self::Off,
        }
    }

    /// Reports the ids of the request that begins, if somebody may ask for them.
    #[inline]
    pub(super) fn identify(&mut self, params: &mut Params, status: &LoopStatus) {
        if let Self::On(active) = self {
            active.identify(params, status);
        }
    }

    /// How long the request has waited for this worker, if its web server reports that.
    #[inline]
    pub(super) fn queue_wait(&mut self, params: &mut Params) -> Option<Duration> {
        match self {
            Self::Unknown { .. } | Self::Off => None,
            Self::On(active) => active.queue_wait(params),
        }
    }

    /// A request has ended.
    #[inline]
    pub(super) fn end(&mut self, served: &Served, params: &mut Params) {
        if let Self::On(active) = self {
            active.end(served, params);
        }
    }
}

impl Active {
    /// Whether it matters when a request began: the ids alone need no clock.
    fn needs_begin(&self) -> bool {
        self.lines.is_some() || !self.settings.request_start_param.is_empty()
    }

    fn identify(&mut self, params: &mut Params, status: &LoopStatus) {
        if self.settings.is_identified {
            params.find_all(&self.ids, &mut self.found);
            if let [id, traceparent] = self.found[..] {
                let trace = headers::trace_id(params.value(traceparent));
                status.identify(params.value(id), trace.unwrap_or_default());
            }
        }
    }

    fn queue_wait(&mut self, params: &mut Params) -> Option<Duration> {
        let name = Some(&*self.settings.request_start_param).filter(|name| !name.is_empty())?;
        let header = params.get(name)?;
        headers::wait_since(header, self.calendar.since_epoch(self.began))
    }

    fn end(&mut self, served: &Served, params: &mut Params) {
        // A child of the worker writes nothing.
        let (Some(lines), Some(manager)) = (&mut self.lines, worker::current()) else {
            return;
        };
        let now = usage(lines.needs_usage);
        let before = std::mem::replace(&mut lines.usage, now);
        lines.number += 1;
        params.find_all(&lines.format.wanted, &mut self.found);
        let facts = Facts {
            params,
            found: &self.found,
            began: self.calendar.since_epoch(self.began),
            duration: self.began.elapsed(),
            served,
            usage: now.since(&before),
            number: lines.number,
            pid: process::pid(),
            manager: manager.pid,
            pool: &self.settings.pool,
        };
        lines.line.clear();
        line::write(&mut lines.line, &lines.format, &mut lines.times, &facts);
        let is_due = {
            let _writing = WRITING.lock();
            manager.page.access().add_line(&lines.line)
        };
        if is_due {
            manager.notify_manager();
        }
    }
}

impl Lines {
    /// `None`: there is no access log.
    fn new(settings: &AccessSettings) -> Option<Self> {
        let text = std::str::from_utf8(&settings.format).ok();
        let text = text.filter(|_| settings.is_logged)?;
        let format = Format::parse(text, &settings.request_id_param).ok()?;
        let needs_usage = format
            .has(|field| matches!(field, Field::Cpu(_) | Field::CpuSeconds | Field::Memory(_)));
        Some(Self {
            format,
            needs_usage,
            usage: usage(needs_usage),
            number: 0,
            line: Vec::new(),
            times: Times::default(),
        })
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
