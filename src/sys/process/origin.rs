//! How this process was started: so that its manager can start the program again.
//!
//! This is noted when the library is loaded, because a program may change its title, its working
//! directory and its environment before it starts a manager.

use std::ffi::{CString, OsStr, OsString};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

use nix::errno::Errno;
use once_cell::sync::OnceCell;

use super::executable;
use crate::error::{Code, Error, Result};
use crate::options::{TEMPLATE_VARIABLE, WORKER_VARIABLE};
use crate::sys::service;

/// Of the service manager's variables, those that name descriptors stay valid: the descriptors are kept.
const INHERITED: [&str; 3] = ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"];

/// Whether a variable describes something that only the first start has.
fn is_of_first_start(name: &[u8]) -> bool {
    let service = service::VARIABLES.into_iter();
    let service = service.filter(|variable| !INHERITED.contains(variable));
    let mut all = service.chain([TEMPLATE_VARIABLE, WORKER_VARIABLE]);
    all.any(|variable| variable.as_bytes() == name)
}

/// The start of a process.
#[derive(Debug)]
struct Origin {
    /// As given to execve(2): a script's first one is its interpreter.
    arguments: Vec<CString>,
    environment: Vec<CString>,
    folder: Option<PathBuf>,
}

/// What execve(2) needs to start the program again.
#[derive(Debug)]
pub(crate) struct Restart {
    pub(crate) file: CString,
    pub(crate) arguments: Vec<CString>,
    pub(crate) environment: Vec<CString>,
    pub(crate) folder: PathBuf,
}

static ORIGIN: OnceCell<Option<Origin>> = OnceCell::new();

/// What the host knows better, because the library was loaded late.
static GIVEN: OnceCell<Origin> = OnceCell::new();

/// Called by the dynamic linker when the library is loaded.
#[used]
#[unsafe(link_section = ".init_array")]
static AT_LOAD: extern "C" fn() = {
    extern "C" fn at_load() {
        // A panic must not leave this function. Then nothing is known.
        let _ = std::panic::catch_unwind(note);
    }
    at_load
};

/// Notes how this process was started, if it is not known yet.
fn note() {
    ORIGIN.get_or_init(read);
}

fn read() -> Option<Origin> {
    Some(Origin {
        arguments: strings(&fs::read("/proc/self/cmdline").ok()?),
        environment: strings(&fs::read("/proc/self/environ").ok()?),
        folder: env::current_dir().ok().map(|actual| {
            let named = env::var_os("PWD");
            folder(actual, named)
        }),
    })
}

/// Notes how this process was started, as its host has read it from /proc. Returns whether that is a
/// command line.
pub(crate) fn note_given(command_line: &[u8], environment: &[u8], actual: &str) -> bool {
    let origin = Origin {
        arguments: strings(command_line),
        environment: strings(environment),
        folder: Some(folder(actual.into(), named_by(environment))),
    };
    let is_known = !origin.arguments.is_empty();
    if is_known {
        // The first one counts.
        let _ = GIVEN.set(origin);
    }
    is_known
}

fn named_by(environment: &[u8]) -> Option<OsString> {
    let mut variables = environment.split(|byte| *byte == 0);
    let named = variables.find_map(|variable| variable.strip_prefix(b"PWD="))?;
    Some(OsStr::from_bytes(named).to_owned())
}

/// The strings of a block in which each one ends with a NUL.
fn strings(block: &[u8]) -> Vec<CString> {
    let block = block.strip_suffix(&[0]).unwrap_or(block);
    if block.is_empty() {
        return Vec::new();
    }
    let parts = block.split(|byte| *byte == 0);
    parts.filter_map(|part| CString::new(part).ok()).collect()
}

/// The working directory by the name under which it was entered: where that is a symbolic link to a
/// release, the next start enters the next release.
fn folder(actual: PathBuf, named: Option<OsString>) -> PathBuf {
    let named = named.map(PathBuf::from);
    let is_same = |named: &PathBuf| named.is_absolute() && are_same(named, &actual);
    named.filter(is_same).unwrap_or(actual)
}

fn are_same(one: &Path, other: &Path) -> bool {
    let identity = |path| fs::metadata(path).ok().map(|file| (file.dev(), file.ino()));
    identity(one).is_some() && identity(one) == identity(other)
}

/// How to start this program again: the same arguments, executable, environment and working directory
/// as at its own start. Descriptor numbers in variables stay valid, if the descriptors are kept.
///
/// # Errors
/// [`Code::System`]: it is not known, or the executable no longer exists.
pub(crate) fn restart() -> Result<Restart> {
    note();
    let unknown = || {
        Error::new(
            Code::System,
            "the command line of this process is not known: /proc is not available",
        )
    };
    let read = || ORIGIN.get().and_then(Option::as_ref);
    let origin = GIVEN.get().or_else(read).ok_or_else(unknown)?;
    let folder = origin.folder.clone().ok_or_else(|| {
        Error::new(
            Code::System,
            "the working directory at the start of this process no longer exists",
        )
    })?;
    let name = origin.arguments.first().ok_or_else(unknown)?;
    let file = file_of(OsStr::from_bytes(name.as_bytes()), &folder)?;
    let is_kept = |variable: &&CString| {
        let name = variable.as_bytes().split(|byte| *byte == b'=').next();
        !name.is_some_and(is_of_first_start)
    };
    Ok(Restart {
        file,
        arguments: origin.arguments.clone(),
        environment: origin.environment.iter().filter(is_kept).cloned().collect(),
        folder,
    })
}

/// The executable: by the name that the program was started with, if that can be its own, because it
/// may lead to another release by now. Otherwise the file that is being executed.
fn file_of(name: &OsStr, folder: &Path) -> Result<CString> {
    let running = running_file()?;
    let as_path = |file: &CString| folder.join(OsStr::from_bytes(file.as_bytes()));
    let named = executable::candidates(name)
        .into_iter()
        .map(|file| as_path(&file))
        .find(|file| file.file_name() == running.file_name() && file.is_file());
    let file = named.unwrap_or(running);
    if !file.is_file() {
        return Err(Error::caused(
            Code::System,
            format_args!("the program's file {}", file.display()),
            Errno::ENOENT as i32,
        ));
    }
    CString::new(file.into_os_string().into_vec()).map_err(|_| {
        Error::new(
            Code::System,
            "the name of the program's file contains a NUL",
        )
    })
}

/// The file that this process executes. The kernel marks the name of one that was replaced.
fn running_file() -> Result<PathBuf> {
    let link = fs::read_link("/proc/self/exe").map_err(|error| {
        let errno = error.raw_os_error().unwrap_or_default();
        Error::system("/proc/self/exe", errno)
    })?;
    let name = link.into_os_string().into_vec();
    let name = name.strip_suffix(b" (deleted)").unwrap_or(&name);
    Ok(PathBuf::from(OsString::from_vec(name.to_vec())))
}

/// In the process that is about to start the program again: descriptors that systemd passed by number
/// are this process's (sd_listen_fds(3)).
pub(crate) fn name_new_owner(environment: &mut [CString], before: i32, after: i32) {
    for variable in environment {
        if variable.as_bytes() == format!("LISTEN_PID={before}").as_bytes() {
            if let Ok(renamed) = CString::new(format!("LISTEN_PID={after}")) {
                *variable = renamed;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_can_be_started_again() {
        let restart = restart().unwrap();
        let own: Vec<_> = env::args().map(|one| CString::new(one).unwrap()).collect();
        assert_eq!(restart.arguments, own);
        let file = PathBuf::from(OsStr::from_bytes(restart.file.as_bytes()));
        assert!(are_same(&file, &env::current_exe().unwrap()));
        assert!(are_same(&restart.folder, &env::current_dir().unwrap()));
    }

    #[test]
    fn a_block_of_strings_is_split_at_its_ends() {
        let text = |block: &[u8]| -> Vec<_> {
            let all = strings(block).into_iter();
            all.map(|one| one.into_string().unwrap()).collect()
        };
        assert_eq!(text(b"a\0bc\0"), ["a", "bc"]);
        assert_eq!(text(b"a\0\0b\0"), ["a", "", "b"]);
        assert!(text(b"").is_empty());
    }

    #[test]
    fn the_name_of_the_folder_is_that_of_the_environment() {
        let actual = env::current_dir().unwrap();
        let named = actual.join("..").join(actual.file_name().unwrap());
        let environment = format!("A=1\0PWD={}\0", named.display());
        let found = folder(actual.clone(), named_by(environment.as_bytes()));
        assert_eq!(found, named);
        let found = folder(actual.clone(), named_by(b"PWD=/\0"));
        assert_eq!(found, actual);
        assert!(!note_given(b"", b"", "/"));
    }

    #[test]
    fn only_the_pid_of_the_process_before_is_replaced() {
        let named = |text: &str| {
            let mut one = [CString::new(text).unwrap()];
            name_new_owner(&mut one, 7, 8);
            one[0].to_str().unwrap().to_owned()
        };
        assert_eq!(named("LISTEN_PID=7"), "LISTEN_PID=8");
        assert_eq!(named("LISTEN_PID=70"), "LISTEN_PID=70");
        assert_eq!(named("OTHER=7"), "OTHER=7");
    }
}
