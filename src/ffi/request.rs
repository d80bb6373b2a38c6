//! Requests, as C sees them.

use std::ffi::c_char;
use std::time::Duration;

use super::boundary::{bytes, bytes_mut, copy_text, enter};
use super::handle::{self, Noun};
use super::options::{effective, fcgipm_options};
use super::params::fcgipm_param;
use crate::error::{Code, Error, Result};
use crate::server::{Peer, Request, Stream, WEB_SERVER_ADDRS};
use crate::{server, worker};

/// fcgipm_request_new(): a signal that interrupts the wait for a request makes
/// fcgipm_request_accept() return FCGIPM_EINTERRUPTED. So does one that came just before the wait,
/// if its handler calls fcgipm_signal_arrived().
pub const FCGIPM_FAIL_ACCEPT_ON_INTR: u32 = 1;
/// fcgipm_request_new(): the same, for hosts that run their signal handlers later (as Perl does)
/// and then call fcgipm_request_accept() again.
pub const FCGIPM_RETURN_ON_SIGNAL: u32 = 2;

/// The application's response.
pub const FCGIPM_STDOUT: u32 = 1;
/// Messages for the web server's log.
pub const FCGIPM_STDERR: u32 = 2;

/// The role of a request: it wants a response.
pub const FCGIPM_RESPONDER: i32 = 1;
/// The role of a request: it wants a decision, and has no body.
pub const FCGIPM_AUTHORIZER: i32 = 2;
/// The role of a request: it wants a file filtered.
pub const FCGIPM_FILTER: i32 = 3;

/// A request loop on one listening socket. Opaque.
pub struct fcgipm_request(());

/// What a handle to a request loop points to.
pub(super) struct Served {
    pub(super) request: Request,
    /// What the host was told of the request's parameters, once it has asked.
    pub(super) list: Vec<fcgipm_param>,
}

impl Served {
    /// Another request begins: nothing that the host was told holds.
    fn forget_list(&mut self) {
        /// Entries whose memory is kept from request to request.
        const RETAINED: usize = 2048;
        self.list.clear();
        self.list.shrink_to(RETAINED);
    }
}

impl Noun for Served {
    type Handle = fcgipm_request;
    const MAGIC: u32 = 0xfc91_0002;
    const NAME: &'static str = "request";
}

pub(super) fn with<R>(
    request: *const fcgipm_request,
    body: impl FnOnce(&mut Request) -> Result<R>,
) -> Result<R> {
    handle::with(request, |served: &mut Served| body(&mut served.request))
}

/// A length that was read or written. No object is longer than an i64 can say.
pub(super) fn length(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// Makes a request loop on a listening socket, which stays the caller's and must stay open.
///
/// flags is 0 or FCGIPM_FAIL_ACCEPT_ON_INTR, FCGIPM_RETURN_ON_SIGNAL, or both. options may be NULL
/// and is not needed afterwards; params_timeout, body_timeout, write_timeout, idle_timeout,
/// skip_disconnected, max_params, max_param_size and max_params_size count, the environment wins
/// over them, and FCGI_WEB_SERVER_ADDRS is read (FastCGI 1.0, section 3.2).
///
/// In a program that "fcgipm run" started, the first call makes the process a worker of that
/// manager: the handlers of a fresh worker (see fcgipm_worker_protect()) are installed where the
/// program has none. FCGIPM_EVALUE or FCGIPM_ESYSTEM when it cannot: the message says why.
///
/// Returns a handle that the caller frees with fcgipm_request_free(), or NULL: FCGIPM_ELISTENER
/// when listen_fd does not listen, FCGIPM_EARGUMENT for flags, FCGIPM_EOPTION or FCGIPM_EVALUE
/// for the environment. Several threads may have a loop each on one socket; a handle is for one
/// call at a time. Make it in the process that uses it: after fork the child can only free it.
#[unsafe(no_mangle)]
pub extern "C" fn fcgipm_request_new(
    listen_fd: i32,
    flags: u32,
    options: *const fcgipm_options,
) -> *mut fcgipm_request {
    enter(|| {
        let options = effective(options)?;
        worker::adopt()?;
        let web_servers = std::env::var_os(WEB_SERVER_ADDRS);
        Ok(handle::make(Served {
            request: Request::new(listen_fd, flags, &options, web_servers)?,
            list: Vec::new(),
        }))
    })
}

/// Frees a request loop; NULL is fine. A request that is being served is finished; kept
/// connections are closed, or in a worker handed to the others. It may wait, for at most 5
/// seconds, until peers that are still sending have seen their answers. In a child of the process
/// that made it, its copies of the descriptors are closed and nothing is sent.
#[unsafe(no_mangle)]
pub extern "C" fn fcgipm_request_free(request: *mut fcgipm_request) {
    enter(|| handle::free::<Served>(request));
}

/// Waits for the next request, and reads it up to the end of its parameters. One that is being
/// served is finished first.
///
/// Returns 0; FCGIPM_ERETIRED when this process is to leave: end the loop; FCGIPM_EINTERRUPTED
/// (see the flags) with errno EINTR; FCGIPM_ELISTENER when the socket was closed or does not
/// listen, FCGIPM_EDESCRIPTORS when no descriptor is left, FCGIPM_ESYSTEM, each with errno;
/// FCGIPM_EFORKED, FCGIPM_EHANDLE. Connections that fail before their parameters are complete are
/// logged where that is somebody's mistake, and never returned.
#[unsafe(no_mangle)]
pub extern "C" fn fcgipm_request_accept(request: *mut fcgipm_request) -> i32 {
    enter(|| {
        handle::with(request, |served: &mut Served| {
            served.forget_list();
            served.request.accept().map(|()| 0)
        })
    })
}

/// Forgets the signals of which fcgipm_signal_arrived() told: the host has run its handlers for
/// them, and the next fcgipm_request_accept() need not return. NULL: that of a handle made later.
///
/// Returns 0; FCGIPM_EFORKED, FCGIPM_EHANDLE.
#[unsafe(no_mangle)]
pub extern "C" fn fcgipm_request_forget_signals(request: *mut fcgipm_request) -> i32 {
    enter(|| {
        server::forget_interrupts();
        if request.is_null() {
            return Ok(0);
        }
        with(request, |request| request.forget_signals().map(|()| 0))
    })
}

/// Ends the response and the request: what was gathered is sent with END_REQUEST and the exit
/// status (FastCGI 1.0, section 5.5).
///
/// Returns 0; FCGIPM_ECLOSED with errno, or FCGIPM_ETIMEDOUT, when the peer did not take it to
/// its end; FCGIPM_ESTATE when no request is being served; FCGIPM_EFORKED, FCGIPM_EHANDLE.
/// Afterwards no request is being served, whatever is returned.
#[unsafe(no_mangle)]
pub extern "C" fn fcgipm_request_finish(request: *mut fcgipm_request) -> i32 {
    enter(|| with(request, |request| request.finish().map(|()| 0)))
}

/// Writes the last bytes of the response and finishes, as fcgipm_request_write() with
/// FCGIPM_STDOUT and fcgipm_request_finish() do; a small response leaves in one send(2). data may
/// be NULL with length 0.
///
/// Returns 0, or the first error of the two.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fcgipm_request_finish_with(
    request: *mut fcgipm_request,
    data: *const u8,
    length: usize,
) -> i32 {
    enter(|| {
        // SAFETY: the caller's promise.
        let data = unsafe { bytes(data, length, "data") }?;
        with(request, |request| {
            let written = request.write(Stream::Stdout, data);
            // Finished in any case; of two errors the first is the cause.
            let finished = request.finish();
            written.and(finished).map(|()| 0)
        })
    })
}

/// Ends the request without an answer: its connection is closed.
///
/// Returns 0, FCGIPM_ESTATE when no request is being served, FCGIPM_EFORKED, FCGIPM_EHANDLE.
#[unsafe(no_mangle)]
pub extern "C" fn fcgipm_request_abandon(request: *mut fcgipm_request) -> i32 {
    enter(|| with(request, |request| request.abandon().map(|()| 0)))
}

/// In a child of the process that accepted it: the request that is being served can be read,
/// written to and finished there, too. Everything else of the handle stays the parent's. The rules
/// are in docs/FORKING.md.
///
/// Returns 0, also in the process that made the handle, where nothing happens, and in a child that
/// fork(3) did not make, where every other call still returns FCGIPM_EFORKED; FCGIPM_EHANDLE.
#[unsafe(no_mangle)]
pub extern "C" fn fcgipm_request_go_on_in_child(request: *mut fcgipm_request) -> i32 {
    enter(|| {
        with(request, |request| {
            request.go_on_in_child();
            Ok(0)
        })
    })
}

/// In a child of the process that accepted it: fcgipm_request_read() and its kin read the input of
/// the request that is being served. Writing stays as it is.
///
/// Returns 0, also in the process that made the handle, where nothing happens; FCGIPM_ESTATE when
/// no request is being served; FCGIPM_EFORKED in a child that fork(3) did not make, FCGIPM_EHANDLE.
#[unsafe(no_mangle)]
pub extern "C" fn fcgipm_request_read_in_child(request: *mut fcgipm_request) -> i32 {
    enter(|| with(request, |request| request.read_in_child().map(|()| 0)))
}

/// Leaves the request that is being served to a child, forked before or after this. The first child
/// that writes to it, or calls fcgipm_request_go_on_in_child(), answers it. In this process it ends
/// with fcgipm_request_abandon() or the next accept or free, without an answer, and the connection
/// is closed here alone.
///
/// Returns 0; FCGIPM_ESTATE when no request is being served; FCGIPM_EFORKED in a child that has no
/// part in it, FCGIPM_EHANDLE.
#[unsafe(no_mangle)]
pub extern "C" fn fcgipm_request_detach(request: *mut fcgipm_request) -> i32 {
    enter(|| with(request, |request| request.leave_to_child().map(|()| 0)))
}

/// Takes a request back that was left with fcgipm_request_detach().
///
/// Returns 0, also when it was not left; FCGIPM_ESTATE when a child has taken it, or no request is
/// being served; FCGIPM_EFORKED, FCGIPM_EHANDLE.
#[unsafe(no_mangle)]
pub extern "C" fn fcgipm_request_attach(request: *mut fcgipm_request) -> i32 {
    enter(|| with(request, |request| request.take_back().map(|()| 0)))
}

/// Whether this process is the one that answers the request that is being served: it accepted the
/// request and has not left it, or it is a child that the request was left to. A child waits for at
/// most wait_ms milliseconds until its parent has left the request or ended it.
///
/// Returns 1 or 0; FCGIPM_EHANDLE.
#[unsafe(no_mangle)]
pub extern "C" fn fcgipm_request_belongs_here(request: *mut fcgipm_request, wait_ms: u32) -> i32 {
    enter(|| {
        with(request, |request| {
            let patience = Duration::from_millis(u64::from(wait_ms));
            Ok(i32::from(request.belongs_here(patience)))
        })
    })
}

/// Whether a request is being served.
///
/// Returns 1 between accept and finish, else 0; FCGIPM_EHANDLE.
#[unsafe(no_mangle)]
pub extern "C" fn fcgipm_request_is_active(request: *const fcgipm_request) -> i32 {
    enter(|| with(request, |request| Ok(i32::from(request.is_active()))))
}

/// Sets the exit status that END_REQUEST will carry; it is 0 at the start of each request.
///
/// Returns 0, FCGIPM_ESTATE when no request is being served, FCGIPM_EFORKED, FCGIPM_EHANDLE.
#[unsafe(no_mangle)]
pub extern "C" fn fcgipm_request_set_exit_status(request: *mut fcgipm_request, status: u32) -> i32 {
    enter(|| {
        with(request, |request| {
            request.set_exit_status(status).map(|()| 0)
        })
    })
}

/// The request's role.
///
/// Returns FCGIPM_RESPONDER, FCGIPM_AUTHORIZER or FCGIPM_FILTER; FCGIPM_ESTATE, FCGIPM_EFORKED,
/// FCGIPM_EHANDLE.
#[unsafe(no_mangle)]
pub extern "C" fn fcgipm_request_role(request: *const fcgipm_request) -> i32 {
    enter(|| {
        with(request, |request| {
            request.role().map(|role| i32::from(role.number()))
        })
    })
}

/// Whether the web server asked to keep the connection.
///
/// Returns 1 or 0; FCGIPM_ESTATE, FCGIPM_EFORKED, FCGIPM_EHANDLE.
#[unsafe(no_mangle)]
pub extern "C" fn fcgipm_request_keep_connection(request: *const fcgipm_request) -> i32 {
    enter(|| with(request, |request| request.keep_connection().map(i32::from)))
}

/// The descriptor of the request's connection, which stays the library's: do not close it, and
/// read or write it only to take the protocol into your own hands.
///
/// Returns the descriptor; FCGIPM_ESTATE, FCGIPM_ECLOSED, FCGIPM_EFORKED, FCGIPM_EHANDLE.
#[unsafe(no_mangle)]
pub extern "C" fn fcgipm_request_connection_fd(request: *const fcgipm_request) -> i32 {
    enter(|| with(request, |request| request.connection().map(|(fd, _)| fd)))
}

/// The address of the connection's other end: "127.0.0.1:4711", "[::1]:4711", or "unix:".
///
/// Copies at most size bytes to buffer, the last of them a NUL, as snprintf(3) does; buffer may be
/// NULL with size 0.
///
/// Returns the full length without the NUL; FCGIPM_ESTATE, FCGIPM_ECLOSED, FCGIPM_EARGUMENT,
/// FCGIPM_EFORKED, FCGIPM_EHANDLE.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fcgipm_request_peer_address(
    request: *const fcgipm_request,
    buffer: *mut c_char,
    size: usize,
) -> i32 {
    enter(|| {
        with(request, |request| {
            let text = match request.connection()?.1 {
                Peer::Inet(address) => address.to_string(),
                Peer::Unix => "unix:".to_owned(),
            };
            // SAFETY: the caller's promise.
            unsafe { copy_text(&text, buffer, size) }
        })
    })
}

/// Whether the web server aborted the request (FastCGI 1.0, section 5.4). Looks at what has
/// arrived without waiting; an abort behind input that has not been read is seen when it was
/// read.
///
/// Returns 1 or 0; FCGIPM_ESTATE, FCGIPM_EFORKED, FCGIPM_EHANDLE.
#[unsafe(no_mangle)]
pub extern "C" fn fcgipm_request_aborted(request: *mut fcgipm_request) -> i32 {
    enter(|| with(request, |request| request.aborted().map(i32::from)))
}

/// Reads from the request's input into size bytes at buffer, like read(2): waits for at least one
/// byte.
///
/// Returns the number of bytes, 0 at the end of the input (or for size 0); FCGIPM_EINCOMPLETE when
/// the connection ended before the input did, FCGIPM_EABORTED, FCGIPM_ETIMEDOUT (body_timeout, or
/// the signal that gives notice of request_timeout came), FCGIPM_EPROTOCOL, FCGIPM_ECLOSED with
/// errno, each again at every further call; FCGIPM_ESTATE,
/// FCGIPM_EARGUMENT, FCGIPM_EFORKED, FCGIPM_EHANDLE. A signal does not interrupt it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fcgipm_request_read(
    request: *mut fcgipm_request,
    buffer: *mut u8,
    size: usize,
) -> i64 {
    // SAFETY: the caller's promise.
    unsafe { read_with(request, buffer, size, Request::read) }
}

/// Reads until size bytes are there or the input is at its end.
///
/// Returns as fcgipm_request_read(); after an error with some bytes read, those first, and the
/// error with the next call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fcgipm_request_read_full(
    request: *mut fcgipm_request,
    buffer: *mut u8,
    size: usize,
) -> i64 {
    // SAFETY: the caller's promise.
    unsafe { read_with(request, buffer, size, Request::read_full) }
}

/// Reads up to and including the next newline, or size bytes, or to the end of the input. Writes
/// no NUL.
///
/// Returns as fcgipm_request_read_full().
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fcgipm_request_read_line(
    request: *mut fcgipm_request,
    buffer: *mut u8,
    size: usize,
) -> i64 {
    // SAFETY: the caller's promise.
    unsafe { read_with(request, buffer, size, Request::read_line) }
}

/// # Safety
/// buffer has size writable bytes.
unsafe fn read_with(
    request: *mut fcgipm_request,
    buffer: *mut u8,
    size: usize,
    read: impl FnOnce(&mut Request, &mut [u8]) -> Result<usize>,
) -> i64 {
    enter(|| {
        // SAFETY: the caller's promise.
        let buffer = unsafe { bytes_mut(buffer, size, "buffer") }?;
        with(request, |request| read(request, buffer).map(length))
    })
}

/// Whether the input was read to its end.
///
/// Returns 1 or 0; FCGIPM_EHANDLE.
#[unsafe(no_mangle)]
pub extern "C" fn fcgipm_request_input_end(request: *const fcgipm_request) -> i32 {
    enter(|| with(request, |request| Ok(i32::from(request.input_ended()))))
}

/// The error that broke the input off (see fcgipm_request_read()).
///
/// Returns its number, or 0; FCGIPM_EHANDLE.
#[unsafe(no_mangle)]
pub extern "C" fn fcgipm_request_input_error(request: *const fcgipm_request) -> i32 {
    enter(|| {
        with(request, |request| {
            Ok(request
                .input_error()
                .map_or(0, |error| error.code().number()))
        })
    })
}

/// Writes all of data to the stream FCGIPM_STDOUT or FCGIPM_STDERR. Small writes are gathered, and
/// sent when there are enough of them, at fcgipm_request_flush(), or at the end. data may be NULL
/// with length 0.
///
/// Returns length; FCGIPM_ECLOSED with errno when the peer is gone, FCGIPM_ETIMEDOUT when it took
/// nothing for write_timeout, each again at every further call; FCGIPM_ESTATE, FCGIPM_EARGUMENT,
/// FCGIPM_EFORKED, FCGIPM_EHANDLE. A signal does not interrupt it; no SIGPIPE is raised.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fcgipm_request_write(
    request: *mut fcgipm_request,
    stream: u32,
    data: *const u8,
    length: usize,
) -> i64 {
    enter(|| {
        // SAFETY: the caller's promise.
        let data = unsafe { bytes(data, length, "data") }?;
        let stream = match stream {
            FCGIPM_STDOUT => Stream::Stdout,
            FCGIPM_STDERR => Stream::Stderr,
            other => {
                return Err(Error::new(
                    Code::Argument,
                    format!("argument stream: {other} is not 1 or 2"),
                ));
            }
        };
        with(request, |request| request.write(stream, data))?;
        Ok(self::length(data.len()))
    })
}

/// Sends what was gathered of both streams.
///
/// Returns 0, or an error as fcgipm_request_write().
#[unsafe(no_mangle)]
pub extern "C" fn fcgipm_request_flush(request: *mut fcgipm_request) -> i32 {
    enter(|| with(request, |request| request.flush().map(|()| 0)))
}

/// A filter has read its standard input and goes on to the file's data (FastCGI 1.0, section 6.4):
/// fcgipm_request_read() reads that from here on.
///
/// Returns 0; FCGIPM_ESTATE when the role is another one or the standard input is not at its end;
/// FCGIPM_EFORKED, FCGIPM_EHANDLE.
#[unsafe(no_mangle)]
pub extern "C" fn fcgipm_request_start_filter_data(request: *mut fcgipm_request) -> i32 {
    enter(|| with(request, |request| request.start_filter_data().map(|()| 0)))
}
