//! What a worker knows of its manager. The manager installs it in a fresh worker, or leaves it to the
//! program that the worker becomes (`inheritance`); Accept consults it, and tells through `report` what it
//! does.

mod exec_env;
mod loop_status;

use std::fmt;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};

pub(crate) use exec_env::ExecEnv;
pub use exec_env::adopt;
pub use loop_status::{AcceptCounter, LoopStatus};
use once_cell::sync::OnceCell;
use parking_lot::Mutex;

pub use crate::sys::clock::now;
use crate::sys::fd::pipe;
use crate::sys::log::stderr::Redirected;
use crate::sys::process;
use crate::sys::process::child;
pub use crate::sys::scoreboard::{
    Activity, Details, Figures, Header, LastExit, MEMFD_NAME, OfferList, Offered, Order, Page,
    PoolStatus, QUEUES, RECORDS, REGION_NAME, Reload, Scoreboard, SlotLine, SlotStatus, Snapshot,
    Stage, Total, View, ViewError, open_memfd,
};
use crate::sys::signal::wakeup;

/// The byte that travels with a connection that is handed over: which standing it had.
pub(crate) const KEPT: u8 = b'K';
/// The same for one on which nothing has arrived.
pub(crate) const SILENT: u8 = b'S';

/// The ties between a worker and its manager.
pub struct ManagerLink {
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
    /// Standard error, while it goes through the manager.
    start_stderr: Mutex<Option<Redirected>>,
}

impl ManagerLink {
    /// Ties without anything of standard error.
    #[must_use]
    pub fn new(
        page: &'static Page,
        manager: i32,
        wake: OwnedFd,
        life: OwnedFd,
        handover: (OwnedFd, OwnedFd),
    ) -> Self {
        Self {
            page,
            manager,
            wake,
            life,
            handover,
            start_stderr: Mutex::new(None),
        }
    }

    /// Standard error goes through the manager until the worker is ready.
    #[must_use]
    pub(crate) fn with_start_stderr(mut self, redirected: Option<Redirected>) -> Self {
        self.start_stderr = Mutex::new(redirected);
        self
    }

    /// The worker is ready: its standard error is its own again.
    pub(super) fn restore_stderr(&self) {
        if let Some(redirected) = self.start_stderr.lock().take() {
            redirected.undo();
        }
    }

    /// Makes the manager look at the scoreboard.
    pub(super) fn notify_manager(&self) {
        pipe::notify(&self.wake);
    }
}

impl fmt::Debug for ManagerLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ManagerLink")
            .field("manager", &self.manager)
            .finish_non_exhaustive()
    }
}

struct Installed {
    pid: i32,
    link_to_manager: ManagerLink,
    /// The first Accept was told of.
    ready: AtomicBool,
    /// The manager was told that the worker has served what it was to serve.
    limit_told: AtomicBool,
    /// The kernel does not tell of the manager's end.
    guarded: AtomicBool,
    /// The thread that the kernel would tell.
    tied: AtomicI32,
}

impl Installed {
    #[cold]
    fn follow_guard(&self, is_guarded: bool) {
        // The kernel has it by thread.
        if self.tied.load(Ordering::Relaxed) == process::thread_id() {
            self.tie(is_guarded);
        }
    }

    fn tie(&self, is_guarded: bool) {
        self.guarded.store(is_guarded, Ordering::Relaxed);
        if is_guarded {
            child::ignore_parent_death();
            return;
        }
        child::signal_on_parent_death(nix::sys::signal::Signal::SIGURG);
        if process::parent_pid() != self.link_to_manager.manager {
            set_orphaned();
        }
    }
}

static CURRENT: OnceCell<Installed> = OnceCell::new();
static ORPHANED: AtomicBool = AtomicBool::new(false);
static UNFIT: AtomicBool = AtomicBool::new(false);

/// Makes this process a supervised one.
///
/// # Errors
/// It is one already: the link_to_manager is handed back.
pub fn install(link_to_manager: ManagerLink) -> Result<(), ManagerLink> {
    let installed = Installed {
        pid: process::pid(),
        link_to_manager,
        ready: AtomicBool::new(false),
        limit_told: AtomicBool::new(false),
        guarded: AtomicBool::new(false),
        tied: AtomicI32::new(0),
    };
    CURRENT
        .set(installed)
        .map_err(|refused| refused.link_to_manager)
}

/// In a worker that is not who it should be: it accepts nothing, whatever its host does next.
pub(crate) fn forbid_to_serve() {
    UNFIT.store(true, Ordering::Relaxed);
}

/// Whether this process must not serve.
pub(super) fn must_not_serve() -> bool {
    UNFIT.load(Ordering::Relaxed)
}

/// The link_to_manager of this process. A child that a worker forks is not supervised.
#[must_use]
pub fn current() -> Option<&'static ManagerLink> {
    installed().map(|installed| &installed.link_to_manager)
}

fn installed() -> Option<&'static Installed> {
    CURRENT
        .get()
        .filter(|installed| installed.pid == process::pid())
}

/// Has the kernel tell this worker of its manager's end, or not, because a guardian does: the kernel's signal would end
/// the application's own poll(2) in the middle of a request. The kernel forgets it when the application changes its user
/// or group (prctl(2)), so it begins with the first Accept.
pub(super) fn begin_to_follow_guard() {
    if let Some(installed) = installed() {
        installed
            .tied
            .store(process::thread_id(), Ordering::Relaxed);
        installed.tie(installed.link_to_manager.page.is_guarded());
    }
}

/// The same from then on. With each request: no system call, and two loads, unless something has changed.
#[inline]
pub(super) fn follow_guard() {
    if let Some(installed) = installed() {
        let is_guarded = installed.link_to_manager.page.is_guarded();
        if installed.guarded.load(Ordering::Relaxed) != is_guarded {
            installed.follow_guard(is_guarded);
        }
    }
}

/// Whether this worker has come to its first Accept.
pub(super) fn has_been_ready() -> bool {
    installed().is_some_and(|installed| installed.ready.load(Ordering::Relaxed))
}

/// Whether this process is a worker, or a child of one.
#[must_use]
pub fn is_inherited() -> bool {
    CURRENT.get().is_some()
}

/// How a process that is to leave finds its surroundings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retirement {
    /// Other workers go on.
    PoolGoesOn,
    /// The pool ends, or there is none.
    PoolEnds,
}

/// Whether this process is to leave: its manager says so, the manager is gone, or somebody asked it
/// directly. The parent is looked at only if `woken`: its death wake_ups.
#[must_use]
pub fn retirement(woken: bool) -> Option<Retirement> {
    let Some(link_to_manager) = current() else {
        return wakeup::retirement_requested().then_some(Retirement::PoolEnds);
    };
    if woken && process::parent_pid() != link_to_manager.manager {
        set_orphaned();
    }
    if link_to_manager.page.is_orphaned() {
        set_orphaned();
    }
    if ORPHANED.load(Ordering::Relaxed) {
        return Some(Retirement::PoolEnds);
    }
    match link_to_manager.page.order() {
        Order::Retire => Some(Retirement::PoolGoesOn),
        Order::RetireLast => Some(Retirement::PoolEnds),
        Order::Serve => wakeup::retirement_requested().then_some(Retirement::PoolGoesOn),
    }
}

/// Whether this process is to leave, for code outside Accept. No system call unless a signal of this
/// library arrived.
#[must_use]
pub fn is_retiring() -> bool {
    retirement(wakeup::any_since_last_check()).is_some()
}

/// Whether the manager gave notice: a request that this process runs has taken longer than
/// `request_timeout`, and what is left of its time is short. Async-signal-safe.
#[must_use]
pub fn notice_given() -> bool {
    current().is_some_and(|link_to_manager| link_to_manager.page.notice_given())
}

/// Asks this process to leave, as a signal from outside does. Async-signal-safe.
pub fn retire() {
    wakeup::request_retirement_from_host();
}

/// Installs a worker's signal handlers: those that ask it to leave, and that of the wake-up.
///
/// # Errors
/// [`Code::System`](crate::error::Code::System): sigaction(2) or timer_create(2) failed.
pub fn protect() -> crate::error::Result<()> {
    wakeup::install_wake_handler()?;
    wakeup::install_retiring()
}

/// Puts one of a worker's signal handlers back, if another has taken its place; `true` if it had to. Of URG, `calls_host`
/// says whether what the host had installed is called after it.
///
/// # Errors
/// [`Code::Argument`](crate::error::Code::Argument): it is none of a worker's signals;
/// [`Code::System`](crate::error::Code::System): sigaction(2) failed.
pub fn protect_signal(signal: i32, calls_host: bool) -> crate::error::Result<bool> {
    wakeup::protect(signal, calls_host)
}

/// Whether the manager was found to be gone.
pub(super) fn is_orphaned() -> bool {
    ORPHANED.load(Ordering::Relaxed)
}

/// The manager is gone.
pub(super) fn set_orphaned() {
    ORPHANED.store(true, Ordering::Relaxed);
}
