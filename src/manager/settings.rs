//! The options in the manager's terms.

use std::path::PathBuf;
use std::str::FromStr as _;
use std::time::Duration;

use crate::error::{Code, Error, Result};
use crate::manager::command::Program;
use crate::manager::event::LogTarget;
use crate::options::{MAX_PROCESSES, Opt, Options};
use crate::pool::{self, Sizing};
use crate::sys::log::Level;
use crate::sys::{clock, process};

/// All workers twice, during a reload, and the surge of a pool of the maximum size.
pub(super) const SLOTS: usize = 2 * MAX_PROCESSES as usize + MAX_PROCESSES as usize / 4;

/// Which process forks the workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ForkedBy {
    Manager,
    Host,
}

/// Options that a reload of the program does not change: they belong to the manager's own process and
/// sockets.
const FIXED: [Opt; 24] = [
    Opt::Listen,
    Opt::ListenMode,
    Opt::ListenOwner,
    Opt::ListenGroup,
    Opt::ListenReplace,
    Opt::Pm,
    Opt::MaxQueueAge,
    Opt::PidFname,
    Opt::AdminListen,
    Opt::AdminMode,
    Opt::AdminOwner,
    Opt::AdminGroup,
    Opt::AdminTokenFile,
    Opt::AdminHost,
    Opt::StatusPath,
    Opt::AccessLog,
    Opt::AccessFormat,
    Opt::RequestIdParam,
    Opt::RequestStartParam,
    Opt::PmTitle,
    Opt::NoSignals,
    Opt::Log,
    Opt::LogLevel,
    Opt::LogTimestamps,
];

/// What HUP renews.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Renewal {
    Workers,
    /// The program is started again.
    Program,
}

/// Which handlers the signals of the manager have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SignalHandlers {
    Manager,
    /// The host passes signals on.
    Host,
}

/// What the options say.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) pool: pool::Config,
    /// The value of option `pm`.
    pub(super) pm: &'static str,
    pub(super) renewal: Renewal,
    pub(super) notice_signal: Option<i32>,
    /// Asks a worker to exit that does not use Accept.
    pub(super) stop_signal: i32,
    /// Requests after which a worker is the model for the others.
    pub(super) refork_after: Option<u64>,
    /// What the workers execute.
    pub(super) program: Option<Program>,
    pub(super) catches_stderr: bool,
    /// Each worker leads its own process group.
    pub(super) process_group: bool,
    pub(super) pid_file: Option<PathBuf>,
    title: Option<String>,
    pub(super) signal_handlers: SignalHandlers,
    pub(super) forked_by: ForkedBy,
    pub(super) log: LogSettings,
    /// One line for each option of the program that the environment overrides.
    pub(super) overridden: Vec<String>,
    pub(super) options: Options,
}

/// How the manager logs.
#[derive(Clone, Debug)]
pub(super) struct LogSettings {
    /// Who writes the lines of events.
    pub(super) target: LogTarget,
    pub(super) file: Option<PathBuf>,
    pub(super) level: Level,
    pub(super) has_time: bool,
}

impl Settings {
    pub(super) fn new(options: &Options, program: Option<Program>) -> Result<Self> {
        let refork_after = Some(options.number(Opt::ReforkAfter) as u64).filter(|after| *after > 0);
        if let (Some(after), Some(_)) = (refork_after, &program) {
            return Err(Error::new(
                Code::Value,
                format!(
                    "option refork_after: {after} needs a program that forks its workers itself; \
                     these execute a program"
                ),
            ));
        }
        let pool = pool_config(options, program.is_some())?;
        check_refork_after(refork_after, &pool)?;
        Ok(Self {
            refork_after,
            pool,
            pm: options.word(Opt::Pm),
            renewal: match options.word(Opt::Reload) {
                "program" => Renewal::Program,
                _ => Renewal::Workers,
            },
            notice_signal: signal_of(options.word(Opt::RequestTimeoutSignal)),
            stop_signal: signal_of(options.word(Opt::StopSignal)).unwrap_or(libc::SIGTERM),
            catches_stderr: options.flag(Opt::CatchStartStderr),
            process_group: options.flag(Opt::ProcessGroup),
            program,
            pid_file: options.text(Opt::PidFname).map(PathBuf::from),
            title: options.text(Opt::PmTitle),
            signal_handlers: match options.flag(Opt::NoSignals) {
                true => SignalHandlers::Host,
                false => SignalHandlers::Manager,
            },
            forked_by: ForkedBy::Manager,
            log: LogSettings::new(options),
            overridden: options.overridden().to_vec(),
            options: options.clone(),
        })
    }

    /// These settings with the options that a new program has set, and a line for each option that only a
    /// restart changes.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub(super) fn renewed(&self, options: &Options) -> Result<(Self, Vec<String>)> {
        let text = |options: &Options, name| options.get(name).map(str::to_owned);
        let mut lines = Vec::new();
        for opt in FIXED {
            let name = opt.name();
            let (before, after) = (text(&self.options, name)?, text(options, name)?);
            if before != after {
                lines.push(format!(
                    "option {name}: '{after}' needs a restart; it stays '{before}'"
                ));
            }
        }
        let new = Self::new(options, self.program.clone())?;
        let renewed = Self {
            pm: self.pm,
            pid_file: self.pid_file.clone(),
            title: self.title.clone(),
            signal_handlers: self.signal_handlers,
            forked_by: self.forked_by,
            log: self.log.clone(),
            ..new
        };
        Ok((renewed, lines))
    }

    /// After how many requests a new worker notifies the manager that replaces it after this number; 0:
    /// never.
    pub(super) fn notify_limit(&self, max_requests: u64) -> u64 {
        match (max_requests, self.refork_after) {
            (limit, None) => limit,
            (0, Some(after)) => after,
            (limit, Some(after)) => limit.min(after),
        }
    }

    /// The title of the manager's process.
    pub(super) fn manager_title(&self) -> Option<&str> {
        self.title.as_deref()
    }

    /// The title of a worker's process.
    pub(super) fn worker_title(&self) -> Option<String> {
        self.title.as_ref().map(|title| format!("{title} worker"))
    }
}

impl LogSettings {
    fn new(options: &Options) -> Self {
        let log = options.text(Opt::Log).unwrap_or_default();
        let (target, file) = match (&*log, log.strip_prefix("none:")) {
            ("stderr", _) => (LogTarget::Manager, None),
            ("none", _) => (LogTarget::Host, None),
            (_, Some(path)) => (LogTarget::Host, Some(path)),
            (path, None) => (LogTarget::Manager, Some(path)),
        };
        Self {
            target,
            file: file.map(PathBuf::from),
            level: match options.word(Opt::LogLevel) {
                "error" => Level::Error,
                "warning" => Level::Warning,
                "notice" => Level::Notice,
                _ => Level::Info,
            },
            has_time: options.flag(Opt::LogTimestamps),
        }
    }
}

/// A worker that has reached its limit is replaced, and is not the model for others.
fn check_refork_after(refork_after: Option<u64>, pool: &pool::Config) -> Result<()> {
    let (limit, jitter) = (pool.max_requests, pool.max_requests_jitter);
    match refork_after {
        Some(after) if limit > 0 && after >= limit.saturating_add(jitter) => Err(Error::new(
            Code::Value,
            format!(
                "option refork_after: {after} is not less than max_requests = {limit}{}: no worker \
                 serves that many requests",
                match jitter {
                    0 => String::new(),
                    jitter => format!(" and max_requests_jitter = {jitter} together"),
                }
            ),
        )),
        Some(_) | None => Ok(()),
    }
}

fn pool_config(options: &Options, is_program: bool) -> Result<pool::Config> {
    let processes = options.number(Opt::NProcesses);
    let (min_spare, max_spare) = (options.number(Opt::MinSpare), options.number(Opt::MaxSpare));
    let start = match options.number(Opt::StartServers) {
        0 => min_spare,
        start => start,
    };
    let sizing = match options.word(Opt::Pm) {
        "dynamic" if processes > 0 => {
            for (name, value) in [("start_servers", start), ("min_spare", min_spare)] {
                if value > processes {
                    return Err(Error::new(
                        Code::Value,
                        format!("option {name}: {value} is more than n_processes = {processes}"),
                    ));
                }
            }
            if max_spare < min_spare {
                return Err(Error::new(
                    Code::Value,
                    format!("option max_spare: {max_spare} is less than min_spare = {min_spare}"),
                ));
            }
            Sizing::Dynamic {
                start,
                min_spare,
                max_spare,
            }
        }
        "ondemand" => Sizing::OnDemand {
            idle_timeout: options.seconds(Opt::ProcessIdleTimeout),
        },
        _ => Sizing::Static,
    };
    let request_timeout = options.seconds(Opt::RequestTimeout);
    if let Some(limit) = request_timeout.filter(|limit| *limit < SHORTEST) {
        return Err(Error::new(
            Code::Value,
            format!(
                "option request_timeout: {} s is less than {} s, the shortest limit that can be enforced",
                limit.as_secs_f64(),
                SHORTEST.as_secs_f64()
            ),
        ));
    }
    let number = |opt| options.number(opt) as u64;
    Ok(pool::Config {
        processes,
        max_processes: MAX_PROCESSES as usize,
        slots: SLOTS,
        reload_surge: options.number(Opt::ReloadSurge),
        start_delay: options.seconds(Opt::StartDelay).unwrap_or_default(),
        start_timeout: options.seconds(Opt::StartTimeout),
        ready_delay: options.seconds(Opt::ReadyDelay).filter(|_| is_program),
        die_timeout: options.seconds(Opt::DieTimeout),
        drain_delay: options.seconds(Opt::DrainDelay).unwrap_or_default(),
        sizing,
        max_requests: number(Opt::MaxRequests),
        max_requests_jitter: number(Opt::MaxRequestsJitter),
        max_memory: number(Opt::MaxMemory),
        max_lifetime: options.seconds(Opt::MaxLifetime),
        request_timeout,
        request_timeout_grace: options
            .seconds(Opt::RequestTimeoutGrace)
            .unwrap_or_default(),
        slow_request: options.seconds(Opt::SlowRequest),
        // The workers of different managers must not reach their limits together.
        seed: process::pid() as u64 ^ clock::now().as_nanos() as u64,
    })
}

/// The shortest limit for a request.
const SHORTEST: Duration = Duration::from_millis(10);

/// The signal that an option names; `None` for `none`.
fn signal_of(word: &str) -> Option<i32> {
    let name = format!("SIG{word}");
    Some(nix::sys::signal::Signal::from_str(&name).ok()? as i32)
}
