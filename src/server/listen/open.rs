//! Opens a listening socket at an address, or finds the one that was passed.

use std::os::fd::{IntoRawFd as _, OwnedFd};
use std::path::Path;

use nix::errno::Errno;

use crate::error::{Code, Error, Result};
use crate::options::{Opt, Options};
use crate::server::listen::address::Address;
use crate::server::listen::{inherited, owned};
use crate::sys::fd::borrow;
use crate::sys::socket::holder::{self, Holder};
use crate::sys::socket::listen;
use crate::sys::socket::socket_file::{self, FileId, MakeError, Occupant, Ownership};
use crate::worker;

/// The queue's length where the caller gives none.
pub const DEFAULT_BACKLOG: i32 = 100;

/// The descriptor, which the caller owns.
pub(super) fn open_at(address: &str, backlog: i32, options: &Options) -> Result<i32> {
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

/// Listens on a socket file for something other than FastCGI: the caller owns the descriptor, and
/// neither the manager nor the service manager is concerned with it.
///
/// # Errors
/// As [`open`](super::open).
pub fn open_file(path: &Path, backlog: i32, options: &Options) -> Result<OwnedFd> {
    let address = path.display().to_string();
    let failed = |errno: Errno| refused(&address, errno, None);
    open_path(&address, path, backlog, options, failed).map(|(listener, _)| listener)
}

fn in_use(errno: Errno) -> bool {
    errno == Errno::EADDRINUSE
}

pub(super) fn refused(address: &str, errno: Errno, holder: Option<Holder>) -> Error {
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

pub(super) fn ownership(options: &Options) -> Result<Ownership> {
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
