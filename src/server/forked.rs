//! A request in the children of the process that accepted it.

use std::time::Duration;

use super::owner::OwnerPid;
use super::request::Request;
use crate::error::{Code, Error, Result};
use crate::worker::LoopStatus;

impl Request {
    /// Whether this process made it, so that it is not a copy from before a fork.
    #[must_use]
    #[inline]
    pub fn is_of_this_process(&self) -> bool {
        self.owner.is_this_process()
    }

    /// Leaves the request that is being served to a child, forked before or afterwards. This process
    /// does not answer.
    ///
    /// # Errors
    /// [`Code::State`] when there is no request, [`Code::Forked`] in a child that has no part in it.
    pub fn leave_to_child(&mut self) -> Result<()> {
        self.check_active_here("detach")?;
        self.exchange.sharing_mut().leave();
        Ok(())
    }

    /// Takes a request back that was left, as long as no child has taken it.
    ///
    /// # Errors
    /// [`Code::State`] when there is no request, or a child has it; [`Code::Forked`] in a child.
    pub fn reclaim(&mut self) -> Result<()> {
        self.check_active_here("attach")?;
        if self.exchange.sharing_mut().reclaim() {
            return Ok(());
        }
        Err(Error::new(
            Code::State,
            "attach: a child has taken the request",
        ))
    }

    /// In a child of the process that accepted it: this process has a part in the request that is being
    /// served, or takes it if it was left; everything else of this stays the parent's. Does nothing in
    /// any other process.
    pub fn continue_in_child(&mut self) {
        // A copy that was made without a trace has no part in it.
        let is_unknown = self.is_active() && !self.exchange.sharing().has_forked();
        if self.is_of_this_process() || is_unknown {
            return;
        }
        self.enter_child();
        self.owner = OwnerPid::this_process();
        if self.is_active() && self.exchange.sharing().take_left() {
            self.exchange.keep_in_child();
        }
    }

    /// In a child of the process that accepted it: the input can be read. The response stays the
    /// parent's.
    ///
    /// # Errors
    /// [`Code::State`] when there is no request, [`Code::Forked`] in a child of another kind than
    /// fork(3) makes.
    pub fn read_in_child(&mut self) -> Result<()> {
        if self.is_of_this_process() {
            return self.check_active_here("read");
        }
        if !self.is_active() || !self.exchange.sharing().has_forked() {
            return self.owner.check();
        }
        self.enter_child();
        self.exchange.sharing_mut().allow_reading();
        Ok(())
    }

    /// Whether this process is to answer: it accepted the request and has not left it, or it is a child
    /// that the request was left to, or is within this time.
    pub fn belongs_here(&mut self, patience: Duration) -> bool {
        let sharing = self.exchange.sharing();
        if !self.is_active() {
            return false;
        }
        if self.is_of_this_process() && !sharing.is_guest() {
            return !sharing.is_left();
        }
        sharing.is_left_within(patience)
    }

    /// Whether the request that is being served ends with this process.
    #[must_use]
    pub fn keeps_request(&self) -> bool {
        self.is_active() && self.is_of_this_process() && !self.exchange.sharing().is_guest()
    }

    /// In a new worker that is a copy of this one: everything here is the other's, and there is no
    /// request.
    pub(super) fn begin_anew(&mut self) {
        self.acceptor.forget_in_child();
        self.status = LoopStatus::default();
        self.owner = OwnerPid::this_process();
    }

    /// A child has copies of everything. What is watched, the parent continues to watch; the copies are
    /// only closed.
    fn enter_child(&mut self) {
        if self.exchange.enter_child() {
            self.acceptor.forget_in_child();
            self.status = LoopStatus::default();
        }
    }

    /// In a child, takes a request that was left.
    #[cold]
    pub(super) fn take_left(&mut self) {
        let sharing = self.exchange.sharing();
        let may_take = !self.is_of_this_process() && self.is_active();
        if may_take && sharing.has_forked() && sharing.take_left() {
            self.enter_child();
            self.owner = OwnerPid::this_process();
            self.exchange.keep_in_child();
        }
    }
}
