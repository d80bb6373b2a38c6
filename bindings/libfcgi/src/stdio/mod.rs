//! fcgi_stdio: files with two faces. A CGI program that uses stdio's names gets these functions instead, and each
//! passes a call on: to stdio for a file of the program's own, to FCGX for the streams of a request.
//!
//! | room | what it holds |
//! |---|---|
//! | `session` | FCGI_Accept to FCGI_Finish: the three standard streams, and the process environment |
//! | `files` | files come and go |
//! | `state` | where a file stands, and how it is |
//! | `input`, `output` | bytes |
//!
//! Each function returns what stdio's would; for a file that has no face left, what libfcgi returns.

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
    /// The face of a program's own file.
    pub stdio_stream: *mut libc::FILE,
    /// The face of a request's stream. It counts where there is no other.
    pub fcgx_stream: *mut Stream,
}

impl File {
    const NONE: Self = Self {
        stdio_stream: ptr::null_mut(),
        fcgx_stream: ptr::null_mut(),
    };
}

/// FCGI_stdin, FCGI_stdout, FCGI_stderr. They have no face before the first FCGI_Accept.
#[unsafe(no_mangle)]
#[allow(non_upper_case_globals)]
pub static mut _fcgi_sF: [File; 3] = [File::NONE, File::NONE, File::NONE];

/// The standard files. A program has its own copy of the variable (a copy relocation), so it is reached by its name only.
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

/// Who a call is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Face {
    Stdio(*mut libc::FILE),
    Fcgx(*mut Stream),
    /// No file, or one that was closed.
    Neither,
}

unsafe fn face(file: *mut File) -> Face {
    // SAFETY: NULL, or a file that the program has from here.
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
    fn stdio_counts_before_fcgx_and_nothing_is_neither() {
        let stdio: *mut libc::FILE = ptr::without_provenance_mut(16);
        let fcgx: *mut Stream = ptr::without_provenance_mut(32);
        let of = |stdio_stream, fcgx_stream| {
            let mut file = File {
                stdio_stream,
                fcgx_stream,
            };
            // SAFETY: a live file; its faces are only compared.
            unsafe { face(&raw mut file) }
        };
        assert_eq!(of(stdio, fcgx), Face::Stdio(stdio));
        assert_eq!(of(ptr::null_mut(), fcgx), Face::Fcgx(fcgx));
        assert_eq!(of(ptr::null_mut(), ptr::null_mut()), Face::Neither);
        // SAFETY: NULL is looked for.
        assert_eq!(unsafe { face(ptr::null_mut()) }, Face::Neither);
    }
}
