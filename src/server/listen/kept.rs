//! A listening socket of one of several pools that the service manager keeps, as the parent of their
//! managers knows it.

use std::fs;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};

use super::address::Address;
use super::inherited;
use super::owned::{lock_folder, stop_apart};
use crate::error::{Error, Result};
use crate::sys::fd::listen_fd::ListenFd;
use crate::sys::log::{self, Level};
use crate::sys::process::exec;
use crate::sys::service::sockets::{self, Passed};
use crate::sys::socket::listen::{self, Bound};
use crate::sys::socket::socket_file::{self, Occupant};

/// The parent has a copy of it, for the pool's next manager.
#[derive(Debug)]
pub struct KeptSocket {
    name: String,
    socket: OwnedFd,
    /// It was passed to this process, and is passed to the managers that it starts.
    is_passed: bool,
}

impl KeptSocket {
    /// A manager has stored it under this name.
    #[must_use]
    pub const fn new(name: String, socket: OwnedFd) -> Self {
        Self {
            name,
            socket,
            is_passed: false,
        }
    }

    /// The one with this address that an earlier start has stored.
    #[must_use]
    pub fn of_earlier_start(address: &str) -> Option<Self> {
        let address = Address::parse(address).ok()?;
        let passed = inherited::at(&address).ok()??;
        let socket = passed.copy().filter(|_| passed.is_stored())?;
        Some(Self {
            name: passed.name().to_owned(),
            socket,
            is_passed: true,
        })
    }

    /// The name that it has in the service manager.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A copy for a program that is about to be executed. `None`: that gets it already.
    ///
    /// # Errors
    /// There is no descriptor left.
    pub fn for_program(&self) -> Result<Option<OwnedFd>> {
        if self.is_passed {
            return Ok(None);
        }
        let copy = self.socket.try_clone().and_then(|copy| {
            exec::keep_across_exec(&copy)?;
            Ok(copy)
        });
        copy.map(Some).map_err(|error| {
            let errno = error.raw_os_error().unwrap_or_default();
            Error::system(format_args!("copy of the socket {}", self.name), errno)
        })
    }

    /// Nobody will serve it any more. New connections are refused, and what waits in its queue can
    /// still be accepted by those who have a copy.
    pub fn give_up(self) {
        let number = self.socket.as_raw_fd();
        let stopped = ListenFd::of_host(number).map_or(Ok(()), stop_apart);
        if let Err(why) = stopped {
            log::limited(
                Level::Warning,
                &format!(
                    "socket {}: connections continue to arrive: {why}",
                    self.name
                ),
            );
        }
        if let Ok(Bound::Path(path)) = listen::bound(self.socket.as_fd()) {
            // Somebody else may just be about to replace it, or has done so.
            let _lock = lock_folder(&path);
            if socket_file::occupant(&path) == Ok(Occupant::Dead) {
                let _ = fs::remove_file(path);
            }
        }
        let passed = sockets::passed().into_iter().flatten();
        passed
            .filter(|one| one.name() == self.name)
            .for_each(Passed::close);
    }
}
