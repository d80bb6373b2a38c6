//! For hosts that are closer to the connection than most: libfcgi's programs read its buffer in place,
//! end streams themselves, and continue with a request in a child, or without the library.

use std::os::fd::{AsFd as _, OwnedFd};

use super::connection::{Connection, Incoming, WhenQuiet};
use super::request::{Request, closed};
use crate::conn::Stream;
use crate::error::{Code, Error, Result};
use crate::sys::fd::peer::PeerFd;
use crate::sys::socket::listen;
use crate::worker;

impl Request {
    /// The next bytes of the input where they were received, at least one, all of them read with this;
    /// nothing at the end. They stay there until the next call that reads, and the host may change them.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn input_chunk(&mut self) -> Result<&mut [u8]> {
        self.reader("read")?.chunk()
    }

    /// Ends one stream of the response, which is sent. The rest of the request continues.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub fn end_stream(&mut self, stream: Stream) -> Result<()> {
        self.with_writer("end of stream", |writer| writer.end_stream(stream))
    }

    /// Ends the response, with the exit status as it is now. Input can still be read; nothing can be
    /// written, and [`finish`](Self::finish) sends no second end.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub fn end_response(&mut self) -> Result<()> {
        let exit_status = self.exchange.exit_status();
        self.with_writer("end of response", |writer| writer.end_response(exit_status))
    }

    /// Ends the request without an answer, and hands its connection to the host.
    ///
    /// # Errors
    /// [`Code::State`] when there is no request.
    pub fn release(&mut self) -> Result<OwnedFd> {
        self.check_active("release")?;
        self.acceptor.reclaim_offer(&self.status);
        // Not closed: it goes to the host.
        let _ = self.exchange.abandon(&mut self.status);
        let connection = self.exchange.detach().ok_or_else(closed)?;
        Ok(self.acceptor.unwatch(connection).into_fd())
    }

    /// Serves this connection next, which another program accepted.
    pub fn serve(&mut self, connection: OwnedFd) {
        let peer = listen::peer_of(connection.as_fd());
        let connection = Connection::received(PeerFd::received(connection), peer);
        self.exchange
            .attach(Incoming::unread(connection, WhenQuiet::AwaitFirst));
    }

    /// Waits for the next connection and hands it to the host, which serves it without this. Where the
    /// listening socket is non-blocking, and no manager's workers share it, the host waits itself: then
    /// this does not.
    ///
    /// # Errors
    /// As [`accept`](Self::accept), and [`Code::System`] with EAGAIN where it does not wait.
    pub fn accept_connection(&mut self) -> Result<OwnedFd> {
        self.owner.check()?;
        let waits = self.acceptor.waits_for_host();
        let connection = loop {
            if let Some(connection) = self.exchange.detach() {
                break connection;
            }
            if waits || worker::is_retiring() {
                self.attach_next()?;
                continue;
            }
            let accepted = self.acceptor.accept_one(&self.status);
            let failed = |errno| Error::caused(Code::System, "accept", errno as i32);
            if let Some(incoming) = accepted.map_err(failed)? {
                self.exchange.attach(incoming);
            }
        };
        // What the host does with it is not known here.
        self.status.abandoned();
        Ok(self.acceptor.unwatch(connection).into_fd())
    }

    /// Sets what is called each time [`wake_waiters`](crate::server::wake_waiters) or a signal ends a
    /// wait.
    pub fn on_wake(&mut self, hook: fn(&mut Self)) {
        self.wake_hook = Some(hook);
        self.acceptor.report_wake_ups();
    }

    /// The listening socket.
    #[must_use]
    pub const fn listener(&self) -> i32 {
        self.acceptor.listener()
    }

    /// Whether connections are parked here that [another loop](Self::adopt) could watch.
    #[must_use]
    pub fn has_adoptable(&self) -> bool {
        self.acceptor.has_transferable()
    }

    /// Watches from here on what is parked in another loop, which does not wait.
    pub fn adopt(&mut self, other: &mut Self) {
        self.acceptor.adopt(&mut other.acceptor);
    }

    /// The active request's id on its connection.
    ///
    /// # Errors
    /// [`Code::State`] when there is no request.
    pub fn id(&self) -> Result<u16> {
        self.check_active_here("id")?;
        Ok(self.exchange.inbound().request_id().unwrap_or_default())
    }
}
