//! Opaque handles: what a host holds instead of a Rust value.
//!
//! A handle is a small header that points to the value. Freed headers are set aside and their
//! memory is not reused until many more have been freed, so a handle that is used after its free
//! is recognised instead of being undefined.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use parking_lot::Mutex;

use crate::error::{Code, Error, Result};

/// How many freed headers are set aside.
const QUARANTINE: usize = 4096;

const FREED: u32 = 0xdead_fc91;

/// A value that hosts have handles to.
pub(super) trait Noun: Sized {
    /// The opaque type that the C header shows.
    type Handle;
    /// Tells handles of different kinds apart.
    const MAGIC: u32;
    /// The kind, for messages.
    const NAME: &'static str;
}

/// What a handle points to.
#[repr(C)]
struct Header {
    magic: AtomicU32,
    /// A thread is in a call with it.
    busy: AtomicBool,
    value: *mut (),
}

static FREED_HEADERS: Mutex<VecDeque<usize>> = Mutex::new(VecDeque::new());

/// Makes a handle.
pub(super) fn make<T: Noun>(value: T) -> *mut T::Handle {
    let value = Box::into_raw(Box::new(value)).cast();
    Box::into_raw(Box::new(Header {
        magic: AtomicU32::new(T::MAGIC),
        busy: AtomicBool::new(false),
        value,
    }))
    .cast()
}

/// Exclusive use of a handle's value, for one call.
struct Borrowed<'a>(&'a Header);

impl Drop for Borrowed<'_> {
    fn drop(&mut self) {
        // After a panic the value may be half-way through something: nobody gets it again.
        if !std::thread::panicking() {
            self.0.busy.store(false, Ordering::Release);
        }
    }
}

fn borrow<'a, T: Noun>(handle: *const T::Handle) -> Result<Borrowed<'a>> {
    let wrong = |what: &str| Error::new(Code::Handle, format!("{} handle: {what}", T::NAME));
    if handle.is_null() {
        return Err(wrong("NULL"));
    }
    // SAFETY: the host passes what a `_new` function returned; a freed header stays readable while
    // it is set aside.
    let header = unsafe { &*handle.cast::<Header>() };
    match header.magic.load(Ordering::Acquire) {
        magic if magic == T::MAGIC => {}
        FREED => return Err(wrong("it was freed")),
        _ => return Err(wrong("not a handle of this kind")),
    }
    if header.busy.swap(true, Ordering::Acquire) {
        return Err(wrong("in use by another call"));
    }
    Ok(Borrowed(header))
}

/// Uses a handle's value.
///
/// # Errors
/// [`Code::Handle`] when it is NULL, freed, of another kind, or in use by another thread.
pub(super) fn with<T: Noun, R>(
    handle: *const T::Handle,
    body: impl FnOnce(&mut T) -> Result<R>,
) -> Result<R> {
    let borrowed = borrow::<T>(handle)?;
    // SAFETY: the magic says that the header is alive and its value a T; `busy` says that nobody
    // else uses it.
    body(unsafe { &mut *borrowed.0.value.cast::<T>() })
}

/// Frees a handle; NULL is fine.
///
/// # Errors
/// As [`with`], except for NULL.
pub(super) fn free<T: Noun>(handle: *mut T::Handle) -> Result<()> {
    if handle.is_null() {
        return Ok(());
    }
    let borrowed = borrow::<T>(handle)?;
    borrowed.0.magic.store(FREED, Ordering::Release);
    let value = borrowed.0.value.cast::<T>();
    // It stays marked as in use: whoever looked at the magic just before must not get it now.
    std::mem::forget(borrowed);
    // SAFETY: `make` got it from a Box, and the magic lets nobody reach it any more.
    drop(unsafe { Box::from_raw(value) });
    // Not waited for: in a child that was forked meanwhile, nobody would ever let go of it. Then the
    // header is never used again.
    let Some(mut freed) = FREED_HEADERS.try_lock() else {
        return Ok(());
    };
    freed.push_back(handle as usize);
    if freed.len() > QUARANTINE
        && let Some(oldest) = freed.pop_front()
    {
        // SAFETY: `make` got it from a Box, and it was freed long ago.
        drop(unsafe { Box::from_raw(oldest as *mut Header) });
    }
    Ok(())
}
