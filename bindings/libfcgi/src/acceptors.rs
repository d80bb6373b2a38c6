//! What OS_Accept waits with, kept from call to call, because of the connections that it watches.

use std::ffi::{OsString, c_int};
use std::time::Duration;

use fcgipm::error::Error;
use fcgipm::server;
use parking_lot::{Mutex, MutexGuard};

use crate::settings::settings;

/// What accepts on one listening socket. It is kept: to a manager, a worker without one would not
/// be ready.
#[derive(Debug)]
pub(crate) struct Acceptor {
    listener: c_int,
    flags: u32,
    web_servers: Option<OsString>,
    pub(crate) request: server::Request,
}

/// Those in which no thread waits.
static IDLE: Mutex<Vec<Acceptor>> = Mutex::new(Vec::new());

/// With a time limit: in a child that was forked while another thread held the lock, it is never
/// released.
fn idle() -> Option<MutexGuard<'static, Vec<Acceptor>>> {
    IDLE.try_lock_for(Duration::from_millis(100))
}

pub(crate) fn take(
    listener: c_int,
    flags: u32,
    web_servers: Option<OsString>,
) -> Result<Acceptor, Error> {
    if let Some(mut acceptors) = idle() {
        // Those of a parent only have copies of its descriptors.
        acceptors.retain(|acceptor| acceptor.request.is_of_this_process());
        let known = acceptors.iter().position(|acceptor| {
            (acceptor.listener, acceptor.flags) == (listener, flags)
                && acceptor.web_servers == web_servers
        });
        if let Some(position) = known {
            return Ok(acceptors.remove(position));
        }
    }
    let options = &settings()?.options;
    let request = server::Request::new(listener, flags, options, web_servers.clone())?;
    Ok(Acceptor {
        listener,
        flags,
        web_servers,
        request,
    })
}

pub(crate) fn put_back(acceptor: Acceptor) {
    if let Some(mut acceptors) = idle() {
        acceptors.push(acceptor);
    }
}

/// A descriptor is closed, or new: the socket that had this number no longer exists.
pub(crate) fn forget(listener: c_int) {
    if let Some(mut acceptors) = idle() {
        acceptors.retain(|acceptor| acceptor.listener != listener);
    }
}
