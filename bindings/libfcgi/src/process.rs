//! What belongs to the process: set-up, signals, the end.

use std::ffi::{OsString, c_char, c_int};
use std::mem::MaybeUninit;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};

use fcgipm::error::Error;
use fcgipm::log::{Level, limited};
use fcgipm::options::Options;
use fcgipm::server::{WEB_SERVER_ADDRS, environment, listen};
use fcgipm::worker;
use once_cell::sync::OnceCell;

use crate::guard::{guard, set_errno};
use crate::os::connections;
use crate::request::THE_REQUEST;
use crate::{engine, preloaded};

/// The descriptor on which a web server hands in a listening socket (FastCGI 1.0, section 2.2).
pub(crate) const LISTENSOCK: c_int = 0;

/// What the operator has set for this process. It is read once, before requests have an environment of their own.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) options: Options,
    /// Whose connections are accepted.
    pub(crate) web_servers: Option<OsString>,
}

static SETTINGS: OnceCell<Settings> = OnceCell::new();

pub(crate) fn settings() -> Result<&'static Settings, Error> {
    SETTINGS.get_or_try_init(|| {
        Ok(Settings {
            options: Options::new().with_environment(environment::trusted_vars())?,
            web_servers: std::env::var_os(WEB_SERVER_ADDRS),
        })
    })
}

static INITIALISED: AtomicBool = AtomicBool::new(false);
/// -1: not found out yet.
static IS_CGI: AtomicI32 = AtomicI32::new(-1);

pub(crate) fn is_initialised() -> bool {
    INITIALISED.load(Ordering::Acquire)
}

/// Says something to the operator.
pub(crate) fn log(message: &str) {
    limited(Level::Warning, &format!("libfcgi: {message}"));
}

/// Sets the process up: once, whoever calls.
#[unsafe(no_mangle)]
pub extern "C" fn FCGX_Init() -> c_int {
    guard(-1, || {
        if INITIALISED.swap(true, Ordering::AcqRel) {
            return 0;
        }
        THE_REQUEST.begin();
        set_up();
        0
    })
}

/// What the first call of a program does, whichever it is. Not before: a program that never calls must not be taken for
/// one that will come to its first accept.
pub(crate) fn set_up() {
    preloaded::before_adoption();
    if let Err(error) = worker::adopt() {
        log(&format!("goes on without its manager: {}", error.message()));
    }
    handle_signals();
}

extern "C" fn on_pipe(_: c_int) {}

extern "C" fn on_end(_: c_int) {
    worker::retire();
}

/// As libfcgi does for a program that has no handler of its own, also where it ignores them: TERM and USR1 end it after
/// the request, and a reader that has gone away does not. Under a manager its handlers are there already.
fn handle_signals() {
    set_if_unhandled(libc::SIGPIPE, on_pipe);
    set_if_unhandled(libc::SIGUSR1, on_end);
    set_if_unhandled(libc::SIGTERM, on_end);
}

fn set_if_unhandled(signal: c_int, handler: extern "C" fn(c_int)) {
    // SAFETY: sigaction fills in what it is given; all zeroes is a valid one, with an empty mask. No SA_RESTART, as with
    // libfcgi: the program's own calls end, too.
    unsafe {
        let mut now: libc::sigaction = MaybeUninit::zeroed().assume_init();
        if libc::sigaction(signal, ptr::null(), &raw mut now) != 0
            || ![libc::SIG_DFL, libc::SIG_IGN].contains(&now.sa_sigaction)
        {
            return;
        }
        now.sa_sigaction = handler as *const () as usize;
        now.sa_flags = 0;
        libc::sigaction(signal, &raw const now, ptr::null_mut());
    }
}

/// Asks this process to leave: the request that runs is finished, and FCGX_Accept returns, at once where it waits.
/// Async-signal-safe.
#[unsafe(no_mangle)]
pub extern "C" fn FCGX_ShutdownPending() {
    worker::retire();
}

/// Whether a descriptor is a socket that has no peer: one that listens.
pub(crate) fn is_fastcgi(descriptor: c_int) -> bool {
    let mut address = MaybeUninit::<libc::sockaddr_storage>::uninit();
    let mut length = size_of_val(&address) as libc::socklen_t;
    // SAFETY: room for any address, and its size.
    let result =
        unsafe { libc::getpeername(descriptor, address.as_mut_ptr().cast(), &raw mut length) };
    result != 0 && crate::guard::errno() == libc::ENOTCONN
}

#[unsafe(no_mangle)]
pub extern "C" fn FCGX_IsCGI() -> c_int {
    let known = IS_CGI.load(Ordering::Acquire);
    if known != -1 {
        return known;
    }
    FCGX_Init();
    let is_cgi = c_int::from(!is_fastcgi(LISTENSOCK));
    IS_CGI.store(is_cgi, Ordering::Release);
    is_cgi
}

/// Opens a listening socket. Like libfcgi's, it is inherited by programs that are started.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn FCGX_OpenSocket(path: *const c_char, backlog: c_int) -> c_int {
    guard(-1, || {
        let Some(address) = (!path.is_null()).then(|| std::ffi::CStr::from_ptr(path)) else {
            set_errno(libc::EINVAL);
            return -1;
        };
        let address = address.to_string_lossy();
        let opened = settings()
            .and_then(|settings| listen::open(&address, backlog.max(0), &settings.options));
        match opened {
            Ok(descriptor) => {
                engine::forget(descriptor);
                connections::forget(descriptor);
                // SAFETY: integers only. If it fails, programs that are started do not have it.
                unsafe { libc::fcntl(descriptor, libc::F_SETFD, 0) };
                descriptor
            }
            Err(error) => {
                log(error.message());
                set_errno(if error.errno() == 0 {
                    libc::EINVAL
                } else {
                    error.errno()
                });
                -1
            }
        }
    })
}
