//! A worker's link to its manager. The manager installs it in a new worker, or passes it to the program
//! that the worker executes (`exec_env`). Accept reads it, and reports in `loop_status` what it does.

mod exec_env;
mod loop_status;
mod refork;
mod template_env;

use std::fmt;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering};

pub(crate) use crate::sys::scoreboard::adopt_region;
pub(crate) use exec_env::ExecEnv;
pub use exec_env::adopt;
pub use loop_status::{AcceptCounter, LoopStatus};
use parking_lot::Mutex;
pub(crate) use refork::{ForkTemplate, Orders, Refork};
pub(crate) use template_env::{
    TemplateEnv, claim as claim_template, inherited_listeners, is_started_as_template,
};

pub use crate::sys::clock::now;
use crate::sys::fd::pipe;
use crate::sys::log::stderr::Redirected;
use crate::sys::process;
use crate::sys::process::child;
use crate::sys::process::current::Current;
pub(crate) use crate::sys::scoreboard::WAIT_MAX;
pub use crate::sys::scoreboard::{
    ACCESS_FORMAT_MAX, ACCESS_NAME_MAX, AccessArea, AccessPosition, AccessSettings, Activity,
    CLASSES, DURATION_BOUNDS, Details, End, ExitCause, Figures, Fill, Header, LastExit, MEMFD_NAME,
    OfferList, Offered, Order, Page, PoolStatus, QUEUES, RECORDS, REGION_NAME, Reload, ReloadEnd,
    Scoreboard, Served, SlotLine, SlotStatus, Snapshot, Stage, Tallies, Total, View, ViewError,
    open_memfd, possible_requests,
};
use crate::sys::signal::wakeup;

/// The byte that travels with a connection that is handed over: it is a keep-alive connection.
pub(crate) const KEPT: u8 = b'K';
/// The same for one on which nothing has arrived.
pub(crate) const SILENT: u8 = b'S';

/// The link between a worker and its manager.
pub struct ManagerLink {
    /// The worker's own scoreboard page.
    pub page: &'static Page,
    /// The manager's pid: a worker whose parent is another process is an orphan.
    pub pid: i32,
    /// A byte written here makes the manager read the scoreboard. Copies of a worker share the
    /// descriptors.
    pub wake: Arc<OwnedFd>,
    /// Closed at the other end when the manager exits.
    pub life: Arc<OwnedFd>,
    /// Both ends of the socket pair on which workers hand idle connections over to each other: what is
    /// sent to the first arrives at the second, in the worker that reads it first.
    pub handover: (Arc<OwnedFd>, Arc<OwnedFd>),
    /// Where it is asked to fork a template.
    orders: Option<Orders>,
    /// Standard error, while the manager reads it.
    start_stderr: Mutex<Option<Redirected>>,
}

impl ManagerLink {
    /// A link that leaves standard error alone.
    #[must_use]
    pub fn new(
        page: &'static Page,
        pid: i32,
        wake: Arc<OwnedFd>,
        life: Arc<OwnedFd>,
        handover: (Arc<OwnedFd>, Arc<OwnedFd>),
    ) -> Self {
        Self {
            page,
            pid,
            wake,
            life,
            handover,
            orders: None,
            start_stderr: Mutex::new(None),
        }
    }

    /// The manager reads standard error until the worker is ready.
    #[must_use]
    pub(crate) fn with_start_stderr(mut self, redirected: Option<Redirected>) -> Self {
        self.start_stderr = Mutex::new(redirected);
        self
    }

    /// It may be asked to fork a template.
    #[must_use]
    pub(crate) fn with_orders(mut self, orders: Option<Orders>) -> Self {
        self.orders = orders;
        self
    }

    /// The worker is ready: its standard error is its own again.
    pub(super) fn restore_stderr(&self) {
        if let Some(redirected) = self.start_stderr.lock().take() {
            redirected.undo();
        }
    }

    /// Makes the manager read the scoreboard.
    pub(super) fn notify_manager(&self) {
        pipe::notify(&self.wake);
    }
}

impl fmt::Debug for ManagerLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ManagerLink")
            .field("pid", &self.pid)
            .finish_non_exhaustive()
    }
}

struct Installed {
    pid: i32,
    manager: ManagerLink,
    /// The first Accept was reported.
    ready: AtomicBool,
    /// The number of requests of which it was reported that the worker has served them.
    limit_reported: AtomicU64,
    /// A guardian reports the manager's death, and the kernel does not.
    guarded: AtomicBool,
    /// The thread that the kernel signals, or would.
    signalled: AtomicI32,
}

impl Installed {
    #[cold]
    fn follow_guard(&self, is_guarded: bool) {
        // The kernel's setting is the thread's.
        if self.signalled.load(Ordering::Relaxed) == process::thread_id() {
            self.set_guarded(is_guarded);
        }
    }

    fn set_guarded(&self, is_guarded: bool) {
        self.guarded.store(is_guarded, Ordering::Relaxed);
        if is_guarded {
            child::ignore_parent_death();
            return;
        }
        child::signal_on_parent_death(nix::sys::signal::Signal::SIGURG);
        if process::parent_pid() != self.manager.pid {
            set_orphaned();
        }
    }
}

static CURRENT: Current<Installed> = Current::none();
static ORPHANED: AtomicBool = AtomicBool::new(false);
static MUST_NOT_SERVE: AtomicBool = AtomicBool::new(false);

/// Makes this process a worker of a manager.
///
/// # Errors
/// It is one already: the link is handed back.
pub fn install(manager: ManagerLink) -> Result<(), ManagerLink> {
    let installed = Installed {
        pid: process::pid(),
        manager,
        ready: AtomicBool::new(false),
        limit_reported: AtomicU64::new(0),
        guarded: AtomicBool::new(false),
        signalled: AtomicI32::new(0),
    };
    CURRENT.set(installed).map_err(|refused| refused.manager)
}

/// In a template that a worker has forked: it has ceased to be a worker.
pub(crate) fn leave() {
    // Of the worker, which is another process.
    let orders = CURRENT
        .get()
        .and_then(|worker| worker.manager.orders.as_ref());
    if let Some(orders) = orders {
        orders.close();
    }
    CURRENT.forget();
}

/// Where the manager asks this worker for a template.
pub(crate) fn orders() -> Option<&'static Orders> {
    current()?.orders.as_ref()
}

/// In a worker that is asked for a template.
///
/// # Errors
/// This process is a new worker whose start has failed.
pub(crate) fn fork_template() -> crate::error::Result<Refork> {
    orders().map_or(Ok(Refork::Unchanged), Orders::fork_template)
}

/// In a worker that could not take its identity: it accepts nothing, whatever its host does next.
pub(crate) fn forbid_to_serve() {
    MUST_NOT_SERVE.store(true, Ordering::Relaxed);
}

/// Whether this process must not serve.
pub(super) fn must_not_serve() -> bool {
    MUST_NOT_SERVE.load(Ordering::Relaxed)
}

/// The link of this process. A child that a worker forks has none.
#[must_use]
pub fn current() -> Option<&'static ManagerLink> {
    installed().map(|installed| &installed.manager)
}

fn installed() -> Option<&'static Installed> {
    CURRENT
        .get()
        .filter(|installed| installed.pid == process::pid())
}

/// Lets the kernel signal this worker when its manager dies, unless a guardian reports that: the
/// kernel's signal would end the application's own poll(2) during a request. The kernel drops the
/// setting when the application changes its user or group (prctl(2)), so it is made at the first
/// Accept.
pub(super) fn begin_to_follow_guard() {
    if let Some(installed) = installed() {
        let thread = process::thread_id();
        installed.signalled.store(thread, Ordering::Relaxed);
        installed.set_guarded(installed.manager.page.is_guarded());
    }
}

/// The same with each request: two loads and no system call, unless something has changed.
#[inline]
pub(super) fn follow_guard() {
    if let Some(installed) = installed() {
        let is_guarded = installed.manager.page.is_guarded();
        if installed.guarded.load(Ordering::Relaxed) != is_guarded {
            installed.follow_guard(is_guarded);
        }
    }
}

/// Whether this worker has reached its first Accept.
pub(super) fn has_been_ready() -> bool {
    installed().is_some_and(|installed| installed.ready.load(Ordering::Relaxed))
}

/// Whether this process is a worker, or a child of one.
#[must_use]
pub fn is_inherited() -> bool {
    CURRENT.get().is_some()
}

/// Who is left when this process exits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retirement {
    /// Other workers.
    PoolContinues,
    /// The pool ends, or there is none.
    PoolEnds,
}

/// Whether this process is to exit: on its manager's order, because the manager has exited, or by a
/// signal from outside. The parent is checked only if `woken`, because its death wakes.
#[must_use]
pub fn retirement(woken: bool) -> Option<Retirement> {
    let Some(manager) = current() else {
        return wakeup::retirement_requested().then_some(Retirement::PoolEnds);
    };
    if woken && process::parent_pid() != manager.pid {
        set_orphaned();
    }
    if manager.page.is_orphaned() {
        set_orphaned();
    }
    if ORPHANED.load(Ordering::Relaxed) {
        return Some(Retirement::PoolEnds);
    }
    match manager.page.order() {
        Order::Retire => Some(Retirement::PoolContinues),
        Order::RetireLast => Some(Retirement::PoolEnds),
        Order::Serve => wakeup::retirement_requested().then_some(Retirement::PoolContinues),
    }
}

/// Whether this process is to exit, for code outside Accept. No system call unless a signal of this
/// library arrived.
#[must_use]
pub fn is_retiring() -> bool {
    retirement(wakeup::any_since_last_check()).is_some()
}

/// Whether the manager gave notice: a request that this process runs has taken longer than
/// `request_timeout`, and what is left of its time is short. Async-signal-safe.
#[must_use]
pub fn notice_given() -> bool {
    current().is_some_and(|manager| manager.page.notice_given())
}

/// Asks this process to exit, as a signal from outside does. Async-signal-safe.
pub fn retire() {
    wakeup::request_retirement_from_host();
}

/// Installs a worker's signal handlers: those that ask it to exit, and that of the wake-up.
///
/// # Errors
/// [`Code::System`](crate::error::Code::System): sigaction(2) or timer_create(2) failed.
pub fn protect() -> crate::error::Result<()> {
    wakeup::install_wake_handler()?;
    wakeup::install_retiring()
}

/// Installs one of a worker's signal handlers again if another one has replaced it; `true` if so. Of
/// URG, `calls_host` says whether the host's own handler is called after it.
///
/// # Errors
/// [`Code::Argument`](crate::error::Code::Argument): it is not one of a worker's signals;
/// [`Code::System`](crate::error::Code::System): sigaction(2) failed.
pub fn protect_signal(signal: i32, calls_host: bool) -> crate::error::Result<bool> {
    wakeup::protect(signal, calls_host)
}

/// Whether the manager was found to have exited.
pub(super) fn is_orphaned() -> bool {
    ORPHANED.load(Ordering::Relaxed)
}

/// The manager has exited.
pub(super) fn set_orphaned() {
    ORPHANED.store(true, Ordering::Relaxed);
}
