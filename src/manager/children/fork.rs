//! The two halves of a fork. The manager's call of fork(2), or its host's, is made between them.
//!
//! All signals are blocked from the first half to the second: one that reaches the child is for the
//! handlers that it installs as a worker.

use std::os::fd::OwnedFd;

use super::startup_output::{self, StartupOutput};
use super::{Children, Worker};
use crate::error::Result;
use crate::manager::settings::Settings;
use crate::sys::fd::packets::{self, Packets};
use crate::sys::fd::pipe::{self, Pipe};
use crate::sys::fd::sent_copy::{self, CopyInbox};
use crate::sys::log::stderr;
use crate::sys::process::child::Child;

/// A fork that was prepared and is not completed: the pipes of the new worker.
#[derive(Debug)]
pub(crate) struct Forking {
    slot: usize,
    /// Its standard error until it is ready.
    stderr: Option<Pipe>,
    /// Reports why it could not execute the program; closed when it has.
    exec_status: Option<Pipe>,
    /// Tells a child that the host forked that the manager knows it. At its end without a byte it is
    /// unknown.
    known: Option<Pipe>,
    /// The connection on which the worker is asked to fork a template: both ends.
    orders: Option<(Packets, Packets)>,
    /// The connection on which it sends a copy of that of its client: both ends.
    copies: Option<(CopyInbox, OwnedFd)>,
}

/// What a new worker has of that.
#[derive(Debug)]
pub(crate) struct Newborn {
    pub(crate) slot: usize,
    pub(crate) stderr: Option<Pipe>,
    pub(crate) exec_status: Option<OwnedFd>,
    pub(crate) known: Option<OwnedFd>,
    pub(crate) orders: Option<Packets>,
    pub(crate) copies: Option<OwnedFd>,
}

/// What the child of a fork gets, in the manager.
#[derive(Debug)]
pub(crate) struct ChildsEnds<'a> {
    pub(crate) stderr: Option<&'a Pipe>,
    pub(crate) exec_status: Option<&'a OwnedFd>,
    pub(crate) known: Option<&'a OwnedFd>,
    pub(crate) orders: Option<&'a OwnedFd>,
    pub(crate) copies: Option<&'a OwnedFd>,
}

impl Forking {
    /// # Errors
    /// There is no pipe for the result of exec: how the program starts would stay unknown.
    pub(crate) fn prepare(slot: usize, settings: &Settings, sends_copies: bool) -> Result<Self> {
        let stderr = stderr_pipe(settings);
        let is_program = settings.program.is_some();
        let exec_status = is_program.then(|| pipe::pipe("pipe of a program", true));
        Ok(Self {
            slot,
            stderr,
            exec_status: exec_status.transpose()?,
            known: None,
            // Without it the worker forks no template.
            orders: (settings.refork_after)
                .and_then(|_| packets::pair("connection to a worker").ok()),
            // Without it its client gets no answer if it is killed.
            copies: sends_copies.then(|| sent_copy::pair().ok()).flatten(),
        })
    }

    /// The host makes the call of fork(2).
    ///
    /// # Errors
    /// There is no pipe.
    pub(crate) fn prepare_known(&mut self) -> Result<()> {
        let pipe = pipe::pipe("pipe of a worker that the host forks", true)?;
        self.known = Some(pipe);
        Ok(())
    }

    pub(crate) const fn slot(&self) -> usize {
        self.slot
    }

    /// What the child gets.
    pub(crate) fn childs_ends(&self) -> ChildsEnds<'_> {
        ChildsEnds {
            stderr: self.stderr.as_ref(),
            exec_status: self.exec_status.as_ref().map(|pipe| &pipe.write),
            known: self.known.as_ref().map(|pipe| &pipe.read),
            orders: self.orders.as_ref().map(|(_, its)| its.fd()),
            copies: self.copies.as_ref().map(|(_, its)| its),
        }
    }

    /// In the child. It must not hold the other ends of these pipes: it would not see their end.
    pub(crate) fn into_newborn(self) -> Newborn {
        Newborn {
            slot: self.slot,
            stderr: self.stderr,
            exec_status: self.exec_status.map(|pipe| pipe.write),
            known: self.known.map(|pipe| pipe.read),
            orders: self.orders.map(|(_, its)| its),
            copies: self.copies.map(|(_, its)| its),
        }
    }
}

impl Children {
    /// Makes room for a new worker in this slot. The output of the previous one stays watched.
    pub(crate) fn vacate(&mut self, slot: usize) {
        if self.slots.len() <= slot {
            self.slots.resize_with(slot + 1, Worker::default);
        }
        let output = self.slots[slot].output.take();
        let open = output.filter(|output| output.pipe().is_some());
        self.detached.extend(open);
    }

    /// In the parent: the worker exists, and learns that it is known.
    pub(crate) fn add(&mut self, forking: Forking, child: Child) {
        let exec_status = forking.exec_status.map(|pipe| pipe.read);
        self.slots[forking.slot] = Worker {
            pid: child.pid(),
            child: Some(child),
            output: forking.stderr.map(|pipe| StartupOutput::new(pipe.read)),
            exec_status,
            orders: forking.orders.map(|(ours, _)| ours),
            copies: forking.copies.map(|(ours, _)| ours),
            ..Worker::default()
        };
        if let Some(pipe) = &forking.known {
            pipe::notify(&pipe.write);
        }
    }
}

/// A pipe for a new worker's standard error, if it is to be caught and there are descriptors.
pub(crate) fn stderr_pipe(settings: &Settings) -> Option<Pipe> {
    if !settings.catches_stderr || stderr::capacity() == stderr::Capacity::Closed {
        return None;
    }
    let pipe = pipe::pipe_to_read("standard error of a worker").ok()?;
    startup_output::is_affordable(&pipe).then_some(pipe)
}
