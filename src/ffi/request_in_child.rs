//! A request in a process that its server forked, as C sees it. docs/FORKING.md has the rules.

use std::time::Duration;

use super::boundary::enter;
use super::served::{fcgipm_request, with};

/// In a child of the process that accepted the current request: enables the child to read it, write
/// to it and finish it. Everything else of the handle remains with the parent. docs/FORKING.md has
/// the rules.
///
/// Returns 0; FCGIPM_EHANDLE. It does nothing in the process that made the handle, nor in a child
/// that was not made by fork(3), where all other calls still return FCGIPM_EFORKED.
#[unsafe(no_mangle)]
pub extern "C" fn fcgipm_request_continue_in_child(request: *mut fcgipm_request) -> i32 {
    enter(|| {
        with(request, |request| {
            request.continue_in_child();
            Ok(0)
        })
    })
}

/// In a child of the process that accepted the current request: enables fcgipm_request_read() and
/// the other read functions. It does not enable writing.
///
/// Returns 0; FCGIPM_ESTATE if there is no current request, FCGIPM_EFORKED in a child that was not
/// made by fork(3), FCGIPM_EHANDLE. It does nothing in the process that made the handle.
#[unsafe(no_mangle)]
pub extern "C" fn fcgipm_request_read_in_child(request: *mut fcgipm_request) -> i32 {
    enter(|| with(request, |request| request.read_in_child().map(|()| 0)))
}

/// Leaves the current request to a child, which may be forked before or after this call.
///
/// The first child that writes to it, or calls fcgipm_request_continue_in_child(), answers it. In
/// this process the request then ends with fcgipm_request_abandon(), or with the next accept or
/// free. That sends nothing and closes only this process's copy of the connection.
///
/// Returns 0; FCGIPM_ESTATE if there is no current request, FCGIPM_EFORKED in a child that does not
/// answer the request, FCGIPM_EHANDLE.
#[unsafe(no_mangle)]
pub extern "C" fn fcgipm_request_detach(request: *mut fcgipm_request) -> i32 {
    enter(|| with(request, |request| request.leave_to_child().map(|()| 0)))
}

/// Takes back a request that fcgipm_request_detach() has left to a child.
///
/// Returns 0, also if the request was not detached; FCGIPM_ESTATE if a child already answers it, or
/// if there is no current request; FCGIPM_EFORKED, FCGIPM_EHANDLE.
#[unsafe(no_mangle)]
pub extern "C" fn fcgipm_request_attach(request: *mut fcgipm_request) -> i32 {
    enter(|| with(request, |request| request.reclaim().map(|()| 0)))
}

/// Checks whether this process answers the current request: it accepted the request and has not
/// detached it, or it is a child that the request was left to.
///
/// A child waits for at most wait_ms milliseconds until its parent detaches or ends the request.
///
/// Returns 1 or 0; FCGIPM_EHANDLE.
#[unsafe(no_mangle)]
pub extern "C" fn fcgipm_request_belongs_here(request: *mut fcgipm_request, wait_ms: u32) -> i32 {
    enter(|| {
        with(request, |request| {
            let patience = Duration::from_millis(u64::from(wait_ms));
            Ok(i32::from(request.belongs_here(patience)))
        })
    })
}
