//! The life of a request, from FCGX_InitRequest to FCGX_Finish.

use std::cell::UnsafeCell;
use std::ffi::{c_char, c_int};
use std::os::fd::{FromRawFd as _, IntoRawFd as _, OwnedFd};
use std::ptr;

use fcgipm::error::{Code, Error};
use fcgipm::worker;

use crate::engine::{self, Engine, Environment};
use crate::guard::{errno, guard, set_errno};
use crate::layout::{Request, Stream};
use crate::os::connections;
use crate::process::{FCGX_Init, LISTENSOCK, is_initialised, log};
use crate::reader::data_of;
use crate::writer::take_rest;

/// What FCGX_Accept_r returns before FCGX_Init.
const NOT_INITIALISED: c_int = -9998;
/// And where there is no errno.
const NO_ERRNO: c_int = -9999;

/// The request of FCGX_Accept and of fcgi_stdio: programs that use them have one thread in them.
pub(crate) struct TheRequest(UnsafeCell<Request>);

// SAFETY: as libfcgi's own, it is for one thread at a time, which is the program's to see to.
unsafe impl Sync for TheRequest {}

pub(crate) static THE_REQUEST: TheRequest =
    TheRequest(UnsafeCell::new(Request::new(LISTENSOCK, 0)));

impl TheRequest {
    pub(crate) fn begin(&self) {
        // SAFETY: see above; called once.
        unsafe { *self.0.get() = Request::new(LISTENSOCK, 0) };
    }

    pub(crate) fn get(&self) -> *mut Request {
        self.0.get()
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn FCGX_InitRequest(
    request: *mut Request,
    socket: c_int,
    flags: c_int,
) -> c_int {
    if request.is_null() {
        return -libc::EINVAL;
    }
    // What was there may be anything.
    request.write(Request::new(socket, flags));
    0
}

/// Waits for the next request. 0, or below 0 an errno, or one of the two numbers above.
pub(crate) unsafe fn accept(request: *mut Request, environment: Environment) -> c_int {
    guard(NO_ERRNO, || {
        if !is_initialised() {
            return NOT_INITIALISED;
        }
        let Some(request) = request.as_mut() else {
            return -libc::EINVAL;
        };
        let number = errno();
        finish(request);
        let mut engine = match engine::take(request.listen_sock, request.flags) {
            Ok(engine) => engine,
            Err(error) => return refused(&error),
        };
        // A program that accepts by itself puts its connection here, as one that is kept. Memory of zeroes has none.
        if request.ipc_fd > 0 || request.ipc_fd == 0 && request.listen_sock != 0 {
            engine.core.serve(OwnedFd::from_raw_fd(request.ipc_fd));
            request.ipc_fd = -1;
        }
        let was_asked = worker::current().is_none() && worker::is_retiring();
        match engine.accept() {
            Ok(()) => {
                engine.begin(request, environment);
                // What failed on the way was of no account.
                set_errno(number);
                0
            }
            Err(error) => {
                engine::put_back(engine);
                if error.code() == Code::Retired {
                    // The program may not come back: what OS_Accept watches goes to the other workers.
                    connections::forget(request.listen_sock);
                }
                // Where it was asked to exit before it came here, libfcgi leaves errno as it is. A manager's worker
                // always gets one.
                set_errno(if was_asked { number } else { libc::EINTR });
                refused(&error)
            }
        }
    })
}

fn refused(error: &Error) -> c_int {
    let number = match error.code() {
        // The process has to exit. Nothing has failed.
        Code::Retired => errno(),
        _ if error.errno() != 0 => error.errno(),
        _ => libc::EINVAL,
    };
    match error.code() {
        Code::Retired | Code::Interrupted => {}
        _ => log(error.message()),
    }
    set_errno(number);
    if number == 0 { NO_ERRNO } else { -number }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn FCGX_Accept_r(request: *mut Request) -> c_int {
    accept(request, Environment::Array)
}

/// Ends the request that is served, if one is.
pub(crate) unsafe fn finish(request: &mut Request) {
    let streams = [request.error, request.output];
    let Some(engine) = Engine::of(request) else {
        // A connection that the program put here without asking to keep it.
        if request.keep_connection == 0 && request.ipc_fd > 0 {
            FCGX_Free(request, 1);
        }
        return;
    };
    (*engine).core.go_on_in_child();
    for stream in streams {
        take_rest(stream);
    }
    let Some(mut engine) = Engine::end(request) else {
        return;
    };
    // What goes wrong has been seen by the streams, or concerns the peer alone.
    let number = errno();
    let _ = engine.core.set_exit_status(request.app_status as u32);
    let _ = engine.core.finish();
    set_errno(number);
    request.ipc_fd = -1;
    request.detached = 0;
    engine::put_back(engine);
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn FCGX_Finish_r(request: *mut Request) {
    guard((), || {
        if let Some(request) = request.as_mut() {
            finish(request);
        }
    });
}

/// Gives the request up without an answer. Its connection is closed if `close`, and otherwise the program's. After
/// FCGX_Detach another process goes on with it, so it is not shut down.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn FCGX_Free(request: *mut Request, close: c_int) {
    guard((), || {
        let Some(request) = request.as_mut() else {
            return;
        };
        let mut engine = Engine::end(request);
        if let Some(engine) = &mut engine {
            engine.core.go_on_in_child();
        }
        if close != 0 {
            // In a child the connection is its parent's.
            let keeps = engine
                .as_ref()
                .is_none_or(|engine| engine.core.keeps_request());
            if request.ipc_fd > 0 && request.detached == 0 && keeps {
                // It fails when the peer is gone.
                libc::shutdown(request.ipc_fd, libc::SHUT_WR);
            }
            if engine.is_none() && request.ipc_fd > 0 {
                libc::close(request.ipc_fd);
            }
            request.ipc_fd = -1;
            request.detached = 0;
        }
        if let Some(mut engine) = engine {
            if close != 0 {
                // There is a request, so it cannot fail.
                let _ = engine.core.abandon();
            } else if let Ok(connection) = engine.core.release() {
                request.ipc_fd = connection.into_raw_fd();
            }
            engine::put_back(engine);
        }
    });
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn FCGX_Accept(
    input: *mut *mut Stream,
    output: *mut *mut Stream,
    error: *mut *mut Stream,
    environment: *mut *mut *mut c_char,
) -> c_int {
    let code = FCGX_Init();
    if code != 0 {
        return code;
    }
    let request = THE_REQUEST.get();
    let code = FCGX_Accept_r(request);
    let served = &*request;
    for (place, stream) in [
        (input, served.input),
        (output, served.output),
        (error, served.error),
    ] {
        if let Some(place) = place.as_mut() {
            *place = stream;
        }
    }
    if let Some(place) = environment.as_mut() {
        *place = served.envp;
    }
    code
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn FCGX_Finish() {
    FCGX_Finish_r(THE_REQUEST.get());
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn FCGX_SetExitStatus(status: c_int, stream: *mut Stream) {
    if let Some(data) = stream.as_ref().and_then(|stream| data_of(stream))
        && let Some(request) = data.request.as_mut()
    {
        request.app_status = status;
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn FCGX_Attach(request: *mut Request) -> c_int {
    match request.as_mut() {
        Some(request) => {
            request.detached = 0;
            if let Some(engine) = Engine::of(request) {
                // Where a child has taken it, writing fails.
                let _ = (*engine).core.take_back();
            }
            0
        }
        None => -1,
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn FCGX_Detach(request: *mut Request) -> c_int {
    match request.as_mut() {
        Some(request) if request.ipc_fd > 0 => {
            request.detached = 1;
            if let Some(engine) = Engine::of(request) {
                // There is a request; in a child that has no part in it nothing is left.
                let _ = (*engine).core.leave_to_child();
            }
            0
        }
        Some(_) | None => -1,
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn FCGX_GetParam(
    name: *const c_char,
    environment: *mut *mut c_char,
) -> *mut c_char {
    if name.is_null() || environment.is_null() {
        return ptr::null_mut();
    }
    let length = libc::strlen(name);
    if length == 0 {
        return ptr::null_mut();
    }
    let mut place = environment;
    while !(*place).is_null() {
        let entry = *place;
        if libc::strncmp(name, entry, length) == 0 && *entry.add(length) == b'=' as c_char {
            return entry.add(length + 1);
        }
        place = place.add(1);
    }
    ptr::null_mut()
}
