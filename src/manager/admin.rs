//! The admin listener: `fcgipm admin`, a process that the manager starts and keeps running.
//!
//! It reads shared memory, as any other process of this user could, and the manager waits for nothing
//! that it does. A listener that cannot work, because its port is in use, is started again with growing
//! pauses: it must not stop what it shows.

use std::ffi::{CString, OsStr, OsString};
use std::net::SocketAddr;
use std::os::unix::ffi::OsStrExt as _;
use std::time::Duration;

use crate::error::{Code, Error, Result};
use crate::manager::event::Event;
use crate::manager::own_command;
use crate::manager::restart_pause::RestartPause;
use crate::manager::settings::Settings;
use crate::manager::watch::{REAP_INTERVAL, Source, Watch};
use crate::options::{Opt, Options};
use crate::server::listen::address::Address;
use crate::sys::process;
use crate::sys::process::child::Ended;
use crate::sys::process::helper::{Command, Helper};
use crate::sys::socket::status_socket;

/// The process, if there is to be one, and when it is started.
#[derive(Debug)]
pub(super) struct AdminListener {
    command: Option<Command>,
    /// How workers reach it for `status_path`; zeroes: not at all.
    status_key: [u64; 2],
    running: Option<Helper>,
    /// These have ended, and are not reaped.
    ended: Vec<Helper>,
    restart: RestartPause,
}

impl AdminListener {
    /// What the options ask for.
    ///
    /// # Errors
    /// An option has no valid value, or there is no command to execute.
    pub(super) fn new(settings: &Settings) -> Result<Self> {
        let address = settings.options.text(Opt::AdminListen);
        let status_path = settings.options.text(Opt::StatusPath);
        let status_key = match &status_path {
            Some(_) => status_socket::new_key()
                .map_err(|errno| Error::system("option status_path: getrandom", errno as i32))?,
            None => [0; 2],
        };
        let cause = match (&address, &status_path) {
            (Some(address), _) => Some((Opt::AdminListen, &address[..])),
            (None, Some(path)) => Some((Opt::StatusPath, &path[..])),
            (None, None) => None,
        };
        let command = cause.map(|cause| command(cause, address.as_deref(), status_key, settings));
        Ok(Self {
            command: command.transpose()?,
            status_key,
            running: None,
            ended: Vec::new(),
            restart: RestartPause::default(),
        })
    }

    /// For the pages of workers.
    pub(super) const fn status_key(&self) -> [u64; 2] {
        self.status_key
    }

    pub(super) fn watch<'a>(&'a self, watch: &mut Watch<'a>) {
        match &self.running {
            Some(running) => watch.add(Source::AdminListener, running.channel()),
            None => watch.until(self.command.is_some().then(|| self.restart.due())),
        }
        if !self.ended.is_empty() {
            watch.until(Some(watch.now() + REAP_INTERVAL));
        }
    }

    /// Starts it if it does not run. `is_ready`: it may have ended.
    pub(super) fn advance(&mut self, is_ready: bool, now: Duration) -> Option<Event> {
        self.ended.retain(|one| !one.is_reaped());
        if is_ready {
            if let Some(running) = &mut self.running {
                let ended = how(running.try_wait()?);
                self.ended.extend(self.running.take());
                return Some(self.restart.ended(&ended, now));
            }
        }
        let command = self.command.as_ref()?;
        if self.running.is_some() || now < self.restart.due() {
            return None;
        }
        match Helper::start(command) {
            Ok(helper) => {
                self.running = Some(helper);
                self.restart.started(now);
                None
            }
            Err(error) => {
                let what = format!("the admin listener was not started: {error}");
                Some(self.restart.again(&what, now))
            }
        }
    }

    /// Asks it to exit, and waits briefly, so that the next manager can have its address.
    pub(super) fn end(&mut self) {
        self.command = None;
        if let Some(running) = self.running.take() {
            running.end();
        }
    }
}

/// The command. `cause`: the option that asks for it, and its value.
fn command(
    cause: (Opt, &str),
    address: Option<&str>,
    status_key: [u64; 2],
    settings: &Settings,
) -> Result<Command> {
    let options = &settings.options;
    if let Some(address) = address {
        check_address(address, options)?;
    }
    let file = own_command::file(settings).map_err(|error| {
        let (code, name) = (error.code(), cause.0.name());
        Error::new(code, format!("option {name}: the command: {error}"))
    })?;
    let arguments = arguments(&file, address, options);
    let key = (status_key != [0; 2]).then(|| status_socket::variable(status_key));
    let arguments = arguments.iter().map(|text| CString::new(text.as_bytes()));
    let arguments: std::result::Result<_, _> = arguments.collect();
    Ok(Command {
        name: "the admin listener",
        arguments: arguments.map_err(|_| refused(cause, "or another value contains a NUL byte"))?,
        environment: own_command::environment().into_iter().chain(key).collect(),
        has_output: false,
    })
}

fn how(ended: Ended) -> String {
    match ended {
        Ended::Status(status) if libc::WIFSIGNALED(status) => {
            let signal = libc::WTERMSIG(status);
            format!("the admin listener was killed by signal {signal}")
        }
        Ended::Status(status) => {
            let status = libc::WEXITSTATUS(status);
            format!("the admin listener exited with status {status}")
        }
        Ended::Unknown => "the admin listener has ended".to_owned(),
    }
}

fn arguments(file: &OsStr, address: Option<&str>, options: &Options) -> Vec<OsString> {
    let mut arguments = vec![file.to_owned(), "admin".into()];
    // Each in one word: a value may begin with a hyphen.
    match address {
        Some(address) => arguments.push(format!("--listen={address}").into()),
        None => arguments.push("--no-listen".into()),
    }
    for (name, opt) in [
        ("socket-mode", Opt::AdminMode),
        ("socket-owner", Opt::AdminOwner),
        ("socket-group", Opt::AdminGroup),
        ("token-file", Opt::AdminTokenFile),
    ] {
        let given = options.given(opt);
        arguments.extend(given.map(|value| format!("--{name}={value}").into()));
    }
    let hosts = options.given(Opt::AdminHost).unwrap_or_default();
    let hosts = hosts.split_whitespace();
    arguments.extend(hosts.map(|host| format!("--host={host}").into()));
    arguments.push(process::pid().to_string().into());
    arguments
}

fn refused((opt, value): (Opt, &str), why: &str) -> Error {
    let name = opt.name();
    Error::new(Code::Value, format!("option {name}: '{value}': {why}"))
}

/// What can be said of an address before it is used. The command says the rest.
fn check_address(text: &str, options: &Options) -> Result<()> {
    let refused = |why: &str| refused((Opt::AdminListen, text), why);
    if text.starts_with("unix:") || text.starts_with('/') {
        return Ok(());
    }
    for (opt, what) in [
        (Opt::AdminMode, "permissions"),
        (Opt::AdminOwner, "an owner"),
        (Opt::AdminGroup, "a group"),
    ] {
        if options.given(opt).is_some() {
            let why = format!("only a unix socket has {what}: see option {}", opt.name());
            return Err(refused(&why));
        }
    }
    let place = match Address::parse(text) {
        Ok(Address::Inet(place)) => Some(place),
        // The command takes it for loopback, as in a browser.
        Ok(Address::AllInterfaces(port)) => Some(SocketAddr::from(([127, 0, 0, 1], port))),
        Ok(_) => None,
        Err(error) => return Err(refused(error.message())),
    };
    let Some(place) = place else {
        return Err(refused("not HOST:PORT, :PORT, /PATH or unix:/PATH"));
    };
    let is_local = place.ip().to_canonical().is_loopback();
    if !is_local && options.given(Opt::AdminTokenFile).is_none() {
        return Err(refused(
            "other hosts can connect, so option admin_token_file is required",
        ));
    }
    Ok(())
}
