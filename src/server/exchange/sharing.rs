//! A request in the children of the process that accepted it. One process at a time *keeps* it: its
//! connection ends with that one. The others are *guests*, which add to the response while it lasts
//! (`sys/process/request_owner.rs`).

use std::time::Duration;

use crate::sys::process;
use crate::sys::process::forks::Mark;
use crate::sys::process::request_owner::{Ending, Entry, Ownership};

/// The part of this process in the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// It answers.
    Keeper,
    /// It keeps the request, and has left it to its children.
    Left,
    /// It is a child that does not keep the request.
    Guest,
}

/// What other processes have to do with the current request.
#[derive(Debug)]
pub(in crate::server) struct Sharing {
    ownership: Ownership,
    /// When the request began.
    begun: Mark,
    part: Part,
    /// It was left at some time.
    was_left: bool,
    /// This process is a child of the one that accepted the request.
    is_child: bool,
    /// The child that reads the input and has no other part in the request.
    reader: i32,
}

impl Sharing {
    pub(super) fn new() -> Self {
        Self {
            ownership: Ownership::new(),
            begun: Mark::now(),
            part: Part::Keeper,
            was_left: false,
            is_child: false,
            reader: 0,
        }
    }

    /// A request begins, of which no other process knows.
    pub(super) fn begin(&mut self) {
        self.begun = Mark::now();
        self.part = Part::Keeper;
        self.was_left = false;
        self.is_child = false;
        self.reader = 0;
    }

    /// The request is over: what children know of it does not apply to further ones.
    #[inline]
    pub(super) fn end(&mut self) {
        if self.may_have_others() {
            self.renew();
        }
    }

    #[cold]
    fn renew(&mut self) {
        self.ownership.renew();
        self.was_left = false;
        self.part = Part::Keeper;
    }

    /// Whether other processes may have a part in the request. While nothing forks they have not, and
    /// this is its whole cost: two loads wherever something is sent or ended.
    #[inline]
    pub(super) fn may_have_others(&self) -> bool {
        self.begun.has_forked_since() || self.was_left
    }

    /// Whether this process has forked in the request, or was forked in it.
    pub(in crate::server) fn has_forked(&self) -> bool {
        self.begun.has_forked_since()
    }

    pub(in crate::server) fn is_guest(&self) -> bool {
        self.part == Part::Guest
    }

    pub(in crate::server) fn is_left(&self) -> bool {
        self.part == Part::Left
    }

    pub(super) const fn is_in_child(&self) -> bool {
        self.is_child
    }

    /// Leaves the request to a child.
    pub(in crate::server) fn leave(&mut self) {
        if self.part == Part::Keeper {
            self.was_left = true;
            // Otherwise a child has ended it.
            if self.ownership.leave() {
                self.part = Part::Left;
            }
        }
    }

    /// Takes a request back that was left. False: a child has taken it.
    pub(in crate::server) fn reclaim(&mut self) -> bool {
        if self.part == Part::Left {
            if !self.ownership.take() {
                return false;
            }
            self.part = Part::Keeper;
        }
        true
    }

    /// In a child: takes the request if it was left.
    pub(in crate::server) fn take_left(&self) -> bool {
        self.ownership.take()
    }

    /// This process is a child, and has not kept the request so far. False: it was known.
    pub(super) fn enter_child(&mut self) -> bool {
        if self.is_child && self.is_reader() {
            return false;
        }
        self.is_child = true;
        self.part = Part::Guest;
        true
    }

    /// A child keeps the request from here on.
    pub(super) fn keep(&mut self) {
        self.part = Part::Keeper;
    }

    /// This process, a child, may read the input.
    pub(in crate::server) fn allow_reading(&mut self) {
        self.reader = process::pid();
    }

    /// Whether this process is a child that may read the input.
    pub(in crate::server) fn is_reader(&self) -> bool {
        self.reader != 0 && self.reader == process::pid()
    }

    /// Whether the request is left, or is within this time.
    pub(in crate::server) fn is_left_within(&self, patience: Duration) -> bool {
        self.has_forked() && self.ownership.is_left_within(patience)
    }

    /// Before something is received from the connection.
    pub(super) fn enter_input(&self) -> nix::Result<()> {
        if self.is_guest() && !self.ownership.share_input() {
            return Err(nix::errno::Errno::EPIPE);
        }
        Ok(())
    }

    /// Before something is sent where [others](Self::may_have_others) may send, too.
    #[cold]
    pub(super) fn enter_writing(&mut self) -> Entry {
        let may_write = match self.part {
            Part::Guest => return self.ownership.enter_writing(),
            // A process that writes to a request that it has left takes it back.
            Part::Left => self.reclaim(),
            Part::Keeper => !self.ownership.has_ended(),
        };
        if may_write {
            Entry::Keeper
        } else {
            Entry::Refused
        }
    }

    pub(super) fn leave_writing(&self) {
        self.ownership.leave_writing();
    }

    /// The request is about to be finished.
    #[inline]
    pub(super) fn settle_end(&mut self) -> Ending {
        if self.may_have_others() {
            return self.settle_shared_end();
        }
        Ending::Whole
    }

    #[cold]
    fn settle_shared_end(&mut self) -> Ending {
        let ending = match self.part {
            Part::Guest if self.ownership.take_end() => {
                self.keep();
                Ending::Shared
            }
            Part::Guest => Ending::Lost,
            Part::Keeper | Part::Left => self.ownership.end(self.is_left()),
        };
        match ending {
            Ending::Whole if self.is_child => Ending::Shared,
            ending => ending,
        }
    }

    /// The request is about to be abandoned. False: its connection is another process's.
    pub(super) fn settle_abandon(&mut self) -> bool {
        if !self.may_have_others() {
            return true;
        }
        self.part == Part::Keeper && self.ownership.end(false) != Ending::Lost
    }
}
