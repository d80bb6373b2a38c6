//! Starts the program again, as a template.

use std::os::fd::OwnedFd;

use nix::sys::signal::Signal;

use crate::error::{Code, Error, Result};
use crate::manager::children::{StartupOutput, stderr_pipe};
use crate::manager::command::NOT_EXECUTED;
use crate::manager::descriptors::Descriptors;
use crate::manager::settings::Settings;
use crate::options::TEMPLATE_VARIABLE;
use crate::sys::fd::packets::{self, Packets};
use crate::sys::fd::pipe::Pipe;
use crate::sys::log::stderr::Redirected;
use crate::sys::log::{self, Level};
use crate::sys::process::child;
use crate::sys::process::origin::{self, Restart};
use crate::sys::process::{self, environment, exec, executable};
use crate::sys::signal::handlers::Signals;
use crate::worker::TemplateEnv;

/// A template that is about to be started.
#[derive(Debug)]
pub(in crate::manager) struct Link {
    restart: Restart,
    ours: Packets,
    its: Packets,
    stderr: Option<Pipe>,
}

/// Everything before the fork that can fail.
///
/// # Errors
/// The program cannot be started again, or descriptors are short.
pub(in crate::manager) fn prepare(settings: &Settings) -> Result<Link> {
    if environment::is_untrusted() {
        return Err(Error::new(
            Code::State,
            "this program has more privileges than its caller (set-user-ID, set-group-ID or file \
             capabilities), and is not started again",
        ));
    }
    let restart = origin::restart()?;
    // Workers that a template forks become children of this process.
    process::adopted::become_reaper()?;
    let (ours, its) = packets::pair("connection to a template")?;
    Ok(Link {
        restart,
        ours,
        its,
        stderr: stderr_pipe(settings),
    })
}

impl Link {
    /// In the manager, after the fork: its end, and what the template writes to standard error.
    pub(super) fn into_parts(self) -> (Packets, Option<StartupOutput>) {
        let output = self.stderr.map(|pipe| StartupOutput::new(pipe.read));
        (self.ours, output)
    }
}

/// What a template gets of its manager.
pub(in crate::manager) struct Inherited<'a> {
    pub(in crate::manager) manager: i32,
    pub(in crate::manager) wake: &'a OwnedFd,
    pub(in crate::manager) life: &'a OwnedFd,
    pub(in crate::manager) handover: &'a (OwnedFd, OwnedFd),
    /// The sockets of the host, by their numbers.
    pub(in crate::manager) listeners: Vec<i32>,
    pub(in crate::manager) descriptors: &'a Descriptors,
}

/// In the child, in which all signals are blocked: executes the program.
pub(in crate::manager) fn exec_template(
    link: Link,
    inherited: Inherited<'_>,
    signals: &mut Signals,
) -> ! {
    let error = execute(link, inherited, signals);
    // Its standard error is read by the manager, which reports the last lines.
    log::line(Level::Error, &error.to_string());
    exec::exit_now(NOT_EXECUTED.into())
}

fn execute(link: Link, inherited: Inherited<'_>, signals: &mut Signals) -> Error {
    let mask = signals.original_mask();
    signals.restore_for_program(libc::SIGTERM);
    inherited.descriptors.restore_limit();
    let stderr = link.stderr.and_then(|pipe| Redirected::to(pipe).ok());
    // Until it is a template, only a signal reaches it.
    child::signal_on_parent_death(Signal::SIGTERM);
    if process::parent_pid() != inherited.manager {
        exec::exit_now(0);
    }
    let Restart {
        file,
        arguments,
        mut environment,
        folder,
    } = link.restart;
    let its = &link.its;
    let kept = TemplateEnv::keep(
        inherited.manager,
        its.fd(),
        inherited.wake,
        inherited.life,
        inherited.handover,
        stderr.as_ref(),
        inherited.listeners,
    );
    let variable = match kept {
        Ok(env) => format!("{TEMPLATE_VARIABLE}={}", env.text()),
        Err(error) => return error,
    };
    origin::name_new_owner(&mut environment, inherited.manager, process::pid());
    environment.extend(std::ffi::CString::new(variable));
    if let Err(error) = std::env::set_current_dir(&folder) {
        let errno = error.raw_os_error().unwrap_or_default();
        return Error::system(
            format_args!("working directory {}", folder.display()),
            errno,
        );
    }
    Signals::release(&mask);
    let errno = exec::replace(&file, &arguments, &environment);
    let name = std::ffi::OsString::from(file.to_string_lossy().into_owned());
    executable::explain(&name, errno)
}
