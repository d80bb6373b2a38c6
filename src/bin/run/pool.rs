//! One pool: its socket, its program, its manager.

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;

use fcgipm::error::{Code, Error};
use fcgipm::log::Level;
use fcgipm::manager::{EventKind, Manager, Program};
use fcgipm::options::{Opt, Options};
use fcgipm::server::listen::address::Address;
use fcgipm::server::{environment, listen};

use super::dropin::{self, DropIn};
use super::environment::Changes;
use super::requirements;
use crate::console;

/// The configuration of a pool.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Pool {
    /// The name of one among several.
    pub(super) name: Option<String>,
    pub(super) listen: String,
    pub(super) backlog: i32,
    pub(super) command: Vec<OsString>,
    pub(super) options: Options,
    pub(super) changes: Changes,
}

/// Why a pool did not start, or failed.
struct Refusal {
    status: u8,
    reason: String,
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self {
            status: 1,
            reason: error.to_string(),
        }
    }
}

impl Refusal {
    /// For an error that may concern the program.
    fn of_program(error: Error) -> Self {
        Self {
            status: Program::exit_status(&error).unwrap_or(1),
            ..error.into()
        }
    }
}

impl From<String> for Refusal {
    fn from(reason: String) -> Self {
        Self { status: 1, reason }
    }
}

impl Pool {
    /// The option that overrides the address.
    pub(super) const LISTEN: &str = "listen";

    /// Its name, or nothing for the only pool of a command line.
    pub(super) fn label(&self) -> &str {
        self.name.as_deref().unwrap_or_default()
    }

    pub(super) fn is_named(&self, name: &str) -> bool {
        self.name.as_deref() == Some(name)
    }

    /// Runs the pool until it has stopped; returns the exit status.
    pub(super) fn run(&self) -> u8 {
        match self.try_run() {
            Ok(()) => 0,
            Err(refusal) => {
                // Do not leave a socket file that no process listens on.
                listen::stop_arrivals();
                console::error(&format!("{}{}", self.prefix(), refusal.reason));
                refusal.status
            }
        }
    }

    fn prefix(&self) -> String {
        match &self.name {
            Some(name) => format!("fcgipm run: pool '{name}': "),
            None => "fcgipm run: ".to_owned(),
        }
    }

    /// The listen address, which the environment may override.
    pub(super) fn address(&self) -> String {
        let merged = self.merged().ok();
        let listen = merged.and_then(|options| options.text(Opt::Listen));
        listen.unwrap_or(self.listen.clone())
    }

    /// The effective options, overridden by the environment.
    fn merged(&self) -> Result<Options, Error> {
        let mut options = self.options.with_environment(environment::trusted_vars())?;
        if options.given(Opt::NProcesses).is_none() {
            options.set("n_processes", "1")?;
        }
        // A script that fcgiwrap runs must not survive when its worker is killed.
        if options.given(Opt::ProcessGroup).is_none() {
            options.set("process_group", "1")?;
        }
        Ok(options)
    }

    /// The mistakes that can be found before the start, and the address and pid file of the pool.
    pub(super) fn mistakes(&self) -> (Vec<String>, Option<Address>, Option<String>) {
        let options = match self.merged() {
            Ok(options) => options,
            Err(error) => return (vec![error.to_string()], None, None),
        };
        let listen = self.address();
        let mut mistakes = Vec::from_iter(requirements::plain_name(&listen));
        let address = if mistakes.is_empty() {
            let address = listen::check(&self.listen, &options);
            address
                .map_err(|error| mistakes.push(error.to_string()))
                .ok()
        } else {
            None
        };
        mistakes.extend(requirements::of_workers(&self.command, &options));
        if self.changes.preload {
            mistakes.extend(dropin::find().err());
        }
        // A manager opens nothing before its first event.
        let program = Program::new(&self.command, std::iter::empty(), 0);
        let manager = program.and_then(|program| Manager::of_program(&options, program));
        mistakes.extend(manager.err().map(|error| error.to_string()));
        let pid_file = options.text(Opt::PidFname);
        mistakes.extend(
            pid_file
                .as_ref()
                .and_then(|path| requirements::of_pid_file(path)),
        );
        (mistakes, address, pid_file)
    }

    fn try_run(&self) -> Result<(), Refusal> {
        let mut options = self.merged()?;
        // The messages are logged here, with the name of the pool.
        let log = options.text(Opt::Log).unwrap_or_default();
        let logs = !log.starts_with("none");
        if log == "stderr" {
            set(&mut options, "log", "none")?;
        } else if logs {
            set(&mut options, "log", &format!("none:{log}"))?;
        }
        // A program that cannot be executed is a mistake in the command line, so there is no retry.
        Program::check(&self.command, &options).map_err(Refusal::of_program)?;
        let preload = self.preload()?;
        let listener = listen::open(&self.listen, self.backlog, &options)?;
        // Those of other pools.
        listen::close_unused();
        let environment = self
            .changes
            .apply(env::vars_os(), &options, preload.as_deref());
        let program = Program::new(&self.command, environment, listener);
        let mut manager = Manager::of_program(&options, program?)?;
        loop {
            match manager.next() {
                Ok(event) => {
                    if logs && !event.message.is_empty() {
                        self.log_event(event.level, &event.message);
                    }
                    if event.kind == EventKind::Stopped {
                        return Ok(());
                    }
                }
                Err(error) if error.code() == Code::Interrupted => {}
                Err(error) => return Err(Refusal::of_program(error)),
            }
        }
    }

    /// Logs a message of the manager.
    fn log_event(&self, level: Level, message: &str) {
        let pid = std::process::id();
        let line = match &self.name {
            Some(name) => format!("fcgipm: pool '{name}' (pid {pid}): {message}"),
            None => format!("fcgipm: manager (pid {pid}): {message}"),
        };
        fcgipm::log::line(level, &line);
    }

    fn preload(&self) -> Result<Option<PathBuf>, String> {
        if !self.changes.preload {
            return Ok(None);
        }
        Ok(match dropin::find()? {
            DropIn::At(path) => Some(path),
            DropIn::Unwanted => None,
            DropIn::Missing => {
                self.log_event(
                    Level::Warning,
                    "libfcgi.so.0 was not found beside this command: nothing is preloaded, and programs \
                     that use libfcgi are supervised by signals only (--no-preload silences this)",
                );
                None
            }
        })
    }
}

fn set(options: &mut Options, name: &str, value: &str) -> Result<(), Refusal> {
    Ok(options.set(name, value)?)
}
