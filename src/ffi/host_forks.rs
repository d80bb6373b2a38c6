//! Workers that the program forks itself, as C sees them.

use super::boundary::enter;
use super::handle;
use super::manager::{Managed, fcgipm_manager};
use crate::manager::Manager;

/// Selects who forks the workers: the program if yes is not 0, otherwise the library (the default).
/// It is for programs in a language that has hooks around its own fork, which do not see a fork in
/// a library.
///
/// fcgipm_manager_next() then returns FCGIPM_EVENT_FORK for each worker, repeatedly until the
/// program forks. The program reports that it forks, forks in its own way, and reports the result
/// in both processes:
///
///   event = fcgipm_manager_next(manager);
///   if (event == FCGIPM_EVENT_FORK && (event = fcgipm_manager_fork_begins(manager)) == 0) {
///       pid_t pid = fork();
///       event = fcgipm_manager_forked(manager, pid, pid < 0 ? errno : 0);
///   }
///
/// Returns 0; FCGIPM_ESTATE after the first fcgipm_manager_next(), FCGIPM_EHANDLE.
#[unsafe(no_mangle)]
pub extern "C" fn fcgipm_manager_host_forks(manager: *mut fcgipm_manager, yes: i32) -> i32 {
    enter(|| {
        handle::with(manager, |managed: &mut Managed| {
            managed.manager.set_host_forks(yes != 0).map(|()| 0)
        })
    })
}

/// Reports that the program is about to fork, after FCGIPM_EVENT_FORK.
///
/// Until fcgipm_manager_forked(), all signals are blocked in the calling thread. So a signal that
/// reaches the child waits until the handlers of the worker are installed. In between, only these
/// calls with the manager do not return FCGIPM_ESTATE: those about the last event,
/// fcgipm_manager_signal(), and fcgipm_manager_free(), which counts the fork as failed.
///
/// Returns 0. FCGIPM_EINTERRUPTED if the handler of an interpreter (fcgipm_signal_chain()) has
/// noted a signal since this was last returned. No signal is blocked then: run the program's own
/// handler, and call again, so that it does not run while signals are blocked. FCGIPM_ESYSTEM if
/// the resources for a worker are missing, which counts as a failed fork; FCGIPM_ESTATE if no fork
/// is due, or it has already begun; FCGIPM_ERETIRED in a worker that is to exit, and therefore forks
/// no template (fcgipm_manager_of_worker()); FCGIPM_EFORKED, FCGIPM_EHANDLE. Call it in the thread
/// of fcgipm_manager_next().
#[unsafe(no_mangle)]
pub extern "C" fn fcgipm_manager_fork_begins(manager: *mut fcgipm_manager) -> i32 {
    enter(|| {
        handle::with(manager, |managed: &mut Managed| {
            managed.manager.fork_begins().map(|()| 0)
        })
    })
}

/// Reports the result of the fork that fcgipm_manager_fork_begins() began. Both the parent and the
/// child call it, immediately after the fork and in the same thread.
///
/// pid is the result of fork(2): the pid of the child in the parent, 0 in the child, -1 if there is
/// no child. For -1, error is errno: as after a failed fork of its own, the manager logs it and
/// tries again a second later. For any other pid, error is ignored. If a child exists in spite of a
/// reported failure, it exits at its first fcgipm_request_accept(). A program that does not want to
/// fork may report -1 without fcgipm_manager_fork_begins(). In the child, the call waits for the
/// call in the parent, or for its death.
///
/// The child must be a child of this process that is not a worker yet and has not been waited for.
/// It must be made by fork(3), or by a function based on it: not by vfork(2), and not by a clone(2)
/// that skips the handlers of pthread_atfork(3). From then on, only the manager waits for it.
///
/// Returns 0 in the parent and FCGIPM_EVENT_IN_WORKER in the child, or there an error that
/// fcgipm_manager_next() returns in a worker. FCGIPM_ESTATE if no fork is due, it was reported
/// already, or it succeeded but had not begun. FCGIPM_EARGUMENT with errno ECHILD if pid is not
/// such a child; FCGIPM_EARGUMENT for 0 in the parent, and for -1 without an error; FCGIPM_EFORKED
/// for anything but 0 in a child. After FCGIPM_EARGUMENT and FCGIPM_EFORKED, the report is still
/// due and the signals are still blocked. FCGIPM_EHANDLE.
#[unsafe(no_mangle)]
pub extern "C" fn fcgipm_manager_forked(manager: *mut fcgipm_manager, pid: i32, error: i32) -> i32 {
    enter(|| {
        handle::with(manager, |managed: &mut Managed| {
            let event = managed.manager.forked(pid, error)?;
            managed.forget();
            Ok(event.map_or(0, |event| managed.remember(event) as i32))
        })
    })
}

/// Makes the manager with which a worker forks a template of itself (option refork_after), after
/// fcgipm_request_accept() has returned FCGIPM_EFORKDUE.
///
/// It is for programs that fork their workers themselves (fcgipm_manager_host_forks()). The worker
/// forks as a manager does: fcgipm_manager_next() returns FCGIPM_EVENT_FORK, and so on.
/// fcgipm_manager_forked() returns 0 in the worker, which frees the manager and continues with
/// fcgipm_request_accept(). In the child it returns 0 as well, in the template:
/// fcgipm_manager_next() serves the real manager from there on, and returns as in a template that
/// was started for a reload. In the workers of the template, each request loop belongs to another
/// process (FCGIPM_EFORKED): free it and make a new one.
///
/// Returns a handle, which the caller frees with fcgipm_manager_free(); NULL with FCGIPM_ESTATE if
/// no template is due, or if this process has more than one thread and cannot be copied, which the
/// manager logs.
#[unsafe(no_mangle)]
pub extern "C" fn fcgipm_manager_of_worker() -> *mut fcgipm_manager {
    enter(|| {
        let manager = Manager::of_worker()?;
        Ok(handle::make(Managed::new(manager)))
    })
}
