//! FCGX_Init, FCGX_IsCGI, and the request that they initialise: the one of FCGX_Accept and
//! fcgi_stdio.

use std::cell::UnsafeCell;
use std::ffi::c_int;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};

use crate::guard::guard;
use crate::layout::{LISTENSOCK, Request};
use crate::process::set_up;
use crate::sockets::is_listening;

/// The request of FCGX_Accept and of fcgi_stdio. Programs use these from one thread.
pub(crate) struct TheRequest(UnsafeCell<Request>);

// SAFETY: as with libfcgi's own, the program must use it from one thread at a time.
unsafe impl Sync for TheRequest {}

pub(crate) static THE_REQUEST: TheRequest =
    TheRequest(UnsafeCell::new(Request::new(LISTENSOCK, 0)));

impl TheRequest {
    fn reset(&self) {
        // SAFETY: see above; called once.
        unsafe { *self.0.get() = Request::new(LISTENSOCK, 0) };
    }

    pub(crate) fn get(&self) -> *mut Request {
        self.0.get()
    }
}

static INITIALISED: AtomicBool = AtomicBool::new(false);
/// -1: not known yet.
static IS_CGI: AtomicI32 = AtomicI32::new(-1);

pub(crate) fn is_initialised() -> bool {
    INITIALISED.load(Ordering::Acquire)
}

/// Sets the process up, once.
#[unsafe(no_mangle)]
pub extern "C" fn FCGX_Init() -> c_int {
    guard(-1, || {
        if INITIALISED.swap(true, Ordering::AcqRel) {
            return 0;
        }
        THE_REQUEST.reset();
        set_up();
        0
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn FCGX_IsCGI() -> c_int {
    let known = IS_CGI.load(Ordering::Acquire);
    if known != -1 {
        return known;
    }
    FCGX_Init();
    let is_cgi = c_int::from(!is_listening(LISTENSOCK));
    IS_CGI.store(is_cgi, Ordering::Release);
    is_cgi
}
