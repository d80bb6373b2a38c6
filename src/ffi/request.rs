//! Requests, as C sees them: the request loop, and the properties of the current request.

use std::ffi::c_char;

use super::boundary::{bytes, copy_text, enter};
use super::handle;
use super::options::{effective, fcgipm_options};
use super::served::{Served, fcgipm_request, with};
use crate::server::{Peer, Request, Stream, WEB_SERVER_ADDRS};
use crate::{server, worker};

/// A flag of fcgipm_request_new(): if a signal interrupts the wait for a request,
/// fcgipm_request_accept() returns FCGIPM_EINTERRUPTED. A signal that arrives just before the wait
/// has the same effect if its handler calls fcgipm_signal_arrived(). The flag has the name that it
/// has in libfcgi.
pub const FCGIPM_FAIL_ACCEPT_ON_INTR: u32 = 1;
/// A flag of fcgipm_request_new(): the same, for interpreters that run signal handlers later, as
/// Perl does, and then call fcgipm_request_accept() again.
pub const FCGIPM_RETURN_ON_SIGNAL: u32 = 2;

/// The role of a request that wants a response (FastCGI 1.0, section 6.2).
pub const FCGIPM_RESPONDER: i32 = 1;
/// The role of a request that wants an access decision and has no body (section 6.3).
pub const FCGIPM_AUTHORIZER: i32 = 2;
/// The role of a request that wants a file to be filtered (section 6.4).
pub const FCGIPM_FILTER: i32 = 3;

/// Makes a request loop on a listening socket. The socket still belongs to the caller and must stay
/// open. If listen_fd is 0 and descriptor 0 is not a listening socket, the loop uses the socket of
/// the option listen, or else the first listening socket that a service manager has passed to the
/// process (LISTEN_FDS), if there is one.
///
/// flags is 0, or a combination of FCGIPM_FAIL_ACCEPT_ON_INTR and FCGIPM_RETURN_ON_SIGNAL. options
/// may be NULL and is not needed after the call. The options params_timeout, body_timeout,
/// write_timeout, idle_timeout, skip_disconnected, max_params, max_param_size, max_params_size and
/// listen apply; the environment overrides them. FCGI_WEB_SERVER_ADDRS is read from the environment
/// (FastCGI 1.0, section 3.2).
///
/// In a program that "fcgipm run" started, the first call makes the process a worker of that
/// manager. It installs the handlers that fcgipm_worker_protect() describes, except where the
/// program has handlers of its own. If it fails, the error is FCGIPM_EVALUE or FCGIPM_ESYSTEM.
///
/// Several threads may each have a loop on the same socket. A handle is for one call at a time.
///
/// Returns a handle, which the caller frees with fcgipm_request_free(). On failure it returns NULL:
/// FCGIPM_ELISTENER if listen_fd is not listening, or if the option listen names another socket than
/// the one on descriptor 0, FCGIPM_EARGUMENT for unknown flags, FCGIPM_EOPTION or FCGIPM_EVALUE for
/// an error in the environment. If the socket of the option listen cannot be opened, the error is
/// that of fcgipm_socket_open(). Make the handle in the process
/// that uses it; a child of that process can only free it, apart from the functions that
/// docs/FORKING.md describes.
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

/// Frees a request loop; NULL is allowed.
///
/// It finishes the current request. It closes idle keep-alive connections, or in a worker hands
/// them over to other workers. It waits, for at most 5 seconds, until clients that are still
/// sending have received their responses. In a child of the process that made the handle, it only
/// closes the copies of the descriptors and sends nothing.
#[unsafe(no_mangle)]
pub extern "C" fn fcgipm_request_free(request: *mut fcgipm_request) {
    enter(|| handle::free::<Served>(request));
}

/// Finishes the current request, waits for the next one, and reads it up to the end of its
/// parameters.
///
/// A connection that fails before its parameters are complete is closed and not returned. It is
/// logged if the cause is an error of the client or of the configuration.
///
/// With the option refork_after, the call may fork a template of this worker. Then it also returns
/// in the workers that are copies of the template, each in a process of its own. Other request loops
/// of such a process belong to the process before (FCGIPM_EFORKED): free them and make new ones.
///
/// Returns 0; FCGIPM_ERETIRED if this process should exit: end the loop; FCGIPM_EINTERRUPTED with
/// errno EINTR (see FCGIPM_FAIL_ACCEPT_ON_INTR); FCGIPM_EFORKDUE only in a program that forks its
/// workers itself, see fcgipm_manager_of_worker(); FCGIPM_ELISTENER if the socket was closed or is
/// not listening, FCGIPM_EDESCRIPTORS if no descriptor is available, FCGIPM_ESYSTEM, each with
/// errno; FCGIPM_ESTATE in a worker whose start has failed, FCGIPM_EFORKED, FCGIPM_EHANDLE.
#[unsafe(no_mangle)]
pub extern "C" fn fcgipm_request_accept(request: *mut fcgipm_request) -> i32 {
    enter(|| {
        handle::with(request, |served: &mut Served| {
            served.forget_list();
            served.request.accept().map(|()| 0)
        })
    })
}

/// Discards the signals that fcgipm_signal_arrived() has reported. Call it when the handlers for
/// them have run, so that the next fcgipm_request_accept() does not return for them.
///
/// With NULL, it discards those that a handle made later would see.
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

/// Ends the response and the request: sends the buffered output, and END_REQUEST with the exit
/// status (FastCGI 1.0, section 5.5).
///
/// Returns 0; FCGIPM_ECLOSED with errno, or FCGIPM_ETIMEDOUT, if the client did not receive the
/// whole response; FCGIPM_ESTATE if there is no current request, FCGIPM_EFORKED, FCGIPM_EHANDLE.
/// Whatever it returns, there is no current request afterwards.
#[unsafe(no_mangle)]
pub extern "C" fn fcgipm_request_finish(request: *mut fcgipm_request) -> i32 {
    enter(|| with(request, |request| request.finish().map(|()| 0)))
}

/// Writes the last bytes of the response and finishes the request: fcgipm_request_write() to
/// FCGIPM_STDOUT, then fcgipm_request_finish(). A small response is sent with one send(2).
///
/// data may be NULL if length is 0.
///
/// Returns 0, or the first error of the two. The request is finished in any case.
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

/// Ends the request without a response, by closing its connection.
///
/// Returns 0; FCGIPM_ESTATE if there is no current request, FCGIPM_EFORKED, FCGIPM_EHANDLE.
#[unsafe(no_mangle)]
pub extern "C" fn fcgipm_request_abandon(request: *mut fcgipm_request) -> i32 {
    enter(|| with(request, |request| request.abandon().map(|()| 0)))
}

/// Checks whether there is a current request.
///
/// Returns 1 between accept and finish, otherwise 0; FCGIPM_EHANDLE.
#[unsafe(no_mangle)]
pub extern "C" fn fcgipm_request_is_active(request: *const fcgipm_request) -> i32 {
    enter(|| with(request, |request| Ok(i32::from(request.is_active()))))
}

/// Sets the exit status that END_REQUEST carries. It is 0 at the start of each request.
///
/// Returns 0; FCGIPM_ESTATE if there is no current request, FCGIPM_EFORKED, FCGIPM_EHANDLE.
#[unsafe(no_mangle)]
pub extern "C" fn fcgipm_request_set_exit_status(request: *mut fcgipm_request, status: u32) -> i32 {
    enter(|| {
        with(request, |request| {
            request.set_exit_status(status).map(|()| 0)
        })
    })
}

/// The role of the current request.
///
/// Returns FCGIPM_RESPONDER, FCGIPM_AUTHORIZER or FCGIPM_FILTER; FCGIPM_ESTATE if there is no
/// current request, FCGIPM_EFORKED, FCGIPM_EHANDLE.
#[unsafe(no_mangle)]
pub extern "C" fn fcgipm_request_role(request: *const fcgipm_request) -> i32 {
    enter(|| {
        with(request, |request| {
            request.role().map(|role| i32::from(role.number()))
        })
    })
}

/// Checks whether the web server asked to keep the connection (FCGI_KEEP_CONN, FastCGI 1.0, section
/// 5.1).
///
/// Returns 1 or 0; FCGIPM_ESTATE if there is no current request, FCGIPM_EFORKED, FCGIPM_EHANDLE.
#[unsafe(no_mangle)]
pub extern "C" fn fcgipm_request_keep_connection(request: *const fcgipm_request) -> i32 {
    enter(|| with(request, |request| request.keep_connection().map(i32::from)))
}

/// The descriptor of the connection of the current request.
///
/// It belongs to the library: do not close it. Read or write it only to replace the protocol
/// handling of the library by your own.
///
/// Returns the descriptor; FCGIPM_ESTATE if there is no current request, FCGIPM_ECLOSED,
/// FCGIPM_EFORKED, FCGIPM_EHANDLE.
#[unsafe(no_mangle)]
pub extern "C" fn fcgipm_request_connection_fd(request: *const fcgipm_request) -> i32 {
    enter(|| with(request, |request| request.connection().map(|(fd, _)| fd)))
}

/// The address of the other end of the connection: "127.0.0.1:4711", "[::1]:4711", or "unix:".
///
/// Like snprintf(3), it copies at most size bytes to buffer, including a terminating NUL. buffer
/// may be NULL if size is 0.
///
/// Returns the full length without the NUL; FCGIPM_ESTATE if there is no current request,
/// FCGIPM_ECLOSED, FCGIPM_EARGUMENT, FCGIPM_EFORKED, FCGIPM_EHANDLE.
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

/// Checks whether the web server aborted the request (FastCGI 1.0, section 5.4).
///
/// It checks what has arrived, without waiting. An abort that follows unread input is found only
/// when that input has been read.
///
/// Returns 1 or 0; FCGIPM_ESTATE if there is no current request, FCGIPM_EFORKED, FCGIPM_EHANDLE.
#[unsafe(no_mangle)]
pub extern "C" fn fcgipm_request_aborted(request: *mut fcgipm_request) -> i32 {
    enter(|| with(request, |request| request.aborted().map(i32::from)))
}
