//! One request of one client: connects, sends the request and receives the response.

use std::time::Instant;

use fcgipm::wire::EndRequest;
use nix::errno::Errno;
use nix::sys::epoll::{EpollEvent, EpollFlags};

use super::answer::Heard;
use super::client::{Connection, Underway};
use super::loss::{Cut, Loss};
use super::run::{Run, tagged};

/// The application has closed or shut down the connection.
const CLOSED: EpollFlags = EpollFlags::EPOLLRDHUP
    .union(EpollFlags::EPOLLHUP)
    .union(EpollFlags::EPOLLERR);

impl Run<'_> {
    /// Starts the next request of a client, if there is one.
    pub(super) fn begin(&mut self, number: usize, now: Instant) -> Result<(), Errno> {
        let may_begin = self.claim();
        let Some(client) = self.clients.get_mut(number) else {
            return Ok(());
        };
        if !may_begin {
            client.connection = None;
            return Ok(());
        }
        self.begun += 1;
        self.under_way += 1;
        client.request = Some(Underway {
            number: self.begun,
            began: now,
            sent: 0,
            is_held_back: self.plan.split.is_some(),
            is_pausing: false,
        });
        // What epoll reported may be older than that.
        if client
            .connection
            .as_ref()
            .is_some_and(|c| c.socket.has_ended())
        {
            client.connection = None;
        }
        match &mut client.connection {
            Some(connection) => connection.reader.begin(),
            None => self.connect(number, now),
        }
        self.send(number, now)
    }

    fn connect(&mut self, number: usize, now: Instant) {
        match self.target.connect() {
            Ok(socket) => {
                self.connections = self.connections.wrapping_add(1);
                self.tally.connections += 1;
                if let Some(client) = self.clients.get_mut(number) {
                    client.connection = Some(Connection::new(socket, self.connections));
                }
            }
            Err(errno) => self.lose(number, &Loss::Refused(errno), now),
        }
    }

    /// Sends as much as possible.
    pub(super) fn send(&mut self, number: usize, now: Instant) -> Result<(), Errno> {
        loop {
            let Some(client) = self.clients.get_mut(number) else {
                return Ok(());
            };
            let (Some(connection), Some(request)) = (&mut client.connection, &mut client.request)
            else {
                return Ok(());
            };
            let until = if request.is_held_back {
                self.plan.request.middle()
            } else {
                self.plan.request.len()
            };
            if request.sent >= until || connection.reads_no_more {
                if request.is_held_back && !request.is_pausing {
                    if let Some(pause) = self.plan.split {
                        request.is_pausing = true;
                        let due = Instant::now() + pause;
                        self.segments.push_back((due, number, request.number));
                    }
                }
                return self.watch(number, false);
            }
            match connection
                .socket
                .send(self.plan.request.piece(request.sent, until))
            {
                Ok(sent) => {
                    request.sent += sent;
                    self.target.settle(&mut connection.socket);
                }
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => return self.watch(number, true),
                Err(errno) => {
                    if request.sent == 0 {
                        self.broke(number, Cut::Broken(errno), now);
                    } else {
                        connection.reads_no_more = true;
                    }
                }
            }
        }
    }

    /// Updates the epoll registration of a connection if it has changed.
    fn watch(&mut self, number: usize, room: bool) -> Result<(), Errno> {
        let Some(client) = self.clients.get_mut(number) else {
            return Ok(());
        };
        let Some(connection) = &mut client.connection else {
            return Ok(());
        };
        let mut flags = EpollFlags::EPOLLIN | EpollFlags::EPOLLRDHUP;
        flags.set(EpollFlags::EPOLLOUT, room);
        if flags == connection.watched {
            return Ok(());
        }
        let is_new = connection.watched.is_empty();
        connection.watched = flags;
        let mut event = EpollEvent::new(flags, tagged(number, connection.serial));
        if is_new {
            self.epoll.add(connection.socket.fd(), event)
        } else {
            self.epoll.modify(connection.socket.fd(), &mut event)
        }
    }

    /// Handles an event of a connection.
    pub(super) fn on_ready(
        &mut self,
        number: usize,
        serial: u32,
        flags: EpollFlags,
    ) -> Result<(), Errno> {
        let Some(client) = self.clients.get_mut(number) else {
            return Ok(());
        };
        if client.is_closing(serial) {
            client.closing = None;
            if flags.contains(EpollFlags::EPOLLERR) {
                self.tally.lost_after(Instant::now());
            }
            return Ok(());
        }
        if client.is_on(serial) && flags.contains(EpollFlags::EPOLLOUT) {
            self.send(number, Instant::now())?;
        }
        // Sending may have failed, and the client may have started another request.
        let is_on = self.clients.get(number).is_some_and(|c| c.is_on(serial));
        if is_on && flags.intersects(EpollFlags::EPOLLIN | CLOSED) {
            return self.receive(number, flags);
        }
        Ok(())
    }

    /// Reads once, so that a large response does not delay other clients.
    fn receive(&mut self, number: usize, flags: EpollFlags) -> Result<(), Errno> {
        let Some(connection) = self
            .clients
            .get_mut(number)
            .and_then(|client| client.connection.as_mut())
        else {
            return Ok(());
        };
        let cut = match connection.socket.recv(&mut self.buffer) {
            Ok(0) => Cut::Closed,
            Ok(length) => {
                let bytes = self.buffer.get(..length).unwrap_or_default();
                let now = Instant::now();
                return match connection.reader.feed(bytes, &self.plan.expected) {
                    Heard::More => Ok(()),
                    Heard::End { end, surplus } => self.answered(number, end, surplus, flags, now),
                    Heard::Malformed(violation) => {
                        self.lose(number, &Loss::Malformed(violation), now);
                        Ok(())
                    }
                };
            }
            Err(Errno::EAGAIN | Errno::EINTR) => return Ok(()),
            Err(errno) => Cut::Broken(errno),
        };
        self.broke(number, cut, Instant::now());
        Ok(())
    }

    /// A connection was closed before the end of the response.
    fn broke(&mut self, number: usize, cut: Cut, now: Instant) {
        let Some(connection) = self
            .clients
            .get(number)
            .and_then(|client| client.connection.as_ref())
        else {
            return;
        };
        let bytes = connection.reader.bytes();
        let loss = match cut {
            // A reset also shows that the peer exists.
            Cut::Broken(errno)
                if connection.socket.is_connecting
                    && errno != Errno::ECONNRESET
                    && errno != Errno::EPIPE =>
            {
                match self.target.give_up(&connection.socket, errno) {
                    Ok(()) => return self.connect(number, now),
                    Err(errno) => Loss::Refused(errno),
                }
            }
            Cut::Broken(_) | Cut::Closed if bytes > 0 => Loss::Within { bytes, cut },
            Cut::Broken(_) | Cut::Closed => Loss::Before {
                reused: connection.is_reused,
                cut,
            },
        };
        self.lose(number, &loss, now);
    }

    /// A response is complete.
    fn answered(
        &mut self,
        number: usize,
        end: EndRequest,
        surplus: bool,
        flags: EpollFlags,
        now: Instant,
    ) -> Result<(), Errno> {
        let Some(client) = self.clients.get_mut(number) else {
            return Ok(());
        };
        let (Some(mut connection), Some(request)) =
            (client.connection.take(), client.request.take())
        else {
            return Ok(());
        };
        self.under_way -= 1;
        let is_reset = flags.contains(EpollFlags::EPOLLERR);
        let loss = connection
            .reader
            .judge(end, &self.plan.expected)
            .or_else(|| surplus.then_some(Loss::Surplus))
            .or_else(|| is_reset.then_some(Loss::Reset));
        match &loss {
            None => {
                let silence = self.shared.answered(now);
                self.tally.ok(request.began, now, silence);
            }
            Some(loss) => self.tally.lost(loss, now),
        }
        let is_open = !flags.intersects(CLOSED);
        let is_sent = request.sent == self.plan.request.len();
        if self.plan.keep && is_open && is_sent && !surplus {
            connection.is_reused = true;
            client.connection = Some(connection);
        } else if is_open && loss.is_none() && self.target.is_tcp() {
            client.closing = Some(connection);
        }
        self.begin(number, now)
    }
}
