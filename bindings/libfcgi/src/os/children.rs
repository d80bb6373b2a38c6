//! OS_SpawnChild: starts a FastCGI program on a listening socket.

use std::ffi::{c_char, c_int};
use std::ptr;

use crate::guard::{errno, set_errno};
use crate::layout::LISTENSOCK;

/// Starts a program with this socket as descriptor 0, without standard output and standard error,
/// and with all other descriptors of the process. Whether the program could be executed is not
/// reported.
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
            // Between fork and exec in a process with threads: only system calls.
            if listener != LISTENSOCK {
                libc::dup2(listener, LISTENSOCK);
                libc::close(listener);
            }
            libc::close(libc::STDOUT_FILENO);
            libc::close(libc::STDERR_FILENO);
            libc::execv(program, arguments.as_ptr());
            // No exit(3): it would run the parent's exit handlers and flush its buffers.
            libc::_exit(errno())
        }
        _ => 0,
    }
}
