//! Workers that become another program: what `fcgipm run` supervises.

use std::ffi::{CString, OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;

use super::shell::{Parts, Shell};
use super::start::Settings;
use crate::error::{Code, Error, Result};
use crate::options::WORKER_VARIABLE;
use crate::server::supervision::Inheritance;
use crate::sys::signals::Signals;
use crate::sys::{child, exec, process, signals};

/// What a shell would say: the program was not found, or could not be executed.
const NOT_FOUND: i32 = 127;
const NOT_EXECUTED: i32 = 126;

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

    fn name(&self) -> String {
        self.arguments
            .first()
            .map_or(String::new(), |name| name.to_string_lossy().into_owned())
    }
}

fn c_string(text: &OsStr) -> Result<CString> {
    CString::new(text.as_bytes()).map_err(|_| {
        let text = text.to_string_lossy().escape_default().to_string();
        Error::new(Code::Value, format!("a NUL byte in '{text}'"))
    })
}

/// A step towards the program that could not be taken, and the status that tells of it.
struct Failed {
    status: i32,
    why: String,
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self {
            status: NOT_EXECUTED,
            why: error.to_string(),
        }
    }
}

/// In a fresh worker, in which all signals are held: becomes the program, or ends. The manager reads
/// from the pipe why it could not be; when it was, the pipe is closed.
pub(super) fn become_program(
    mut shell: Shell,
    slot: usize,
    program: &Program,
    settings: &Settings,
) -> ! {
    let pipe = shell.start_program.take();
    let failed = execute(shell, slot, program, settings);
    if let Some(pipe) = &pipe {
        // It is empty, and takes so much at once. Whoever else reads it is gone.
        let _ = nix::unistd::write(pipe, failed.why.as_bytes());
    }
    // Not a return into the host, which would go on as a second manager.
    exec::leave(failed.status)
}

fn execute(shell: Shell, slot: usize, program: &Program, settings: &Settings) -> Failed {
    let manager = shell.pid;
    let mut mask = shell.parts.signals.original_mask();
    // Whoever blocks the kick could not be told anything.
    mask.remove(nix::sys::signal::Signal::SIGURG);
    match prepare(shell, slot, program, settings) {
        Ok((environment, parts)) => {
            if process::parent_pid() != manager {
                // It died before the kernel knew whom to tell.
                exec::leave(0);
            }
            // No handler of ours stands any more. A signal that has come meanwhile does to this process
            // what it would have done to the program a moment later.
            Signals::release(&mask);
            let errno = exec::execute(&program.arguments, &environment);
            drop(parts);
            Failed {
                status: match errno {
                    nix::errno::Errno::ENOENT => NOT_FOUND,
                    _ => NOT_EXECUTED,
                },
                why: format!("cannot execute '{}': {}", program.name(), errno.desc()),
            }
        }
        Err(failed) => failed,
    }
}

/// All that is done before the program is executed; its environment, and the parts whose descriptors must
/// stay open until then.
fn prepare(
    shell: Shell,
    slot: usize,
    program: &Program,
    settings: &Settings,
) -> std::result::Result<(Vec<CString>, Parts), Failed> {
    let manager = shell.pid;
    let Shell { mut parts, .. } = shell;
    parts.signals.leave_to_program(settings.stop_signal);
    if let Some(identity) = &parts.identity {
        identity.assume()?;
    }
    // Until the program says something of itself, the only thing that reaches it is a signal. The kernel
    // forgets this with a change of credentials, so it comes after.
    child::signal_on_parent_death(signals::known(settings.stop_signal)?);
    exec::make_standard_input(program.listener)
        .map_err(|errno| Error::system("listening socket: dup2", errno as i32))?;
    let mut environment = program.environment.clone();
    // Without a region it is a program that says nothing of itself.
    if let Some(page) = parts.scoreboard.region(slot) {
        let inheritance = Inheritance::leave(
            manager,
            page,
            &parts.wake.write,
            &parts.life.read,
            &parts.handover,
        )?;
        let variable = format!("{WORKER_VARIABLE}={}", inheritance.text());
        environment.push(c_string(OsStr::new(&variable))?);
    }
    Ok((environment, parts))
}
