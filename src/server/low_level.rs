//! For hosts that stand closer to the connection than most: libfcgi's programs read its buffer in place,
//! end streams by themselves, and go on with a request in a child, or without the library.

use std::os::fd::{AsFd as _, OwnedFd};

use crate::conn::{Stream, Suspended};
use crate::error::{Code, Error, Result};
use crate::server::accept::idle_set::{Parked, Parking};
use crate::server::connection::Link;
use crate::server::request::Request;
use crate::sys::socket::listen;
use crate::worker;

impl Request {
    /// The next bytes of the input where they lie, at least one, all of them read with this; nothing at
    /// the end. They stay there until the next call that reads, and are the host's to change.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn lend_input(&mut self) -> Result<&mut [u8]> {
        self.check_readable("read")?;
        if !self.fill()? {
            return Ok(&mut []);
        }
        Ok(self.take_body())
    }

    /// Ends one stream of the response, which is sent. The rest of the request goes on.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub fn end_stream(&mut self, stream: Stream) -> Result<()> {
        self.check_active("end of stream")?;
        self.check_output()?;
        self.outbound.end_stream(stream);
        self.send_pending()
    }

    /// Ends the response, with the exit status as it is now. Input can still be read; nothing can be
    /// written, and [`finish`](Self::finish) sends no second end.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub fn end_response(&mut self) -> Result<()> {
        self.check_active("end of response")?;
        self.check_output()?;
        self.outbound.end(self.exit_status);
        self.send_pending()
    }

    /// Ends the request without an answer, and hands its connection to the host.
    ///
    /// # Errors
    /// [`Code::State`] when there is no request, [`Code::Closed`] when its connection is gone.
    pub fn release(&mut self) -> Result<OwnedFd> {
        self.check_active("release")?;
        let link = self.link.take();
        self.abandon()?;
        let link = link.ok_or_else(|| Error::new(Code::Closed, "the connection is gone"))?;
        Ok(match &self.parking {
            Some(parking) => parking.let_go(link),
            None => link.into_fd(),
        })
    }

    /// Serves this connection next, which somebody else accepted.
    pub fn serve(&mut self, connection: OwnedFd) {
        let peer = listen::peer_of(connection.as_fd());
        self.set_current(Link::received(connection, peer), Suspended::fresh(), true);
    }

    /// Waits for the next connection and hands it to the host, which serves it without this. Where the listening socket
    /// is non-blocking, and no manager's workers share it, the host waits by itself: then this does not.
    ///
    /// # Errors
    /// As [`accept`](Self::accept), and [`Code::System`] with EAGAIN where it does not wait.
    pub fn accept_connection(&mut self) -> Result<OwnedFd> {
        self.check_process()?;
        let waits = worker::current().is_some()
            || !listen::borrow(self.listener).is_some_and(listen::is_nonblocking);
        while self.link.is_none() {
            if waits || worker::is_retiring() {
                self.next_connection()?;
            } else {
                self.accept_one()
                    .map_err(|errno| Error::caused(Code::System, "accept", errno as i32))?;
            }
        }
        // The host has it. What it does with it is not known here.
        self.status.abandoned();
        let link = self.link.take();
        let link = link.ok_or_else(|| Error::new(Code::Closed, "the connection is gone"))?;
        Ok(match &self.parking {
            Some(parking) => parking.let_go(link),
            None => link.into_fd(),
        })
    }

    /// What is called each time [`wake_waiters`](crate::server::wake_waiters) or a signal ends a wait.
    pub fn on_wake(&mut self, look: fn(&mut Self)) {
        self.wake_hook = Some(look);
    }

    /// The listening socket.
    #[must_use]
    pub const fn listener(&self) -> i32 {
        self.listener
    }

    /// Whether connections stand aside here that [another one](Self::adopt) could watch.
    #[must_use]
    pub fn has_adoptable(&self) -> bool {
        self.parking.as_ref().is_some_and(Parking::has_passable)
    }

    /// Watches from here on what stands aside in another one, which nobody waits with.
    pub fn adopt(&mut self, other: &mut Self) {
        let Some(from) = &mut other.parking else {
            return;
        };
        for Parked {
            mut link,
            state,
            standing,
            ..
        } in from.take_passable()
        {
            from.unwatch(&mut link);
            self.inbound.resume(state);
            self.set_aside(link, standing);
        }
    }

    /// The active request's id on its connection.
    ///
    /// # Errors
    /// [`Code::State`] when there is no request.
    pub fn id(&self) -> Result<u16> {
        self.check_active_here("id")
            .map(|()| self.inbound.request_id().unwrap_or_default())
    }
}
