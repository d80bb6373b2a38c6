//! Positions, buffers, end and error of a file. A request's stream has no position: ESPIPE.

use std::ffi::{c_char, c_int, c_long};

use super::{Face, File, face};
use crate::guard::set_errno;
use crate::layout::EOF;
use crate::reader::FCGX_HasSeenEOF;
use crate::writer::{FCGX_ClearError, FCGX_GetError};

/// The stdio file, which has a position.
unsafe fn seekable(file: *mut File) -> Option<*mut libc::FILE> {
    match face(file) {
        Face::Stdio(stream) => Some(stream),
        Face::Fcgx(_) | Face::Neither => {
            set_errno(libc::ESPIPE);
            None
        }
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn FCGI_fseek(file: *mut File, offset: c_long, whence: c_int) -> c_int {
    seekable(file).map_or(EOF, |stream| libc::fseek(stream, offset, whence))
}

/// Returns an int, as libfcgi declares it. A larger position is an error, where libfcgi truncates
/// it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn FCGI_ftell(file: *mut File) -> c_int {
    let Some(stream) = seekable(file) else {
        return EOF;
    };
    c_int::try_from(libc::ftell(stream)).unwrap_or_else(|_| {
        set_errno(libc::EOVERFLOW);
        EOF
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn FCGI_rewind(file: *mut File) {
    if let Some(stream) = seekable(file) {
        libc::rewind(stream);
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn FCGI_fgetpos(file: *mut File, position: *mut libc::fpos_t) -> c_int {
    seekable(file).map_or(EOF, |stream| libc::fgetpos(stream, position))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn FCGI_fsetpos(file: *mut File, position: *const libc::fpos_t) -> c_int {
    seekable(file).map_or(EOF, |stream| libc::fsetpos(stream, position))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn FCGI_setvbuf(
    file: *mut File,
    buffer: *mut c_char,
    mode: c_int,
    size: usize,
) -> c_int {
    match face(file) {
        Face::Stdio(stream) => libc::setvbuf(stream, buffer, mode, size),
        Face::Fcgx(_) | Face::Neither => EOF,
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn FCGI_setbuf(file: *mut File, buffer: *mut c_char) {
    if let Face::Stdio(stream) = face(file) {
        libc::setbuf(stream, buffer);
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn FCGI_fileno(file: *mut File) -> c_int {
    match face(file) {
        Face::Stdio(stream) => libc::fileno(stream),
        Face::Fcgx(_) | Face::Neither => -1,
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn FCGI_feof(file: *mut File) -> c_int {
    match face(file) {
        Face::Stdio(stream) => libc::feof(stream),
        Face::Fcgx(stream) => FCGX_HasSeenEOF(stream),
        Face::Neither => -1,
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn FCGI_ferror(file: *mut File) -> c_int {
    match face(file) {
        Face::Stdio(stream) => libc::ferror(stream),
        Face::Fcgx(stream) => FCGX_GetError(stream),
        Face::Neither => -1,
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn FCGI_clearerr(file: *mut File) {
    match face(file) {
        Face::Stdio(stream) => libc::clearerr(stream),
        Face::Fcgx(stream) => FCGX_ClearError(stream),
        Face::Neither => {}
    }
}
