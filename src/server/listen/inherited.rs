//! The listening sockets that a service manager passed to this process, instead of new ones.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};

use super::address::Address;
use crate::error::{Code, Error, Result};
use crate::sys::fd::listen_fd::ListenFd;
use crate::sys::log::{self, Level};
use crate::sys::service::sockets::{self, Passed};
use crate::sys::socket::arrivals;
use crate::sys::socket::listen::Bound;
use crate::worker;

/// The descriptor of the socket that was passed for this address.
///
/// # Errors
/// [`Code::Value`]: the variables of the service manager are invalid. [`Code::Listener`]: no socket, or
/// more than one, has the name of `fd:NAME`.
pub(super) fn socket_for(address: &Address) -> Result<Option<i32>> {
    match address {
        Address::Descriptor(number) => {
            // Close-on-exec is set, and the socket is not closed as one that is not used.
            let mut passed = passed().into_iter().flatten();
            if let Some(one) = passed.find(|one| one.number() == *number) {
                one.claim();
            }
            Ok(Some(*number))
        }
        Address::Named(name) => named(name).map(Passed::claim).map(Some),
        Address::AllInterfaces(_) | Address::Inet(_) | Address::Abstract(_) | Address::Path(_) => {
            Ok(at(address)?.map(Passed::claim))
        }
    }
}

/// The socket that was passed and listens at this address.
pub(super) fn at(address: &Address) -> Result<Option<&'static Passed>> {
    match address {
        Address::Descriptor(_) | Address::Named(_) => Ok(None),
        Address::AllInterfaces(port) => {
            let any = (std::net::Ipv6Addr::UNSPECIFIED, *port).into();
            match find(|bound| is_at(&Address::Inet(any), bound))? {
                Some(one) => Ok(Some(one)),
                // The operator may have chosen one interface.
                None => find(|bound| is_at(address, bound)),
            }
        }
        Address::Inet(_) | Address::Abstract(_) | Address::Path(_) => {
            find(|bound| is_at(address, bound))
        }
    }
}

/// Whether a socket that is bound like this is one that is meant by the address.
pub(super) fn is_at(address: &Address, bound: &Bound) -> bool {
    match (address, bound) {
        (Address::AllInterfaces(port), Bound::Inet(bound)) => *port == bound.port(),
        (Address::Inet(wanted), Bound::Inet(bound)) => {
            wanted.port() == bound.port() && is_same(*wanted, *bound)
        }
        (Address::Abstract(name), Bound::Abstract(bytes)) => name.as_bytes() == bytes,
        (Address::Path(path), Bound::Path(bound)) => is_same_file(path, bound),
        (
            Address::AllInterfaces(_)
            | Address::Inet(_)
            | Address::Abstract(_)
            | Address::Path(_)
            | Address::Descriptor(_)
            | Address::Named(_),
            _,
        ) => false,
    }
}

/// The first socket that was passed, for a program that accepts on descriptor 0.
pub(super) fn first() -> Option<i32> {
    match passed() {
        Ok(mut passed) => passed.next().map(Passed::claim),
        Err(error) => {
            log::limited(Level::Warning, error.message());
            None
        }
    }
}

/// The descriptors of all that were passed.
pub(super) fn numbers() -> Vec<i32> {
    let passed = passed().into_iter().flatten();
    passed.map(Passed::number).collect()
}

/// All that were passed: in a template, also by its manager.
fn passed() -> Result<impl Iterator<Item = &'static Passed>> {
    if let Some(sockets) = worker::inherited_listeners()? {
        sockets::add(sockets);
    }
    sockets::passed()
}

/// Notes which sockets were passed to this process. Later they are also those of its children, for
/// which the variables are not meant.
pub fn note_passed() {
    // An error is returned where a socket is needed.
    let _ = passed().map(drop);
}

/// Sockets that were passed to this process are those of the process that it is about to start.
pub fn pass_on() {
    sockets::keep_across_exec();
}

/// Uses the sockets that were passed to the process that started this one, and these of its own.
pub fn inherit_from(process: i32, more: Vec<i32>) {
    sockets::inherit_from(process);
    sockets::add(more);
}

/// Closes sockets that the service manager has kept since an earlier start, and that
/// [`open`](super::open) has not returned in this one. Returns their names, and those of sockets that
/// the host has closed since.
#[must_use]
pub fn close_stale() -> Vec<String> {
    let passed = passed().into_iter().flatten();
    let unused = passed.filter(|one| !one.is_claimed());
    let stale = unused.chain(sockets::closed());
    stale
        .filter(|one| one.is_stored())
        .map(|one| {
            one.close();
            one.name().to_owned()
        })
        .collect()
}

/// The number of sockets that the service manager keeps already.
pub(crate) fn count_stored() -> usize {
    let passed = passed().into_iter().flatten();
    passed.filter(|one| one.is_stored()).count()
}

/// Closes the sockets that were passed and that [`open`](super::open) has not returned: another
/// process uses them.
pub fn close_unused() {
    let passed = passed().into_iter().flatten();
    passed
        .filter(|one| !one.is_claimed())
        .for_each(Passed::close);
}

fn named(name: &str) -> Result<&'static Passed> {
    let mut all = passed()?.filter(|one| one.name() == name);
    let found = all.next();
    let more = all.count();
    let refused = |why: String| {
        let message = format!("listen address 'fd:{name}': {why}");
        Err(Error::new(Code::Listener, message))
    };
    match found {
        Some(one) if more == 0 => Ok(one),
        Some(_) => refused(format!(
            "{} sockets were passed with this name: use their addresses",
            more + 1
        )),
        None => {
            let names: Vec<_> = passed()?.map(Passed::name).collect();
            refused(match names.as_slice() {
                [] => "no listening socket was passed to this process (LISTEN_FDS)".to_owned(),
                names => format!(
                    "no socket was passed with this name; the names are: {}",
                    names.join(", ")
                ),
            })
        }
    }
}

fn find(is_wanted: impl Fn(&Bound) -> bool) -> Result<Option<&'static Passed>> {
    let is_there = |one: &&Passed| one.bound().as_ref().is_some_and(&is_wanted);
    let mut found = passed()?.filter(is_there);
    Ok(found.find(|one| is_usable(one)))
}

/// Lets connections arrive again at a socket where a process has stopped them.
fn is_usable(one: &Passed) -> bool {
    let Some(listener) = ListenFd::of_host(one.number()) else {
        return false;
    };
    // In a template, the manager may just be stopping them.
    let is_template = worker::is_started_as_template();
    if is_template || !arrivals::are_stopped(listener) || arrivals::resume(listener).is_ok() {
        return true;
    }
    let number = one.number();
    log::limited(
        Level::Warning,
        &format!(
            "descriptor {number}, passed by the service manager, is not used: it was shut down"
        ),
    );
    // If an earlier start has stored it, it is removed with what is not used.
    if !one.is_stored() {
        one.close();
    }
    false
}

fn is_same(wanted: SocketAddr, bound: SocketAddr) -> bool {
    let (wanted, bound) = (wanted.ip().to_canonical(), bound.ip());
    wanted == bound || wanted.is_unspecified() && bound.is_unspecified()
}

/// Whether a socket at one path is reached by another one: not if its file was removed meanwhile.
fn is_same_file(wanted: &Path, bound: &Path) -> bool {
    let file = |path: &Path| -> Option<PathBuf> {
        let folder = fs::canonicalize(std::path::absolute(path).ok()?.parent()?).ok()?;
        Some(folder.join(path.file_name()?))
    };
    let is_there = |path: &PathBuf| {
        let metadata = fs::symlink_metadata(path);
        metadata.is_ok_and(|metadata| metadata.file_type().is_socket())
    };
    let wanted = file(wanted).filter(is_there);
    wanted.is_some() && wanted == file(bound)
}
