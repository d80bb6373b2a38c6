//! Writing. The functions with a format are in `variadic.c`.

use std::ffi::{c_char, c_int, c_void};

use super::{Face, File, errors, face, output};
use crate::guard::errno;
use crate::layout::EOF;
use crate::writer::{FCGX_PutChar, FCGX_PutS, FCGX_PutStr};

#[unsafe(no_mangle)]
pub unsafe extern "C" fn FCGI_fputc(c: c_int, file: *mut File) -> c_int {
    match face(file) {
        Face::Stdio(stream) => libc::fputc(c, stream),
        Face::Fcgx(stream) => FCGX_PutChar(c, stream),
        Face::Neither => EOF,
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn FCGI_putchar(c: c_int) -> c_int {
    FCGI_fputc(c, output())
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn FCGI_fputs(text: *const c_char, file: *mut File) -> c_int {
    if text.is_null() {
        return EOF;
    }
    match face(file) {
        Face::Stdio(stream) => libc::fputs(text, stream),
        Face::Fcgx(stream) => FCGX_PutS(text, stream),
        Face::Neither => EOF,
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn FCGI_puts(text: *const c_char) -> c_int {
    let written = FCGI_fputs(text, output());
    if written < 0 {
        written
    } else {
        FCGI_putchar(c_int::from(b'\n'))
    }
}

/// The number of whole elements written. As in libfcgi, it is SIZE_MAX for a closed file, and the
/// elements in SIZE_MAX bytes after an error.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn FCGI_fwrite(
    from: *mut c_void,
    size: usize,
    count: usize,
    file: *mut File,
) -> usize {
    match face(file) {
        Face::Stdio(stream) => libc::fwrite(from, size, count, stream),
        Face::Fcgx(stream) => {
            let wanted = size.saturating_mul(count);
            if wanted == 0 {
                return 0;
            }
            let mut done = 0;
            while done < wanted {
                let piece = c_int::try_from(wanted - done).unwrap_or(c_int::MAX);
                let start = from.cast::<c_char>().wrapping_add(done);
                let Ok(written) = usize::try_from(FCGX_PutStr(start, piece, stream)) else {
                    return usize::MAX / size;
                };
                done += written;
            }
            count
        }
        Face::Neither => usize::MAX,
    }
}

/// Without a newline at its end, as in libfcgi.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn FCGI_perror(text: *const c_char) {
    let number = errno();
    FCGI_fputs(text, errors());
    FCGI_fputs(c": ".as_ptr(), errors());
    FCGI_fputs(libc::strerror(number), errors());
}
