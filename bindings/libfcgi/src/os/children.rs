//! OS_SpawnChild: a FastCGI program is started on a listening socket.

use std::ffi::{c_char, c_int};
use std::ptr;

use crate::guard::{errno, set_errno};
use crate::process::LISTENSOCK;

/// Starts a program with this socket on descriptor 0, without standard output and standard error, and with everything
/// else that the process has. Whether the program could be run, nobody learns.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn OS_SpawnChild(program: *mut c_char, listener: c_int) -> c_int {
    if program.is_null() {
        set_errno(libc::EINVAL);
        return -1;
    }
    let arguments = [program.cast_const(), ptr::null()];
    match libc::fork() {
        -1 => -1,
        0 => {
            // Between fork and exec of a process with threads: system calls only.
            if listener != LISTENSOCK {
                libc::dup2(listener, LISTENSOCK);
                libc::close(listener);
            }
            libc::close(libc::STDOUT_FILENO);
            libc::close(libc::STDERR_FILENO);
            libc::execv(program, arguments.as_ptr());
            // The parent's buffers and handlers of exit are the parent's.
            libc::_exit(errno())
        }
        _ => 0,
    }
}
