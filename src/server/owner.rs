//! The process that a request loop belongs to.

use crate::error::{Code, Error, Result};
use crate::sys::process;

/// A pid: of the process that made a loop, or of the child that continues with its request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct OwnerPid(i32);

impl OwnerPid {
    pub(super) fn this_process() -> Self {
        Self(process::pid())
    }

    #[inline]
    pub(super) fn is_this_process(self) -> bool {
        self.0 == process::pid()
    }

    /// # Errors
    /// [`Code::Forked`] in another process.
    pub(super) fn check(self) -> Result<()> {
        if self.is_this_process() {
            return Ok(());
        }
        Err(self.refuse_process())
    }

    /// Why this call fails: there is no request, or it is another process's.
    #[cold]
    pub(super) fn refuse(self, what: &str) -> Error {
        if self.is_this_process() {
            Error::new(Code::State, format!("{what}: no request is active"))
        } else {
            self.refuse_process()
        }
    }

    #[cold]
    fn refuse_process(self) -> Error {
        Error::new(
            Code::Forked,
            format!(
                "this request belongs to process {}, from before a fork",
                self.0
            ),
        )
    }
}
