//! The one way into the library: panics, errors and errno.

use std::cell::RefCell;
use std::ffi::{CStr, CString, c_char};
use std::panic::{AssertUnwindSafe, catch_unwind};

use nix::errno::Errno;

use crate::error::{Code, Error, Result};

thread_local! {
    static LAST: RefCell<CString> = RefCell::new(CString::default());
}

/// What an export returns when there is an error.
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

/// Runs an export's body. A panic becomes [`Code::Panic`]; an error is remembered for
/// `fcgipm_last_error_message`; errno is set where it is the cause, and otherwise left as it was.
pub(super) fn enter<T: Failure>(body: impl FnOnce() -> Result<T>) -> T {
    let before = Errno::last_raw();
    // A handle that a panic left half-way stays marked as in use, so nobody sees it again.
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

/// For exports that cannot fail and may be called in a signal handler: no allocation, no lock.
pub(super) fn enter_quietly<T>(body: impl FnOnce() -> T) -> T {
    let before = Errno::last_raw();
    let value = body();
    Errno::set_raw(before);
    value
}

fn remember(error: &Error) {
    let message = CString::new(error.message().replace('\0', "\\0")).unwrap_or_default();
    // While a thread ends there may be nowhere left to remember it.
    let _ = LAST.try_with(|last| last.replace(message));
}

/// The last error's message; valid until the thread's next error.
pub(super) fn last_message() -> *const c_char {
    LAST.try_with(|last| last.borrow().as_ptr())
        .unwrap_or(c"".as_ptr())
}

/// A string argument.
///
/// # Errors
/// [`Code::Argument`], naming the argument, when it is NULL or not UTF-8.
///
/// # Safety
/// `pointer` is NULL or a NUL-terminated string that lives through the call.
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
/// [`Code::Argument`] for NULL with a length, or a length that no object has.
///
/// # Safety
/// `pointer` is NULL or points to `length` bytes that live and do not change through the call.
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
/// `pointer` is NULL or points to `length` writable bytes that nobody else uses through the call.
pub(super) unsafe fn bytes_mut<'a>(
    pointer: *mut u8,
    length: usize,
    name: &str,
) -> Result<&'a mut [u8]> {
    check_range(pointer, length, name)?;
    if length == 0 {
        return Ok(&mut []);
    }
    // SAFETY: not NULL; the rest is the caller's promise. The library only writes to it before it
    // reads, so it need not be initialised by the host.
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
            format!("argument {name}: a length of {length}"),
        ));
    }
    Ok(())
}

/// Copies text into a host's buffer as snprintf(3) does: always terminated, cut if need be, and the
/// full length returned.
///
/// # Errors
/// As [`bytes_mut`].
///
/// # Safety
/// As [`bytes_mut`].
pub(super) unsafe fn copy_text(text: &str, buffer: *mut c_char, size: usize) -> Result<i32> {
    // SAFETY: the caller's promise.
    let buffer = unsafe { bytes_mut(buffer.cast(), size, "buffer") }?;
    if let Some(most) = buffer.len().checked_sub(1) {
        let count = text.len().min(most);
        buffer[..count].copy_from_slice(&text.as_bytes()[..count]);
        buffer[count] = 0;
    }
    Ok(i32::try_from(text.len()).unwrap_or(i32::MAX))
}
