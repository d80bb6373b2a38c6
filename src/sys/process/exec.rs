//! Executing another program, and the descriptors that it gets.

use std::ffi::{CStr, CString, OsStr};
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::ptr;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl};
use nix::sys::socket::{AddressFamily, SockType, SockaddrLike as _, SockaddrStorage};
use nix::sys::stat::SFlag;

use crate::sys::process::executable;

/// What an inherited descriptor is expected to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sort {
    /// A file; the caller checks it further.
    File,
    /// The write end of a pipe.
    PipeWritten,
    /// The read end of a pipe.
    PipeRead,
    /// A connected unix stream socket.
    Socket,
    /// A connected unix datagram socket.
    Datagrams,
    /// A connected unix socket that keeps the boundaries of messages.
    Packets,
    /// Anything: the original standard error.
    Any,
}

/// execvpe(3): a name without a slash is searched for in this process's PATH. Returns only on
/// failure, with errno. Unlike execvpe, it does not pass a binary file that the kernel cannot
/// execute to sh(1).
pub(crate) fn execute(arguments: &[CString], environment: &[CString]) -> Errno {
    let Some(program) = arguments.first() else {
        return Errno::EINVAL;
    };
    let mut forbidden = None;
    let mut last = Errno::ENOENT;
    for file in executable::candidates(OsStr::from_bytes(program.as_bytes())) {
        last = replace(&file, arguments, environment);
        match last {
            Errno::ENOEXEC
                if executable::is_text(Path::new(OsStr::from_bytes(file.as_bytes()))) =>
            {
                let rest = arguments.iter().skip(1).cloned();
                let script: Vec<_> = [c"/bin/sh".to_owned(), file]
                    .into_iter()
                    .chain(rest)
                    .collect();
                return replace(c"/bin/sh", &script, environment);
            }
            Errno::EACCES => forbidden = Some(last),
            Errno::ENOENT | Errno::ENOTDIR | Errno::ESTALE | Errno::ENODEV | Errno::ETIMEDOUT => {}
            _ => return last,
        }
    }
    forbidden.unwrap_or(last)
}

/// execve(2). Returns only on failure.
pub(crate) fn replace(file: &CStr, arguments: &[CString], environment: &[CString]) -> Errno {
    let pointers = |strings: &[CString]| -> Vec<_> {
        let pointers = strings.iter().map(|string| string.as_ptr());
        pointers.chain([ptr::null()]).collect()
    };
    let (argv, envp) = (pointers(arguments), pointers(environment));
    // SAFETY: live C strings, and two arrays of pointers to such that end with NULL.
    unsafe { libc::execve(file.as_ptr(), argv.as_ptr(), envp.as_ptr()) };
    Errno::last()
}

/// Ends this copy of a process, without the exit handlers of the original.
pub(crate) fn exit_now(status: i32) -> ! {
    // SAFETY: it never returns.
    unsafe { libc::_exit(status) }
}

/// Ends this copy of a process when it is dropped, also by a panic.
pub(in crate::sys) struct ExitOnDrop;

impl Drop for ExitOnDrop {
    fn drop(&mut self) {
        exit_now(0);
    }
}

/// Makes a descriptor number 0, which stays open when another program is executed. The old number
/// is closed then.
pub(crate) fn make_standard_input(number: i32) -> nix::Result<()> {
    let fd = crate::sys::fd::borrow(number).ok_or(Errno::EBADF)?;
    if number == 0 {
        return keep_across_exec(fd);
    }
    // SAFETY: integers only. Descriptor 0 is standard input, whatever it was before.
    Errno::result(unsafe { libc::dup2(number, 0) })?;
    fcntl(fd, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)).map(drop)
}

/// The program that this process executes gets the descriptor.
pub(crate) fn keep_across_exec(fd: impl AsFd) -> nix::Result<()> {
    fcntl(fd, FcntlArg::F_SETFD(FdFlag::empty())).map(drop)
}

/// Becomes the owner of a descriptor that the program before this one kept open for it, if it is of
/// the expected sort. From here on no other program gets it. `None`: another copy of this library
/// has claimed it.
///
/// # Errors
/// The reason for which it is not of the expected sort.
pub(crate) fn claim(number: i32, sort: Sort) -> Result<Option<OwnedFd>, String> {
    let fd = crate::sys::fd::borrow(number)
        .filter(|_| number > 2)
        .ok_or("is a standard descriptor")?;
    let errno = |errno: Errno| errno.desc().to_owned();
    let flags = fcntl(fd, FcntlArg::F_GETFD).map_err(errno)?;
    if !is(fd, sort).map_err(errno)? {
        return Err(match sort {
            Sort::File => "is not a regular file",
            Sort::PipeWritten => "is not the write end of a pipe",
            Sort::PipeRead => "is not the read end of a pipe",
            Sort::Socket | Sort::Datagrams | Sort::Packets => "is not a connected unix socket",
            Sort::Any => "is not open",
        }
        .to_owned());
    }
    if FdFlag::from_bits_retain(flags).contains(FdFlag::FD_CLOEXEC) {
        return Ok(None);
    }
    fcntl(fd, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)).map_err(errno)?;
    // SAFETY: the program before this one left it to this process, by this number. An owned
    // descriptor is marked by close-on-exec, which was checked.
    Ok(Some(unsafe { OwnedFd::from_raw_fd(number) }))
}

fn is(fd: BorrowedFd<'_>, sort: Sort) -> nix::Result<bool> {
    let stat = nix::sys::stat::fstat(fd)?;
    let kind = SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT;
    let access = || -> nix::Result<OFlag> {
        let flags = fcntl(fd, FcntlArg::F_GETFL)?;
        Ok(OFlag::from_bits_retain(flags) & OFlag::O_ACCMODE)
    };
    Ok(match sort {
        Sort::File => kind == SFlag::S_IFREG,
        Sort::PipeWritten => kind == SFlag::S_IFIFO && access()? == OFlag::O_WRONLY,
        Sort::PipeRead => kind == SFlag::S_IFIFO && access()? == OFlag::O_RDONLY,
        Sort::Socket => kind == SFlag::S_IFSOCK && is_connected_unix(fd, SockType::Stream)?,
        Sort::Datagrams => kind == SFlag::S_IFSOCK && is_connected_unix(fd, SockType::Datagram)?,
        Sort::Packets => kind == SFlag::S_IFSOCK && is_connected_unix(fd, SockType::SeqPacket)?,
        Sort::Any => true,
    })
}

fn is_connected_unix(fd: BorrowedFd<'_>, wanted: SockType) -> nix::Result<bool> {
    let kind = nix::sys::socket::getsockopt(&fd, nix::sys::socket::sockopt::SockType)?;
    match nix::sys::socket::getpeername::<SockaddrStorage>(fd.as_raw_fd()) {
        Ok(peer) => Ok(kind == wanted && peer.family() == Some(AddressFamily::Unix)),
        Err(Errno::ENOTCONN) => Ok(false),
        Err(errno) => Err(errno),
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::IntoRawFd as _;

    use super::*;

    #[test]
    fn a_descriptor_is_claimed_once_and_only_if_it_is_of_the_expected_sort() {
        let pipe = crate::sys::fd::pipe::pipe("test", true).unwrap();
        keep_across_exec(&pipe.write).unwrap();
        let number = pipe.write.as_raw_fd();
        for (sort, why) in [
            (Sort::File, "is not a regular file"),
            (Sort::PipeRead, "is not the read end of a pipe"),
            (Sort::Socket, "is not a connected unix socket"),
        ] {
            assert_eq!(claim(number, sort).unwrap_err(), why);
        }
        let number = pipe.write.into_raw_fd();
        let claimed = claim(number, Sort::PipeWritten).unwrap().unwrap();
        assert!(claim(number, Sort::PipeWritten).unwrap().is_none());
        drop(claimed);
        assert_eq!(
            claim(1, Sort::PipeWritten).unwrap_err(),
            "is a standard descriptor"
        );
        assert!(claim(-1, Sort::PipeWritten).is_err());
        assert!(claim(1 << 20, Sort::PipeWritten).is_err());
    }

    #[test]
    fn only_a_connected_unix_socket_is_recognised_as_one() {
        let (one, _other) = crate::sys::fd::pipe::pair("test").unwrap();
        assert_eq!(is(one.as_fd(), Sort::Socket), Ok(true));
        let tcp = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        assert_eq!(is(tcp.as_fd(), Sort::Socket), Ok(false));
        let lone = std::os::unix::net::UnixDatagram::unbound().unwrap();
        assert_eq!(is(lone.as_fd(), Sort::Socket), Ok(false));
    }
}
