//! Listening sockets, as C sees them.

use std::ffi::c_char;

use super::boundary::{enter, text};
use super::options::{effective, fcgipm_options};
use crate::server::listen;

/// Opens a listening socket.
///
/// address is a NUL-terminated string, one of: ":9005" (all interfaces, IPv6 and IPv4),
/// "127.0.0.1:9005", "host:9005", "[::1]:9005", "/path" or "unix:/path" (a socket file), "@name"
/// (abstract, unix(7)), "fd:N" (the inherited descriptor N, which must listen already). Any other
/// text without a colon, but not a bare number, is the path of a socket file, as with FCGI.
///
/// backlog is the length of the queue, 0 meaning 100; the kernel caps it at net.core.somaxconn.
///
/// options may be NULL; listen_mode, listen_owner, listen_group and listen_replace count. A socket
/// file is never more open than they say, and the umask is not touched. A socket file on which
/// nobody answers is replaced. The environment wins over them, also where options is NULL.
///
/// The socket ends with the manager of this process: when that stops, nothing arrives any more,
/// what waits in the queue is answered, and the socket file is removed unless it was replaced. So it
/// is when the only process that has the socket retires. An inherited descriptor is left alone.
///
/// Returns a descriptor above 2, close-on-exec, which the caller owns (for "fd:N" N itself), or
/// FCGIPM_EADDRESS, FCGIPM_EINUSE, FCGIPM_ELISTENER, FCGIPM_EOPTION, FCGIPM_EVALUE,
/// FCGIPM_EDESCRIPTORS, FCGIPM_ESYSTEM with errno, FCGIPM_EARGUMENT, FCGIPM_EHANDLE. Any thread. The
/// descriptor is inherited by fork, and meant to be.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fcgipm_socket_open(
    address: *const c_char,
    backlog: i32,
    options: *const fcgipm_options,
) -> i32 {
    enter(|| {
        // SAFETY: the caller's promise.
        let address = unsafe { text(address, "address") }?;
        listen::open(address, backlog, &effective(options)?)
    })
}

/// Closes a listening socket. A socket file stays: other processes may listen on it.
///
/// Returns 0, or FCGIPM_ELISTENER when fd is no open listening socket. Any thread that does not
/// leave another one waiting on it: accept(2) there would go on.
#[unsafe(no_mangle)]
pub extern "C" fn fcgipm_socket_close(fd: i32) -> i32 {
    enter(|| listen::close(fd).map(|()| 0))
}

/// Whether a descriptor is a listening socket: how a program finds out that it was started by a
/// FastCGI web server, which hands one in as descriptor 0 (FastCGI 1.0, section 2.2).
///
/// Returns 1 or 0. Any thread, also after fork.
#[unsafe(no_mangle)]
pub extern "C" fn fcgipm_socket_is_listening(fd: i32) -> i32 {
    enter(|| Ok(i32::from(listen::check_listening(fd).is_ok())))
}
