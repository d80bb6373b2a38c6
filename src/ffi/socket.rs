//! Listening sockets, as C sees them.

use std::ffi::c_char;

use super::boundary::{enter, text};
use super::options::{effective, fcgipm_options};
use crate::options::{self, Opt, Options};
use crate::server::{environment, listen};

/// Opens a listening socket.
///
/// address is a NUL-terminated string in one of these forms:
///
///   ":9005"                          all interfaces, IPv6 and IPv4
///   "127.0.0.1:9005", "[::1]:9005"   one address
///   "host:9005"                      the address of a host
///   "/path", "unix:/path"            a unix socket file
///   "@name"                          an abstract unix socket, unix(7)
///   "fd:N"                           the inherited descriptor N, which must be listening
///   "fd:NAME"                        the socket that a service manager has passed by this name
///
/// As with FCGI, any other text without a colon is the path of a socket file, unless it is a
/// number.
///
/// If a service manager has passed a listening socket with this address to the process, as systemd
/// does for a socket unit (LISTEN_FDS, LISTEN_PID, sd_listen_fds(3)), that socket is returned, and
/// nothing is opened. ":9005" means any of the passed sockets with this port.
///
/// backlog is the length of the listen queue; 0 means 100. The kernel limits it to
/// net.core.somaxconn.
///
/// options may be NULL. The options listen, listen_mode, listen_owner, listen_group and
/// listen_replace apply; the environment overrides them, even if options is NULL. The option listen
/// replaces the address. A socket file never has more
/// permissions than they allow, and the umask of the process is not changed. A socket file that no
/// process listens on is replaced.
///
/// When the manager of this process stops, it also stops the socket: no new connections arrive,
/// those in the listen queue are answered, and the socket file is removed unless another process
/// has replaced it. Without a manager, the same happens when the only process that has the socket
/// retires. An inherited descriptor is not stopped, nor a socket that the service manager stores.
///
/// Returns a descriptor above 2 with close-on-exec set, which the caller owns. For "fd:N" it is N
/// itself; for a socket that a service manager has passed, it is that descriptor. FCGIPM_EADDRESS,
/// FCGIPM_EINUSE, FCGIPM_ELISTENER, FCGIPM_EOPTION, FCGIPM_EVALUE, FCGIPM_EDESCRIPTORS,
/// FCGIPM_ESYSTEM with errno, FCGIPM_EARGUMENT, FCGIPM_EHANDLE. Any thread. Children inherit the
/// descriptor, so that workers can accept on it.
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

/// Closes a listening socket. A socket file is not removed, because other processes may listen on
/// it.
///
/// Returns 0, or FCGIPM_ELISTENER if fd is not an open listening socket. Any thread, but not while
/// another thread waits on the socket: its accept(2) would continue.
#[unsafe(no_mangle)]
pub extern "C" fn fcgipm_socket_close(fd: i32) -> i32 {
    enter(|| listen::close(fd).map(|()| 0))
}

/// Checks whether a descriptor is a listening socket. With fd 0, this tells a program whether a
/// FastCGI web server started it (FastCGI 1.0, section 2.2), or a service manager that has passed a
/// socket, or an operator who has set the option listen in the environment: then
/// fcgipm_request_new() with listen_fd 0 uses that socket. The option does not count in a program
/// that a web server started for one request (CGI: GATEWAY_INTERFACE is set).
///
/// Returns 1 or 0. Any thread, also after fork.
#[unsafe(no_mangle)]
pub extern "C" fn fcgipm_socket_is_listening(fd: i32) -> i32 {
    enter(|| {
        let variable = options::variable(Opt::Listen);
        let listen = environment::trusted_vars().filter(|(name, _)| *name == *variable);
        // The request returns an error for a bad value, here and in other variables.
        let has_socket = Options::new()
            .with_environment(listen)
            .map_or(true, |options| listen::has_socket(fd, &options));
        Ok(i32::from(has_socket))
    })
}
