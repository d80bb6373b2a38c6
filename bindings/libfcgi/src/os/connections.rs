//! Sockets: listening, connecting, accepting.

use std::ffi::{CStr, OsStr, OsString, c_char, c_int};
use std::net::TcpStream;
use std::os::fd::{AsRawFd as _, IntoRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use fcgipm::error::{Code, Error};
use fcgipm::server;

use super::transfer::wait_readable;
use crate::guard::{errno, guard, set_errno};
use crate::settings::warn;
use crate::sockets::FCGX_OpenSocket;
use crate::{acceptors, engine};

/// How long a peer on a unix socket may send nothing before its connection is dropped.
const PATIENCE: Duration = Duration::from_secs(2);

/// Another name of FCGX_OpenSocket.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn OS_CreateLocalIpcFd(path: *const c_char, backlog: c_int) -> c_int {
    FCGX_OpenSocket(path, backlog)
}

/// What a name of cgi-fcgi refers to.
#[derive(Debug, PartialEq, Eq)]
enum Target<'a> {
    Port(&'a str, u16),
    Path(&'a [u8]),
}

/// `host:port` or `:port`; anything else is a path, also if a colon is not followed by a number.
fn target(name: &[u8]) -> Option<Target<'_>> {
    let colon = name.iter().position(|byte| *byte == b':');
    let Some((host, rest)) = colon.and_then(|place| name.split_at_checked(place)) else {
        return Some(Target::Path(name));
    };
    // As atoi(3) does: up to the first character that is not a digit.
    let digits = rest.get(1..).unwrap_or_default();
    let end = digits.iter().position(|byte| !byte.is_ascii_digit());
    let digits = digits
        .get(..end.unwrap_or(digits.len()))
        .unwrap_or_default();
    if digits.iter().all(|digit| *digit == b'0') {
        return Some(Target::Path(name));
    }
    let host = std::str::from_utf8(host).ok()?;
    let port = std::str::from_utf8(digits).ok()?.parse().ok()?;
    Some(Target::Port(
        if host.is_empty() { "localhost" } else { host },
        port,
    ))
}

/// Connects to an application. -1 with errno set if that fails.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn OS_FcgiConnect(path: *mut c_char) -> c_int {
    guard(-1, || {
        let name = (!path.is_null()).then(|| CStr::from_ptr(path));
        let Some(name) = name else {
            set_errno(libc::EINVAL);
            return -1;
        };
        let connected = match target(name.to_bytes()) {
            Some(Target::Port(host, port)) => TcpStream::connect((host, port)).map(OwnedFd::from),
            Some(Target::Path(path)) => {
                UnixStream::connect(OsStr::from_bytes(path)).map(OwnedFd::from)
            }
            None => Err(std::io::Error::from_raw_os_error(libc::EINVAL)),
        };
        match connected {
            Ok(connection) => give_to_program(connection),
            Err(error) => {
                let number = error.raw_os_error();
                // There is no errno for an unknown host name or a path that is too long.
                if number.is_none() {
                    warn(&format!("connect to '{}': {error}", name.to_string_lossy()));
                }
                set_errno(number.unwrap_or(libc::EINVAL));
                -1
            }
        }
    })
}

/// The descriptor becomes the program's. As with libfcgi, programs that are started inherit it.
fn give_to_program(descriptor: OwnedFd) -> c_int {
    let descriptor = descriptor.into_raw_fd();
    // SAFETY: integers only. If it fails, programs that are started do not inherit it.
    unsafe { libc::fcntl(descriptor, libc::F_SETFD, 0) };
    descriptor
}

/// Waits for a connection and returns its descriptor, which is the program's. -1 with errno set if
/// there is none: EINTR with `fail_on_interruption`, 0 when the process has to exit.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn OS_Accept(
    listener: c_int,
    fail_on_interruption: c_int,
    web_servers: *const c_char,
) -> c_int {
    guard(-1, || {
        let web_servers = (!web_servers.is_null()).then(|| CStr::from_ptr(web_servers).to_bytes());
        let web_servers = web_servers
            .filter(|list| !list.is_empty())
            .map(|list| OsStr::from_bytes(list).to_owned());
        let number = errno();
        match accept(listener, fail_on_interruption != 0, web_servers) {
            Ok(connection) => {
                let connection = give_to_program(connection);
                // Errors before the success do not count.
                set_errno(number);
                connection
            }
            Err(error) => {
                // There is no errno for it.
                if error.code() == Code::Value {
                    warn(error.message());
                }
                set_errno(match error.code() {
                    Code::Retired => 0,
                    _ if error.errno() == 0 => libc::EINVAL,
                    _ => error.errno(),
                });
                -1
            }
        }
    })
}

fn accept(
    listener: c_int,
    fail_on_interruption: bool,
    web_servers: Option<OsString>,
) -> Result<OwnedFd, Error> {
    let flags = if fail_on_interruption {
        server::FAIL_ACCEPT_ON_INTR
    } else {
        0
    };
    let mut acceptor = acceptors::take(listener, flags, web_servers)?;
    engine::adopt_idle(&mut acceptor.request);
    let accepted = loop {
        match acceptor.request.accept_connection() {
            Ok(connection) => {
                let silent_until = Instant::now() + PATIENCE;
                if !is_unix(&connection) || wait_readable(connection.as_raw_fd(), silent_until) {
                    break Ok(connection);
                }
            }
            Err(error) => break Err(error),
        }
    };
    if matches!(&accepted, Err(error) if error.code() == Code::Retired) {
        // Their parked connections go to other workers.
        engine::forget(listener);
    }
    acceptors::put_back(acceptor);
    accepted
}

fn is_unix(connection: &OwnedFd) -> bool {
    let mut family: c_int = 0;
    let mut length = size_of::<c_int>() as libc::socklen_t;
    // SAFETY: space for an int, and its size.
    let result = unsafe {
        libc::getsockopt(
            connection.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_DOMAIN,
            (&raw mut family).cast(),
            &raw mut length,
        )
    };
    result == 0 && family == libc::AF_UNIX
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_cgi_fcgi_reads_them() {
        let port = |host, port| Some(Target::Port(host, port));
        assert_eq!(target(b":9000"), port("localhost", 9000));
        assert_eq!(target(b"web.example:80"), port("web.example", 80));
        assert_eq!(target(b"h:80x"), port("h", 80));
        for path in ["/run/app.sock", "name", "", "/odd:name", "x:0", "x:"] {
            assert_eq!(target(path.as_bytes()), Some(Target::Path(path.as_bytes())));
        }
        assert_eq!(target(b"h:65536"), None);
        assert_eq!(target(b"\xff:80"), None);
    }
}
