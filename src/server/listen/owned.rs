//! The listening sockets that OpenSocket made in this process, or in the one it descends from: they end
//! with their manager.

use std::fs;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use parking_lot::{Mutex, MutexGuard};

use crate::sys::fd::listen_fd::ListenFd;
use crate::sys::file::lock;
use crate::sys::log::{self, Level};
use crate::sys::process::{self, disposable};
use crate::sys::service::sockets;
use crate::sys::socket::socket_file::{FileId, identity_at, identity_of};
use crate::sys::socket::{arrivals, holder};

#[derive(Debug)]
struct Created {
    maker: i32,
    fd: i32,
    address: String,
    socket: FileId,
    file: Option<(PathBuf, FileId)>,
}

static CREATED: Mutex<Vec<Created>> = Mutex::new(Vec::new());

/// Not waited for without end: in a child that was forked while another thread had it, nobody would
/// ever let go of it.
fn created() -> Option<MutexGuard<'static, Vec<Created>>> {
    CREATED.try_lock_for(Duration::from_millis(100))
}

/// Notes that this process made a listening socket, with its file if it has one.
pub(in crate::server) fn note(listener: &OwnedFd, address: &str, file: Option<(&Path, FileId)>) {
    let Some(socket) = identity_of(listener.as_fd()) else {
        return;
    };
    // The host may change its directory.
    let file = file.and_then(|(path, id)| Some((std::path::absolute(path).ok()?, id)));
    let Some(mut created) = created() else { return };
    let fd = listener.as_raw_fd();
    // Whatever had this number was closed behind our back.
    created.retain(|other| other.fd != fd);
    created.push(Created {
        maker: process::pid(),
        fd,
        address: address.to_owned(),
        socket,
        file,
    });
}

/// The descriptor is closed, and its socket no longer this process's concern.
pub(in crate::server) fn forget(fd: i32) {
    if let Some(mut created) = created() {
        created.retain(|other| other.fd != fd);
    }
}

/// A socket that the service manager can keep for the next start.
#[derive(Debug)]
pub(crate) struct Storable {
    pub(crate) listener: ListenFd<'static>,
    pub(crate) name: String,
}

/// The sockets that [`open`](crate::server::listen::open) made here.
pub(crate) fn storable() -> Vec<Storable> {
    let created = created();
    let all = created.iter().flat_map(|created| created.iter());
    let storable = |one: &Created| {
        Some(Storable {
            listener: one.listener()?,
            name: sockets::stored_name(&one.address),
        })
    };
    all.filter(|one| one.is_ours())
        .filter_map(storable)
        .collect()
}

/// The service manager keeps the socket: from here on it is not stopped with the manager of this
/// process.
pub(crate) fn stored(listener: ListenFd<'static>) {
    forget(listener.as_raw_fd());
}

impl Created {
    fn listener(&self) -> Option<ListenFd<'static>> {
        ListenFd::of_host(self.fd).filter(|fd| identity_of(fd.source()) == Some(self.socket))
    }

    /// A daemon's parent opens the socket and exits: what it made is then its child's.
    fn is_ours(&self) -> bool {
        self.maker == process::pid() || !lock::process_exists(self.maker)
    }

    /// Nothing arrives any more, and the file is free for a successor. What waits in the queue can still
    /// be accepted.
    fn end(&self, stop: impl FnOnce(ListenFd<'static>) -> Result<(), &'static str>) {
        if let Some(listener) = self.listener() {
            if let Err(why) = stop(listener) {
                let fd = self.fd;
                log::limited(
                    Level::Warning,
                    &format!("listening descriptor {fd}: connections continue to arrive: {why}"),
                );
            }
        }
        let Some((path, file)) = &self.file else {
            return;
        };
        // A successor may just be about to replace it.
        let _lock = lock_folder(path);
        if identity_at(path) == Some(*file) {
            if let Err(error) = fs::remove_file(path) {
                log::limited(
                    Level::Warning,
                    &format!("socket file {} stays: {error}", path.display()),
                );
            }
        }
    }
}

fn stop(listener: ListenFd<'static>) -> Result<(), &'static str> {
    arrivals::stop(listener).map_err(Errno::desc)
}

/// A worker may keep the socket locked for as long as it likes, so a process of its own makes the calls.
pub(super) fn stop_apart(listener: ListenFd<'static>) -> Result<(), &'static str> {
    const PATIENCE: Duration = Duration::from_millis(200);
    let question = || arrivals::stop(listener).map_or_else(|errno| errno as i32, |()| 0);
    match disposable::ask(PATIENCE, question) {
        Ok(Some(0)) => Ok(()),
        Ok(Some(errno)) => Err(Errno::from_raw(errno).desc()),
        Ok(None) => Err("another process keeps the socket locked"),
        // No process can be had.
        Err(_) => stop(listener),
    }
}

/// Stops what arrives at the listening sockets that [`open`](crate::server::listen::open) made here, and
/// removes their files, unless somebody else replaced them. Sockets that were inherited are left alone.
/// Connections that wait in a queue stay there, to be accepted. `true`: there was such a socket.
pub fn stop_arrivals() -> bool {
    let ours = created().map(|mut created| {
        let (ours, others) = std::mem::take(&mut *created)
            .into_iter()
            .partition::<Vec<_>, _>(Created::is_ours);
        *created = others;
        ours
    });
    let ours = ours.unwrap_or_default();
    ours.iter().for_each(|one| one.end(stop_apart));
    !ours.is_empty()
}

/// The same for one socket, by a process without a manager. Not while another process, such as a
/// child, may continue to serve it.
pub(in crate::server) fn stop_if_alone(fd: i32) {
    let this = process::pid();
    let Some(mut created) = created() else { return };
    let position = created
        .iter()
        .position(|one| one.fd == fd && one.maker == this);
    let Some(position) = position else { return };
    if created[position]
        .listener()
        .is_some_and(|listener| !holder::is_shared(listener.source()))
    {
        let one = created.remove(position);
        drop(created);
        one.end(stop);
    }
}

/// An advisory lock on the folder of a socket file. Where it cannot be taken, because the folder is
/// not readable or another process keeps it locked, the start continues without.
pub(in crate::server) fn lock_folder(path: &Path) -> Option<Flock<fs::File>> {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let mut folder = fs::File::open(folder).ok()?;
    for _ in 0..20 {
        match Flock::lock(folder, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => return Some(lock),
            Err((unlocked, _)) => folder = unlocked,
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    None
}
