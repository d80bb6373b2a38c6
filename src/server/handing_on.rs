//! Connections on their way from one worker to another, over the queue that all of them share.

use std::os::fd::AsFd as _;
use std::time::{Duration, Instant};

use nix::errno::Errno;

use super::link::Link;
use super::parking::{Found, Parked, Parking, Standing};
use super::request::{Prospect, Request};
use super::supervision::{self, Retirement, Supervision};
use crate::conn::Suspended;
use crate::error::{Error, Result};
use crate::sys::fd::handover;
use crate::sys::fd::handover::Received;
use crate::sys::log::{self, Level};
use crate::sys::socket::listen;

/// How long a worker that leaves waits for a peer that stopped in the middle of a record that belongs
/// to no request.
const PATIENCE: Duration = Duration::from_secs(1);

/// How often a full hand-over queue is tried again.
const RETRY: Duration = Duration::from_millis(10);

impl Request {
    /// Takes over a connection that another worker handed on, if one waits.
    pub(super) fn take_over(&mut self, supervision: &Supervision) {
        /// Messages before other things are looked at: a hostile worker may send without end.
        const AT_ONCE: usize = 64;
        let parking = self.parking.as_ref();
        if parking.is_some_and(Parking::is_full_for_handover) {
            return;
        }
        for _ in 0..AT_ONCE {
            if self.link.is_some() {
                break;
            }
            let (Some(listener), false) = (listen::borrow(self.listener), handover::is_flooded())
            else {
                self.ignore_handover(supervision);
                break;
            };
            match handover::take(supervision.handover.1.as_fd()) {
                Ok(Received::Nothing) => break,
                Ok(Received::Rubbish) => report_rubbish(),
                Ok(Received::Queued(queued, standing)) => {
                    let Some(fd) = queued.check(listener) else {
                        report_rubbish();
                        continue;
                    };
                    let peer = listen::peer_of(fd.as_fd());
                    let link = Link::received(fd, peer);
                    // The manager, who may have accepted it, does not know who is admitted.
                    if self.admits(peer) && !self.hung_up.look(&link, &self.report) {
                        let is_fresh = standing == supervision::SILENT;
                        self.set_current(link, Suspended::fresh(), is_fresh);
                    }
                }
                // One of the workers has shut it down. It would be readable for ever.
                Err(Errno::EPIPE) => {
                    self.ignore_handover(supervision);
                    break;
                }
                Err(errno) => {
                    // Whoever has a descriptor left takes it.
                    if let Some(parking) = &mut self.parking {
                        parking.leave_handover_to_others(supervision);
                    }
                    log::limited(
                        Level::Warning,
                        &format!("taking over a kept connection: {}", errno.desc()),
                    );
                    break;
                }
            }
        }
    }

    fn ignore_handover(&mut self, supervision: &Supervision) {
        if let Some(parking) = &mut self.parking {
            parking.ignore_handover(supervision);
        }
    }

    /// Hands the connection on that was served last, if it is not the only one that could be.
    pub(super) fn share(&mut self, supervision: &Supervision) {
        let Some(parking) = &mut self.parking else {
            return;
        };
        let Some(parked) = parking.take_latest_of_several() else {
            return;
        };
        match hand_on(parking, parked, supervision) {
            Ok(()) => {
                parking.leave_handover_to_others(supervision);
                supervision.wake_manager();
            }
            Err(Refused::Later(refused) | Refused::QueueGone(refused)) => {
                // It is watched already, so parking it cannot fail.
                let _ = parking.park(*refused);
            }
        }
    }

    /// Hands the connections that stand aside to the other workers. One that has something to say
    /// before its turn comes is served here.
    pub(super) fn hand_over(&mut self, supervision: &Supervision) -> Result<()> {
        let (Some(parking), Some(listener)) = (&mut self.parking, listen::borrow(self.listener))
        else {
            return Ok(());
        };
        self.report.leaving();
        let give_up = Instant::now() + PATIENCE;
        loop {
            // Looked at in each round: a peer may stay in the middle of a record for ever, and then
            // the end of the pool, or of the manager, must not be missed.
            if supervision::retirement(true) == Some(Retirement::PoolEnds) {
                self.drain(Some(supervision));
                return Ok(());
            }
            let mut kept_back = Vec::new();
            let mut is_gone = false;
            while let Some(parked) = parking.take_oldest() {
                match hand_on(parking, parked, supervision) {
                    Ok(()) => {}
                    Err(Refused::Later(refused)) => kept_back.push(*refused),
                    Err(Refused::QueueGone(refused)) => {
                        is_gone = true;
                        kept_back.push(*refused);
                        break;
                    }
                }
            }
            if is_gone && let Some(parked) = kept_back.pop() {
                // Nobody will have them any more: what their peers have sent is answered here.
                for other in kept_back {
                    // They are watched already, so parking them cannot fail.
                    let _ = parking.park(other);
                }
                self.take_last_look_at(parked);
                return Ok(());
            }
            if kept_back.is_empty() {
                // Meanwhile the pool may have come to its end, and nobody look at the queue any more.
                if supervision::retirement(true) == Some(Retirement::PoolEnds) {
                    self.drain(Some(supervision));
                }
                return Ok(());
            }
            // The queue is full, or a peer is in the middle of a record: go on with these alone.
            parking.ignore_newcomers(Some(listener), Some(supervision));
            let late = Instant::now() >= give_up;
            for parked in kept_back {
                if late && !parked.state.is_between_records() {
                    parking.close(parked.link);
                } else {
                    // They are watched already, so parking them cannot fail.
                    let _ = parking.park(parked);
                }
            }
            match parking.wait(Some(Instant::now() + RETRY)) {
                Ok(Found::HungUp(place)) => {
                    let parked = parking.remove(place);
                    if !self.hung_up.counts_closed(&parked, &self.report) {
                        self.make_current(parked);
                        return Ok(());
                    }
                    parking.close(parked.link);
                }
                Ok(Found::Connection(place)) => {
                    let parked = parking.remove(place);
                    self.make_current(parked);
                    return Ok(());
                }
                Ok(Found::Idle(place)) => {
                    let parked = parking.remove(place);
                    self.make_current(parked);
                    self.prospect = Prospect::Closed { looks: 1 };
                    return Ok(());
                }
                Ok(Found::Nothing | Found::Listener | Found::Handover | Found::Orphaned)
                | Err(Errno::EINTR) => {}
                Err(errno) => return Err(Error::system("leaving: epoll_wait", errno as i32)),
            }
        }
    }

    /// A loop ends without having been told to: what stands aside goes to the other workers, as far
    /// as they take it at once, and answers that are on their way arrive.
    pub(super) fn bequeath(&mut self) {
        let Some(parking) = &mut self.parking else {
            return;
        };
        let supervision = supervision::current();
        let pool_ends = supervision::retirement(true) == Some(Retirement::PoolEnds);
        let heirs = supervision.filter(|_| !pool_ends);
        while let Some(parked) = parking.take_oldest() {
            let refused = match heirs {
                Some(supervision) => hand_on(parking, parked, supervision)
                    .err()
                    .map(|(Refused::Later(parked) | Refused::QueueGone(parked))| parked),
                None => Some(Box::new(parked)),
            };
            if let Some(refused) = refused {
                parking.close(refused.link);
            }
        }
        parking.ignore_newcomers(listen::borrow(self.listener), supervision);
        // If it fails, nothing can be waited for.
        let _ = parking.see_off();
    }
}

/// Hands a connection to the other workers, unless their queue is full or its peer is in the middle
/// of a record.
fn hand_on(
    parking: &Parking,
    parked: Parked,
    supervision: &Supervision,
) -> std::result::Result<(), Refused> {
    let byte = if matches!(parked.standing, Standing::Silent { .. }) {
        supervision::SILENT
    } else {
        supervision::KEPT
    };
    let (queue, fd) = (supervision.handover.0.as_fd(), parked.link.fd.as_fd());
    if !parked.state.is_between_records() {
        return Err(Refused::Later(Box::new(parked)));
    }
    match handover::pass(queue, fd, byte) {
        Ok(true) => {
            drop(parking.let_go(parked.link));
            Ok(())
        }
        Ok(false) => Err(Refused::Later(Box::new(parked))),
        Err(errno) => {
            log::limited(
                Level::Warning,
                &format!("handing a kept connection over: {}", errno.desc()),
            );
            Err(Refused::QueueGone(Box::new(parked)))
        }
    }
}

/// A connection that was not handed over.
#[derive(Debug)]
enum Refused {
    /// The queue is full, or the peer is in the middle of a record.
    Later(Box<Parked>),
    /// The queue takes nothing any more: somebody has shut it down.
    QueueGone(Box<Parked>),
}

fn report_rubbish() {
    log::limited(
        Level::Warning,
        "another worker handed over something that is not a connection of this pool; it is not used",
    );
}
