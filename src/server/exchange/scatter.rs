//! Input that is received where the application wants it, so that it is not copied.
//!
//! A record's successor usually has its length. So one call takes several: their contents go to the caller, one
//! behind the other, and what stands between them, padding and a header, into the receive buffer. There the
//! contents' own places stay free: if a header says something else, what came behind it is put back there.

use std::io::IoSliceMut;
use std::os::fd::AsFd as _;

use crate::conn::Coming;
use crate::server::request::{BUFFER, Input, Request};
use crate::sys::fd::io::{self, Received};

/// Shorter reads, and records, are copied out of the buffer: a place for each would cost as much.
const WORTH: usize = 4 * 1024;

/// More than a buffer has room for: the first content, gaps and contents in turn, and what comes behind.
const PLACES: usize = 2 + 2 * (BUFFER / WORTH);

/// After so many wrong guesses in one request no more are made: each costs a copy more than none.
const SURPRISES: u8 = 4;

/// Where the bytes of one call go, in their order.
#[derive(Clone, Copy, Debug)]
struct Plan {
    /// Content of the record that is coming: to the caller.
    first: usize,
    /// In front of each guessed content: to the buffer.
    gap: usize,
    /// The length of each guessed content; of the last one some may be left for later.
    length: usize,
    /// Guessed contents, all together: to the caller.
    guessed: usize,
    /// To the buffer.
    behind: usize,
}

impl Plan {
    /// For a caller that wants so much, and has got so much before by the same wish.
    fn new(coming: Coming, wanted: usize, before: usize, guesses: bool) -> Self {
        let Coming { left, length, gap } = coming;
        let first = left.min(wanted);
        let (mut guessed, mut room, mut is_at_end) = (0, BUFFER, first == left);
        while guesses && is_at_end && first + guessed < wanted && room > gap {
            let content = length.min(wanted - first - guessed).min(room - gap);
            room -= gap + content;
            guessed += content;
            is_at_end = content == length;
        }
        // As much in all as without this, so that small reads cost no more calls.
        let ahead = BUFFER.saturating_sub(before + first + guessed);
        let least = if is_at_end { gap } else { 0 };
        Self {
            first,
            gap,
            length,
            guessed,
            behind: ahead.max(least).min(room),
        }
    }

    const fn total(self) -> usize {
        let gaps = self.guessed.div_ceil(self.length) * self.gap;
        self.first + self.guessed + gaps + self.behind
    }

    /// The places, and how many.
    fn places<'p>(
        self,
        caller: &'p mut [u8],
        mut buffer: &'p mut [u8],
    ) -> ([IoSliceMut<'p>; PLACES], usize) {
        let mut places = [const { None }; PLACES];
        let (first, mut guessed) = caller[..self.first + self.guessed].split_at_mut(self.first);
        places[0] = Some(first);
        let mut used = 1;
        while !guessed.is_empty() {
            let gap;
            (gap, buffer) = buffer.split_at_mut(self.gap);
            let length = self.length.min(guessed.len());
            buffer = &mut buffer[length..];
            let content;
            (content, guessed) = guessed.split_at_mut(length);
            places[used] = Some(gap);
            places[used + 1] = Some(content);
            used += 2;
        }
        if self.behind > 0 {
            places[used] = Some(&mut buffer[..self.behind]);
            used += 1;
        }
        let slices = places.map(|place| IoSliceMut::new(place.unwrap_or_default()));
        (slices, used)
    }
}

impl Request {
    /// Receives input when all that was received has been decoded and read, in part or all to the caller, who
    /// has got so much before by the same wish. Of the bytes that it tells of all went to the caller; when there are
    /// none, there are bytes to decode.
    pub(in crate::server) fn receive_into(
        &mut self,
        caller: &mut [u8],
        before: usize,
    ) -> nix::Result<Received> {
        self.enter_input()?;
        let coming = self.inbound.coming();
        let Some((coming, link)) = coming
            .filter(|coming| coming.length.min(before + caller.len()) >= WORTH)
            .zip(self.link.as_ref())
        else {
            return Ok(match self.receive()? {
                Received::Bytes(_) => Received::Bytes(0),
                none => none,
            });
        };
        let plan = Plan::new(coming, caller.len(), before, self.surprises < SURPRISES);
        let received = {
            let (mut places, used) = plan.places(caller, &mut self.buffer);
            io::receive_apart(link.fd.as_fd(), &mut places[..used])?
        };
        Ok(match received {
            Received::Bytes(count) => {
                self.has_caught_up = count < plan.total();
                Received::Bytes(self.take_apart(plan, caller, count))
            }
            none => none,
        })
    }

    /// So many bytes have come into their places. Returns how many of them are content that the caller has.
    fn take_apart(&mut self, plan: Plan, caller: &mut [u8], count: usize) -> usize {
        let mut taken = count.min(plan.first);
        self.inbound.pass(taken);
        let mut rest = count - taken;
        let mut at = 0;
        let mut guessed = plan.guessed;
        while guessed > 0 && rest > plan.gap {
            self.unread = at..at + plan.gap;
            at += plan.gap;
            rest -= plan.gap;
            while !self.is_drained() && matches!(self.input, Input::Open) {
                self.advance();
            }
            let content = plan.length.min(guessed);
            if !self.is_as_guessed(plan) {
                self.surprises += 1;
                put_back(
                    plan,
                    &caller[taken..],
                    &mut self.buffer[at..],
                    guessed,
                    rest,
                );
                self.unread.end = at + rest;
                return taken;
            }
            let arrived = content.min(rest);
            self.inbound.pass(arrived);
            taken += arrived;
            rest -= arrived;
            at += content;
            guessed -= content;
        }
        // Here nothing is guessed any more, or not even a gap is full.
        self.unread = at..at + rest;
        taken
    }

    /// Whether a record has begun that is like the last one.
    fn is_as_guessed(&self, plan: Plan) -> bool {
        let like = Coming {
            left: plan.length,
            length: plan.length,
            gap: plan.gap,
        };
        matches!(self.input, Input::Open) && self.inbound.coming() == Some(like)
    }
}

/// Puts contents that are none into their places in the buffer. `rest` bytes have come, from the first of them on,
/// of which the caller was to have `guessed` at most.
fn put_back(plan: Plan, caller: &[u8], buffer: &mut [u8], mut guessed: usize, mut rest: usize) {
    let (mut from, mut to) = (0, 0);
    while guessed > 0 && rest > 0 {
        let content = plan.length.min(guessed);
        let arrived = content.min(rest);
        buffer[to..to + arrived].copy_from_slice(&caller[from..from + arrived]);
        from += content;
        to += content + plan.gap;
        guessed -= content;
        rest -= arrived;
        rest -= rest.min(plan.gap);
    }
}
