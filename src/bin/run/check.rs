//! Mistakes that can be found before anything is started.

use std::ffi::OsString;
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use fcgipm::manager::Program;
use fcgipm::options::{Opt, Options};
use fcgipm::server::listen::address::Address;

use super::pool::Pool;

/// A line for each mistake in these pools, alone and together.
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
        let address = address.map(|place| (place, format!("listen address '{}'", pool.listen)));
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

/// A name without a slash is refused: it is too often a port or a host that lacks something, and would
/// create a file somewhere.
pub(super) fn plain_name(address: &str) -> Option<String> {
    let is_plain = !address.is_empty() && !address.contains(['/', ':', '@']);
    is_plain.then(|| {
        if address.bytes().all(|byte| byte.is_ascii_digit()) {
            format!("listen address '{address}': for a port write ':{address}', for a socket file './{address}'")
        } else {
            format!("listen address '{address}': for a socket file write './{address}', for a port ':9005'")
        }
    })
}

/// What keeps workers from becoming who they should be, or the program.
pub(super) fn of_workers(command: &[OsString], options: &Options) -> Vec<String> {
    let Err(error) = Program::check(command, options) else {
        return Vec::new();
    };
    let whole = vec![error.to_string()];
    if Program::exit_status(&error).is_some() {
        return whole;
    }
    // It ends at the first mistake. Each option alone finds the others; some are only wrong together.
    let mut all = Vec::new();
    for (opt, name) in [
        (Opt::User, "user"),
        (Opt::Group, "group"),
        (Opt::Chroot, "chroot"),
        (Opt::Chdir, "chdir"),
        (Opt::RlimitFiles, "rlimit_files"),
    ] {
        let mut alone = Options::new();
        // Where a directory is below another root, it is nowhere else.
        let is_below = opt == Opt::Chdir && options.given(Opt::Chroot).is_some();
        let Some(value) = options.given(opt).filter(|_| !is_below) else {
            continue;
        };
        if alone.set(name, value).is_ok()
            && let Err(error) = Program::check(command, &alone)
            && Program::exit_status(&error).is_none()
        {
            all.push(error.to_string());
        }
    }
    if all.is_empty() {
        all = whole;
    }
    if options.given(Opt::Chroot).is_none() && options.given(Opt::Chdir).is_none() {
        let program = Program::check(command, &Options::new());
        all.extend(program.err().map(|error| error.to_string()));
    }
    all
}

/// What keeps a pid file from being written, as far as it is a matter of its path.
pub(super) fn of_pid_file(path: &str) -> Option<String> {
    let error = fs::metadata(folder_of(Path::new(path))).err()?;
    Some(format!("option pid_fname: '{path}': {error}"))
}

fn folder_of(path: &Path) -> &Path {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    folder.unwrap_or(Path::new("."))
}

/// What two pools cannot both have, whatever they call it.
#[derive(Debug, PartialEq, Eq)]
enum Place {
    /// The directory, by its device and inode, and the name in it.
    File(u64, u64, PathBuf),
    Abstract(String),
    /// `None`: every interface.
    Port(Option<IpAddr>, u16),
    /// A socket that is open already.
    Open(u64, u64),
}

impl Place {
    fn of_address(address: Address) -> Option<Self> {
        match address {
            Address::Path(path) => Self::file(&path),
            Address::Abstract(name) => Some(Self::Abstract(name)),
            Address::AllInterfaces(port) => Some(Self::Port(None, port)),
            Address::Inet(address) => Some(Self::inet(address)),
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
        // Where a symbolic link leads.
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
            // The system chooses another one for each.
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
    fn one_place_is_one_however_it_is_written() {
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

    #[test]
    fn a_name_alone_is_no_address() {
        assert!(plain_name("foo").unwrap().contains("'./foo'"));
        assert!(plain_name("9005").unwrap().contains("':9005'"));
        for good in [
            "./foo", "/foo", "a/b", ":1", "@a", "unix:foo", "fd:3", "h:1", "",
        ] {
            assert_eq!(plain_name(good), None);
        }
    }
}
