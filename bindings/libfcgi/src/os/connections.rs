//! Sockets: listening, connecting, accepting.

use std::ffi::{CStr, OsStr, OsString, c_char, c_int};
use std::net::TcpStream;
use std::os::fd::{AsRawFd as _, IntoRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use fcgipm::error::{Code, Error};
use fcgipm::server;
use parking_lot::{Mutex, MutexGuard};

use super::transfer::readable;
use crate::engine;
use crate::guard::{errno, guard, set_errno};
use crate::process::{FCGX_OpenSocket, log, settings};

/// How long a peer on a unix socket may stay silent before it is taken for one that has given up.
const PATIENCE: Duration = Duration::from_secs(2);

/// FCGX_OpenSocket by another name.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn OS_CreateLocalIpcFd(path: *const c_char, backlog: c_int) -> c_int {
    FCGX_OpenSocket(path, backlog)
}

/// Where cgi-fcgi's names lead.
#[derive(Debug, PartialEq, Eq)]
enum Target<'a> {
    Port(&'a str, u16),
    Path(&'a [u8]),
}

/// `host:port` or `:port`, and everything else is a path, as is what has a colon and no number behind it.
fn target(name: &[u8]) -> Option<Target<'_>> {
    let colon = name.iter().position(|byte| *byte == b':');
    let Some((host, rest)) = colon.and_then(|place| name.split_at_checked(place)) else {
        return Some(Target::Path(name));
    };
    // As atoi(3) reads it: up to what is no digit.
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

/// Connects to an application. -1 with errno set where nobody listens.
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
            Ok(connection) => hand_out(connection),
            Err(error) => {
                let number = error.raw_os_error();
                // What no number tells: the name of a host is unknown, or a path too long.
                if number.is_none() {
                    log(&format!("connect to '{}': {error}", name.to_string_lossy()));
                }
                set_errno(number.unwrap_or(libc::EINVAL));
                -1
            }
        }
    })
}

/// A descriptor becomes the program's; like libfcgi's, programs that are started inherit it.
fn hand_out(descriptor: OwnedFd) -> c_int {
    let descriptor = descriptor.into_raw_fd();
    // SAFETY: integers only. If it fails, programs that are started do not have it.
    unsafe { libc::fcntl(descriptor, libc::F_SETFD, 0) };
    descriptor
}

/// Waits for a connection, whose descriptor is the program's. -1 with errno set where there is none: EINTR with
/// `fail_on_interruption`, 0 when the process is to leave.
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
                let connection = hand_out(connection);
                // What failed on the way to it was of no account.
                set_errno(number);
                connection
            }
            Err(error) => {
                // A number cannot tell it.
                if error.code() == Code::Value {
                    log(error.message());
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
    let mut acceptor = take(listener, flags, web_servers)?;
    engine::adopt_resting(&mut acceptor.request);
    let accepted = loop {
        match acceptor.request.accept_connection() {
            Ok(connection) => {
                let silent_until = Instant::now() + PATIENCE;
                if !is_unix(&connection) || readable(connection.as_raw_fd(), silent_until) {
                    break Ok(connection);
                }
            }
            Err(error) => break Err(error),
        }
    };
    if matches!(&accepted, Err(error) if error.code() == Code::Retired) {
        // What still stands aside in them goes to the other workers.
        engine::forget(listener);
    }
    if let Some(mut acceptors) = acceptors() {
        acceptors.push(acceptor);
    }
    accepted
}

/// AcceptCounter on one listening socket. It stays, because a manager knows a worker that waited by what waited.
#[derive(Debug)]
struct Acceptor {
    listener: c_int,
    flags: u32,
    web_servers: Option<OsString>,
    request: server::Request,
}

/// Those that wait for nothing at the moment.
static ACCEPTORS: Mutex<Vec<Acceptor>> = Mutex::new(Vec::new());

/// Not waited for without end: in a child that was forked while another thread had it, nobody would ever let go of it.
fn acceptors() -> Option<MutexGuard<'static, Vec<Acceptor>>> {
    ACCEPTORS.try_lock_for(Duration::from_millis(100))
}

fn take(listener: c_int, flags: u32, web_servers: Option<OsString>) -> Result<Acceptor, Error> {
    if let Some(mut acceptors) = acceptors() {
        // Those of a parent only have copies of its descriptors.
        acceptors.retain(|acceptor| acceptor.request.is_of_this_process());
        let known = acceptors.iter().position(|acceptor| {
            (acceptor.listener, acceptor.flags) == (listener, flags)
                && acceptor.web_servers == web_servers
        });
        if let Some(position) = known {
            return Ok(acceptors.remove(position));
        }
    }
    let options = &settings()?.options;
    let request = server::Request::new(listener, flags, options, web_servers.clone())?;
    Ok(Acceptor {
        listener,
        flags,
        web_servers,
        request,
    })
}

/// A descriptor is closed, or new: whatever listened under this number is not there any more.
pub(crate) fn forget(listener: c_int) {
    if let Some(mut acceptors) = acceptors() {
        acceptors.retain(|acceptor| acceptor.listener != listener);
    }
}

fn is_unix(connection: &OwnedFd) -> bool {
    let mut family: c_int = 0;
    let mut length = size_of::<c_int>() as libc::socklen_t;
    // SAFETY: room for an int, and its size.
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
    fn names_lead_where_cgi_fcgi_means() {
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
