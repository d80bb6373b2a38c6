//! FCGI_Accept to FCGI_Finish: the request loop of a program that was written for CGI.

use std::ffi::{c_char, c_int};
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering};

use super::{File, errors, input, output};
use crate::engine::Environment;
use crate::guard::guard;
use crate::init::{FCGX_Init, FCGX_IsCGI, THE_REQUEST};
use crate::layout::EOF;
use crate::reader::FCGX_StartFilterData;
use crate::request::{FCGX_Finish, FCGX_SetExitStatus, accept};

static CALLED: AtomicBool = AtomicBool::new(false);
static IS_CGI: AtomicBool = AtomicBool::new(false);
/// The environment that the program was started with.
static INITIAL: AtomicPtr<*mut c_char> = AtomicPtr::new(ptr::null_mut());

unsafe extern "C" {
    static mut environ: *mut *mut c_char;
    static mut stdin: *mut libc::FILE;
    static mut stdout: *mut libc::FILE;
    static mut stderr: *mut libc::FILE;
}

extern "C" fn finish_at_exit() {
    // SAFETY: the program may call it at any time, too.
    unsafe { FCGI_Finish() };
}

/// Begins the next request. Its parameters become the environment, and its streams the standard
/// files. A CGI program has one request, with the environment and the standard files of the
/// process.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn FCGI_Accept() -> c_int {
    guard(EOF, || {
        if !CALLED.swap(true, Ordering::AcqRel) {
            IS_CGI.store(FCGX_IsCGI() != 0, Ordering::Release);
            INITIAL.store(environ, Ordering::Release);
            // A program may call exit(3) in the middle of a request, as a CGI program does. If
            // atexit(3) fails, such a request ends without END_REQUEST.
            libc::atexit(finish_at_exit);
        } else if is_cgi() {
            return EOF;
        }
        if is_cgi() {
            for (file, stream) in [(input(), stdin), (output(), stdout), (errors(), stderr)] {
                *file = File {
                    stdio_stream: stream,
                    fcgx_stream: ptr::null_mut(),
                };
            }
            return 0;
        }
        let code = FCGX_Init();
        if code != 0 {
            return code;
        }
        let code = accept(THE_REQUEST.get(), Environment::Process);
        if code < 0 {
            // The last request's environment may be freed from here on. libfcgi has freed it
            // already.
            environ = INITIAL.load(Ordering::Acquire);
            return code;
        }
        let request = &*THE_REQUEST.get();
        for (file, stream) in [
            (input(), request.input),
            (output(), request.output),
            (errors(), request.error),
        ] {
            *file = File {
                stdio_stream: ptr::null_mut(),
                fcgx_stream: stream,
            };
        }
        environ = request.envp;
        0
    })
}

fn is_cgi() -> bool {
    IS_CGI.load(Ordering::Acquire)
}

/// Ends the request. Until the next one there is no environment.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn FCGI_Finish() {
    if !CALLED.load(Ordering::Acquire) || is_cgi() {
        return;
    }
    FCGX_Finish();
    for file in [input(), output(), errors()] {
        (*file).fcgx_stream = ptr::null_mut();
    }
    environ = ptr::null_mut();
}

/// At the end of standard input: begins the filter's data.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn FCGI_StartFilterData() -> c_int {
    let file = &*input();
    if file.stdio_stream.is_null() {
        FCGX_StartFilterData(file.fcgx_stream)
    } else {
        EOF
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn FCGI_SetExitStatus(status: c_int) {
    FCGX_SetExitStatus(status, (*input()).fcgx_stream);
}
