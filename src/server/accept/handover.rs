//! Connections on their way from one worker to another, over the queue that all of them share.

use std::os::fd::AsFd as _;

use nix::errno::Errno;

use super::idle_set::IdleSet;
use crate::server::connection::{Connection, Parked, WhenQuiet};
use crate::sys::fd::listen_fd::ListenFd;
use crate::sys::fd::transfer::{self, Received};
use crate::sys::log::{self, Level};
use crate::sys::socket::listen;
use crate::worker::{self, ManagerLink};

/// A connection that was not handed over.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) parked: Box<Parked>,
    /// A worker has shut the queue down. Otherwise it is full, or the peer is in the middle of a record.
    pub(super) is_queue_closed: bool,
}

/// Hands a connection over to the other workers.
pub(super) fn send(idle: &IdleSet, parked: Parked, manager: &ManagerLink) -> Result<(), Refused> {
    let kind = if parked.has_no_data() {
        worker::SILENT
    } else {
        worker::KEPT
    };
    let refuse = |parked, is_queue_closed| {
        Err(Refused {
            parked: Box::new(parked),
            is_queue_closed,
        })
    };
    if !parked.framing.is_between_records() {
        return refuse(parked, false);
    }
    let queue = manager.handover.0.as_fd();
    match transfer::pass(queue, parked.connection.as_fd(), kind) {
        Ok(true) => {
            drop(idle.unwatch(parked.connection).into_fd());
            Ok(())
        }
        Ok(false) => refuse(parked, false),
        Err(errno) => {
            log::limited(
                Level::Warning,
                &format!("handing a connection over: {}", errno.desc()),
            );
            refuse(parked, true)
        }
    }
}

/// Receives one connection. EAGAIN: none waits. EPIPE: nothing more is to be received. `None`: another
/// worker sent something else, which was closed.
pub(super) fn receive(
    listener: Option<ListenFd<'_>>,
    manager: &ManagerLink,
) -> nix::Result<Option<(Connection, WhenQuiet)>> {
    let listener = listener.filter(|_| !transfer::is_flooded());
    let listener = listener.ok_or(Errno::EPIPE)?;
    // EPIPE: a worker has shut it down. It would be readable for ever.
    let checked = match transfer::take(manager.handover.1.as_fd())? {
        Received::Queued(queued, kind) => queued.check(listener).map(|fd| (fd, kind)),
        Received::Rubbish => None,
        Received::Nothing => return Err(Errno::EAGAIN),
    };
    let Some((fd, kind)) = checked else {
        log::limited(
            Level::Warning,
            "received something from another worker that is not a connection of this pool; ignoring it",
        );
        return Ok(None);
    };
    let peer = listen::peer_of(fd.as_fd());
    let when_quiet = if kind == worker::SILENT {
        WhenQuiet::AwaitFirst
    } else {
        WhenQuiet::Park
    };
    Ok(Some((Connection::received(fd, peer), when_quiet)))
}
