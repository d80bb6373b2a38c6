//! OpenSocket: from an address to a listening descriptor.

pub mod address;
mod inherited;
pub(in crate::server) mod owned;

use std::os::fd::{IntoRawFd as _, OwnedFd};
use std::path::Path;

use nix::errno::Errno;

use crate::error::{Code, Error, Result};
use crate::options::{Opt, Options};
use crate::server::listen::address::Address;
pub(crate) use crate::server::listen::inherited::count_stored;
pub use crate::server::listen::inherited::{
    close_stale, close_unused, inherit_from, note_passed, pass_on,
};
pub use crate::server::listen::owned::stop_arrivals;
pub(crate) use crate::server::listen::owned::{storable, stored};
use crate::sys::fd::borrow;
use crate::sys::log::{self, Level};
pub use crate::sys::socket::arrivals::waiting_on_unix;
use crate::sys::socket::holder::{self, Holder};
use crate::sys::socket::listen;
use crate::sys::socket::socket_file::{self, FileId, MakeError, Occupant, Ownership};
use crate::worker;

/// The queue's length where the caller gives none.
pub const DEFAULT_BACKLOG: i32 = 100;

/// Opens a listening socket and returns its descriptor, which the caller owns. If a service manager
/// has passed a socket with this address, it is that one. `fd:N` returns N. The option `listen`
/// overrides the address.
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
    let chosen = chosen(address, options);
    let address = chosen.as_str();
    let parsed = Address::parse(address)?;
    if let Some(fd) = inherited::socket_for(&parsed)? {
        check_listening(fd)?;
        return Ok(fd);
    }
    if worker::is_started_as_template() {
        return Err(Error::new(
            Code::Address,
            format!(
                "listen address '{address}': the manager of this program does not listen there; a reload \
                 cannot change the addresses: restart the manager"
            ),
        ));
    }
    let failed = |errno: Errno| refused(address, errno, None);
    let inet = |inet| {
        listen::listen_inet(inet, backlog).map_err(|errno| {
            let holder = || holder::of_inet(inet);
            refused(address, errno, in_use(errno).then(holder).flatten())
        })
    };
    let opened = match parsed {
        Address::Descriptor(fd) => return Ok(fd),
        Address::Named(_) => return Err(failed(Errno::ENOENT)),
        Address::AllInterfaces(port) => match inet(Address::unspecified(port)) {
            // A kernel without IPv6.
            Err(error) if [libc::EAFNOSUPPORT, libc::EADDRNOTAVAIL].contains(&error.errno()) => {
                inet((std::net::Ipv4Addr::UNSPECIFIED, port).into())
            }
            other => other,
        },
        Address::Inet(address) => inet(address),
        Address::Abstract(name) => {
            listen::listen_abstract(name.as_bytes(), backlog).map_err(|errno| {
                let holder = || holder::of_unix(Path::new(&format!("@{name}")), None);
                refused(address, errno, in_use(errno).then(holder).flatten())
            })
        }
        Address::Path(path) => {
            let (listener, file) = open_path(address, &path, backlog, options, failed)?;
            owned::note(&listener, address, Some((&path, file)));
            return Ok(listener.into_raw_fd());
        }
    };
    opened.map(|listener| {
        owned::note(&listener, address, None);
        listener.into_raw_fd()
    })
}

/// The address to listen at: the operator's, or else the program's.
fn chosen(address: &str, options: &Options) -> String {
    let Some(listen) = options.text(Opt::Listen) else {
        return address.to_owned();
    };
    if listen != address {
        log::limited(
            Level::Info,
            &format!("option listen = '{listen}' overrides the listen address '{address}'"),
        );
    }
    listen
}

/// The descriptor of a program's listening socket. A program that accepts on descriptor 0, where no
/// socket listens, uses the first one that a service manager has passed.
#[must_use]
pub fn program_socket(fd: i32) -> i32 {
    if fd != 0 || check_listening(0).is_ok() {
        return fd;
    }
    inherited::first().unwrap_or(fd)
}

fn in_use(errno: Errno) -> bool {
    errno == Errno::EADDRINUSE
}

fn refused(address: &str, errno: Errno, holder: Option<Holder>) -> Error {
    let code = match errno {
        Errno::EADDRINUSE => Code::InUse,
        Errno::EMFILE | Errno::ENFILE => Code::Descriptors,
        _ => Code::System,
    };
    let what = match holder {
        Some(holder) => format!("listen address '{address}': in use by {holder}"),
        None => format!("listen address '{address}'"),
    };
    Error::caused(code, what, errno as i32)
}

fn open_path(
    address: &str,
    path: &Path,
    backlog: i32,
    options: &Options,
    failed: impl Fn(Errno) -> Error,
) -> Result<(OwnedFd, FileId)> {
    let ownership = ownership(options)?;
    // Two starting at once must not both find the file of a dead owner and replace each other's.
    let _lock = owned::lock_folder(path);
    match socket_file::occupant(path).map_err(&failed)? {
        Occupant::None => {}
        Occupant::NoSocket => {
            return Err(Error::new(
                Code::InUse,
                format!("listen address '{address}': there is a file that is not a socket"),
            ));
        }
        Occupant::Alive { maker } if !options.flag(Opt::ListenReplace) => {
            let holder = holder::of_unix(path, maker);
            return Err(refused(address, Errno::EADDRINUSE, holder));
        }
        Occupant::Alive { .. } | Occupant::Dead => nix::unistd::unlink(path).map_err(&failed)?,
    }
    socket_file::listen_path(path, ownership, backlog).map_err(|error| match error {
        MakeError::System(errno) => failed(errno),
        MakeError::Replaced => Error::new(
            Code::System,
            format!(
                "listen address '{address}': another process replaced the socket file before its owner and \
                 mode were set; nothing was changed: use a directory that only this user can write to"
            ),
        ),
    })
}

fn look_up(
    options: &Options,
    opt: Opt,
    name: &str,
    what: &str,
    find: impl Fn(&str) -> nix::Result<Option<u32>>,
) -> Result<Option<u32>> {
    let Some(text) = options.text(opt) else {
        return Ok(None);
    };
    match find(&text) {
        Ok(Some(id)) => Ok(Some(id)),
        Ok(None) => Err(Error::new(
            Code::Value,
            format!("option {name}: no {what} '{text}'"),
        )),
        Err(errno) => Err(Error::caused(
            Code::Value,
            format_args!("option {name}: {what} '{text}'"),
            errno as i32,
        )),
    }
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

fn ownership(options: &Options) -> Result<Ownership> {
    Ok(Ownership {
        mode: options.mode(Opt::ListenMode),
        uid: look_up(
            options,
            Opt::ListenOwner,
            "listen_owner",
            "user",
            listen::user_id,
        )?,
        gid: look_up(
            options,
            Opt::ListenGroup,
            "listen_group",
            "group",
            listen::group_id,
        )?,
    })
}

/// Checks that a descriptor is a listening socket.
///
/// # Errors
/// [`Code::Listener`], naming the descriptor.
pub fn check_listening(fd: i32) -> Result<()> {
    let Some(borrowed) = borrow(fd) else {
        return Err(Error::new(
            Code::Listener,
            format!("listening descriptor {fd}: must not be negative"),
        ));
    };
    match listen::is_listening(borrowed) {
        Ok(true) => Ok(()),
        Ok(false) => Err(Error::new(
            Code::Listener,
            format!("descriptor {fd}: a socket that does not listen"),
        )),
        Err(errno) => Err(Error::caused(
            Code::Listener,
            format_args!("listening descriptor {fd}"),
            errno as i32,
        )),
    }
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
