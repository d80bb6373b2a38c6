//! Functions of the host that this library calls around the forks that it makes.

use std::ffi::c_void;
use std::sync::atomic::{AtomicPtr, Ordering};
use std::{fmt, ptr};

use parking_lot::Mutex;

/// Gets the argument that was given with it.
type Hook = extern "C" fn(*mut c_void);

struct Hooks {
    before: Option<Hook>,
    after: Option<Hook>,
    argument: AtomicPtr<c_void>,
}

static HOOKS: Mutex<Hooks> = Mutex::new(Hooks {
    before: None,
    after: None,
    argument: AtomicPtr::new(ptr::null_mut()),
});

impl fmt::Debug for Hooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hooks").finish_non_exhaustive()
    }
}

/// Sets functions of the host that are called around the forks that this library makes.
pub fn set(before: Option<Hook>, after: Option<Hook>, argument: *mut c_void) {
    *HOOKS.lock() = Hooks {
        before,
        after,
        argument: AtomicPtr::new(argument),
    };
}

/// In a process that is about to be copied. In a template all signals are blocked.
pub(crate) fn before() {
    call(|hooks| hooks.before);
}

/// In a new worker, before its first request. Signals reach its handlers.
pub(crate) fn after() {
    call(|hooks| hooks.after);
}

fn call(choose: impl FnOnce(&Hooks) -> Option<Hook>) {
    // Not locked during the call: the function may set others.
    let (hook, argument) = {
        let hooks = HOOKS.lock();
        (choose(&hooks), hooks.argument.load(Ordering::Relaxed))
    };
    if let Some(hook) = hook {
        hook(argument);
    }
}
