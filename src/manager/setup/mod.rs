//! Setting a manager up.

pub(in crate::manager) mod descriptors;
pub(in crate::manager) mod pid_file;

use std::path::PathBuf;
use std::str::FromStr as _;

use crate::error::{Code, Error, Result};
use crate::manager::child_start::identity::Identity;
use crate::manager::child_start::program::Program;
use crate::manager::connections::shedding::Shedding;
use crate::manager::event::Event;
use crate::manager::event_loop::{Channels, EventLoop};
use crate::manager::setup::descriptors::Descriptors;
use crate::manager::setup::pid_file::PidFile;
use crate::options::{MAX_PROCESSES, Opt, Options};
use crate::pool::{self, Sizing};
use crate::sys::fd::pipe;
use crate::sys::process::{adopted, filtered};
use crate::sys::signal::handlers::Signals;
use crate::sys::socket::listeners;
use crate::sys::{clock, process};
use crate::worker;
use crate::worker::Scoreboard;

/// Every wanted worker twice, during a reload, and the surge of a pool of the largest size.
const SLOTS: usize = 2 * MAX_PROCESSES as usize + MAX_PROCESSES as usize / 4;

/// What the options say, in the manager's terms.
#[derive(Clone, Debug)]
pub(in crate::manager) struct Settings {
    pub(in crate::manager) pool: pool::Config,
    /// The name of how the pool is sized.
    pub(in crate::manager) pm: &'static str,
    pub(in crate::manager) notice_signal: Option<i32>,
    /// Asks a worker to leave that does not use Accept.
    pub(in crate::manager) stop_signal: i32,
    /// What the workers become.
    pub(in crate::manager) program: Option<Program>,
    pub(in crate::manager) catches_stderr: bool,
    /// Each worker leads a process group of its own.
    pub(in crate::manager) process_group: bool,
    pid_file: Option<PathBuf>,
    title: Option<String>,
    pub(in crate::manager) handles_signals: bool,
    /// The host forks the workers.
    pub(in crate::manager) host_forks: bool,
    pub(in crate::manager) log: bool,
    overridden: Vec<String>,
    pub(in crate::manager) options: Options,
}

impl Settings {
    pub(in crate::manager) fn new(options: &Options, program: Option<Program>) -> Result<Self> {
        Ok(Self {
            pool: pool_config(options, program.is_some())?,
            pm: options.word(Opt::Pm),
            notice_signal: signal_of(options.word(Opt::RequestTimeoutSignal)),
            stop_signal: signal_of(options.word(Opt::StopSignal)).unwrap_or(libc::SIGTERM),
            catches_stderr: options.flag(Opt::CatchStartStderr),
            process_group: options.flag(Opt::ProcessGroup),
            program,
            pid_file: options.text(Opt::PidFname).map(PathBuf::from),
            title: options.text(Opt::PmTitle),
            handles_signals: !options.flag(Opt::NoSignals),
            host_forks: false,
            log: options.word(Opt::Log) == "stderr",
            overridden: options.overridden().to_vec(),
            options: options.clone(),
        })
    }

    /// The title of the manager, or of a worker.
    pub(in crate::manager) fn title(&self, worker: bool) -> Option<String> {
        let title = self.title.as_ref()?;
        Some(format!("{title}{}", if worker { " worker" } else { "" }))
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
                "option request_timeout: {} s is less than {} s, which is as exactly as it can be kept",
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
        // Another manager's workers draw other jitters.
        seed: process::pid() as u64 ^ clock::now().as_nanos() as u64,
    })
}

/// The shortest limit for a request.
const SHORTEST: std::time::Duration = std::time::Duration::from_millis(10);

/// The signal behind an option's word; `none` is none.
fn signal_of(word: &str) -> Option<i32> {
    let name = format!("SIG{word}");
    Some(nix::sys::signal::Signal::from_str(&name).ok()? as i32)
}

/// Sets everything up that the first fork needs.
pub(in crate::manager) fn start(settings: &Settings) -> Result<EventLoop> {
    if worker::is_inherited() {
        return Err(Error::new(
            Code::State,
            "this process is a worker of another manager, or a child of one",
        ));
    }
    check_threads()?;
    // Before anything else makes one of these calls.
    let refused = filtered::probe();
    let (descriptors, lack) = Descriptors::make_room(settings)?;
    let identity = Identity::check(&settings.options)?;
    let signal_pipe = pipe::pipe("signal pipe of the manager", true)?;
    let wake = pipe::pipe("wake pipe of the manager", true)?;
    let life = pipe::pipe("life pipe of the manager", false)?;
    let handover = pipe::pair("hand-over queue of the manager")?;
    let scoreboard = Scoreboard::new(SLOTS)?;
    let listeners = listeners::own()?;
    if settings.pool.sizing != Sizing::Static && listeners.is_empty() {
        return Err(Error::new(
            Code::State,
            "option pm: workers by load need a listening socket that is open before the manager starts",
        ));
    }
    let shedding = Shedding::new(&settings.options, &listeners)?;
    let signals = Signals::install(signal_pipe.write, settings.handles_signals)?;
    // After the handlers: whoever reads the pid may send a signal at once.
    let pid_file = settings
        .pid_file
        .as_deref()
        .map(PidFile::acquire)
        .transpose()?;
    if let Some(title) = settings.title(false) {
        crate::sys::process::title::set(&title);
    }
    let mut shell = EventLoop::new(
        settings.clone(),
        Channels {
            scoreboard,
            pid_file,
            signals,
            signal_pipe: signal_pipe.read,
            wake,
            life,
            handover,
            listeners,
            identity,
            descriptors,
        },
        shedding,
    );
    // In a host, foreign children are the host's.
    if settings.program.is_some() && adopted::is_reaper() {
        shell.parts.signals.watch_children();
        shell.adopted = Some(true);
    }
    shell.publish(Event::managing(settings.pool.processes));
    for call in refused {
        shell.publish(Event::notice(format!(
            "a seccomp filter refuses {}(2): {}",
            call.name, call.loss
        )));
    }
    for line in settings.overridden.iter().chain(&lack) {
        shell.publish(Event::notice(line.as_str()));
    }
    Ok(shell)
}

/// A fork copies one thread; locks that the others hold would stay held in the worker for ever.
fn check_threads() -> Result<()> {
    // Without /proc nothing can be said.
    let threads = process::threads().unwrap_or(1);
    if threads > 1 {
        return Err(Error::new(
            Code::Threads,
            format!(
                "the process has {threads} threads; a manager can only fork a process with one"
            ),
        ));
    }
    Ok(())
}
