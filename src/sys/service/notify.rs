//! Messages to the service manager (sd_notify(3)): one datagram each, which never waits.

use std::ffi::OsString;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, socket};

use crate::error::{Code, Error, Result};
use crate::sys::fd::{above_standard, message};
use crate::sys::process::exec::{self, Sort};
use crate::sys::process::{self, environment};

/// Where the messages go: the address in the environment, or the other end of a socket pair.
#[derive(Debug)]
pub(crate) struct Notifier {
    socket: OwnedFd,
    address: Option<UnixAddr>,
}

impl Notifier {
    /// The service manager of this process, if it has one. `NOTIFY_SOCKET` is a path, an abstract
    /// name (`@NAME`), or `fd:N`: the parent of several managers passes the end of a socket pair.
    ///
    /// # Errors
    /// [`Code::Value`]: it is something else. [`Code::Descriptors`], [`Code::System`]: there is no
    /// socket.
    pub(crate) fn from_environment() -> Result<Option<Self>> {
        let value = environment::trusted_var("NOTIFY_SOCKET");
        value
            .filter(|value| !value.is_empty())
            .map_or(Ok(None), |value| Self::to(&value).map(Some))
    }

    fn to(value: &OsString) -> Result<Self> {
        let bad = |why: &str| {
            let value = value.to_string_lossy();
            Error::new(
                Code::Value,
                format!("environment variable NOTIFY_SOCKET: '{value}' {why}"),
            )
        };
        if let Some(number) = value.to_str().and_then(|text| text.strip_prefix("fd:")) {
            let number = number.parse().map_err(|_| bad("is not a descriptor"))?;
            let claimed = exec::claim(number, Sort::Datagrams).map_err(|why| bad(&why))?;
            let socket = claimed.ok_or_else(|| bad("is another part's of this process"))?;
            return Ok(Self {
                socket,
                address: None,
            });
        }
        let address = match value.as_bytes() {
            [b'@', name @ ..] if !name.is_empty() => UnixAddr::new_abstract(name),
            [b'/', ..] => UnixAddr::new(value.as_os_str()),
            _ => {
                return Err(bad(
                    "is not an absolute path, and not an abstract name (@NAME)",
                ));
            }
        };
        let address = address.map_err(|errno| bad(errno.desc()))?;
        let flags = SockFlag::SOCK_CLOEXEC;
        let opened = socket(AddressFamily::Unix, SockType::Datagram, flags, None);
        let socket = opened.and_then(above_standard).map_err(|errno| {
            let code = match errno {
                Errno::EMFILE | Errno::ENFILE => Code::Descriptors,
                _ => Code::System,
            };
            Error::caused(code, "socket to the service manager", errno as i32)
        })?;
        Ok(Self {
            socket,
            address: Some(address),
        })
    }

    /// Sends a message, with a copy of a descriptor. `false`: the service manager does not read at
    /// present.
    ///
    /// # Errors
    /// [`Code::System`]: it does not listen, or does not exist.
    pub(crate) fn send(&self, text: &str, fd: Option<BorrowedFd<'_>>) -> Result<bool> {
        let fds = Vec::from_iter(fd.map(|fd| fd.as_raw_fd()));
        let (socket, address) = (self.socket.as_fd(), self.address.as_ref());
        message::was_sent(message::send(socket, text.as_bytes(), &fds, address))
            .map_err(|errno| Error::system("message to the service manager", errno as i32))
    }
}

/// How often the service manager expects a message of this process (sd_watchdog_enabled(3)).
///
/// # Errors
/// [`Code::Value`]: a variable is invalid.
pub fn watchdog() -> Result<Option<Duration>> {
    let variable = |name| environment::trusted_var(name);
    let (usec, pid) = (variable("WATCHDOG_USEC"), variable("WATCHDOG_PID"));
    watchdog_of(usec.as_ref(), pid.as_ref(), process::pid())
}

fn watchdog_of(
    usec: Option<&OsString>,
    pid: Option<&OsString>,
    this: i32,
) -> Result<Option<Duration>> {
    let number = |name: &str, value: &OsString| {
        let number: Option<u64> = value.to_str().and_then(|text| text.parse().ok());
        number.filter(|number| *number > 0).ok_or_else(|| {
            let value = value.to_string_lossy();
            Error::new(
                Code::Value,
                format!("environment variable {name}: '{value}' is not a positive number"),
            )
        })
    };
    let Some(usec) = usec else { return Ok(None) };
    let interval = Duration::from_micros(number("WATCHDOG_USEC", usec)?);
    let pid = pid.map(|pid| number("WATCHDOG_PID", pid)).transpose()?;
    let is_ours = pid.is_none_or(|pid| i32::try_from(pid) == Ok(this));
    Ok(is_ours.then_some(interval))
}

/// How many descriptors the service manager keeps for the next start of this service. 0: none, or
/// nobody says. systemd does from version 254 on; before, the unit can.
///
/// # Errors
/// [`Code::Value`]: the variable is not a number.
pub fn store_size() -> Result<usize> {
    store_size_of(environment::trusted_var("FDSTORE").as_ref())
}

fn store_size_of(size: Option<&OsString>) -> Result<usize> {
    let Some(size) = size else { return Ok(0) };
    let number = size.to_str().and_then(|text| text.parse().ok());
    number.ok_or_else(|| {
        let size = size.to_string_lossy();
        Error::new(
            Code::Value,
            format!("environment variable FDSTORE: '{size}' is not a number"),
        )
    })
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd as _;
    use std::os::linux::net::SocketAddrExt as _;
    use std::os::unix::net::{SocketAddr, UnixDatagram};

    use super::*;

    #[test]
    fn a_message_reaches_a_path_and_an_abstract_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let name = format!("fcgipm-notify-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        for (receiver, value) in [
            (UnixDatagram::bind(&path).unwrap(), path.into_os_string()),
            (
                UnixDatagram::bind_addr(&address).unwrap(),
                format!("@{name}").into(),
            ),
        ] {
            let notifier = Notifier::to(&value).unwrap();
            assert!(notifier.send("READY=1", None).unwrap());
            assert!(notifier.send("FDSTORE=1", Some(receiver.as_fd())).unwrap());
            let mut buffer = [0; 16];
            let length = receiver.recv(&mut buffer).unwrap();
            assert_eq!(&buffer[..length], b"READY=1");
        }
    }

    #[test]
    fn a_service_manager_that_does_not_read_is_not_waited_for() {
        let name = format!("fcgipm-unread-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let receiver = UnixDatagram::bind_addr(&address).unwrap();
        let notifier = Notifier::to(&format!("@{name}").into()).unwrap();
        let sent = (0..100_000).take_while(|_| notifier.send("WATCHDOG=1", None).unwrap());
        assert!((1..100_000).contains(&sent.count()));
        drop(receiver);
        assert_eq!(
            notifier.send("READY=1", None).unwrap_err().errno(),
            libc::ECONNREFUSED
        );
    }

    #[test]
    fn an_address_of_another_kind_is_named() {
        for value in ["vsock:2:1", "run/notify", "@", "fd:x", "fd:1"] {
            let error = Notifier::to(&value.into()).unwrap_err();
            let begin = format!("environment variable NOTIFY_SOCKET: '{value}' is");
            assert!(error.message().starts_with(&begin), "{error}");
        }
    }

    #[test]
    fn the_watchdog_is_that_of_this_process() {
        let interval = |usec: &str, pid: Option<&str>| {
            watchdog_of(Some(&usec.into()), pid.map(Into::into).as_ref(), 7)
        };
        let second = Some(Duration::from_secs(1));
        assert_eq!(interval("1000000", Some("7")), Ok(second));
        assert_eq!(interval("1000000", None), Ok(second));
        assert_eq!(interval("1000000", Some("8")), Ok(None));
        assert_eq!(watchdog_of(None, None, 7), Ok(None));
        for (usec, pid, wanted) in [
            ("0", None, "WATCHDOG_USEC: '0' is not a positive number"),
            ("x", None, "WATCHDOG_USEC: 'x' is not a positive number"),
            ("1", Some("x"), "WATCHDOG_PID: 'x' is not a positive number"),
        ] {
            let error = interval(usec, pid).unwrap_err();
            assert!(error.message().ends_with(wanted), "{error}");
        }
    }

    #[test]
    fn the_size_of_the_store_is_a_number() {
        let size_of = |text: &str| store_size_of(Some(&text.into()));
        assert_eq!(store_size_of(None).unwrap(), 0);
        assert_eq!(size_of("16").unwrap(), 16);
        for wrong in ["", "-1", "many"] {
            let error = size_of(wrong).unwrap_err();
            let message = format!("environment variable FDSTORE: '{wrong}' is not a number");
            assert_eq!(
                (error.code(), error.message()),
                (Code::Value, message.as_str())
            );
        }
    }
}
