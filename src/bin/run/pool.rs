//! One pool: its socket, its program, its manager.

use std::env;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use fcgipm::error::Code;
use fcgipm::manager::{EventKind, Manager, Program};
use fcgipm::options::{Opt, Options};
use fcgipm::server::listener;

use super::dropin::{self, DropIn};
use super::environment::Changes;
use crate::error_lines::log;

/// What is to be run.
#[derive(Debug)]
pub(super) struct Pool {
    /// Of one among several.
    pub(super) name: Option<String>,
    pub(super) listen: String,
    pub(super) backlog: i32,
    pub(super) command: Vec<OsString>,
    pub(super) options: Options,
    pub(super) changes: Changes,
}

impl Pool {
    pub(super) fn is_named(&self, name: &str) -> bool {
        self.name.as_deref() == Some(name)
    }

    /// Runs it to its end; returns the exit status.
    pub(super) fn run(&self) -> u8 {
        match self.try_run() {
            Ok(()) => 0,
            Err(reason) => {
                // The socket's file is not left to somebody who does not listen.
                listener::stop_arrivals();
                log(&format!("{}{reason}", self.label()));
                1
            }
        }
    }

    fn label(&self) -> String {
        match &self.name {
            Some(name) => format!("fcgipm run: pool '{name}': "),
            None => "fcgipm run: ".to_owned(),
        }
    }

    fn try_run(&self) -> Result<(), String> {
        let mut options = self
            .options
            .with_environment(env::vars_os())
            .map_err(|error| error.to_string())?;
        if options.given(Opt::NProcesses).is_none() {
            set(&mut options, "n_processes", "1")?;
        }
        // The lines are written here, where the pool's name is known.
        let logs = options.word(Opt::Log) == "stderr";
        set(&mut options, "log", "none")?;
        self.check_program(&options)?;
        let preload = self.preload()?;
        let listener = listener::open(&self.listen, self.backlog, &options)
            .map_err(|error| error.to_string())?;
        let environment = self
            .changes
            .apply(env::vars_os(), &options, preload.as_deref());
        let program = Program::new(&self.command, environment, listener);
        let manager = program.and_then(|program| Manager::of_program(&options, program));
        let mut manager = manager.map_err(|error| error.to_string())?;
        loop {
            match manager.next() {
                Ok(event) => {
                    if logs && !event.message.is_empty() {
                        self.tell(&event.message);
                    }
                    if event.kind == EventKind::Stopped {
                        return Ok(());
                    }
                }
                Err(error) if error.code() == Code::Interrupted => {}
                Err(error) => return Err(error.to_string()),
            }
        }
    }

    /// A line of the manager's.
    fn tell(&self, message: &str) {
        let pid = std::process::id();
        match &self.name {
            Some(name) => log(&format!("fcgipm: pool '{name}' (pid {pid}): {message}")),
            None => log(&format!("fcgipm: manager (pid {pid}): {message}")),
        }
    }

    /// A program that cannot be there is a mistake in the command line, and nothing to try again and
    /// again. Where the workers see other files than this process, only they can tell.
    fn check_program(&self, options: &Options) -> Result<(), String> {
        let elsewhere = [Opt::Chroot, Opt::Chdir, Opt::User, Opt::Group];
        if elsewhere.into_iter().any(|opt| options.text(opt).is_some()) {
            return Ok(());
        }
        let Some(program) = self.command.first() else {
            return Err("no program to run".to_owned());
        };
        match found(program) {
            true => Ok(()),
            false => Err(format!(
                "cannot execute '{}': there is no such program",
                program.display()
            )),
        }
    }

    fn preload(&self) -> Result<Option<PathBuf>, String> {
        if !self.changes.preload {
            return Ok(None);
        }
        Ok(match dropin::find()? {
            DropIn::At(path) => Some(path),
            DropIn::Unwanted => None,
            DropIn::Missing => {
                self.tell(
                    "libfcgi.so.0 is not beside this command: nothing is preloaded, and a program on \
                     libfcgi is supervised by signals alone (--no-preload: so be it)",
                );
                None
            }
        })
    }
}

fn set(options: &mut Options, name: &str, value: &str) -> Result<(), String> {
    options.set(name, value).map_err(|error| error.to_string())
}

/// Whether there is such a program, as execvp(3) looks for it.
fn found(program: &OsStr) -> bool {
    let exists = |path: &Path| path.is_file();
    if program.as_encoded_bytes().contains(&b'/') {
        return exists(Path::new(program));
    }
    let path = env::var_os("PATH").unwrap_or_else(|| "/bin:/usr/bin".into());
    env::split_paths(&path).any(|folder| exists(&folder.join(program)))
}
