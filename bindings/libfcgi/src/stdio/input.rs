//! Reading.

use std::ffi::{c_char, c_int, c_void};
use std::ptr;

use super::{Face, File, face, input};
use crate::layout::EOF;
use crate::reader::{FCGX_GetChar, FCGX_GetLine, FCGX_GetStr, FCGX_UnGetChar};

#[unsafe(no_mangle)]
pub unsafe extern "C" fn FCGI_fgetc(file: *mut File) -> c_int {
    match face(file) {
        Face::Stdio(stream) => libc::fgetc(stream),
        Face::Fcgx(stream) => FCGX_GetChar(stream),
        Face::Neither => EOF,
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn FCGI_getchar() -> c_int {
    FCGI_fgetc(input())
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn FCGI_ungetc(c: c_int, file: *mut File) -> c_int {
    match face(file) {
        Face::Stdio(stream) => libc::ungetc(c, stream),
        Face::Fcgx(stream) => FCGX_UnGetChar(c, stream),
        Face::Neither => EOF,
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn FCGI_fgets(
    text: *mut c_char,
    size: c_int,
    file: *mut File,
) -> *mut c_char {
    if text.is_null() {
        return ptr::null_mut();
    }
    match face(file) {
        Face::Stdio(stream) => libc::fgets(text, size, stream),
        Face::Fcgx(stream) => FCGX_GetLine(text, size, stream),
        Face::Neither => ptr::null_mut(),
    }
}

/// Only the caller knows the size of the buffer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn FCGI_gets(text: *mut c_char) -> *mut c_char {
    if text.is_null() {
        return text;
    }
    let mut next = text;
    loop {
        match FCGI_getchar() {
            EOF if next == text => return ptr::null_mut(),
            EOF | NEWLINE => break,
            byte => {
                *next = byte as c_char;
                next = next.add(1);
            }
        }
    }
    *next = 0;
    text
}

const NEWLINE: c_int = b'\n' as c_int;

/// The number of whole elements read; SIZE_MAX for a closed file, as in libfcgi.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn FCGI_fread(
    to: *mut c_void,
    size: usize,
    count: usize,
    file: *mut File,
) -> usize {
    match face(file) {
        Face::Stdio(stream) => libc::fread(to, size, count, stream),
        Face::Fcgx(stream) => {
            let wanted = size.saturating_mul(count);
            if wanted == 0 {
                return 0;
            }
            let mut done = 0;
            while done < wanted {
                let piece = c_int::try_from(wanted - done).unwrap_or(c_int::MAX);
                let read = FCGX_GetStr(to.cast::<c_char>().wrapping_add(done), piece, stream);
                done += usize::try_from(read).unwrap_or(0);
                if read < piece {
                    break;
                }
            }
            done / size
        }
        Face::Neither => usize::MAX,
    }
}
