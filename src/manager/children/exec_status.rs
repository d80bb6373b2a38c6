//! What a worker reports, by a pipe, of the program that it executes.

use crate::error::{Code, Error};
use crate::manager::command::Program;
use crate::sys::process::executable;

/// What the pipe of a worker says.
#[derive(Debug)]
pub(crate) enum ExecStatus {
    /// Nothing yet, or nothing any more.
    Pending,
    /// It was closed by execve(2).
    Executed,
    Failed(ExecFailure),
}

/// Why a worker has not executed its program.
#[derive(Debug)]
pub(crate) struct ExecFailure(pub(crate) Error);

impl ExecFailure {
    /// The bytes for the pipe.
    pub(crate) fn encode(error: &Error) -> Vec<u8> {
        let is_program = Program::exit_status(error).is_some();
        let errno = error.errno().to_ne_bytes();
        [
            &[u8::from(is_program)],
            &errno[..],
            error.message().as_bytes(),
        ]
        .concat()
    }

    pub(crate) fn decode(bytes: &[u8]) -> Self {
        let (is_program, errno, message) = match bytes.split_first_chunk() {
            Some((&[is_program, a, b, c, d], message)) => {
                (is_program == 1, i32::from_ne_bytes([a, b, c, d]), message)
            }
            None => (false, libc::EIO, bytes),
        };
        let code = if is_program {
            Code::Value
        } else {
            Code::System
        };
        let message = String::from_utf8_lossy(message).into_owned();
        Self(Error::relayed(code, errno, message))
    }

    /// The program itself is the cause, so the next attempt will fail, too.
    pub(crate) fn is_lasting(&self) -> bool {
        Program::exit_status(&self.0).is_some() && !executable::is_transient(self.0.errno())
    }
}
