//! The listening socket of a program that opens none: it accepts on descriptor 0.
//!
//! Nothing is moved to descriptor 0, which belongs to the host: the loop on descriptor 0 uses another
//! descriptor. That is the socket of the option `listen`, or the first one that a service manager has
//! passed.

use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use crate::error::{Code, Error, Result};
use crate::options::{Opt, Options};
use crate::server::listen::address::Address;
use crate::server::listen::inherited;
use crate::server::listen::open::{DEFAULT_BACKLOG, check_listening, open_at};
use crate::sys::fd::borrow;
use crate::sys::log::{self, Level};
use crate::sys::socket::listen::{self, Bound};
use crate::sys::socket::listeners;
use crate::sys::socket::socket_file::{FileId, identity_of};
use crate::worker;

/// A web server that starts a program for one request (CGI) sets this variable.
const CGI: &str = "GATEWAY_INTERFACE";

/// The socket of the option `listen`, which all workers share.
static OPENED: Mutex<Option<(i32, FileId)>> = Mutex::new(None);

/// The option `listen` was used.
static APPLIED: AtomicBool = AtomicBool::new(false);

pub(super) fn applied() {
    APPLIED.store(true, Ordering::Relaxed);
}

/// The descriptor of a program's listening socket.
///
/// # Errors
/// [`Code::Listener`]: the option `listen` names another socket than the one on descriptor 0. With
/// this option, as [`open`](crate::server::listen::open).
pub fn program_socket(fd: i32, options: &Options) -> Result<i32> {
    if fd != 0 {
        note_unused_option(fd, options);
        return Ok(fd);
    }
    if let Some(fd) = opened() {
        return Ok(fd);
    }
    if let Some(listen) = wanted(options) {
        return open_instead(&listen, options);
    }
    if check_listening(0).is_ok() {
        return Ok(0);
    }
    Ok(inherited::first().unwrap_or(0))
}

/// Whether a program that asks whether this descriptor listens shall serve requests: it does, or
/// [`program_socket`] has another one.
#[must_use]
pub fn has_socket(fd: i32, options: &Options) -> bool {
    let instead =
        || opened().is_some() || wanted(options).is_some() || inherited::first().is_some();
    check_listening(fd).is_ok() || fd == 0 && instead()
}

/// Before workers are forked: opens the socket of the option `listen` for a program that has opened
/// none. Otherwise each worker would.
///
/// # Errors
/// As [`program_socket`].
pub fn open_for_workers(options: &Options) -> Result<()> {
    if APPLIED.load(Ordering::Relaxed) || wanted(options).is_none() {
        return Ok(());
    }
    let passed = inherited::numbers();
    let is_of_program = |number: &i32| *number != 0 && !passed.contains(number);
    if worker::is_started_as_template() || !listeners::numbers(&[]).iter().any(is_of_program) {
        program_socket(0, options)?;
    }
    Ok(())
}

/// The socket of the option `listen`, if it was opened for descriptor 0, and as long as it is open.
pub(super) fn opened() -> Option<i32> {
    let (fd, socket) = (*OPENED.lock())?;
    (borrow(fd).and_then(identity_of) == Some(socket)).then_some(fd)
}

/// The option, for a program that shall serve more than one request.
fn wanted(options: &Options) -> Option<String> {
    let listen = options.text(Opt::Listen)?;
    std::env::var_os(CGI).is_none().then_some(listen)
}

fn open_instead(listen: &str, options: &Options) -> Result<i32> {
    if check_listening(0).is_ok() {
        return match is_on_descriptor_0(listen)? {
            true => Ok(0),
            false => Err(Error::new(
                Code::Listener,
                format!(
                    "option listen = '{listen}': the program accepts on descriptor 0, which is another \
                     listening socket already: the process that started the program has chosen the \
                     address, so unset FCGIPM_LISTEN or start the program without that socket"
                ),
            )),
        };
    }
    let fd = open_at(listen, DEFAULT_BACKLOG, options)?;
    log::limited(
        Level::Info,
        &format!("option listen = '{listen}' replaces descriptor 0, on which the program accepts"),
    );
    applied();
    *OPENED.lock() = borrow(fd).and_then(identity_of).map(|socket| (fd, socket));
    Ok(fd)
}

/// Whether the socket on descriptor 0 is the one with this address.
fn is_on_descriptor_0(listen: &str) -> Result<bool> {
    let address = Address::parse(listen)?;
    let socket = |fd: i32| borrow(fd).and_then(identity_of);
    if let Some(fd) = inherited::socket_for(&address)? {
        return Ok(socket(fd) == socket(0));
    }
    let bound = borrow(0).and_then(|fd| listen::bound(fd).ok());
    Ok(bound.is_some_and(|bound: Bound| inherited::is_at(&address, &bound)))
}

/// A program that has neither used OpenSocket nor accepts on descriptor 0.
fn note_unused_option(fd: i32, options: &Options) {
    let Some(listen) = options.text(Opt::Listen) else {
        return;
    };
    if !APPLIED.swap(true, Ordering::Relaxed) {
        log::limited(
            Level::Warning,
            &format!(
                "option listen = '{listen}' has no effect: the program accepts on descriptor {fd}, which it \
                 has not opened with OpenSocket"
            ),
        );
    }
}
