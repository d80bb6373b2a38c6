//! The steps that change the user, groups, root and limits of a process. Each is verified by
//! reading it back.
//!
//! `what` is the option and its value, for error messages.

use std::ffi::CString;
use std::io::Read as _;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;

use nix::errno::Errno;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::stat::{FileStat, stat};
use nix::sys::wait::waitpid;
use nix::unistd::{Gid, Group, Pid, Uid, User};

use crate::error::{Code, Error, Result};
use crate::sys::fd::{errno, pipe};
use crate::sys::process::child::{self, Fork};
use crate::sys::process::exec::ExitOnDrop;
use crate::sys::signal::handlers::Signals;

/// A user in the system's database.
#[derive(Clone, Debug)]
pub(crate) struct Account {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    name: CString,
}

impl Account {
    /// The account with this name or number. The error is errno.
    pub(crate) fn find(name: &str) -> std::result::Result<Option<Self>, i32> {
        let found = match name.parse() {
            Ok(number) => User::from_uid(Uid::from_raw(number)),
            Err(_) => User::from_name(name),
        };
        let Some(user) = found.or_else(absent)? else {
            return Ok(None);
        };
        Ok(Some(Self {
            uid: user.uid.as_raw(),
            gid: user.gid.as_raw(),
            name: CString::new(user.name).map_err(|_| libc::EINVAL)?,
        }))
    }

    /// The groups that initgroups(3) would set: this one, and those that list the user. They are
    /// queried once, not by each worker: that may use a directory service, and has another result
    /// below a new root.
    pub(crate) fn groups(&self, gid: u32) -> Result<Vec<u32>> {
        let groups = nix::unistd::getgrouplist(&self.name, Gid::from_raw(gid)).map_err(|e| {
            let name = self.name.to_string_lossy();
            Error::system(
                format_args!("groups of user '{name}': getgrouplist"),
                errno(e),
            )
        })?;
        Ok(sorted(&groups))
    }
}

/// The id of a group, given by name or number. The error is errno.
pub(crate) fn find_group(name: &str) -> std::result::Result<Option<u32>, i32> {
    match name.parse() {
        Ok(number) => Ok(Some(number)),
        Err(_) => {
            let found = Group::from_name(name).or_else(absent)?;
            Ok(found.map(|group| group.gid.as_raw()))
        }
    }
}

/// Errors by which some databases report a missing entry, or have no file (getpwnam(3)).
fn absent<T>(error: Errno) -> std::result::Result<Option<T>, i32> {
    match error {
        Errno::ENOENT | Errno::ESRCH => Ok(None),
        other => Err(errno(other)),
    }
}

/// Real, effective and saved ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ids {
    pub(crate) real: u32,
    pub(crate) effective: u32,
    pub(crate) saved: u32,
}

impl Ids {
    /// This process's users.
    pub(crate) fn users() -> Result<Self> {
        let ids = nix::unistd::getresuid().map_err(|e| Error::system("getresuid", errno(e)))?;
        Ok(Self {
            real: ids.real.as_raw(),
            effective: ids.effective.as_raw(),
            saved: ids.saved.as_raw(),
        })
    }

    /// This process's groups, without the supplementary ones.
    pub(crate) fn groups() -> Result<Self> {
        let ids = nix::unistd::getresgid().map_err(|e| Error::system("getresgid", errno(e)))?;
        Ok(Self {
            real: ids.real.as_raw(),
            effective: ids.effective.as_raw(),
            saved: ids.saved.as_raw(),
        })
    }

    /// Whether all three are this id.
    pub(crate) fn are(self, id: u32) -> bool {
        [self.real, self.effective, self.saved] == [id; 3]
    }
}

/// A resource limit of a worker.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Limit {
    /// RLIMIT_CORE.
    Core,
    /// RLIMIT_NOFILE.
    Files,
}

/// Sets the soft and the hard limit: a process can raise its soft limit.
pub(crate) fn set_limit(what: &str, limit: Limit, value: u64) -> Result<()> {
    let resource = match limit {
        Limit::Core => Resource::RLIMIT_CORE,
        Limit::Files => Resource::RLIMIT_NOFILE,
    };
    let value = if value == u64::MAX {
        libc::RLIM_INFINITY
    } else {
        value
    };
    let ask = || {
        getrlimit(resource).map_err(|e| Error::system(format_args!("{what}: getrlimit"), errno(e)))
    };
    let (_, hard) = ask()?;
    setrlimit(resource, value, value).map_err(|e| {
        let why = match limit {
            Limit::Core | Limit::Files if e != Errno::EPERM => "setrlimit".to_owned(),
            Limit::Core => format!("setrlimit above the hard limit of {hard}, which needs root"),
            Limit::Files => format!(
                "setrlimit above the hard limit of {hard}, which needs root, or above fs.nr_open"
            ),
        };
        Error::system(format_args!("{what}: {why}"), errno(e))
    })?;
    let now = ask()?;
    require(
        now == (value, value),
        what,
        "setrlimit",
        format_args!("{now:?}"),
    )
}

/// Sets the nice value.
pub(crate) fn set_priority(what: &str, nice: i32) -> Result<()> {
    let ask = || {
        Errno::clear();
        // SAFETY: no pointers.
        let now = unsafe { libc::getpriority(libc::PRIO_PROCESS, 0) };
        // -1 is also a nice value.
        match Errno::last_raw() {
            0 => Ok(now),
            e => Err(Error::system(format_args!("{what}: getpriority"), e)),
        }
    };
    let before = ask()?;
    // SAFETY: no pointers.
    Errno::result(unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, nice) }).map_err(|e| {
        let why = match e {
            Errno::EPERM | Errno::EACCES => {
                format!("setpriority below the current {before}, which needs root")
            }
            _ => "setpriority".to_owned(),
        };
        Error::system(format_args!("{what}: {why}"), errno(e))
    })?;
    let now = ask()?;
    require(now == nice, what, "setpriority", now)
}

/// Sets the supplementary groups; `groups` is sorted, without duplicates.
pub(crate) fn set_supplementary_groups(what: &str, groups: &[u32]) -> Result<()> {
    let list: Vec<_> = groups.iter().copied().map(Gid::from_raw).collect();
    nix::unistd::setgroups(&list)
        .map_err(|e| Error::system(format_args!("{what}: setgroups"), errno(e)))?;
    check_supplementary_groups(what, groups)
}

/// Whether the supplementary groups are these.
pub(crate) fn check_supplementary_groups(what: &str, groups: &[u32]) -> Result<()> {
    let now = nix::unistd::getgroups()
        .map_err(|e| Error::system(format_args!("{what}: getgroups"), errno(e)))?;
    let now = sorted(&now);
    require(now == groups, what, "setgroups", format_args!("{now:?}"))
}

/// Makes a directory the root and the working directory: a working directory outside would be a way
/// out.
pub(crate) fn change_root(what: &str, path: &Path) -> Result<()> {
    let failed = |call: &'static str| {
        move |e: Errno| Error::system(format_args!("{what}: {call}"), errno(e))
    };
    let wanted = stat(path).map_err(failed("stat"))?;
    nix::unistd::chroot(path).map_err(failed("chroot"))?;
    nix::unistd::chdir("/").map_err(failed("chdir to /"))?;
    let (root, here) = (
        stat("/").map_err(failed("stat of /"))?,
        stat(".").map_err(failed("stat of ."))?,
    );
    require(
        is_same(&root, &wanted) && is_same(&here, &wanted),
        what,
        "chroot",
        "another directory",
    )
}

/// Changes the working directory.
pub(crate) fn change_directory(what: &str, path: &Path) -> Result<()> {
    let failed = |call: &'static str| {
        move |e: Errno| Error::system(format_args!("{what}: {call}"), errno(e))
    };
    let wanted = stat(path).map_err(failed("stat"))?;
    nix::unistd::chdir(path).map_err(failed("chdir"))?;
    let here = stat(".").map_err(failed("stat of ."))?;
    require(is_same(&here, &wanted), what, "chdir", "another directory")
}

/// Sets the real, effective and saved group.
pub(crate) fn become_group(what: &str, gid: u32) -> Result<()> {
    let id = Gid::from_raw(gid);
    nix::unistd::setresgid(id, id, id)
        .map_err(|e| Error::system(format_args!("{what}: setresgid"), errno(e)))?;
    check_group(what, gid)
}

/// Whether the real, effective and saved group are this one.
pub(crate) fn check_group(what: &str, gid: u32) -> Result<()> {
    let now = Ids::groups()?;
    require(now.are(gid), what, "setresgid", format_args!("{now:?}"))
}

/// Sets the real, effective and saved user.
pub(crate) fn become_user(what: &str, uid: u32) -> Result<()> {
    let id = Uid::from_raw(uid);
    nix::unistd::setresuid(id, id, id)
        .map_err(|e| Error::system(format_args!("{what}: setresuid"), errno(e)))?;
    let now = Ids::users()?;
    require(now.are(uid), what, "setresuid", format_args!("{now:?}"))
}

/// Checks that the process cannot become root again, as it could if it had kept capabilities.
pub(crate) fn check_no_way_back(what: &str) -> Result<()> {
    let root = Uid::from_raw(0);
    match nix::unistd::setresuid(root, root, root) {
        Err(Errno::EPERM) => Ok(()),
        // No such user in this namespace.
        Err(Errno::EINVAL) => Ok(()),
        Err(e) => Err(Error::system(
            format_args!("{what}: setresuid back to 0"),
            errno(e),
        )),
        Ok(()) => Err(Error::new(
            Code::System,
            format!("{what}: the process could become root again"),
        )),
    }
}

/// Sets PR_SET_NO_NEW_PRIVS.
pub(crate) fn forbid_new_privileges(what: &str) -> Result<()> {
    let failed = |e| Error::system(format_args!("{what}: prctl"), errno(e));
    nix::sys::prctl::set_no_new_privs().map_err(failed)?;
    let now = nix::sys::prctl::get_no_new_privs().map_err(failed)?;
    require(now, what, "prctl", now)
}

/// Allows core files of a process that has changed its user (prctl(2), PR_SET_DUMPABLE).
pub(crate) fn allow_core_files(what: &str) -> Result<()> {
    let failed = |e| Error::system(format_args!("{what}: prctl"), errno(e));
    nix::sys::prctl::set_dumpable(true).map_err(failed)?;
    let now = nix::sys::prctl::get_dumpable().map_err(failed)?;
    require(now, what, "prctl", now)
}

/// Tries the steps in a child that does nothing else: only the kernel knows what it will allow. The
/// process must have one thread.
///
/// If no process can be started, the result is `Ok`: the workers check each step, too.
pub(crate) fn rehearse(what: &str, steps: impl FnOnce() -> Result<()>) -> Result<()> {
    let pipe = pipe::pipe("pipe of the rehearsal", false)?;
    let mask = Signals::hold();
    let forked = child::fork();
    if matches!(forked, Ok(Fork::Child)) {
        // This copy of the host must end in any case.
        let _end = ExitOnDrop;
        drop(pipe.read);
        if let Err(error) = steps() {
            report(&pipe.write, &error);
        }
        return Ok(());
    }
    Signals::release(&mask);
    let Ok(Fork::Parent(child)) = forked else {
        return Ok(());
    };
    drop(pipe.write);
    let mut answer = Vec::new();
    let read = std::fs::File::from(pipe.read).read_to_end(&mut answer);
    let pid = Pid::from_raw(child.pid());
    // It has the identity of a worker, and has ended or is about to.
    let reach = nix::sys::signal::kill(pid, None);
    while waitpid(pid, None) == Err(Errno::EINTR) {}
    read.map_err(|e| {
        Error::system(
            "pipe of the rehearsal: read",
            e.raw_os_error().unwrap_or(libc::EIO),
        )
    })?;
    if let Some((number, rest)) = answer.split_first_chunk() {
        if let Some((code, message)) = rest.split_first_chunk() {
            let code = i32::from_ne_bytes(*code);
            let code = Code::ALL.iter().find(|known| known.number() == code);
            return Err(Error::relayed(
                code.copied().unwrap_or(Code::System),
                i32::from_ne_bytes(*number),
                String::from_utf8_lossy(message).into_owned(),
            ));
        }
    }
    match reach {
        Err(Errno::EPERM) => Err(Error::system(
            format_args!("{what}: kill: the manager could not signal its workers"),
            libc::EPERM,
        )),
        // If another part of the host has reaped it, nothing is known.
        Ok(()) | Err(_) => Ok(()),
    }
}

fn report(pipe: &OwnedFd, error: &Error) {
    let numbers = [error.errno(), error.code().number()].map(i32::to_ne_bytes);
    let bytes = [numbers.as_flattened(), error.message().as_bytes()].concat();
    // It fits into an empty pipe.
    let _ = nix::unistd::write(pipe.as_fd(), &bytes);
}

fn is_same(one: &FileStat, other: &FileStat) -> bool {
    (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino)
}

fn sorted(groups: &[Gid]) -> Vec<u32> {
    let mut groups: Vec<_> = groups.iter().map(|gid| gid.as_raw()).collect();
    groups.sort_unstable();
    groups.dedup();
    groups
}

fn require(done: bool, what: &str, call: &str, now: impl std::fmt::Display) -> Result<()> {
    if done {
        return Ok(());
    }
    Err(Error::new(
        Code::System,
        format!("{what}: {call} had no effect: the value is {now}"),
    ))
}
