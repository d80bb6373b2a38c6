//! fcgi_stdio: a CGI program that uses stdio's names gets these functions instead. Each forwards
//! the call: to stdio for a file of the program's own, to FCGX for a stream of a request.
//!
//! | module | content |
//! |---|---|
//! | `session` | FCGI_Accept to FCGI_Finish: the three standard streams, and the process environment |
//! | `files` | opening and closing files |
//! | `state` | positions, buffers, end and error of a file |
//! | `input`, `output` | reading and writing |
//!
//! Each function returns what stdio's would; for a closed file, what libfcgi returns.

pub mod files;
pub mod input;
pub mod output;
pub mod session;
pub mod state;

use std::ptr;

use crate::layout::Stream;

/// FCGI_FILE.
#[repr(C)]
#[derive(Debug)]
pub struct File {
    /// For a file of the program's own.
    pub stdio_stream: *mut libc::FILE,
    /// For a stream of a request. It is used if there is no `stdio_stream`.
    pub fcgx_stream: *mut Stream,
}

impl File {
    const NONE: Self = Self {
        stdio_stream: ptr::null_mut(),
        fcgx_stream: ptr::null_mut(),
    };
}

/// FCGI_stdin, FCGI_stdout, FCGI_stderr. They are closed before the first FCGI_Accept.
#[unsafe(no_mangle)]
#[allow(non_upper_case_globals)]
pub static mut _fcgi_sF: [File; 3] = [File::NONE, File::NONE, File::NONE];

/// The standard files. A program may have its own copy of the variable (a copy relocation), so it
/// is accessed only by its name.
fn standard(index: usize) -> *mut File {
    (&raw mut _fcgi_sF).cast::<File>().wrapping_add(index)
}

fn input() -> *mut File {
    standard(0)
}

fn output() -> *mut File {
    standard(1)
}

fn errors() -> *mut File {
    standard(2)
}

fn is_standard(file: *mut File) -> bool {
    file == input() || file == output() || file == errors()
}

/// Where a call is forwarded to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Face {
    Stdio(*mut libc::FILE),
    Fcgx(*mut Stream),
    /// No file, or a closed one.
    Neither,
}

unsafe fn face(file: *mut File) -> Face {
    // SAFETY: NULL, or a file that the program got from this library.
    match unsafe { file.as_ref() } {
        Some(file) if !file.stdio_stream.is_null() => Face::Stdio(file.stdio_stream),
        Some(file) if !file.fcgx_stream.is_null() => Face::Fcgx(file.fcgx_stream),
        Some(_) | None => Face::Neither,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stdio_comes_before_fcgx() {
        let stdio: *mut libc::FILE = ptr::without_provenance_mut(16);
        let fcgx: *mut Stream = ptr::without_provenance_mut(32);
        let of = |stdio_stream, fcgx_stream| {
            let mut file = File {
                stdio_stream,
                fcgx_stream,
            };
            // SAFETY: a live file; its pointers are only compared.
            unsafe { face(&raw mut file) }
        };
        assert_eq!(of(stdio, fcgx), Face::Stdio(stdio));
        assert_eq!(of(ptr::null_mut(), fcgx), Face::Fcgx(fcgx));
        assert_eq!(of(ptr::null_mut(), ptr::null_mut()), Face::Neither);
        // SAFETY: NULL is checked for.
        assert_eq!(unsafe { face(ptr::null_mut()) }, Face::Neither);
    }
}
