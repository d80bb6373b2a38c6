//! What a worker knows of its manager. The manager installs it in a fresh worker; Accept consults it.

use std::fmt;
use std::os::fd::OwnedFd;

use once_cell::sync::OnceCell;

use crate::sys;
pub use crate::sys::scoreboard::{Activity, Order, Page, Scoreboard};

/// The ties between a worker and its manager.
pub struct Supervision {
    /// The worker's own scoreboard page.
    pub page: &'static Page,
    /// The manager's pid: a worker whose parent is another process is an orphan.
    pub manager: i32,
    /// A byte written here makes the manager look at the scoreboard.
    pub wake: OwnedFd,
    /// Comes to its end when the manager is gone.
    pub life: OwnedFd,
    /// Both ends of the socket pair on which workers hand idle kept connections to each other:
    /// what is sent to the first arrives at the second, in whichever worker reads it.
    pub handover: (OwnedFd, OwnedFd),
}

impl fmt::Debug for Supervision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Supervision")
            .field("manager", &self.manager)
            .finish_non_exhaustive()
    }
}

struct Installed {
    pid: i32,
    supervision: Supervision,
}

static CURRENT: OnceCell<Installed> = OnceCell::new();

/// Makes this process a supervised one.
///
/// # Errors
/// It is one already: the supervision is handed back.
pub fn install(supervision: Supervision) -> Result<(), Supervision> {
    CURRENT
        .set(Installed {
            pid: sys::process::pid(),
            supervision,
        })
        .map_err(|refused| refused.supervision)
}

/// The supervision of this process. A child that a worker forks is not supervised.
#[must_use]
pub fn current() -> Option<&'static Supervision> {
    CURRENT
        .get()
        .filter(|installed| installed.pid == sys::process::pid())
        .map(|installed| &installed.supervision)
}
