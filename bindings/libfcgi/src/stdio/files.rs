//! Opening and closing files. A FCGI_FILE is allocated with malloc(3), so that any code can free
//! it.

use std::ffi::{c_char, c_int};
use std::ptr;

use super::{Face, File, face, is_standard};
use crate::layout::EOF;
use crate::writer::{FCGX_FClose, FCGX_FFlush};

/// A FCGI_FILE for a stdio file, which is closed again if there is no memory.
unsafe fn wrap(
    stream: *mut libc::FILE,
    close: unsafe extern "C" fn(*mut libc::FILE) -> c_int,
) -> *mut File {
    if stream.is_null() {
        return ptr::null_mut();
    }
    let file = libc::malloc(size_of::<File>()).cast::<File>();
    if file.is_null() {
        close(stream);
        return file;
    }
    file.write(File {
        stdio_stream: stream,
        fcgx_stream: ptr::null_mut(),
    });
    file
}

/// The standard files are static.
unsafe fn release(file: *mut File) {
    if !is_standard(file) {
        libc::free(file.cast());
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn FCGI_fopen(path: *const c_char, mode: *const c_char) -> *mut File {
    if path.is_null() || mode.is_null() {
        return ptr::null_mut();
    }
    wrap(libc::fopen(path, mode), libc::fclose)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn FCGI_fdopen(descriptor: c_int, mode: *const c_char) -> *mut File {
    if mode.is_null() {
        return ptr::null_mut();
    }
    wrap(libc::fdopen(descriptor, mode), libc::fclose)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn FCGI_tmpfile() -> *mut File {
    wrap(libc::tmpfile(), libc::fclose)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn FCGI_popen(command: *const c_char, kind: *const c_char) -> *mut File {
    if command.is_null() || kind.is_null() {
        return ptr::null_mut();
    }
    wrap(libc::popen(command, kind), libc::pclose)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn FCGI_fclose(file: *mut File) -> c_int {
    let result = match face(file) {
        Face::Stdio(stream) => {
            (*file).stdio_stream = ptr::null_mut();
            libc::fclose(stream)
        }
        Face::Fcgx(stream) => {
            (*file).fcgx_stream = ptr::null_mut();
            FCGX_FClose(stream)
        }
        Face::Neither => EOF,
    };
    release(file);
    result
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn FCGI_pclose(file: *mut File) -> c_int {
    let result = match face(file) {
        Face::Stdio(stream) => {
            (*file).stdio_stream = ptr::null_mut();
            libc::pclose(stream)
        }
        // popen(3) did not open it, so it stays open.
        Face::Fcgx(_) => return EOF,
        Face::Neither => EOF,
    };
    release(file);
    result
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn FCGI_fflush(file: *mut File) -> c_int {
    if file.is_null() {
        return libc::fflush(ptr::null_mut());
    }
    match face(file) {
        Face::Stdio(stream) => libc::fflush(stream),
        Face::Fcgx(stream) => FCGX_FFlush(stream),
        Face::Neither => EOF,
    }
}

/// If a request's stream is reopened as a file, it stays a file until the next request.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn FCGI_freopen(
    path: *const c_char,
    mode: *const c_char,
    file: *mut File,
) -> *mut File {
    if mode.is_null() {
        return ptr::null_mut();
    }
    let opened = match face(file) {
        Face::Stdio(stream) => libc::freopen(path, mode, stream),
        Face::Fcgx(stream) => {
            // Its result is not reported.
            FCGX_FClose(stream);
            if path.is_null() {
                return ptr::null_mut();
            }
            let opened = libc::fopen(path, mode);
            if !opened.is_null() {
                *file = File {
                    stdio_stream: opened,
                    fcgx_stream: ptr::null_mut(),
                };
            }
            opened
        }
        Face::Neither => ptr::null_mut(),
    };
    if opened.is_null() {
        ptr::null_mut()
    } else {
        file
    }
}
