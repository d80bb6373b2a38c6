//! Everything before the first fork.

use crate::error::{Code, Error, Result};
use crate::manager::access_log::AccessLog;
use crate::manager::admin::AdminListener;
use crate::manager::connections::Shedding;
use crate::manager::connections::handover::Handover;
use crate::manager::descriptors::Descriptors;
use crate::manager::event::Event;
use crate::manager::event_loop::{Channels, EventLoop, Parts};
use crate::manager::identity::Identity;
use crate::manager::pid_file::PidFile;
use crate::manager::service::Service;
use crate::manager::settings::{SLOTS, Settings, SignalHandlers};
use crate::manager::slow_log::SlowLog;
use crate::manager::threads;
use crate::pool::Sizing;
use crate::server::listen;
use crate::sys::fd::{pipe, worker_fd};
use crate::sys::log;
use crate::sys::process::{adopted, filtered, title};
use crate::sys::service::sockets;
use crate::sys::signal::handlers::Signals;
use crate::sys::socket::listeners;
use crate::worker::{self, Scoreboard};

pub(super) fn start(settings: &Settings) -> Result<EventLoop> {
    if worker::is_inherited() {
        return Err(Error::new(
            Code::State,
            "this process is a worker of another manager, or a child of one",
        ));
    }
    threads::check()?;
    log::configure(settings.log.level, settings.log.has_time);
    if let Some(path) = &settings.log.file {
        log::file::begin(path)?;
    }
    // Workers inherit the sockets, but the variables do not name them.
    sockets::passed().map(drop)?;
    if settings.program.is_none() {
        listen::open_for_workers(&settings.options)?;
    }
    // Before any other use of these calls.
    let refused = filtered::probe();
    let identity = Identity::check(&settings.options)?;
    let owner = identity.as_ref().and_then(Identity::owner);
    let workers_send_copies = !worker_fd::can_take(owner.is_some());
    let (descriptors, shortage) = Descriptors::reserve(settings, workers_send_copies)?;
    let signal_pipe = pipe::pipe("signal pipe of the manager", true)?;
    let wake = pipe::pipe("wake pipe of the manager", true)?;
    let life = pipe::pipe("life pipe of the manager", false)?;
    let handover = Handover::new()?;
    let scoreboard = Scoreboard::new(SLOTS)?;
    // It closes sockets that are not used any more.
    let (service, lines) = Service::connect(settings.pm == "ondemand");
    let listeners = listeners::own()?;
    if settings.pool.sizing != Sizing::Static && listeners.is_empty() {
        return Err(Error::new(
            Code::State,
            "option pm: workers by load need a listening socket that is open before the manager starts",
        ));
    }
    let admin = AdminListener::new(settings)?;
    let access_log = AccessLog::new(settings)?;
    let (slow_log, without_backtraces) = SlowLog::new(settings);
    let shedding = Shedding::new(&settings.options, &listeners)?;
    let has_handlers = settings.signal_handlers == SignalHandlers::Manager;
    let signals = Signals::install(signal_pipe.write, has_handlers)?;
    // After the handlers: a process that reads the pid may send a signal immediately.
    let pid_file = settings
        .pid_file
        .as_deref()
        .map(PidFile::acquire)
        .transpose()?;
    if let Some(title) = settings.manager_title() {
        title::set(title);
    }
    let mut event_loop = EventLoop::new(
        settings.clone(),
        Parts {
            scoreboard,
            pid_file,
            channels: Channels {
                signals,
                signal_pipe: signal_pipe.read,
                wake,
                life,
            },
            handover,
            listeners,
            identity,
            descriptors,
            shedding,
            service,
            admin,
            access_log,
            slow_log,
            workers_send_copies,
        },
    );
    // In a host, orphans are the host's.
    if settings.program.is_some() && adopted::is_reaper() {
        event_loop.reap_orphans();
    }
    event_loop.push(Event::managing(settings.pool.processes));
    for call in refused {
        let (name, loss) = (call.name, call.loss);
        event_loop.push(Event::warning(format!(
            "a seccomp filter refuses {name}(2): {loss}; to allow it, add {name} to SystemCallFilter= \
             of the unit, or to the seccomp profile of the container"
        )));
    }
    if adopted::is_of_pid_1() {
        let pool = &settings.pool;
        let warning = Event::pid_1(pool.drain_delay, pool.die_timeout);
        warning
            .into_iter()
            .for_each(|warning| event_loop.push(warning));
    }
    without_backtraces
        .into_iter()
        .for_each(|warning| event_loop.push(warning));
    for line in &settings.overridden {
        event_loop.push(Event::notice(line.as_str()));
    }
    for line in shortage.iter().chain(&lines) {
        event_loop.push(Event::warning(line.as_str()));
    }
    Ok(event_loop)
}
