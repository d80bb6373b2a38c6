//! The boundary that every export passes: panics, errors and errno.

use std::cell::RefCell;
use std::ffi::{CStr, CString, c_char};
use std::panic::{AssertUnwindSafe, catch_unwind};

use nix::errno::Errno;

use crate::error::{Code, Error, Result};

thread_local! {
    static LAST: RefCell<CString> = RefCell::new(CString::default());
}

/// The result of an export on failure.
pub(super) trait Failure {
    fn failure(code: Code) -> Self;
}

impl Failure for i32 {
    fn failure(code: Code) -> Self {
        code.number()
    }
}

impl Failure for i64 {
    fn failure(code: Code) -> Self {
        Self::from(code.number())
    }
}

impl<T> Failure for *mut T {
    fn failure(_: Code) -> Self {
        std::ptr::null_mut()
    }
}

impl<T> Failure for *const T {
    fn failure(_: Code) -> Self {
        std::ptr::null()
    }
}

impl Failure for () {
    fn failure(_: Code) -> Self {}
}

/// Runs the body of an export. A panic becomes [`Code::Panic`]. An error is stored for
/// `fcgipm_last_error_message`. errno is set if it is the cause, and otherwise restored.
pub(super) fn enter<T: Failure>(body: impl FnOnce() -> Result<T>) -> T {
    let before = Errno::last_raw();
    // A handle whose call panicked stays marked as in use, so no later call can use its value.
    let outcome = catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|panic| {
        let what = panic
            .downcast_ref::<&str>()
            .copied()
            .or(panic.downcast_ref::<String>().map(String::as_str));
        Err(Error::new(
            Code::Panic,
            format!("a bug in libfcgipm: {}", what.unwrap_or("panic")),
        ))
    });
    match outcome {
        Ok(value) => {
            Errno::set_raw(before);
            value
        }
        Err(error) => {
            let code = error.code();
            let cause = error.errno();
            remember(&error);
            Errno::set_raw(if cause == 0 { before } else { cause });
            T::failure(code)
        }
    }
}

/// Runs the body of an export that cannot fail and may be called in a signal handler: no
/// allocation, no lock.
pub(super) fn enter_quietly<T>(body: impl FnOnce() -> T) -> T {
    let before = Errno::last_raw();
    let value = body();
    Errno::set_raw(before);
    value
}

fn remember(error: &Error) {
    let message = CString::new(error.message().replace('\0', "\\0")).unwrap_or_default();
    // The thread-local may already be destroyed while a thread exits.
    let _ = LAST.try_with(|last| last.replace(message));
}

/// The message of the last error; valid until the next error of the thread.
pub(super) fn last_message() -> *const c_char {
    LAST.try_with(|last| last.borrow().as_ptr())
        .unwrap_or(c"".as_ptr())
}

/// A string argument.
///
/// # Errors
/// [`Code::Argument`], naming the argument, if it is NULL or not UTF-8.
///
/// # Safety
/// `pointer` is NULL or a NUL-terminated string that is valid during the call.
pub(super) unsafe fn text<'a>(pointer: *const c_char, name: &str) -> Result<&'a str> {
    if pointer.is_null() {
        return Err(Error::new(Code::Argument, format!("argument {name}: NULL")));
    }
    // SAFETY: the caller's promise.
    let text = unsafe { CStr::from_ptr(pointer) };
    text.to_str().map_err(|_| {
        Error::new(
            Code::Argument,
            format!("argument {name}: {text:?} is not UTF-8"),
        )
    })
}

/// Bytes to read from.
///
/// # Errors
/// [`Code::Argument`] for NULL with a length, or a length above the maximum size of an object.
///
/// # Safety
/// `pointer` is NULL or points to `length` bytes that are valid and unchanged during the call.
pub(super) unsafe fn bytes<'a>(pointer: *const u8, length: usize, name: &str) -> Result<&'a [u8]> {
    check_range(pointer, length, name)?;
    if length == 0 {
        return Ok(&[]);
    }
    // SAFETY: not NULL; the rest is the caller's promise.
    Ok(unsafe { std::slice::from_raw_parts(pointer, length) })
}

/// Bytes to write to.
///
/// # Errors
/// As [`bytes`].
///
/// # Safety
/// `pointer` is NULL or points to `length` writable bytes that nothing else uses during the call.
pub(super) unsafe fn bytes_mut<'a>(
    pointer: *mut u8,
    length: usize,
    name: &str,
) -> Result<&'a mut [u8]> {
    check_range(pointer, length, name)?;
    if length == 0 {
        return Ok(&mut []);
    }
    // SAFETY: not NULL; the rest is the caller's promise. The library writes to it before it reads,
    // so the host need not initialise it.
    Ok(unsafe { std::slice::from_raw_parts_mut(pointer, length) })
}

fn check_range(pointer: *const u8, length: usize, name: &str) -> Result<()> {
    if pointer.is_null() && length != 0 {
        return Err(Error::new(
            Code::Argument,
            format!("argument {name}: NULL with a length of {length}"),
        ));
    }
    if isize::try_from(length).is_err() {
        return Err(Error::new(
            Code::Argument,
            format!("argument {name}: length {length} is too large"),
        ));
    }
    Ok(())
}

/// Copies text into a buffer of the host as snprintf(3) does: always terminated, truncated if
/// necessary. Returns the full length.
///
/// # Errors
/// As [`bytes_mut`].
///
/// # Safety
/// As [`bytes_mut`].
pub(super) unsafe fn copy_text(text: &str, buffer: *mut c_char, size: usize) -> Result<i32> {
    // SAFETY: the caller's promise.
    let buffer = unsafe { bytes_mut(buffer.cast(), size, "buffer") }?;
    if let Some(room) = buffer.len().checked_sub(1) {
        let count = text.len().min(room);
        buffer[..count].copy_from_slice(&text.as_bytes()[..count]);
        buffer[count] = 0;
    }
    Ok(i32::try_from(text.len()).unwrap_or(i32::MAX))
}
