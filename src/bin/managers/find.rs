//! From a pid or an address to the manager's scoreboard, through /proc.

use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;

use fcgipm::worker::{MEMFD_NAME, REGION_NAME, View, ViewError, open_memfd};

use super::sockets;
use super::target::Target;

/// A manager and its scoreboard.
#[derive(Debug)]
pub(crate) struct Found {
    /// Its pid, as this process sees it.
    pub(crate) pid: i32,
    pub(crate) view: View,
    /// The inode numbers of its sockets.
    pub(crate) sockets: Vec<u64>,
}

/// Why a process is not a manager.
enum Missed {
    NoProcess,
    NoPermission,
    /// It has no scoreboard.
    NoManager,
    /// Its scoreboard cannot be read: the reason, and its sockets.
    Unreadable(ViewError, Vec<u64>),
}

/// Finds the manager that the target names.
pub(crate) fn manager(target: &Target) -> Result<Found, String> {
    match target {
        Target::Pid(pid) => look_into(*pid).map_err(|missed| explain(*pid, &missed)),
        Target::PidFile(path, pid) => look_into(*pid).map_err(|missed| {
            let path = path.display();
            match missed {
                Missed::NoProcess => format!("pid file {path} is stale: there is no process {pid}"),
                other => format!("pid file {path}: {}", explain(*pid, &other)),
            }
        }),
        Target::Address(address) => {
            let inodes = sockets::listening_on(address.place())
                .map_err(|error| format!("{address}: {error}"))?;
            if inodes.is_empty() {
                return Err(format!("nothing listens on {address}"));
            }
            holder(&inodes).map_err(|why| format!("{address}: {why}"))
        }
    }
}

/// Reads the scoreboard of a manager again, with the regions of the workers that it has now.
pub(crate) fn again(pid: i32) -> Result<Found, String> {
    look_into(pid).map_err(|missed| explain(pid, &missed))
}

fn explain(pid: i32, missed: &Missed) -> String {
    match missed {
        Missed::NoProcess => format!("there is no process {pid}"),
        Missed::NoPermission => {
            format!("process {pid}: permission denied: only its user and root may inspect it")
        }
        Missed::NoManager => match parent(pid).filter(|parent| look_into(*parent).is_ok()) {
            Some(parent) => {
                format!("process {pid} is not an fcgipm manager; its parent, process {parent}, is")
            }
            None => foreign(pid),
        },
        Missed::Unreadable(error, _) => format!("process {pid}: {error}"),
    }
}

/// Finds the manager among the processes that have one of these listening sockets open. Any process
/// can have a scoreboard that claims the socket; only the descriptor proves it.
fn holder(inodes: &[u64]) -> Result<Found, String> {
    let mut found: Vec<Found> = Vec::new();
    let mut hidden = 0;
    let mut unreadable = None;
    for entry in fs::read_dir("/proc").map_err(|error| format!("/proc: {error}"))? {
        let name = entry.map(|entry| entry.file_name()).unwrap_or_default();
        let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        match look_into(pid) {
            Ok(manager) => {
                if manager.sockets.iter().any(|inode| inodes.contains(inode)) {
                    found.push(manager);
                }
            }
            Err(Missed::NoPermission) => hidden += 1,
            // Of another release.
            Err(Missed::Unreadable(error, sockets)) => {
                if sockets.iter().any(|inode| inodes.contains(inode)) {
                    unreadable = Some(format!("process {pid}: {error}"));
                }
            }
            Err(Missed::NoProcess | Missed::NoManager) => {}
        }
    }
    // A worker has the descriptors of the manager for a moment after its fork.
    let own = |manager: &Found| manager.view.pool().manager == manager.pid;
    if found.iter().any(own) {
        found.retain(own);
    }
    // A hostile worker also has the socket, and may claim to be the manager. It is a descendant of
    // the real one.
    let claim: Vec<i32> = found.iter().map(|manager| manager.pid).collect();
    found.retain(|manager| !ancestors(manager.pid).any(|pid| claim.contains(&pid)));
    let pids: Vec<String> = found.iter().map(|found| found.pid.to_string()).collect();
    match (found.pop(), found.len()) {
        (Some(manager), 0) => Ok(manager),
        (Some(_), _) => Err(format!(
            "several managers listen on it: use one of the pids {}",
            pids.join(", ")
        )),
        (None, _) if unreadable.is_some() => Err(unreadable.unwrap_or_default()),
        (None, _) if hidden > 0 => Err(format!(
            "no fcgipm manager found that listens on it; {hidden} processes of other users could not \
             be inspected: permission denied"
        )),
        (None, _) => Err("no fcgipm manager listens on it".to_owned()),
    }
}

/// Reads the scoreboard of a process. It may open and close other descriptors meanwhile.
fn look_into(pid: i32) -> Result<Found, Missed> {
    let folder = PathBuf::from(format!("/proc/{pid}/fd"));
    let missed = |error: std::io::Error| match error.kind() {
        ErrorKind::PermissionDenied => Missed::NoPermission,
        _ if !fs::exists(format!("/proc/{pid}")).unwrap_or(false) => Missed::NoProcess,
        _ => Missed::NoManager,
    };
    let scoreboard = format!("/memfd:{MEMFD_NAME} (deleted)");
    let mut sockets = Vec::new();
    let mut boards = Vec::new();
    let mut regions = Vec::new();
    for entry in fs::read_dir(&folder).map_err(missed)?.flatten() {
        let path = entry.path();
        let Ok(link) = fs::read_link(&path) else {
            continue;
        };
        let Some(link) = link.to_str() else { continue };
        if link == scoreboard {
            boards.push(path);
        } else if let Some(slot) = region_of(link) {
            regions.push((slot, path));
        } else if let Some(inode) = link
            .strip_prefix("socket:[")
            .and_then(|rest| rest.strip_suffix(']')?.parse().ok())
        {
            sockets.push(inode);
        }
    }
    let mut outcome = Err(Missed::NoManager);
    for path in boards {
        let view = open_memfd(&path).and_then(|file| View::of(&file));
        let view = view.map_err(|error| match error {
            ViewError::System("open", errno) => missed(std::io::Error::from_raw_os_error(errno)),
            // A memfd of that name that is not a scoreboard.
            ViewError::Foreign => Missed::NoManager,
            other => Missed::Unreadable(other, sockets.clone()),
        });
        let sure = view.as_ref().is_ok_and(|view| view.pool().manager == pid);
        if sure || outcome.is_err() {
            outcome = view;
        }
        if sure {
            break;
        }
    }
    let mut view = outcome?;
    for (slot, path) in regions {
        // A region that no longer exists, or is invalid, is ignored.
        if let Ok(file) = open_memfd(&path) {
            let _ = view.attach(slot, &file);
        }
    }
    Ok(Found { pid, view, sockets })
}

/// The slot of a region, by the name of its descriptor in /proc.
fn region_of(link: &str) -> Option<usize> {
    let name = link.strip_prefix("/memfd:")?.strip_suffix(" (deleted)")?;
    name.strip_prefix(REGION_NAME)?.parse().ok()
}

/// The ancestors of a process that still exist.
fn ancestors(pid: i32) -> impl Iterator<Item = i32> {
    /// A bound, because pids may be reused meanwhile. Chains of ancestors are shorter.
    const GENERATIONS_MAX: usize = 64;
    std::iter::successors(parent(pid), |pid| parent(*pid)).take(GENERATIONS_MAX)
}

pub(crate) fn parent(pid: i32) -> Option<i32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("PPid:"))?;
    line.trim().parse().ok()
}

/// Describes a process without a scoreboard.
fn foreign(pid: i32) -> String {
    let name = fs::read(format!("/proc/{pid}/comm")).unwrap_or_default();
    let name = String::from_utf8_lossy(name.trim_ascii_end());
    // The owner of the process chooses it.
    let name = name.escape_debug();
    // A manager whose limit of the file size is too low keeps its scoreboard in private memory.
    let uses_fcgipm = fs::read_to_string(format!("/proc/{pid}/maps"))
        .is_ok_and(|maps| maps.lines().any(|line| line.contains("fcgi")));
    match largest_file(pid).filter(|_| uses_fcgipm) {
        Some(bytes) => format!(
            "process {pid} ('{name}') has no scoreboard: its limit of the file size (RLIMIT_FSIZE), \
             {bytes} bytes, may be too low for one"
        ),
        None => format!("process {pid} ('{name}') is not an fcgipm manager"),
    }
}

/// The limit of the file size of a process, if any.
fn largest_file(pid: i32) -> Option<u64> {
    let limits = fs::read_to_string(format!("/proc/{pid}/limits")).ok()?;
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max file size"))?;
    line.split_whitespace().next()?.parse().ok()
}
