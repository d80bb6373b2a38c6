//! A request in the children of the process that accepted it. One process at a time *keeps* it: its connection ends
//! with that one. The others are *guests*, who add to the response for as long as it lasts (`sys/ownership.rs`).

use std::time::Duration;

use crate::error::{Code, Error, Result};
use crate::server::request::{Prospect, Request};
use crate::sys::log::{self, Level};
use crate::sys::process;
use crate::sys::process::forks::Mark;
use crate::sys::process::request_owner::{Ending, Entry, Ownership};
use crate::worker::LoopStatus;

/// What a request's processes have to do with it.
#[derive(Debug)]
pub(in crate::server) struct Sharing {
    ownership: Ownership,
    /// When the request began.
    begun: Mark,
    /// This process keeps the request, and has left it to its children.
    has_left: bool,
    /// It was left at some time.
    was_left: bool,
    /// This process is a child, and does not keep the request.
    is_guest: bool,
    /// This process is a child.
    is_child: bool,
    /// The child that reads the input, though it has not gone on with the request.
    reader: i32,
}

impl Sharing {
    pub(in crate::server) fn new() -> Self {
        Self {
            ownership: Ownership::new(),
            begun: Mark::now(),
            has_left: false,
            was_left: false,
            is_guest: false,
            is_child: false,
            reader: 0,
        }
    }

    /// A request begins, which nobody else has to do with.
    pub(in crate::server) fn begin(&mut self) {
        self.begun = Mark::now();
        self.has_left = false;
        self.was_left = false;
        self.is_guest = false;
        self.is_child = false;
        self.reader = 0;
    }

    /// The request is over, and others keep what they know of it.
    #[cold]
    fn renew(&mut self) {
        self.ownership.renew();
        self.was_left = false;
        self.has_left = false;
        self.is_guest = false;
    }

    /// Whether others may have to do with the request. While nothing forks, they have not, and this is all that a request
    /// pays for them: two loads wherever something is sent or ended.
    #[inline]
    fn may_have_others(&self) -> bool {
        self.begun.has_forked_since() || self.was_left
    }
}

impl Request {
    /// Whether this process made it, so that it is not a copy from before a fork.
    #[must_use]
    #[inline]
    pub fn is_of_this_process(&self) -> bool {
        self.pid == process::pid()
    }

    /// Leaves the request that is being served to a child, forked before or afterwards. This process does not answer.
    ///
    /// # Errors
    /// [`Code::State`] when there is no request, [`Code::Forked`] in a child that has no part in it.
    pub fn leave_to_child(&mut self) -> Result<()> {
        self.check_active_here("detach")?;
        if !self.sharing.is_guest && !self.sharing.has_left {
            self.sharing.was_left = true;
            // Otherwise a child has ended it.
            self.sharing.has_left = self.sharing.ownership.leave();
        }
        Ok(())
    }

    /// Takes a request back that was left, as long as no child has taken it.
    ///
    /// # Errors
    /// [`Code::State`] when there is no request, or a child has it; [`Code::Forked`] in a child.
    pub fn take_back(&mut self) -> Result<()> {
        self.check_active_here("attach")?;
        if self.sharing.has_left {
            if !self.sharing.ownership.take() {
                return Err(Error::new(
                    Code::State,
                    "attach: a child has taken the request",
                ));
            }
            self.sharing.has_left = false;
        }
        Ok(())
    }

    /// In a child of the process that accepted it: this process has a part in the request that is being served, or takes
    /// it if it was left; everything else of this stays the parent's. Does nothing in any other process.
    pub fn go_on_in_child(&mut self) {
        // Whoever was copied without anybody's knowledge is not reckoned with.
        let is_unknown = self.active && !self.sharing.begun.has_forked_since();
        if self.is_of_this_process() || is_unknown {
            return;
        }
        self.enter_child();
        self.pid = process::pid();
        if self.active && self.sharing.ownership.take() {
            self.keep_in_child();
        }
    }

    /// In a child of the process that accepted it: the input can be read. The response stays the parent's.
    ///
    /// # Errors
    /// [`Code::State`] when there is no request, [`Code::Forked`] in a child of another kind than fork(3) makes.
    pub fn read_in_child(&mut self) -> Result<()> {
        if self.is_of_this_process() {
            return self.check_active_here("read");
        }
        if !self.active || !self.sharing.begun.has_forked_since() {
            return self.check_process();
        }
        self.enter_child();
        self.sharing.reader = process::pid();
        Ok(())
    }

    /// Whether this process is to answer: it accepted the request and has not left it, or it is a child that the request
    /// was left to, or is within this time.
    pub fn belongs_here(&mut self, patience: Duration) -> bool {
        if !self.active {
            return false;
        }
        if self.is_of_this_process() && !self.sharing.is_guest {
            return !self.sharing.has_left;
        }
        self.sharing.begun.has_forked_since() && self.sharing.ownership.is_left_within(patience)
    }

    /// A child has copies of everything. What is watched, the parent goes on to watch; they are only closed.
    fn enter_child(&mut self) {
        if self.sharing.is_child && self.sharing.reader == process::pid() {
            return;
        }
        self.sharing.is_child = true;
        self.sharing.is_guest = true;
        self.sharing.has_left = false;
        self.parking = None;
        self.has_offered = false;
        self.status = LoopStatus::default();
        self.prospect = Prospect::Kept;
        self.drain = None;
        self.accepts = None;
        if let Some(link) = &mut self.link {
            link.watched = false;
        }
    }

    fn keep_in_child(&mut self) {
        self.sharing.is_guest = false;
        if let Some(link) = &mut self.link {
            link.fd.take();
        }
    }

    /// Takes a request that was left, in a child.
    #[cold]
    pub(in crate::server) fn take_if_left(&mut self) {
        if !self.is_of_this_process()
            && self.active
            && self.sharing.begun.has_forked_since()
            && self.sharing.ownership.take()
        {
            self.enter_child();
            self.pid = process::pid();
            self.keep_in_child();
        }
    }

    /// Whether this process is a child that may read.
    pub(in crate::server) fn reads_in_child(&self) -> bool {
        self.sharing.reader != 0 && self.sharing.reader == process::pid()
    }

    /// Whether the request that is being served ends with this process.
    #[must_use]
    pub fn keeps_request(&self) -> bool {
        self.active && self.is_of_this_process() && !self.sharing.is_guest
    }

    /// Whether this process is a child that does not keep the request.
    pub(in crate::server) const fn is_guest(&self) -> bool {
        self.sharing.is_guest
    }

    /// Whether this process is a child of the one that accepted the request.
    pub(in crate::server) const fn is_in_child(&self) -> bool {
        self.sharing.is_child
    }

    /// Before something is received from the connection.
    pub(in crate::server) fn enter_input(&self) -> nix::Result<()> {
        if self.sharing.is_guest && !self.sharing.ownership.share_input() {
            return Err(nix::errno::Errno::EPIPE);
        }
        Ok(())
    }

    /// Before something of the active request is sent. True: [`leave_response`](Self::leave_response) follows.
    ///
    /// # Errors
    /// The response is another process's, or was ended.
    #[inline]
    pub(in crate::server) fn enter_response(&mut self) -> Result<bool> {
        if self.active && self.sharing.may_have_others() {
            return self.enter_shared_response();
        }
        Ok(false)
    }

    #[cold]
    fn enter_shared_response(&mut self) -> Result<bool> {
        if self.sharing.is_guest {
            match self.sharing.ownership.enter_writing() {
                Entry::Writer => return Ok(true),
                Entry::Keeper => self.keep_in_child(),
                Entry::Refused => return Err(self.refuse_output()),
            }
            return Ok(false);
        }
        // Who writes to a request that it has left takes it back.
        let is_lost = if self.sharing.has_left {
            !self.sharing.ownership.take()
        } else {
            self.sharing.ownership.has_ended()
        };
        if is_lost {
            return Err(self.refuse_output());
        }
        self.sharing.has_left = false;
        Ok(false)
    }

    pub(in crate::server) fn leave_response(&self, entered: bool) {
        if entered {
            self.sharing.ownership.leave_writing();
        }
    }

    /// What was to be sent is dropped, which is logged once for a request.
    fn refuse_output(&mut self) -> Error {
        self.outbound.clear();
        let error = Error::caused(
            Code::Closed,
            "response: another process has ended the request, or answers it",
            libc::EPIPE,
        );
        log::limited(
            Level::Warning,
            "output is dropped: it came for a request that another process has ended, or answers",
        );
        self.output_error = Some(error.clone());
        error
    }

    /// The request is about to be finished.
    #[inline]
    pub(in crate::server) fn settle_end(&mut self) -> Ending {
        if self.sharing.may_have_others() {
            return self.settle_shared_end();
        }
        Ending::Whole
    }

    #[cold]
    fn settle_shared_end(&mut self) -> Ending {
        let ending = if self.sharing.is_guest {
            let took = self.sharing.ownership.take_end();
            if took {
                self.keep_in_child();
            }
            if took { Ending::Shared } else { Ending::Lost }
        } else {
            self.sharing.ownership.end(self.sharing.has_left)
        };
        match ending {
            Ending::Whole if self.sharing.is_child => Ending::Shared,
            ending => ending,
        }
    }

    /// The request is about to be abandoned. False: its connection is another process's.
    pub(in crate::server) fn settle_abandon(&mut self) -> bool {
        if !self.sharing.may_have_others() {
            return true;
        }
        if self.sharing.is_guest || self.sharing.has_left {
            return false;
        }
        self.sharing.ownership.end(false) != Ending::Lost
    }

    /// Another process answers. Its connection stays open there.
    pub(in crate::server) fn lose(&mut self) -> Result<()> {
        let outcome = if self.sharing.has_left {
            Ok(())
        } else {
            // Logged before, if anything was to be sent before.
            self.check_output().and_then(|()| {
                if self.outbound.is_empty() {
                    return Ok(());
                }
                Err(self.refuse_output())
            })
        };
        self.reclaim_parked();
        self.status.abandoned();
        self.inbound.finish();
        self.outbound.clear();
        self.leave_connection();
        outcome
    }

    /// Closes the connection here alone.
    pub(in crate::server) fn leave_connection(&mut self) {
        if let Some(link) = &mut self.link {
            link.fd.leave();
        }
        self.close();
    }

    /// The request is over: what children know of it concerns no further one.
    #[inline]
    pub(in crate::server) fn end_sharing(&mut self) {
        if self.sharing.may_have_others() {
            self.sharing.renew();
        }
    }

    /// Ends a request that the host has not ended.
    pub(in crate::server) fn finish_or_leave(&mut self) -> Result<()> {
        if self.sharing.has_left {
            self.abandon()
        } else {
            self.finish()
        }
    }
}
