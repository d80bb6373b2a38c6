//! The identity of workers: user, groups, root, directory, priority and limits.
//!
//! The manager keeps its own identity: it must be able to signal its workers, and to remove its pid
//! file and its socket. Each worker takes these steps before the host sees it:
//!
//! 1. Limits and priority: to raise them needs root, or the hard limits of root.
//! 2. Supplementary groups: to set them needs root. They were looked up when the manager started, in
//!    the files and services that it sees.
//! 3. The root, then the directory below it: to change the root needs root.
//! 4. The group, and then the user: after that, no group could be dropped.
//! 5. All of it is read back, and the worker tries to become root again: that must fail.
//! 6. No new privileges, permanently.
//!
//! The umask does not change. A change of credentials cancels the signal on the manager's death, so
//! the caller requests that signal afterwards.

use std::fmt::Display;
use std::path::{Path, PathBuf};

use crate::error::{Code, Error, Result};
use crate::options::{Opt, Options};
use crate::sys::process::identity::{self, Account, Ids, Limit};

/// The minimum for a worker: standard descriptors, those of its link to the manager, the listening
/// socket, and a few connections.
const FILES_MIN: u64 = 32;

/// For setresuid(2) and similar calls this number means "unchanged".
const NOBODY_AT_ALL: u32 = u32::MAX;

/// The identity that a new worker assumes.
#[derive(Clone, Debug)]
pub(super) struct Identity {
    credentials: Option<Credentials>,
    chroot: Option<PathBuf>,
    chdir: Option<PathBuf>,
    priority: Option<i32>,
    rlimit_core: Option<u64>,
    rlimit_files: Option<u64>,
    no_new_privs: bool,
}

/// Users and groups by number: names may have another meaning below a new root.
#[derive(Clone, Debug)]
struct Credentials {
    /// The options and their values, for errors.
    what: String,
    /// `None`: the user stays.
    uid: Option<u32>,
    gid: u32,
    /// Sorted, each once.
    groups: Vec<u32>,
}

impl Identity {
    /// The identity that the options request, if any. It has been tried in a separate process, so
    /// that errors are found here and not in every worker.
    ///
    /// # Errors
    /// [`Code::Value`] for an invalid user, group or path; [`Code::System`] for what this process may
    /// not do.
    pub(super) fn check(options: &Options) -> Result<Option<Self>> {
        Self::check_and(options, || Ok(()))
    }

    /// The same, and then another check in a process with that identity.
    ///
    /// # Errors
    /// As [`check`](Self::check), and those of the other check.
    pub(super) fn check_and(
        options: &Options,
        check: impl FnOnce() -> Result<()>,
    ) -> Result<Option<Self>> {
        let Some(this) = Self::new(options)? else {
            return check().map(|()| None);
        };
        let what = this.credentials.as_ref().map_or("workers", |c| &c.what);
        identity::rehearse(what, || this.assume().and_then(|()| check()))?;
        Ok(Some(this))
    }

    /// Refuses these options where the caller is its own only worker.
    ///
    /// # Errors
    /// [`Code::Value`]: such an option is set. To serve with the caller's identity would not be what
    /// was requested.
    pub(super) fn refuse(options: &Options) -> Result<()> {
        let set = OPTIONS.into_iter().find(|(opt, _)| is_set(options, *opt));
        let Some((_, name)) = set else {
            return Ok(());
        };
        let value = options.get(name)?;
        Err(Error::new(
            Code::Value,
            format!(
                "option {name}: '{value}' is for the workers of a manager, but n_processes is 0"
            ),
        ))
    }

    fn new(options: &Options) -> Result<Option<Self>> {
        if !OPTIONS.into_iter().any(|(opt, _)| is_set(options, opt)) {
            return Ok(None);
        }
        let credentials = Credentials::new(options)?;
        let chroot = options.text(Opt::Chroot);
        if let Some(path) = &chroot {
            if !Path::new(path).is_absolute() {
                return Err(bad("chroot", path, "is not an absolute path"));
            }
            if Ids::users()?.effective != 0 {
                return Err(needs_root("chroot", path));
            }
        }
        let rlimit_files = options.limit(Opt::RlimitFiles);
        if let Some(few) = rlimit_files.filter(|files| *files < FILES_MIN) {
            let why = format!("is fewer than the {FILES_MIN} that a worker needs");
            return Err(bad("rlimit_files", &few.to_string(), &why));
        }
        let priority = options.signed(Opt::Priority).map(i32::try_from);
        Ok(Some(Self {
            credentials,
            chroot: chroot.map(PathBuf::from),
            chdir: options.text(Opt::Chdir).map(PathBuf::from),
            priority: priority.and_then(|nice| nice.ok()),
            rlimit_core: options.limit(Opt::RlimitCore),
            rlimit_files,
            no_new_privs: options.flag(Opt::NoNewPrivs),
        }))
    }

    /// The owner of the workers' files, if it changes: possibly a user, and a group.
    pub(super) fn owner(&self) -> Option<(Option<u32>, u32)> {
        let who = self.credentials.as_ref()?;
        Some((who.uid, who.gid))
    }

    /// Lets the kernel write a core file of this process, which has changed its user, if the options
    /// request one. From then on other processes of that user may read its memory, so nothing of the
    /// manager's may be left in it. A program that is executed does not need this.
    ///
    /// # Errors
    /// [`Code::System`], naming the step.
    pub(super) fn allow_core_files(&self) -> Result<()> {
        match (
            &self.credentials,
            self.rlimit_core.filter(|limit| *limit > 0),
        ) {
            (Some(_), Some(limit)) => identity::allow_core_files(&of_limit("rlimit_core", limit)),
            _ => Ok(()),
        }
    }

    /// In a new worker: assumes the identity.
    ///
    /// # Errors
    /// [`Code::System`], naming the step. Earlier steps have been taken, so the process must exit.
    pub(super) fn assume(&self) -> Result<()> {
        if let Some(limit) = self.rlimit_core {
            identity::set_limit(&of_limit("rlimit_core", limit), Limit::Core, limit)?;
        }
        if let Some(limit) = self.rlimit_files {
            identity::set_limit(&of_limit("rlimit_files", limit), Limit::Files, limit)?;
        }
        if let Some(nice) = self.priority {
            identity::set_priority(&of("priority", nice), nice)?;
        }
        if let Some(who) = &self.credentials {
            identity::set_supplementary_groups(&who.what, &who.groups)?;
        }
        if let Some(path) = &self.chroot {
            identity::change_root(&of("chroot", path.display()), path)?;
        }
        if let Some(path) = &self.chdir {
            identity::change_directory(&of("chdir", path.display()), path)?;
        }
        if let Some(who) = &self.credentials {
            who.assume()?;
        }
        if self.no_new_privs {
            identity::forbid_new_privileges(&of("no_new_privs", 1))?;
        }
        Ok(())
    }
}

impl Credentials {
    /// The credentials of `user` and `group`, unless this process has them already.
    fn new(options: &Options) -> Result<Option<Self>> {
        let (user, group) = (options.text(Opt::User), options.text(Opt::Group));
        let (what, uid, gid, groups) = match (&user, &group) {
            (None, None) => return Ok(None),
            (None, Some(group)) => {
                let gid = group_of(group)?;
                (of("group", group), None, gid, vec![gid])
            }
            (Some(user), None) => match found(user)? {
                Found::Account(account) => {
                    let groups = account.groups(account.gid)?;
                    (of("user", user), Some(account.uid), account.gid, groups)
                }
                Found::Number(_) => {
                    let why = "is a number without a group: set option group, too";
                    return Err(bad("user", user, why));
                }
            },
            (Some(user), Some(group)) => {
                let gid = group_of(group)?;
                let (uid, groups) = match found(user)? {
                    Found::Account(account) => (account.uid, account.groups(gid)?),
                    Found::Number(uid) => (uid, vec![gid]),
                };
                let what = format!("{}, group: '{group}'", of("user", user));
                (what, Some(uid), gid, groups)
            }
        };
        let (users, its_groups) = (Ids::users()?, Ids::groups()?);
        if users.effective != 0 {
            if uid.is_none_or(|uid| users.are(uid)) && its_groups.are(gid) {
                return Ok(None);
            }
            let (name, value) = match (user, group) {
                (Some(user), _) if uid.is_some_and(|uid| !users.are(uid)) => ("user", user),
                (_, Some(group)) => ("group", group),
                (user, None) => ("user", user.unwrap_or_default()),
            };
            return Err(needs_root(name, &value));
        }
        Ok(Some(Self {
            what,
            uid,
            gid,
            groups,
        }))
    }

    fn assume(&self) -> Result<()> {
        let what = &self.what;
        identity::become_group(what, self.gid)?;
        if let Some(uid) = self.uid {
            identity::become_user(what, uid)?;
            identity::check_group(what, self.gid)?;
            identity::check_supplementary_groups(what, &self.groups)?;
            if uid != 0 {
                identity::check_no_way_back(what)?;
            }
        }
        Ok(())
    }
}

const OPTIONS: [(Opt, &str); 8] = [
    (Opt::User, "user"),
    (Opt::Group, "group"),
    (Opt::Chroot, "chroot"),
    (Opt::Chdir, "chdir"),
    (Opt::Priority, "priority"),
    (Opt::RlimitCore, "rlimit_core"),
    (Opt::RlimitFiles, "rlimit_files"),
    (Opt::NoNewPrivs, "no_new_privs"),
];

fn is_set(options: &Options, opt: Opt) -> bool {
    options.text(opt).is_some()
        || options.signed(opt).is_some()
        || options.limit(opt).is_some()
        || options.flag(opt)
}

/// The value of the option `user`.
enum Found {
    Account(Account),
    /// A number without an account.
    Number(u32),
}

fn found(user: &str) -> Result<Found> {
    let number = number_of(user);
    if number == Some(NOBODY_AT_ALL) {
        return Err(bad("user", user, "is not a valid user number"));
    }
    let account = Account::find(user)
        .map_err(|e| Error::system(format_args!("{}: getpwnam", of("user", user)), e))?;
    match (account, number) {
        (Some(account), _) => Ok(Found::Account(account)),
        (None, Some(number)) => Ok(Found::Number(number)),
        (None, None) => Err(bad("user", user, "is not a user of this system")),
    }
}

fn group_of(group: &str) -> Result<u32> {
    if number_of(group) == Some(NOBODY_AT_ALL) {
        return Err(bad("group", group, "is not a valid group number"));
    }
    identity::find_group(group)
        .map_err(|e| Error::system(format_args!("{}: getgrnam", of("group", group)), e))?
        .ok_or_else(|| bad("group", group, "is not a group of this system"))
}

fn number_of(text: &str) -> Option<u32> {
    text.parse().ok()
}

fn of(name: &str, value: impl Display) -> String {
    format!("option {name}: '{value}'")
}

fn of_limit(name: &str, limit: u64) -> String {
    match limit {
        u64::MAX => of(name, "unlimited"),
        limit => of(name, limit),
    }
}

fn bad(name: &str, value: &str, why: &str) -> Error {
    Error::new(Code::Value, format!("{} {why}", of(name, value)))
}

fn needs_root(name: &str, value: &str) -> Error {
    let what = format!("{} needs root", of(name, value));
    Error::system(what, libc::EPERM)
}
