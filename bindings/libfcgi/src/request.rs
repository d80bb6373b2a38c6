//! The life of a request, from FCGX_InitRequest to FCGX_Finish, and its parameters.

use std::ffi::{c_char, c_int};
use std::os::fd::{FromRawFd as _, IntoRawFd as _, OwnedFd};
use std::ptr;

use fcgipm::error::{Code, Error};
use fcgipm::worker;

use crate::engine::{self, Engine, Environment, StreamFunctions};
use crate::guard::{errno, guard, set_errno};
use crate::init::{FCGX_Init, THE_REQUEST, is_initialised};
use crate::layout::{Request, Stream};
use crate::settings::warn;
use crate::{acceptors, reader, writer};

/// What FCGX_Accept_r returns before FCGX_Init.
const NOT_INITIALISED: c_int = -9998;
/// What it returns for an error without an errno.
const NO_ERRNO: c_int = -9999;

#[unsafe(no_mangle)]
pub unsafe extern "C" fn FCGX_InitRequest(
    request: *mut Request,
    socket: c_int,
    flags: c_int,
) -> c_int {
    if request.is_null() {
        return -libc::EINVAL;
    }
    // The memory may be uninitialised.
    request.write(Request::new(socket, flags));
    0
}

/// Waits for the next request. Returns 0, a negated errno, or one of the two numbers above.
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
        let functions = StreamFunctions {
            fill: reader::fill,
            empty: writer::empty,
        };
        let mut engine = match engine::take(request.listen_sock, request.flags, functions) {
            Ok(engine) => engine,
            Err(error) => return refused(&error),
        };
        // A program that calls accept(2) itself stores its connection here, like a keep-alive
        // connection. In zeroed memory there is none.
        if request.ipc_fd > 0 || request.ipc_fd == 0 && request.listen_sock != 0 {
            engine.core.serve(OwnedFd::from_raw_fd(request.ipc_fd));
            request.ipc_fd = -1;
        }
        let was_asked = worker::current().is_none() && worker::is_retiring();
        match engine.accept() {
            Ok(()) => {
                engine.begin(request, environment);
                // Errors before the success do not count.
                set_errno(number);
                0
            }
            Err(error) => {
                engine::put_back(engine);
                if error.code() == Code::Retired {
                    // The program may not return: the connections that OS_Accept watches go to
                    // other workers.
                    acceptors::forget(request.listen_sock);
                }
                // If the process was asked to exit before this call, libfcgi leaves errno alone.
                // Under a manager it is always set.
                set_errno(if was_asked { number } else { libc::EINTR });
                refused(&error)
            }
        }
    })
}

fn refused(error: &Error) -> c_int {
    let number = match error.code() {
        // The process has to exit, which is not an error.
        Code::Retired => errno(),
        _ if error.errno() != 0 => error.errno(),
        _ => libc::EINVAL,
    };
    match error.code() {
        Code::Retired | Code::Interrupted => {}
        _ => warn(error.message()),
    }
    set_errno(number);
    if number == 0 { NO_ERRNO } else { -number }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn FCGX_Accept_r(request: *mut Request) -> c_int {
    accept(request, Environment::Array)
}

/// Ends the current request, if there is one.
pub(crate) unsafe fn finish(request: &mut Request) {
    let streams = [request.error, request.output];
    let Some(engine) = Engine::of(request) else {
        // A connection that the program stored here, not as a keep-alive connection.
        if request.keep_connection == 0 && request.ipc_fd > 0 {
            FCGX_Free(request, 1);
        }
        return;
    };
    (*engine).core.continue_in_child();
    for stream in streams {
        writer::take_rest(stream);
    }
    let Some(mut engine) = Engine::end(request) else {
        return;
    };
    // The streams have recorded any error, or it concerns only the peer.
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

/// Abandons the request without a response. With `close` its connection is closed, otherwise it
/// becomes the program's. After FCGX_Detach another process continues to use it, so it is not shut
/// down.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn FCGX_Free(request: *mut Request, close: c_int) {
    guard((), || {
        let Some(request) = request.as_mut() else {
            return;
        };
        let mut engine = Engine::end(request);
        if let Some(engine) = &mut engine {
            engine.core.continue_in_child();
        }
        if close != 0 {
            // In a child the connection belongs to the parent.
            let keeps = engine
                .as_ref()
                .is_none_or(|engine| engine.core.keeps_request());
            if request.ipc_fd > 0 && request.detached == 0 && keeps {
                // It fails if the peer has closed the connection.
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
    if let Some(data) = stream.as_ref().and_then(|stream| stream.data()) {
        if let Some(request) = data.request.as_mut() {
            request.app_status = status;
        }
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn FCGX_Attach(request: *mut Request) -> c_int {
    match request.as_mut() {
        Some(request) => {
            request.detached = 0;
            if let Some(engine) = Engine::of(request) {
                // If a child has taken the request, later writes fail.
                let _ = (*engine).core.reclaim();
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
                // There is a request, so it fails only in a child that has no part in it.
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
