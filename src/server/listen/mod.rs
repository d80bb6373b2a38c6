//! OpenSocket: from an address to a listening descriptor.

pub mod address;
mod inherited;
mod kept;
mod open;
pub(in crate::server) mod owned;
mod unopened;

use std::path::Path;

use nix::errno::Errno;

use self::open::{open_at, ownership, refused};
use crate::error::{Code, Error, Result};
use crate::options::{Opt, Options};
use crate::server::listen::address::Address;
pub(crate) use crate::server::listen::inherited::count_stored;
pub use crate::server::listen::inherited::{
    close_stale, close_unused, inherit_from, note_passed, pass_on,
};
pub use crate::server::listen::kept::KeptSocket;
pub use crate::server::listen::open::{DEFAULT_BACKLOG, check_listening, open_file};
pub use crate::server::listen::owned::stop_arrivals;
pub(crate) use crate::server::listen::owned::{storable, stored};
pub use crate::server::listen::unopened::{has_socket, open_for_workers, program_socket};
use crate::sys::log::{self, Level};
pub use crate::sys::socket::arrivals::waiting_on_unix;
use crate::sys::socket::listen;

/// Opens a listening socket and returns its descriptor, which the caller owns. If a service manager
/// has passed a socket with this address, it is that one. `fd:N` returns N. The option `listen`
/// overrides the address; if its socket was opened instead of descriptor 0, it is that one.
///
/// # Errors
/// [`Code::Address`] for an address that cannot be read or resolved, [`Code::InUse`] for one that
/// somebody answers on, [`Code::Listener`] for a descriptor that does not listen, [`Code::Value`]
/// for an owner or group that does not exist, [`Code::System`] for anything the system refuses.
pub fn open(address: &str, backlog: i32, options: &Options) -> Result<i32> {
    let backlog = match backlog {
        0 => DEFAULT_BACKLOG,
        1.. => backlog,
        _ => {
            return Err(Error::new(
                Code::Argument,
                format!("listen backlog {backlog}: must not be negative"),
            ));
        }
    };
    let Some(listen) = options.text(Opt::Listen) else {
        return open_at(address, backlog, options);
    };
    if let Some(fd) = unopened::opened() {
        return Ok(fd);
    }
    if listen != address {
        log::limited(
            Level::Info,
            &format!("option listen = '{listen}' overrides the listen address '{address}'"),
        );
    }
    let fd = open_at(&listen, backlog, options)?;
    unopened::applied();
    Ok(fd)
}

/// What can be known of [`open`] without opening anything: the address can be read, its directory or its
/// descriptor is there, and so are the owner and the group.
///
/// # Errors
/// As [`open`].
pub fn check(address: &str, options: &Options) -> Result<Address> {
    let address = options.text(Opt::Listen).unwrap_or(address.to_owned());
    let address = address.as_str();
    let parsed = Address::parse(address)?;
    if let Some(fd) = inherited::socket_for(&parsed)? {
        check_listening(fd)?;
        return Ok(match parsed {
            Address::Named(_) => Address::Descriptor(fd),
            other => other,
        });
    }
    match &parsed {
        Address::Descriptor(_) | Address::Named(_) => {}
        Address::Path(path) => {
            ownership(options)?;
            let folder = path
                .parent()
                .filter(|folder| !folder.as_os_str().is_empty());
            std::fs::metadata(folder.unwrap_or(Path::new("."))).map_err(|error| {
                let errno = error.raw_os_error().unwrap_or_default();
                refused(address, Errno::from_raw(errno), None)
            })?;
        }
        Address::AllInterfaces(_) | Address::Inet(_) | Address::Abstract(_) => {}
    }
    Ok(parsed)
}

/// Closes a listening descriptor. A socket file stays: another process may listen on it.
///
/// # Errors
/// [`Code::Listener`] when it is no open listening socket: closing something else would take away
/// what the host opened.
pub fn close(fd: i32) -> Result<()> {
    check_listening(fd)?;
    owned::forget(fd);
    listen::close(fd).map_err(|errno| {
        Error::caused(
            Code::Listener,
            format_args!("listening descriptor {fd}: close"),
            errno as i32,
        )
    })
}
