//! Opaque handles, which hosts hold instead of Rust values.
//!
//! A handle points to a small header, which points to the value. Freed headers are quarantined:
//! their memory is not reused until many more have been freed. So a use after free is detected, and
//! is not undefined behaviour.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use parking_lot::Mutex;

use crate::error::{Code, Error, Result};

/// The number of freed headers in quarantine.
const QUARANTINE: usize = 4096;

const FREED: u32 = 0xdead_fc91;

/// A type that hosts have handles to.
pub(super) trait Noun: Sized {
    /// The opaque type in the C header.
    type Handle;
    /// Distinguishes handles of different kinds.
    const MAGIC: u32;
    /// The kind, for messages.
    const NAME: &'static str;
}

/// What a handle points to.
#[repr(C)]
struct Header {
    magic: AtomicU32,
    /// A call is using the handle.
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
        // After a panic the value may be inconsistent, so the handle stays in use for ever.
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
    // it is in quarantine.
    let header = unsafe { &*handle.cast::<Header>() };
    match header.magic.load(Ordering::Acquire) {
        magic if magic == T::MAGIC => {}
        FREED => return Err(wrong("already freed")),
        _ => return Err(wrong("not a handle of this kind")),
    }
    if header.busy.swap(true, Ordering::Acquire) {
        return Err(wrong("in use by another call"));
    }
    Ok(Borrowed(header))
}

/// Calls `body` with the value of a handle.
///
/// # Errors
/// [`Code::Handle`] if it is NULL, freed, of another kind, or in use by another call.
pub(super) fn with<T: Noun, R>(
    handle: *const T::Handle,
    body: impl FnOnce(&mut T) -> Result<R>,
) -> Result<R> {
    let borrowed = borrow::<T>(handle)?;
    // SAFETY: by the magic, the header is alive and its value a T; by `busy`, nothing else uses it.
    body(unsafe { &mut *borrowed.0.value.cast::<T>() })
}

/// Frees a handle; NULL is allowed.
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
    // It stays marked as in use, for a thread that read the magic just before the store.
    std::mem::forget(borrowed);
    // SAFETY: `make` got it from a Box, and the magic and `busy` make it unreachable.
    drop(unsafe { Box::from_raw(value) });
    // A child forked while another thread holds this lock would wait for ever. Without the lock,
    // the header is leaked.
    let Some(mut freed) = FREED_HEADERS.try_lock() else {
        return Ok(());
    };
    freed.push_back(handle as usize);
    if freed.len() > QUARANTINE {
        if let Some(oldest) = freed.pop_front() {
            // SAFETY: `make` got it from a Box, and it was freed long ago.
            drop(unsafe { Box::from_raw(oldest as *mut Header) });
        }
    }
    Ok(())
}
