//! Which process has a listening address, as far as this process can see in /proc.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::BorrowedFd;
use std::path::Path;

use crate::sys::file::lock::process_exists;

/// A process that has a listening socket.
#[derive(Debug)]
pub(crate) struct Holder {
    pid: i32,
    name: String,
}

impl std::fmt::Display for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "process {} ({})", self.pid, self.name)
    }
}

/// The process that listens on a TCP address, or on one that conflicts with it.
pub(crate) fn of_inet(address: SocketAddr) -> Option<Holder> {
    const LISTEN: &str = "0A";
    let wanted = address.ip().to_canonical();
    let mut inodes = Vec::new();
    for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
        for line in fs::read_to_string(table).unwrap_or_default().lines() {
            let columns: Vec<_> = line.split_ascii_whitespace().collect();
            let [_, local, _, LISTEN, _, _, _, _, _, inode, ..] = columns[..] else {
                continue;
            };
            let conflicts = inet(local).is_some_and(|(ip, port)| {
                port == address.port()
                    && (ip == wanted || ip.is_unspecified() || wanted.is_unspecified())
            });
            if conflicts {
                inodes.extend(inode.parse::<u64>());
            }
        }
    }
    root_of(&holders(&inodes)).and_then(holder)
}

/// An address in the kernel's tables: words in the machine's byte order, in hexadecimal.
fn inet(text: &str) -> Option<(IpAddr, u16)> {
    let (ip, port) = text.split_once(':')?;
    let word = |at: usize| {
        let digits = ip.get(at * 8..at * 8 + 8)?;
        Some(u32::from_str_radix(digits, 16).ok()?.to_ne_bytes())
    };
    let ip = match ip.len() {
        8 => IpAddr::from(word(0)?),
        32 => {
            let mut bytes = [0; 16];
            for (at, four) in bytes.chunks_exact_mut(4).enumerate() {
                four.copy_from_slice(&word(at)?);
            }
            IpAddr::from(bytes)
        }
        _ => return None,
    };
    Some((ip.to_canonical(), u16::from_str_radix(port, 16).ok()?))
}

/// The process that listens on a unix address: a path, or an abstract name after `@`. `maker` is
/// the process that called listen(2), according to the socket (unix(7), `SO_PEERCRED`). It may have
/// exited and left the socket to a child.
pub(crate) fn of_unix(name: &Path, maker: Option<i32>) -> Option<Holder> {
    const LISTENING: u32 = 0x1_0000;
    let names: Vec<_> = [Some(name.to_owned()), std::path::absolute(name).ok()]
        .into_iter()
        .flatten()
        .map(|name| name.to_string_lossy().into_owned())
        .collect();
    let table = fs::read("/proc/net/unix").unwrap_or_default();
    let mut inodes = Vec::new();
    for line in String::from_utf8_lossy(&table).lines() {
        let mut columns = [""; 7];
        let mut rest = line;
        for column in &mut columns {
            (*column, rest) = rest.trim_start().split_once(' ').unwrap_or((rest, ""));
        }
        let [_, _, _, flags, _, _, inode] = columns;
        let listens = u32::from_str_radix(flags, 16).is_ok_and(|flags| flags & LISTENING != 0);
        if listens && names.iter().any(|name| name == rest) {
            inodes.extend(inode.parse::<u64>());
        }
    }
    let holders = holders(&inodes);
    let maker = maker.filter(|pid| match holders[..] {
        [] => process_exists(*pid),
        [..] => holders.contains(pid),
    });
    maker.or_else(|| root_of(&holders)).and_then(holder)
}

/// Whether another process also has the socket, as far as this process can see.
pub(crate) fn is_shared(socket: BorrowedFd<'_>) -> bool {
    let this = crate::sys::process::pid();
    nix::sys::stat::fstat(socket)
        .is_ok_and(|stat| holders(&[stat.st_ino]).iter().any(|pid| *pid != this))
}

/// The processes that have sockets with these inode numbers.
fn holders(inodes: &[u64]) -> Vec<i32> {
    if inodes.is_empty() {
        return Vec::new();
    }
    let links: Vec<_> = inodes
        .iter()
        .map(|inode| format!("socket:[{inode}]"))
        .collect();
    let numbered = |entry: std::io::Result<fs::DirEntry>| -> Option<i32> {
        entry.ok()?.file_name().to_str()?.parse().ok()
    };
    let has = |pid: &i32| {
        let descriptors = fs::read_dir(format!("/proc/{pid}/fd"));
        descriptors.into_iter().flatten().flatten().any(|fd| {
            fs::read_link(fd.path())
                .is_ok_and(|target| links.iter().any(|link| target.as_os_str() == link.as_str()))
        })
    };
    let processes = fs::read_dir("/proc").into_iter().flatten();
    processes.filter_map(numbered).filter(has).collect()
}

/// The ancestor of the others: a manager rather than its workers.
fn root_of(pids: &[i32]) -> Option<i32> {
    let is_root = |pid: &&i32| !parent(**pid).is_some_and(|parent| pids.contains(&parent));
    pids.iter().find(is_root).or(pids.first()).copied()
}

fn parent(pid: i32) -> Option<i32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name may contain any character, including parentheses.
    let (_, after_name) = stat.rsplit_once(')')?;
    after_name.split_ascii_whitespace().nth(1)?.parse().ok()
}

fn holder(pid: i32) -> Option<Holder> {
    let name = fs::read(format!("/proc/{pid}/comm")).ok()?;
    let name = String::from_utf8_lossy(&name);
    Some(Holder {
        pid,
        // A process chooses its name.
        name: name.trim_end().escape_default().to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_in_the_kernels_tables_are_parsed() {
        if cfg!(target_endian = "little") {
            let loopback = (IpAddr::from([127, 0, 0, 1]), 0x1F90);
            assert_eq!(inet("0100007F:1F90"), Some(loopback));
            let mapped = "0000000000000000FFFF00000100007F:1F90";
            assert_eq!(inet(mapped), Some(loopback));
        }
        assert_eq!(inet("01:1F90"), None);
        assert_eq!(inet(""), None);
    }
}
