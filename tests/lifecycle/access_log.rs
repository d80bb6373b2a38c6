//! The access log.

#[path = "access_log/failures.rs"]
mod failures;
#[path = "access_log/formats.rs"]
mod formats;
#[path = "access_log/rotation.rs"]
mod rotation;
#[path = "access_log/targets.rs"]
mod targets;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::Pool;
use super::admin_listener::children;
use super::peer::connection::LIMIT;
use super::peer::program::{TRANSPORTS, folder};

/// A pool with an access log in a file of its own folder.
struct Logged {
    pool: Pool,
    folder: PathBuf,
}

impl Logged {
    fn start(workers: usize, format: &str, more: &[(&str, &str)]) -> Self {
        let folder = folder();
        let file = folder.join("log");
        let options = [
            ("FCGIPM_ACCESS_LOG", file.to_str().unwrap()),
            ("FCGIPM_ACCESS_FORMAT", format),
        ];
        let pool = Pool::start(TRANSPORTS[0], workers, &[&options[..], more].concat());
        Self { pool, folder }
    }

    fn file(&self) -> PathBuf {
        self.folder.join("log")
    }

    /// The lines, once there are this many.
    fn lines(&self, count: usize) -> Vec<String> {
        lines_of(&self.file(), count)
    }

    /// The pid of the process that writes.
    fn writer(&self) -> i32 {
        until("a writer", || writer_of(self.pool.program.pid()))
    }
}

impl Drop for Logged {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// The process that writes the log of a manager.
fn writer_of(manager: i32) -> Option<i32> {
    children(manager).into_iter().find(|pid| {
        let title = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        title.starts_with(b"writer of the access log")
    })
}

fn lines_of(file: &Path, count: usize) -> Vec<String> {
    let what = format!("{count} lines in {}", file.display());
    let is_enough = |lines: &Vec<String>| lines.len() >= count;
    until(&what, || Some(lines_now(file)).filter(is_enough))
}

/// The complete lines: a reader may see the beginning of a write.
fn lines_now(file: &Path) -> Vec<String> {
    let text = fs::read_to_string(file).unwrap_or_default();
    let whole = text
        .split_inclusive('\n')
        .filter_map(|line| line.strip_suffix('\n'));
    whole.map(str::to_owned).collect()
}

/// Waits until there is something.
fn until<T>(what: &str, mut get: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + LIMIT;
    loop {
        if let Some(found) = get() {
            return found;
        }
        assert!(Instant::now() < until, "no {what}");
        std::thread::yield_now();
    }
}
