//! Setting a manager up.

use std::path::PathBuf;
use std::time::Duration;

use super::event::Event;
use super::pid_file::PidFile;
use super::shell::Shell;
use crate::error::{Code, Error, Result};
use crate::options::{MAX_PROCESSES, Opt, Options};
use crate::pool::{self, Pool};
use crate::server::supervision::{self, Scoreboard};
use crate::sys::channel;
use crate::sys::signals::Signals;

/// Every wanted worker twice, during a reload, and the surge of a pool of the largest size.
const SLOTS: usize = 2 * MAX_PROCESSES as usize + MAX_PROCESSES as usize / 4;

/// What the options say, in the manager's terms.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) processes: usize,
    reload_surge: usize,
    start_delay: Duration,
    pub(super) start_timeout: Option<Duration>,
    pub(super) die_timeout: Option<Duration>,
    pid_file: Option<PathBuf>,
    title: Option<String>,
    pub(super) handles_signals: bool,
    pub(super) log: bool,
    overridden: Vec<String>,
}

impl Settings {
    pub(super) fn new(options: &Options) -> Self {
        Self {
            processes: options.number(Opt::NProcesses),
            reload_surge: options.number(Opt::ReloadSurge),
            start_delay: options.seconds(Opt::StartDelay).unwrap_or_default(),
            start_timeout: options.seconds(Opt::StartTimeout),
            die_timeout: options.seconds(Opt::DieTimeout),
            pid_file: options.text(Opt::PidFname).map(PathBuf::from),
            title: options.text(Opt::PmTitle),
            handles_signals: !options.flag(Opt::NoSignals),
            // The first of the option's words.
            log: options.number(Opt::Log) == 0,
            overridden: options.overridden().to_vec(),
        }
    }

    /// The title of the manager, or of a worker.
    pub(super) fn title(&self, worker: bool) -> Option<String> {
        let title = self.title.as_ref()?;
        Some(format!("{title}{}", if worker { " worker" } else { "" }))
    }
}

/// Sets everything up that the first fork needs.
pub(super) fn start(settings: &Settings) -> Result<Shell> {
    if supervision::is_inherited() {
        return Err(Error::new(
            Code::State,
            "this process is a worker of another manager, or a child of one",
        ));
    }
    check_threads()?;
    let signal_pipe = channel::pipe("signal pipe of the manager", true)?;
    let wake = channel::pipe("wake pipe of the manager", true)?;
    let life = channel::pipe("life pipe of the manager", false)?;
    let handover = channel::pair("hand-over queue of the manager")?;
    let scoreboard = Scoreboard::new(SLOTS)?;
    let signals = Signals::install(signal_pipe.write, settings.handles_signals)?;
    // After the handlers: whoever reads the pid may send a signal at once.
    let pid_file = settings
        .pid_file
        .as_deref()
        .map(PidFile::acquire)
        .transpose()?;
    if let Some(title) = settings.title(false) {
        crate::sys::title::set(&title);
    }
    let pool = Pool::new(pool::Config {
        processes: settings.processes,
        max_processes: MAX_PROCESSES as usize,
        slots: SLOTS,
        reload_surge: settings.reload_surge,
        start_delay: settings.start_delay,
        start_timeout: settings.start_timeout,
        die_timeout: settings.die_timeout,
    });
    let mut shell = Shell::new(
        settings.clone(),
        pool,
        scoreboard,
        pid_file,
        signals,
        signal_pipe.read,
        wake,
        life,
        handover,
    );
    shell.publish(Event::managing(settings.processes));
    for line in &settings.overridden {
        shell.publish(Event::notice(line.as_str()));
    }
    Ok(shell)
}

/// A fork copies one thread; locks that the others hold would stay held in the worker for ever.
fn check_threads() -> Result<()> {
    // Without /proc nothing can be said.
    let threads = std::fs::read_dir("/proc/self/task").map_or(1, Iterator::count);
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
