//! Mistakes in the configuration that can be found before anything is started.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use fcgipm::server::listen::address::Address;

use super::pool::Pool;
use super::requirements::folder_of;

/// A line for each mistake: in one pool, or between several.
pub(super) fn mistakes(pools: &[Pool]) -> Vec<String> {
    let mut all = Vec::new();
    let mut places: Vec<(Place, String)> = Vec::new();
    for pool in pools {
        let label = pool.name.as_ref().map(|name| format!("pool '{name}'"));
        let begin = label
            .as_ref()
            .map_or(String::new(), |label| format!("{label}: "));
        let (mistakes, address, pid_file) = pool.mistakes();
        all.extend(mistakes.iter().map(|mistake| format!("{begin}{mistake}")));
        let address = address.and_then(Place::of_address);
        let address = address.map(|place| (place, format!("listen address '{}'", pool.address())));
        let pid_file = pid_file.and_then(|path| {
            let place = Place::file(Path::new(&path))?;
            Some((place, format!("pid file '{path}'")))
        });
        for (place, what) in address.into_iter().chain(pid_file) {
            let owner = label.clone().unwrap_or_default();
            if let Some((_, other)) = places.iter().find(|(taken, _)| taken.collides(&place)) {
                all.push(format!("{begin}{what} is also {other}"));
            }
            places.push((place, format!("that of {owner}")));
        }
    }
    all
}

/// A resource that two pools cannot share, however it is written.
#[derive(Debug, PartialEq, Eq)]
enum Place {
    /// The directory, by its device and inode, and the name in it.
    File(u64, u64, PathBuf),
    Abstract(String),
    /// `None`: all interfaces.
    Port(Option<IpAddr>, u16),
    /// An inherited socket.
    Open(u64, u64),
}

impl Place {
    fn of_address(address: Address) -> Option<Self> {
        match address {
            Address::Path(path) => Self::file(&path),
            Address::Abstract(name) => Some(Self::Abstract(name)),
            Address::AllInterfaces(port) => Some(Self::Port(None, port)),
            Address::Inet(address) => Some(Self::inet(address)),
            // The check has found its descriptor.
            Address::Named(_) => None,
            Address::Descriptor(number) => {
                let socket = fs::metadata(format!("/proc/self/fd/{number}")).ok()?;
                Some(Self::Open(socket.dev(), socket.ino()))
            }
        }
    }

    fn inet(address: SocketAddr) -> Self {
        let ip = address.ip().to_canonical();
        Self::Port((!ip.is_unspecified()).then_some(ip), address.port())
    }

    fn file(path: &Path) -> Option<Self> {
        // Follow symbolic links.
        let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let folder = fs::metadata(folder_of(&path)).ok()?;
        Some(Self::File(
            folder.dev(),
            folder.ino(),
            path.file_name()?.into(),
        ))
    }

    fn collides(&self, other: &Self) -> bool {
        match (self, other) {
            // The system chooses a different port for each.
            (Self::Port(_, 0), Self::Port(_, 0)) => false,
            (Self::Port(one, port), Self::Port(two, another)) => {
                port == another && (one.is_none() || two.is_none() || one == two)
            }
            _ => self == other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_place_is_recognised_however_it_is_written() {
        let place = |text: &str| Place::of_address(Address::parse(text).unwrap()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let inside = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        fs::create_dir(inside("d")).unwrap();
        std::os::unix::fs::symlink(inside("d"), inside("e")).unwrap();
        fs::write(inside("d/there"), "").unwrap();
        std::os::unix::fs::symlink(inside("d/there"), inside("link")).unwrap();
        for (one, two, collide) in [
            (inside("d/s"), inside("d/s"), true),
            (inside("d/s"), inside("d/./s"), true),
            (inside("d/s"), inside("d/../d//s"), true),
            (inside("d/s"), inside("e/s"), true),
            (inside("d/there"), inside("link"), true),
            (inside("d/s"), inside("d/t"), false),
            ("@a".into(), "@a".into(), true),
            ("@a".into(), "@b".into(), false),
            (":9005".into(), "127.0.0.1:9005".into(), true),
            (":9005".into(), "0.0.0.0:9005".into(), true),
            ("[::]:9005".into(), "127.0.0.1:9005".into(), true),
            ("localhost:9005".into(), "127.0.0.1:09005".into(), true),
            (
                "[::ffff:127.0.0.1]:9005".into(),
                "127.0.0.1:9005".into(),
                true,
            ),
            ("127.0.0.1:9005".into(), "127.0.0.2:9005".into(), false),
            ("127.0.0.1:9005".into(), "127.0.0.1:9006".into(), false),
            ("127.0.0.1:0".into(), "127.0.0.1:0".into(), false),
            ("fd:0".into(), "fd:0".into(), true),
        ] {
            assert_eq!(place(&one).collides(&place(&two)), collide, "{one} {two}");
        }
    }
}
