//! Workers that become another program: what `fcgipm run` supervises.

use std::ffi::{CString, OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;

use crate::error::{Code, Error, Result};
use crate::manager::child_start::identity::Identity;
use crate::manager::child_start::worker;
use crate::manager::event_loop::{Channels, EventLoop};
use crate::manager::setup::Settings;
use crate::options::{Options, WORKER_VARIABLE};
use crate::sys::log::stderr::Redirected;
use crate::sys::process;
use crate::sys::process::{child, exec, executable};
use crate::sys::signal::handlers;
use crate::sys::signal::handlers::Signals;
use crate::worker::ExecEnv;

/// What a shell would say: the program was not found, or could not be executed.
const NOT_FOUND: u8 = 127;
const NOT_EXECUTED: u8 = 126;

/// A program that accepts FastCGI on descriptor 0, as the specification has it (section 2.2).
#[derive(Clone, Debug)]
pub struct Program {
    arguments: Vec<CString>,
    environment: Vec<CString>,
    /// The listening socket.
    listener: i32,
}

impl Program {
    /// A program with its arguments (the first one is its name, looked for in PATH if it has no slash), all
    /// of its environment, and the listening socket that becomes its descriptor 0.
    ///
    /// # Errors
    /// [`Code::Value`]: there is no program, or there is a NUL byte in the text.
    pub fn new(
        command: &[OsString],
        environment: impl IntoIterator<Item = (OsString, OsString)>,
        listener: i32,
    ) -> Result<Self> {
        if command.first().is_none_or(|program| program.is_empty()) {
            return Err(Error::new(Code::Value, "no program to run"));
        }
        // Another worker's ties.
        let environment = environment
            .into_iter()
            .filter(|(name, _)| name != WORKER_VARIABLE)
            .map(|(mut variable, value)| {
                variable.push("=");
                variable.push(value);
                variable
            });
        Ok(Self {
            arguments: command
                .iter()
                .map(|text| c_string(text))
                .collect::<Result<_>>()?,
            environment: environment
                .map(|text| c_string(&text))
                .collect::<Result<_>>()?,
            listener,
        })
    }

    /// Whether a worker with these options could become the program of this command: it is looked at as
    /// the worker will see it, by its user and below its root.
    ///
    /// # Errors
    /// [`Code::Value`] with errno: the program cannot be executed; [`exit_status`](Self::exit_status) has
    /// the status for it. Else what [`Manager::next`](crate::manager::Manager::next) would answer.
    pub fn check(command: &[OsString], options: &Options) -> Result<()> {
        let program = command.first().map_or(OsStr::new(""), OsString::as_os_str);
        Identity::check_and(options, || executable::check(program)).map(drop)
    }

    /// The exit status by which env(1) and shells tell that a program was not found (127) or could not be
    /// executed (126), for an error of [`check`](Self::check) or of [`Manager::next`](crate::manager::Manager::next).
    /// `None`: it is about something else.
    #[must_use]
    pub fn exit_status(error: &Error) -> Option<u8> {
        match (error.code(), error.errno()) {
            (Code::Value, libc::ENOENT) => Some(NOT_FOUND),
            (Code::Value, errno) if errno != 0 => Some(NOT_EXECUTED),
            _ => None,
        }
    }

    fn name(&self) -> &OsStr {
        let name = self.arguments.first();
        name.map_or(OsStr::new(""), |name| OsStr::from_bytes(name.as_bytes()))
    }
}

fn c_string(text: &OsStr) -> Result<CString> {
    CString::new(text.as_bytes()).map_err(|_| {
        let text = text.to_string_lossy().escape_default().to_string();
        Error::new(Code::Value, format!("a NUL byte in '{text}'"))
    })
}

/// In a fresh worker, in which all signals are held: becomes the program, or ends. The manager reads
/// from the pipe why it could not be; when it was, the pipe is closed.
pub(in crate::manager) fn become_program(
    mut shell: EventLoop,
    slot: usize,
    program: &Program,
    settings: &Settings,
) -> ! {
    let pipe = shell.start_program.take();
    let error = execute(shell, slot, program, settings);
    if let Some(pipe) = &pipe {
        // It is empty, and takes so much at once. Whoever else reads it is gone.
        let _ = nix::unistd::write(pipe, &Failure::encode(&error));
    }
    // Not a return into the host, which would go on as a second manager.
    exec::exit_now(Program::exit_status(&error).unwrap_or(NOT_EXECUTED).into())
}

/// Why a worker has not become the program.
#[derive(Debug)]
pub(in crate::manager) struct Failure(pub(in crate::manager) Error);

impl Failure {
    fn encode(error: &Error) -> Vec<u8> {
        let is_program = Program::exit_status(error).is_some();
        let errno = error.errno().to_ne_bytes();
        [
            &[u8::from(is_program)],
            &errno[..],
            error.message().as_bytes(),
        ]
        .concat()
    }

    /// What the worker wrote into the pipe.
    pub(in crate::manager) fn decode(bytes: &[u8]) -> Self {
        let (is_program, errno, message) = match bytes.split_first_chunk() {
            Some((&[is_program, a, b, c, d], message)) => {
                (is_program == 1, i32::from_ne_bytes([a, b, c, d]), message)
            }
            None => (false, libc::EIO, bytes),
        };
        let code = if is_program {
            Code::Value
        } else {
            Code::System
        };
        let message = String::from_utf8_lossy(message).into_owned();
        Self(Error::relayed(code, errno, message))
    }

    /// The program is what is wrong, and will be the next time.
    pub(in crate::manager) fn is_lasting(&self) -> bool {
        Program::exit_status(&self.0).is_some() && !executable::is_transient(self.0.errno())
    }
}

fn execute(shell: EventLoop, slot: usize, program: &Program, settings: &Settings) -> Error {
    let manager = shell.pid;
    let mut mask = shell.parts.signals.original_mask();
    // Whoever blocks the wake-up could not be told anything.
    mask.remove(nix::sys::signal::Signal::SIGURG);
    match prepare(shell, slot, program, settings) {
        Ok(prepared) => {
            if process::parent_pid() != manager {
                // It died before the kernel knew whom to tell.
                exec::exit_now(0);
            }
            // No handler of ours stands any more. A signal that has come meanwhile does to this process
            // what it would have done to the program a moment later.
            Signals::release(&mask);
            let errno = exec::execute(&program.arguments, &prepared.environment);
            drop(prepared);
            executable::explain(program.name(), errno)
        }
        Err(error) => error,
    }
}

/// What a program is executed with.
struct Prepared {
    environment: Vec<CString>,
    /// Their descriptors must stay open until then.
    _open: (Channels, Option<Redirected>),
}

/// All that is done before the program is executed.
fn prepare(
    shell: EventLoop,
    slot: usize,
    program: &Program,
    settings: &Settings,
) -> Result<Prepared> {
    let manager = shell.pid;
    let EventLoop {
        mut parts,
        start_stderr,
        ..
    } = shell;
    parts.signals.restore_for_program(settings.stop_signal);
    parts.descriptors.restore_limit();
    if settings.process_group {
        child::lead_group();
    }
    let stderr = worker::catch_stderr(start_stderr, parts.identity.as_ref());
    if let Some(identity) = &parts.identity {
        identity.assume()?;
    }
    // Until the program says something of itself, the only thing that reaches it is a signal. The kernel
    // forgets this with a change of credentials, so it comes after.
    child::signal_on_parent_death(handlers::known(settings.stop_signal)?);
    exec::make_standard_input(program.listener)
        .map_err(|errno| Error::system("listening socket: dup2", errno as i32))?;
    let mut environment = program.environment.clone();
    // One that says nothing of itself never gets the other back. Whoever reads the pipe may die.
    if let Some([_, caught]) = stderr.as_ref().map(Redirected::descriptors) {
        let _ = exec::keep_across_exec(caught);
    }
    // Without a region it is a program that says nothing of itself.
    if let Some(page) = parts.scoreboard.region(slot) {
        let inheritance = ExecEnv::keep(
            manager,
            page,
            &parts.wake.write,
            &parts.life.read,
            &parts.handover,
            stderr.as_ref(),
        )?;
        let variable = format!("{WORKER_VARIABLE}={}", inheritance.text());
        environment.push(c_string(OsStr::new(&variable))?);
    }
    Ok(Prepared {
        environment,
        _open: (parts, stderr),
    })
}
