//! Input that is received into the application's memory, so that it is not copied.
//!
//! A record usually has the length of the one before. So one call receives several: their contents go
//! to the caller, one behind the other; the padding and the header between them go to the receive
//! buffer. There the places of the contents stay free: if a header turns out to be another one, what
//! came behind it is moved there.

use std::io::IoSliceMut;
use std::os::fd::AsFd as _;

use super::buffer::BUFFER;
use super::input::{Input, Reader};
use crate::conn::Coming;
use crate::sys::fd::io::{self, Received};

/// Shorter reads, and records, are copied from the buffer: a place for each would cost as much.
const SCATTERED_MIN: usize = 4 * 1024;

/// More than fit into a buffer: the first content, gaps and contents in turn, and what comes behind.
const PLACES: usize = 2 + 2 * (BUFFER / SCATTERED_MIN);

/// After this many wrong guesses in one request no more are made: each costs a copy.
const WRONG_GUESSES_MAX: u8 = 4;

/// Where the bytes of one call go, in their order.
#[derive(Clone, Copy, Debug)]
struct ScatterPlan {
    /// Content of the record that is coming: to the caller.
    first: usize,
    /// Padding and header in front of each guessed content: to the buffer.
    gap: usize,
    /// The length of each guessed content; the last one may be cut.
    length: usize,
    /// Guessed contents, in total: to the caller.
    guessed: usize,
    /// To the buffer.
    behind: usize,
}

impl ScatterPlan {
    /// For a caller that wants this many bytes, and has got `before` by the same call.
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
        // As much in total as without scattering, so that small reads cost no more calls.
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

    /// The places, and their number.
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

impl Reader<'_> {
    /// Receives input when everything received has been decoded and read, in part or all to the caller,
    /// which has got `before` bytes by the same call. The bytes that it returns are all the caller's;
    /// when there are none, there are bytes to decode.
    pub(super) fn receive_into(
        &mut self,
        caller: &mut [u8],
        before: usize,
    ) -> nix::Result<Received> {
        let wanted = before + caller.len();
        let is_worth_it = |coming: &Coming| coming.length.min(wanted) >= SCATTERED_MIN;
        let Some(coming) = self.inbound.coming().filter(is_worth_it) else {
            return Ok(match self.receive()? {
                Received::Bytes(_) => Received::Bytes(0),
                none => none,
            });
        };
        self.enter()?;
        let guesses = *self.wrong_guesses < WRONG_GUESSES_MAX;
        let plan = ScatterPlan::new(coming, caller.len(), before, guesses);
        let received = {
            let (mut places, used) = plan.places(caller, self.buffer.memory());
            io::receive_scattered(self.writer.connection.as_fd(), &mut places[..used])?
        };
        Ok(match received {
            Received::Bytes(count) => {
                self.buffer.socket_drained = count < plan.total();
                Received::Bytes(self.take_apart(plan, caller, count))
            }
            none => none,
        })
    }

    /// These bytes of the input are in the caller's memory.
    fn pass(&mut self, count: usize) {
        self.inbound.pass(count);
        self.buffer.received += count as u64;
    }

    /// This many bytes have come into their places. Returns how many of them are content that the caller
    /// has.
    fn take_apart(&mut self, plan: ScatterPlan, caller: &mut [u8], count: usize) -> usize {
        let mut taken = count.min(plan.first);
        self.pass(taken);
        let mut rest = count - taken;
        let mut at = 0;
        let mut guessed = plan.guessed;
        while guessed > 0 && rest > plan.gap {
            self.buffer.undecoded = at..at + plan.gap;
            at += plan.gap;
            rest -= plan.gap;
            while !self.buffer.is_decoded() && matches!(self.input, Input::Open) {
                self.advance();
            }
            let content = plan.length.min(guessed);
            if !self.is_as_guessed(plan) {
                *self.wrong_guesses += 1;
                let behind = &mut self.buffer.memory()[at..];
                put_back(plan, &caller[taken..], behind, guessed, rest);
                self.buffer.undecoded.end = at + rest;
                return taken;
            }
            let arrived = content.min(rest);
            self.pass(arrived);
            taken += arrived;
            rest -= arrived;
            at += content;
            guessed -= content;
        }
        // Here nothing is guessed any more, or not even a gap is full.
        self.buffer.undecoded = at..at + rest;
        taken
    }

    /// Whether a record has begun that is like the last one.
    fn is_as_guessed(&self, plan: ScatterPlan) -> bool {
        let like = Coming {
            left: plan.length,
            length: plan.length,
            gap: plan.gap,
        };
        matches!(self.input, Input::Open) && self.inbound.coming() == Some(like)
    }
}

/// Moves what is not content to its place in the buffer. `rest` bytes have come from the first wrong
/// content on, of which the caller was to have `guessed` at most.
fn put_back(
    plan: ScatterPlan,
    caller: &[u8],
    buffer: &mut [u8],
    mut guessed: usize,
    mut rest: usize,
) {
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
