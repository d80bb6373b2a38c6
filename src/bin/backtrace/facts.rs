//! What /proc shows of a process without any privilege, and the system call in words.

use std::fs;
use std::net::SocketAddr;

use nix::libc;
use serde::Serialize;

use super::memory::printable;
use crate::managers::sockets;

/// What a thread does, as its state in /proc.
#[derive(Clone, Debug, Serialize)]
pub(super) struct State {
    pub(super) name: String,
    #[serde(skip)]
    pub(super) letter: char,
}

impl State {
    /// `None`: there is no such process or thread.
    pub(super) fn of(folder: &str) -> Option<Self> {
        let stat = fs::read(format!("{folder}/stat")).ok()?;
        let open = stat.iter().position(|byte| *byte == b'(')?;
        // The name may have parentheses.
        let close = stat.iter().rposition(|byte| *byte == b')')?;
        let letter = stat.get(close + 2).copied()?;
        Some(Self {
            name: printable(stat.get(open + 1..close)?),
            letter: char::from(letter),
        })
    }

    pub(super) const fn word(&self) -> &'static str {
        match self.letter {
            'R' => "running",
            'S' => "sleeping",
            'D' => "in uninterruptible sleep",
            'T' => "stopped by a signal",
            't' => "stopped by a debugger",
            'Z' => "a zombie: it has exited, and its parent has not noticed",
            'X' => "dead",
            'I' => "idle",
            _ => "in an unknown state",
        }
    }
}

/// The function of the kernel in which a thread waits.
pub(super) fn wait_channel(folder: &str) -> Option<String> {
    let text = fs::read(format!("{folder}/wchan")).ok()?;
    (!text.is_empty() && text != b"0").then(|| printable(&text))
}

/// The kernel's stack, for root.
pub(super) fn kernel_stack(folder: &str) -> Vec<String> {
    const LINES_MAX: usize = 64;
    let text = fs::read_to_string(format!("{folder}/stack")).unwrap_or_default();
    let line = |line: &str| {
        let name = line.split_once("] ").map_or(line, |(_, name)| name);
        let name = name.split_once('/').map_or(name, |(name, _)| name);
        printable(name.trim().as_bytes())
    };
    text.lines().take(LINES_MAX).map(line).collect()
}

/// Another process that traces this one.
pub(super) fn tracer(folder: &str) -> Option<i32> {
    let status = fs::read_to_string(format!("{folder}/status")).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("TracerPid:"))?;
    line.trim().parse().ok().filter(|pid| *pid != 0)
}

/// The threads of a process, its first one first.
pub(super) fn threads(pid: i32) -> Vec<i32> {
    let entries = fs::read_dir(format!("/proc/{pid}/task"));
    let names = entries.into_iter().flatten().flatten();
    let mut threads: Vec<i32> = names
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect();
    threads.sort_by_key(|tid| (*tid != pid, *tid));
    threads
}

/// A system call, with what its first argument is, if that is a descriptor.
pub(super) fn call(pid: i32, number: i64, first: u64) -> String {
    let Some((name, has_fd)) = known(number) else {
        return format!("system call {number}");
    };
    let fd = i32::try_from(first as u32).ok().filter(|_| has_fd);
    match fd {
        Some(fd) => match descriptor(pid, fd) {
            Some(what) => format!("{name}({fd}: {what})"),
            None => format!("{name}({fd})"),
        },
        None => name.to_owned(),
    }
}

/// What a descriptor of a process is.
fn descriptor(pid: i32, fd: i32) -> Option<String> {
    let link = fs::read_link(format!("/proc/{pid}/fd/{fd}")).ok()?;
    let link = link.to_string_lossy();
    let Some(inode) = link
        .strip_prefix("socket:[")
        .and_then(|rest| rest.strip_suffix(']'))
    else {
        return Some(match link.split_once(':') {
            Some((kind @ ("pipe" | "anon_inode"), rest)) => {
                printable(format!("{kind} {}", rest.trim_matches(['[', ']'])).as_bytes())
            }
            _ => printable(format!("file {link}").as_bytes()),
        });
    };
    Some(socket(pid, inode).unwrap_or_else(|| "socket".to_owned()))
}

/// A socket by its inode number, in the network namespace of the process.
fn socket(pid: i32, inode: &str) -> Option<String> {
    for (table, kind) in [
        ("tcp", "TCP"),
        ("tcp6", "TCP"),
        ("udp", "UDP"),
        ("udp6", "UDP"),
    ] {
        let text = fs::read_to_string(format!("/proc/{pid}/net/{table}")).unwrap_or_default();
        for line in text.lines().skip(1) {
            let fields: Vec<&str> = line.split_whitespace().collect();
            if fields.get(9) != Some(&inode) {
                continue;
            }
            let address = |place: usize| sockets::tcp_address(fields.get(place)?).map(canonical);
            let (local, peer) = (address(1)?, address(2)?);
            return Some(match peer.port() {
                0 => format!("{kind} socket on {local}"),
                _ => format!("{kind} socket to {peer}"),
            });
        }
    }
    let text = fs::read_to_string(format!("/proc/{pid}/net/unix")).unwrap_or_default();
    let line = text
        .lines()
        .find(|line| line.split_whitespace().nth(6) == Some(inode))?;
    Some(match line.split_whitespace().nth(7) {
        Some(path) => printable(format!("unix socket {path}").as_bytes()),
        None => "unix socket".to_owned(),
    })
}

/// An address of IPv4 that a socket of IPv6 has.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

macro_rules! calls {
    ($number:expr; $($with_fd:ident),*; $($other:ident),*) => {
        match $number {
            $(libc::$with_fd => Some((stringify!($with_fd), true)),)*
            $(libc::$other => Some((stringify!($other), false)),)*
            _ => None,
        }
    };
}

/// The name of a system call that may wait, and whether a descriptor is its first argument.
fn known(number: i64) -> Option<(&'static str, bool)> {
    let known = calls!(number;
        SYS_read, SYS_write, SYS_pread64, SYS_pwrite64, SYS_readv, SYS_writev, SYS_preadv, SYS_pwritev,
        SYS_recvfrom, SYS_recvmsg, SYS_recvmmsg, SYS_sendto, SYS_sendmsg, SYS_sendmmsg, SYS_connect,
        SYS_accept, SYS_accept4, SYS_epoll_pwait, SYS_flock, SYS_fsync, SYS_fdatasync, SYS_ftruncate,
        SYS_fallocate, SYS_fcntl, SYS_ioctl, SYS_close, SYS_fstat, SYS_getdents64, SYS_lseek,
        SYS_sendfile, SYS_splice, SYS_tee, SYS_io_uring_enter, SYS_openat, SYS_newfstatat, SYS_statx,
        SYS_unlinkat, SYS_mkdirat, SYS_renameat2, SYS_shutdown;
        SYS_nanosleep, SYS_clock_nanosleep, SYS_wait4, SYS_waitid, SYS_futex, SYS_ppoll, SYS_pselect6,
        SYS_rt_sigtimedwait, SYS_rt_sigsuspend, SYS_restart_syscall, SYS_semop, SYS_semtimedop,
        SYS_msgrcv, SYS_msgsnd, SYS_mq_timedreceive, SYS_mq_timedsend, SYS_clone, SYS_execve,
        SYS_execveat, SYS_exit_group, SYS_sync, SYS_msync, SYS_mmap, SYS_munmap, SYS_mprotect, SYS_brk,
        SYS_copy_file_range, SYS_io_getevents, SYS_getrandom, SYS_madvise, SYS_sched_yield
    );
    #[cfg(target_arch = "x86_64")]
    let known = known.or({
        calls!(number;
            SYS_epoll_wait;
            SYS_poll, SYS_select, SYS_pause, SYS_open, SYS_stat, SYS_lstat, SYS_fork, SYS_vfork,
            SYS_rename, SYS_unlink, SYS_mkdir, SYS_access, SYS_readlink)
    });
    known.map(|(name, has_fd)| (name.trim_start_matches("SYS_"), has_fd))
}
