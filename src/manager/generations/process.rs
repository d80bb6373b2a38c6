//! A template as its manager knows it. The other half is in [`template`](crate::manager::template).

#[cfg(test)]
mod tests;

use std::os::fd::{BorrowedFd, OwnedFd};
use std::time::Duration;

use nix::errno::Errno;

use crate::manager::children::{Forking, OutputPause, StartupOutput, exit_of};
use crate::manager::event::How;
use crate::manager::template::message::{Report, fork_request};
use crate::pool::{Exit, TemplateId};
use crate::sys::fd::packets::{Packets, Received};
use crate::sys::process::adopted;
use crate::sys::process::child::Child;
use crate::sys::process::inspect;

/// How long a process that has closed its connection may take to exit. Then it is killed.
const EXIT_PATIENCE: Duration = Duration::from_millis(100);

/// A template that has not been reaped.
#[derive(Debug)]
pub(super) struct TemplateProcess {
    pub(super) id: TemplateId,
    /// The process that was started, or the one of its descendants that has become the template. `None`:
    /// it has exited, and a descendant has the connection.
    child: Option<Child>,
    pid: i32,
    control: Option<Packets>,
    output: Option<StartupOutput>,
    /// The process that reports to be ready, and is not a child of this one yet: a program that
    /// detaches from its parent (daemon(7)) has started it.
    announced: Option<i32>,
    /// A worker has forked it: what it reports may be false, and workers can be forked without it.
    is_warm: bool,
    due: Due,
    /// Children that this process had before the template, or its worker, was forked. None are
    /// known of a program that was started for a reload, which is trusted.
    pub(super) others: Vec<i32>,
    /// The options that its program has set.
    options: String,
    /// It is killed if it has not exited by then.
    exit_by: Option<Duration>,
    /// It was killed because it had not begun to.
    was_late: bool,
    /// Why it is being ended.
    reason: Option<String>,
}

/// What it is to report next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Due {
    Ready,
    Nothing,
    /// The result of the fork for this slot.
    Worker(usize),
}

/// What a template has reported.
#[derive(Debug)]
pub(super) enum News {
    Ready,
    Forked {
        slot: usize,
        pid: i32,
    },
    Failed {
        slot: usize,
        errno: i32,
    },
    /// It has exited, and was reaped; the reason.
    Ended(String),
}

impl TemplateProcess {
    /// Without a child: a worker was asked to fork it.
    pub(super) fn new(
        id: TemplateId,
        child: Option<Child>,
        control: Packets,
        output: Option<StartupOutput>,
    ) -> Self {
        let is_warm = child.is_none();
        Self {
            id,
            pid: child.as_ref().map_or(0, Child::pid),
            child,
            control: Some(control),
            output,
            announced: None,
            is_warm,
            due: Due::Ready,
            others: Vec::new(),
            options: String::new(),
            exit_by: None,
            was_late: false,
            reason: None,
        }
    }

    pub(super) const fn pid(&self) -> i32 {
        self.pid
    }

    pub(super) fn control(&self) -> Option<BorrowedFd<'_>> {
        self.control.as_ref().map(Packets::as_fd)
    }

    /// Readable when it has exited. `None`: that is to be checked at intervals.
    pub(super) fn pidfd(&self) -> Option<BorrowedFd<'_>> {
        let child = self.child.as_ref().filter(|child| !child.is_held());
        child.and_then(Child::pidfd)
    }

    pub(super) fn output(&self) -> Option<BorrowedFd<'_>> {
        self.output.as_ref().and_then(StartupOutput::pipe)
    }

    /// Forwards what it has written to standard error.
    pub(super) fn forward_output(&mut self, now: Duration, pause: &mut OutputPause) {
        if let Some(output) = &mut self.output {
            pause.note(output.forward(), now);
        }
    }

    /// Whether there may be news although none of its descriptors is ready.
    pub(super) fn is_due(&self, now: Duration) -> bool {
        self.pidfd().is_none() || self.exit_by.is_some_and(|by| by <= now)
    }

    /// When to check again whether it has exited.
    pub(super) const fn exit_by(&self) -> Option<Duration> {
        self.exit_by
    }

    /// Asks it to fork a worker. The error is errno.
    pub(super) fn request_fork(
        &mut self,
        forking: &Forking,
        region: &OwnedFd,
    ) -> std::result::Result<(), i32> {
        if self.is_warm {
            self.others = adopted::children();
        }
        self.due = Due::Worker(forking.slot());
        let control = self.control.as_ref().ok_or(libc::EPIPE)?;
        let ends = forking.childs_ends();
        let known = ends.known.ok_or(libc::EINVAL)?;
        let (bytes, descriptors) = fork_request(forking.slot(), region, known, &ends);
        control
            .send(&bytes, &descriptors)
            .map_err(|errno| errno as i32)
    }

    /// The options that its program has set.
    pub(super) fn options(&self) -> &str {
        &self.options
    }

    /// Whether only repeated checks show what happens to it.
    pub(super) fn is_unwatched(&self) -> bool {
        self.pidfd().is_none() && (self.child.is_some() || self.announced.is_some())
    }

    /// A warm template is abandoned when it cannot fork: the source before it may be able to.
    pub(super) fn could_not_fork(&mut self, now: Duration, errno: i32) {
        if self.is_warm {
            let why = Errno::from_raw(errno).desc();
            self.end(now, &format!("could not fork a worker: {why}"));
        }
    }

    /// Everything that has happened to it. What it reports may be false: its pid, or that of its worker,
    /// is not that of a process that `is_known` claims, or that existed before. A report that is not
    /// due ends it, so the number of reports that are read is limited.
    pub(super) fn take_news(&mut self, now: Duration, is_known: impl Fn(i32) -> bool) -> Vec<News> {
        let mut news = Vec::new();
        while let Some(control) = &self.control {
            match control.receive_bytes() {
                Ok(Received::Packet(bytes, _)) => match Report::decode(&bytes) {
                    Some(Report::Ready { pid, .. } | Report::Forked { pid, .. })
                        if is_known(pid) || self.others.contains(&pid) =>
                    {
                        self.end(now, "has reported the pid of another process");
                    }
                    Some(Report::Ready { pid, options }) if self.due == Due::Ready => {
                        self.due = Due::Nothing;
                        self.announced = Some(pid);
                        self.options = options;
                    }
                    Some(Report::Refused(why)) => self.end(now, &why),
                    Some(Report::Forked { slot, pid }) if self.due == Due::Worker(slot) => {
                        self.due = Due::Nothing;
                        news.push(News::Forked { slot, pid });
                    }
                    Some(Report::Failed { slot, errno }) if self.due == Due::Worker(slot) => {
                        self.due = Due::Nothing;
                        news.push(News::Failed { slot, errno });
                        self.could_not_fork(now, errno);
                    }
                    Some(Report::Ready { .. } | Report::Forked { .. } | Report::Failed { .. })
                    | None => self.end(now, "has sent what this library does not send"),
                },
                Ok(Received::Nothing) => break,
                Ok(Received::End) | Err(Errno::ECONNRESET) => {
                    self.control = None;
                    self.exit_by = Some(now + EXIT_PATIENCE);
                }
                Err(errno) => self.end(now, &format!("lost its connection: {}", errno.desc())),
            }
        }
        if self.has_become_ready(&is_known) {
            news.push(News::Ready);
        }
        if let Some(exit) = self.reap(now) {
            // A program that detaches from its parent has exited, and its child may become ready.
            if self.control.is_none() || exit != Exit::Code(0) {
                news.push(News::Ended(self.describe(exit)));
            }
        }
        news
    }

    /// Whether the process that reports to be ready is a child of this one, as it has to be.
    fn has_become_ready(&mut self, is_known: impl Fn(i32) -> bool) -> bool {
        // One that has not become a child may have ended, and its number be that of a worker.
        let Some(pid) = self.announced.filter(|pid| !is_known(*pid)) else {
            return false;
        };
        if self.child.as_ref().map(Child::pid) != Some(pid) {
            let Some(child) = Child::of_this_process(pid) else {
                return false;
            };
            self.pid = pid;
            self.child = Some(child);
        }
        self.announced = None;
        true
    }

    fn reap(&mut self, now: Duration) -> Option<Exit> {
        let is_late = self.exit_by.is_some_and(|by| by <= now);
        let Some(child) = &mut self.child else {
            if is_late {
                let who = if self.pid == 0 { "the worker " } else { "" };
                self.reason.get_or_insert_with(|| {
                    format!("{who}has closed its connection to the manager")
                });
            }
            return is_late.then_some(Exit::Unknown);
        };
        if is_late {
            // Also one that was killed, and waits for a CPU, has closed its connection.
            self.was_late |= !inspect::is_exiting(child.pid());
            child.signal(libc::SIGKILL);
            self.exit_by = Some(now + EXIT_PATIENCE);
        }
        let ended = child.try_wait()?;
        self.child = None;
        if let Some(output) = &mut self.output {
            output.forward_rest();
        }
        Some(exit_of(ended))
    }

    fn describe(&self, exit: Exit) -> String {
        let how = match (&self.reason, exit) {
            (Some(reason), _) => reason.clone(),
            (None, Exit::Signal(libc::SIGKILL)) if self.was_late => {
                "has closed its connection to the manager, and did not exit".to_owned()
            }
            // Also if it was late: it was exiting, and waited for a CPU.
            (None, _) => How(exit).to_string(),
        };
        let tail = self.output.as_ref().and_then(StartupOutput::tail);
        let tail = tail.map_or_else(String::new, |tail| format!("; {tail}"));
        format!("{how}{tail}")
    }

    /// Ends it: it is to be reaped.
    pub(super) fn end(&mut self, now: Duration, reason: &str) {
        self.reason.get_or_insert_with(|| reason.to_owned());
        self.control = None;
        self.exit_by = Some(now + EXIT_PATIENCE);
        if let Some(child) = &self.child {
            child.signal(libc::SIGKILL);
        }
    }
}
