//! The argument: a pid, a pid file or an address.

use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use crate::args::address::Address;

/// How a manager was named.
#[derive(Debug)]
pub(crate) enum Target {
    Pid(i32),
    /// The pid that a file holds.
    PidFile(PathBuf, i32),
    Address(Address),
}

impl Target {
    pub(crate) fn of(text: &str) -> Result<Self, String> {
        if let Some(pid) = pid(text) {
            return Ok(Self::Pid(pid));
        }
        let path = Path::new(text);
        match fs::metadata(path) {
            // A relative path to a socket is allowed here, but is not an address.
            Ok(file) if file.file_type().is_socket() => {
                let path = fs::canonicalize(path).map_err(|error| format!("{text}: {error}"))?;
                let path = path.to_str().ok_or_else(|| format!("{text}: not UTF-8"))?;
                let address = format!("unix:{path}").parse();
                address
                    .map(Self::Address)
                    .map_err(|why| format!("{text}: {why}"))
            }
            Ok(_) => Ok(Self::PidFile(path.to_owned(), pid_in(path)?)),
            Err(missing) => match text.parse::<Address>() {
                Ok(address) => Ok(Self::Address(address)),
                Err(_) if text.contains(['/', '.']) && !text.contains(':') => {
                    Err(format!("pid file {text}: {missing}"))
                }
                Err(why) => Err(format!(
                    "'{text}' is not a pid, an existing pid file or an address: {why}"
                )),
            },
        }
    }
}

fn pid(text: &str) -> Option<i32> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|pid| digits && *pid > 0)
}

fn pid_in(path: &Path) -> Result<i32, String> {
    let failed = |error| format!("pid file {}: {error}", path.display());
    let mut bytes = Vec::new();
    // Opening a FIFO must not wait for a writer.
    let file = File::options()
        .read(true)
        .custom_flags(nix::libc::O_NONBLOCK | nix::libc::O_NOCTTY)
        .open(path)
        .map_err(failed)?;
    if !file.metadata().map_err(failed)?.is_file() {
        return Err(format!("pid file {}: not a regular file", path.display()));
    }
    file.take(64).read_to_end(&mut bytes).map_err(failed)?;
    let text = String::from_utf8_lossy(&bytes);
    let text = text.trim();
    pid(text).ok_or_else(|| {
        let path = path.display();
        format!("pid file {path}: '{}' is not a pid", text.escape_debug())
    })
}
