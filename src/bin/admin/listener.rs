//! Where the admin listener listens: TCP, or a unix socket.

use std::fmt;
use std::fs;
use std::io;
use std::net::IpAddr;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::Args;
use fcgipm::options::Options;
use fcgipm::server::listen;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener, lookup_host};

use crate::args::address::HttpAddress;

/// The length of the queue of connections.
const BACKLOG: i32 = 1_024;

/// The file of a unix socket.
#[derive(Args, Debug)]
pub(super) struct SocketFile {
    /// Permissions of the unix socket file, in octal
    #[arg(long, value_name = "MODE", default_value = "0600")]
    socket_mode: String,

    /// Owner of the unix socket file: a name or a numeric ID
    #[arg(long, value_name = "USER")]
    socket_owner: Option<String>,

    /// Group of the unix socket file: a name or a numeric ID
    #[arg(long, value_name = "GROUP")]
    socket_group: Option<String>,
}

impl SocketFile {
    /// As options of the library.
    fn options(&self) -> Result<Options, String> {
        let mut options = Options::new();
        let mode = &self.socket_mode;
        options
            .set("listen_mode", mode)
            .map_err(|_| format!("--socket-mode {mode}: not permissions in octal"))?;
        for (name, value) in [
            ("listen_owner", &self.socket_owner),
            ("listen_group", &self.socket_group),
        ] {
            if let Some(value) = value {
                let set = options.set(name, value);
                set.map_err(|error| error.to_string())?;
            }
        }
        Ok(options)
    }
}

/// An address to listen on.
#[derive(Clone, Debug)]
pub(super) enum Place {
    Tcp(HttpAddress),
    Unix(PathBuf),
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let path = text.strip_prefix("unix:").unwrap_or(text);
        if path.starts_with('/') {
            return Ok(Self::Unix(path.into()));
        }
        match text.parse() {
            Ok(address) => Ok(Self::Tcp(address)),
            Err(_) if !text.contains(':') => {
                Err("not HOST:PORT, :PORT, [IPV6]:PORT, /PATH or unix:/PATH".to_owned())
            }
            Err(why) => Err(why),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => path.display().fmt(f),
        }
    }
}

impl Place {
    /// The host, as in the Host header of its clients.
    pub(super) fn host(&self) -> Option<&str> {
        match self {
            Self::Tcp(address) => Some(address.host_and_port().0),
            Self::Unix(_) => None,
        }
    }
}

/// A connection of either kind.
pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// A listening socket.
#[derive(Debug)]
pub(super) enum Listener {
    Tcp(TcpListener),
    /// With its file, and the device and inode of that.
    Unix(UnixListener, PathBuf, Option<(u64, u64)>),
}

impl Listener {
    pub(super) async fn open(place: &Place, file: &SocketFile) -> Result<Self, String> {
        match place {
            Place::Tcp(address) => {
                let bound = async {
                    let places: Vec<_> = lookup_host(address.host_and_port()).await?.collect();
                    TcpListener::bind(&places[..]).await
                };
                let bound = bound.await;
                bound
                    .map(Self::Tcp)
                    .map_err(|error| format!("cannot listen on --listen {place}: {error}"))
            }
            Place::Unix(path) => {
                let file = listen::open_file(path, BACKLOG, &file.options()?)
                    .map_err(|error| format!("--listen: {error}"))?;
                let listener = std::os::unix::net::UnixListener::from(file);
                let listener = listener
                    .set_nonblocking(true)
                    .and_then(|()| UnixListener::from_std(listener));
                listener
                    .map(|listener| Self::Unix(listener, path.clone(), identity(path)))
                    .map_err(|error| format!("--listen {place}: {error}"))
            }
        }
    }

    /// As in a browser's address bar.
    pub(super) fn url(&self) -> String {
        match self {
            Self::Tcp(listener) => match listener.local_addr() {
                Ok(address) => format!("http://{address}/"),
                Err(error) => format!("on an unknown address: {error}"),
            },
            Self::Unix(_, path, _) => format!("unix:{}", path.display()),
        }
    }

    pub(super) fn is_reachable_from_other_hosts(&self) -> bool {
        match self {
            Self::Tcp(listener) => !listener
                .local_addr()
                .is_ok_and(|address| address.ip().to_canonical().is_loopback()),
            Self::Unix(..) => false,
        }
    }

    /// The next connection, and the address that the client is connected to.
    pub(super) async fn accept(&self) -> io::Result<(Box<dyn Stream>, Option<IpAddr>)> {
        match self {
            Self::Tcp(listener) => {
                let (stream, _) = listener.accept().await?;
                // Otherwise the last segment of a response waits for the delayed acknowledgement.
                let _ = stream.set_nodelay(true);
                let local = stream.local_addr().ok().map(|address| address.ip());
                Ok((Box::new(stream), local))
            }
            Self::Unix(listener, _, _) => {
                let (stream, _) = listener.accept().await?;
                Ok((Box::new(stream), None))
            }
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Self::Unix(_, path, made @ Some(_)) = self {
            // Another process may have replaced it.
            if identity(path) == *made {
                let _ = fs::remove_file(path);
            }
        }
    }
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    let file = fs::symlink_metadata(path).ok()?;
    Some((file.dev(), file.ino()))
}
