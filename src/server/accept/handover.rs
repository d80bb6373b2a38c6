//! Connections on their way from one worker to another, over the queue that all of them share.

use std::os::fd::AsFd as _;
use std::time::{Duration, Instant};

use nix::errno::Errno;

use crate::conn::Suspended;
use crate::error::{Error, Result};
use crate::server::accept::idle_set::{Found, Parked, Parking, Standing};
use crate::server::connection::Link;
use crate::server::request::{Prospect, Request};
use crate::sys::fd::transfer;
use crate::sys::fd::transfer::Received;
use crate::sys::log::{self, Level};
use crate::sys::socket::listen;
use crate::worker;
use crate::worker::{ManagerLink, Retirement};

/// How long a worker that leaves waits for a peer that stopped in the middle of a record that belongs
/// to no request.
const PATIENCE: Duration = Duration::from_secs(1);

/// How often a full hand-over queue is tried again.
const RETRY: Duration = Duration::from_millis(10);

impl Request {
    /// Takes over a connection that another worker handed on, if one waits.
    pub(in crate::server) fn take_over(&mut self, link_to_manager: &ManagerLink) {
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
            let (Some(listener), false) = (listen::borrow(self.listener), transfer::is_flooded())
            else {
                self.ignore_handover(link_to_manager);
                break;
            };
            match transfer::take(link_to_manager.handover.1.as_fd()) {
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
                    if self.admits(peer) && !self.hung_up.look(&link, &self.status) {
                        let is_fresh = standing == worker::SILENT;
                        self.set_current(link, Suspended::fresh(), is_fresh);
                    }
                }
                // One of the workers has shut it down. It would be readable for ever.
                Err(Errno::EPIPE) => {
                    self.ignore_handover(link_to_manager);
                    break;
                }
                Err(errno) => {
                    // Whoever has a descriptor left takes it.
                    if let Some(parking) = &mut self.parking {
                        parking.leave_handover_to_others(link_to_manager);
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

    fn ignore_handover(&mut self, link_to_manager: &ManagerLink) {
        if let Some(parking) = &mut self.parking {
            parking.ignore_handover(link_to_manager);
        }
    }

    /// Hands the connection on that was served last, if it is not the only one that could be.
    pub(in crate::server) fn share(&mut self, link_to_manager: &ManagerLink) {
        let Some(parking) = &mut self.parking else {
            return;
        };
        let Some(parked) = parking.take_latest_of_several() else {
            return;
        };
        match hand_on(parking, parked, link_to_manager) {
            Ok(()) => {
                parking.leave_handover_to_others(link_to_manager);
                link_to_manager.notify_manager();
            }
            Err(Refused::Later(refused) | Refused::QueueGone(refused)) => {
                // It is watched already, so parking it cannot fail.
                let _ = parking.park(*refused);
            }
        }
    }

    /// Hands the connections that stand aside to the other workers. One that has something to say
    /// before its turn comes is served here.
    pub(in crate::server) fn hand_over(&mut self, link_to_manager: &ManagerLink) -> Result<()> {
        let (Some(parking), Some(listener)) = (&mut self.parking, listen::borrow(self.listener))
        else {
            return Ok(());
        };
        self.status.leaving();
        let give_up = Instant::now() + PATIENCE;
        loop {
            // Looked at in each round: a peer may stay in the middle of a record for ever, and then
            // the end of the pool, or of the manager, must not be missed.
            if worker::retirement(true) == Some(Retirement::PoolEnds) {
                self.drain(Some(link_to_manager));
                return Ok(());
            }
            let mut kept_back = Vec::new();
            let mut is_gone = false;
            while let Some(parked) = parking.take_oldest() {
                match hand_on(parking, parked, link_to_manager) {
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
                if worker::retirement(true) == Some(Retirement::PoolEnds) {
                    self.drain(Some(link_to_manager));
                }
                return Ok(());
            }
            // The queue is full, or a peer is in the middle of a record: go on with these alone.
            parking.ignore_newcomers(Some(listener), Some(link_to_manager));
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
                    if !self.hung_up.counts_closed(&parked, &self.status) {
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
    pub(in crate::server) fn bequeath(&mut self) {
        let Some(parking) = &mut self.parking else {
            return;
        };
        let link_to_manager = worker::current();
        let pool_ends = worker::retirement(true) == Some(Retirement::PoolEnds);
        let heirs = link_to_manager.filter(|_| !pool_ends);
        while let Some(parked) = parking.take_oldest() {
            let refused = match heirs {
                Some(link_to_manager) => hand_on(parking, parked, link_to_manager)
                    .err()
                    .map(|(Refused::Later(parked) | Refused::QueueGone(parked))| parked),
                None => Some(Box::new(parked)),
            };
            if let Some(refused) = refused {
                parking.close(refused.link);
            }
        }
        parking.ignore_newcomers(listen::borrow(self.listener), link_to_manager);
        // If it fails, nothing can be waited for.
        let _ = parking.see_off();
    }
}

/// Hands a connection to the other workers, unless their queue is full or its peer is in the middle
/// of a record.
fn hand_on(
    parking: &Parking,
    parked: Parked,
    link_to_manager: &ManagerLink,
) -> std::result::Result<(), Refused> {
    let byte = if matches!(parked.standing, Standing::Silent { .. }) {
        worker::SILENT
    } else {
        worker::KEPT
    };
    let (queue, fd) = (link_to_manager.handover.0.as_fd(), parked.link.fd.as_fd());
    if !parked.state.is_between_records() {
        return Err(Refused::Later(Box::new(parked)));
    }
    match transfer::pass(queue, fd, byte) {
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
