//! The link to the manager, for a template: one environment variable describes it, and the program's
//! copy of this library claims it.
//!
//! The variable is `VERSION:MANAGER:CONTROL:WAKE:LIFE:SEND:RECEIVE`: the version of the page's layout,
//! the manager's pid, and the numbers of five descriptors. `:STDERR:CAUGHT` may follow: the original
//! standard error, and the read end of the pipe that replaces it until the template is ready. Then `/`
//! and the numbers of the manager's listening sockets, with commas between them.

use std::os::fd::{AsRawFd as _, OwnedFd};

use crate::error::{Code, Error, Result};
use crate::options::TEMPLATE_VARIABLE;
use crate::sys::fd::packets::Packets;
use crate::sys::log::stderr::Redirected;
use crate::sys::process::environment;
use crate::sys::process::exec::{self, Sort};
use crate::sys::scoreboard;
use crate::worker::exec_env::number;

/// The descriptors of a link, by their numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TemplateEnv {
    manager: i32,
    control: i32,
    wake: i32,
    life: i32,
    handover: (i32, i32),
    /// The original standard error, and the pipe.
    stderr: Option<(i32, i32)>,
    listeners: Vec<i32>,
}

/// What a template has of its manager.
#[derive(Debug)]
pub(crate) struct TemplateLink {
    pub(crate) manager: i32,
    pub(crate) control: Packets,
    pub(crate) wake: OwnedFd,
    pub(crate) life: OwnedFd,
    pub(crate) handover: (OwnedFd, OwnedFd),
    pub(crate) start_stderr: Option<Redirected>,
}

impl TemplateEnv {
    /// In a process that is about to start the program, which inherits these descriptors.
    ///
    /// # Errors
    /// fcntl(2) failed.
    pub(crate) fn keep(
        manager: i32,
        control: &OwnedFd,
        wake: &OwnedFd,
        life: &OwnedFd,
        handover: &(OwnedFd, OwnedFd),
        stderr: Option<&Redirected>,
        listeners: Vec<i32>,
    ) -> Result<Self> {
        let stderr = stderr.map(Redirected::descriptors);
        let link = [control, wake, life, &handover.0, &handover.1];
        let failed = |errno| Error::system("descriptor for a template: fcntl", errno as i32);
        for fd in link.into_iter().chain(stderr.into_iter().flatten()) {
            exec::keep_across_exec(fd).map_err(failed)?;
        }
        for fd in listeners
            .iter()
            .filter_map(|fd| crate::sys::fd::borrow(*fd))
        {
            exec::keep_across_exec(fd).map_err(failed)?;
        }
        Ok(Self {
            manager,
            control: control.as_raw_fd(),
            wake: wake.as_raw_fd(),
            life: life.as_raw_fd(),
            handover: (handover.0.as_raw_fd(), handover.1.as_raw_fd()),
            stderr: stderr.map(|[before, caught]| (before.as_raw_fd(), caught.as_raw_fd())),
            listeners,
        })
    }

    /// The variable's value.
    pub(crate) fn text(&self) -> String {
        let Self {
            manager,
            control,
            wake,
            life,
            handover: (send, receive),
            stderr,
            listeners,
        } = self;
        let version = scoreboard::VERSION;
        let link = format!("{version}:{manager}:{control}:{wake}:{life}:{send}:{receive}");
        let stderr = stderr.map_or_else(String::new, |(before, caught)| {
            format!(":{before}:{caught}")
        });
        let listeners: Vec<_> = listeners.iter().map(ToString::to_string).collect();
        format!("{link}{stderr}/{}", listeners.join(","))
    }

    fn parse(text: &str) -> std::result::Result<Self, String> {
        let (link, listeners) = text.split_once('/').ok_or("no '/'")?;
        let numbers = link.split(':').map(number).collect::<Option<Vec<_>>>();
        let numbers = numbers.ok_or("not numbers with colons between them")?;
        let known = scoreboard::VERSION;
        match numbers.first().map(|version| u32::try_from(*version)) {
            Some(Ok(version)) if version == known => {}
            Some(Ok(version)) => {
                return Err(format!(
                    "version {version}, but this library has {known}: the manager is of another release; \
                     restart it"
                ));
            }
            _ => return Err("too short".to_owned()),
        }
        let (manager, control, wake, life, send, receive, stderr) = match numbers[..] {
            [_, manager, control, wake, life, send, receive] => {
                (manager, control, wake, life, send, receive, None)
            }
            [
                _,
                manager,
                control,
                wake,
                life,
                send,
                receive,
                before,
                caught,
            ] => {
                let stderr = Some((before, caught));
                (manager, control, wake, life, send, receive, stderr)
            }
            _ => return Err(format!("{} numbers, not 7 or 9", numbers.len())),
        };
        let listeners = match listeners {
            "" => Vec::new(),
            text => {
                let numbers = text.split(',').map(number).collect::<Option<Vec<_>>>();
                numbers.ok_or("the listening sockets are not numbers")?
            }
        };
        Ok(Self {
            manager,
            control,
            wake,
            life,
            handover: (send, receive),
            stderr,
            listeners,
        })
    }

    /// Of this process, if its manager started it as a template.
    fn read() -> Result<Option<Self>> {
        let Some(variable) = environment::trusted_var(TEMPLATE_VARIABLE) else {
            return Ok(None);
        };
        let text = variable.to_str().ok_or_else(|| bad("not UTF-8"))?;
        Self::parse(text).map(Some).map_err(bad)
    }
}

/// Whether this process was started as a template, and has not become one yet.
pub(crate) fn is_started_as_template() -> bool {
    environment::trusted_var(TEMPLATE_VARIABLE).is_some()
}

/// The listening sockets that this process has of its manager, by their numbers. `None`: it was not
/// started as a template.
///
/// # Errors
/// [`Code::Value`]: something in the variable is wrong.
pub(crate) fn inherited_listeners() -> Result<Option<Vec<i32>>> {
    Ok(TemplateEnv::read()?.map(|env| env.listeners))
}

/// Claims the link of a process that was started as a template.
///
/// # Errors
/// [`Code::Value`]: something in the variable is wrong.
pub(crate) fn claim() -> Result<TemplateLink> {
    let env = TemplateEnv::read()?.ok_or_else(|| bad("is not set"))?;
    let claim = |what: &str, number: i32, sort| {
        exec::claim(number, sort)
            .map_err(|why| bad(format_args!("descriptor {number}, {what}, {why}")))?
            .ok_or_else(|| {
                bad(format_args!(
                    "descriptor {number}, {what}, is closed on exec"
                ))
            })
    };
    let (send, receive) = env.handover;
    let link = TemplateLink {
        manager: env.manager,
        control: Packets::from_fd(claim("the manager's", env.control, Sort::Packets)?),
        wake: claim("the manager's wake pipe", env.wake, Sort::PipeWritten)?,
        life: claim("the manager's life pipe", env.life, Sort::PipeRead)?,
        handover: (
            claim("the hand-over queue's", send, Sort::Socket)?,
            claim("the hand-over queue's", receive, Sort::Socket)?,
        ),
        start_stderr: match env.stderr {
            Some((before, caught)) => Some(Redirected::inherited(
                claim("the original standard error", before, Sort::Any)?,
                claim("the pipe of standard error", caught, Sort::PipeRead)?,
            )),
            None => None,
        },
    };
    // What this process starts is no template.
    environment::remove(TEMPLATE_VARIABLE);
    Ok(link)
}

fn bad(what: impl std::fmt::Display) -> Error {
    Error::new(
        Code::Value,
        format!("environment variable {TEMPLATE_VARIABLE}: {what}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variable_is_read_as_it_is_written() {
        let one = TemplateEnv {
            manager: 6,
            control: 10,
            wake: 11,
            life: 12,
            handover: (13, 14),
            stderr: None,
            listeners: Vec::new(),
        };
        assert_eq!(TemplateEnv::parse(&one.text()), Ok(one.clone()));
        let more = TemplateEnv {
            stderr: Some((15, 16)),
            listeners: vec![0, 3],
            ..one
        };
        assert_eq!(TemplateEnv::parse(&more.text()), Ok(more));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let version = scoreboard::VERSION;
        for (text, why) in [
            ("", "no '/'".to_owned()),
            ("/", "not numbers".to_owned()),
            ("99:6:10:11:12:13:14/", "version 99".to_owned()),
            (
                &format!("{version}:6:10/"),
                "3 numbers, not 7 or 9".to_owned(),
            ),
            (
                &format!("{version}:6:10:11:12:13:-14/"),
                "not numbers".to_owned(),
            ),
            (
                &format!("{version}:6:10:11:12:13:14/x"),
                "listening sockets".to_owned(),
            ),
        ] {
            let error = TemplateEnv::parse(text).unwrap_err();
            assert!(error.contains(&why), "{text}: {error}");
        }
    }
}
