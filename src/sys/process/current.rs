//! A value that describes this process, and that a copy of the process replaces.

use std::fmt;
use std::marker::PhantomData;
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

/// Holds such a value. References to it are valid for ever: a value that is replaced stays allocated,
/// which happens once in the life of a process at most.
pub(crate) struct Current<T: 'static>(AtomicPtr<T>, PhantomData<&'static T>);

impl<T: Send + Sync + 'static> Current<T> {
    pub(crate) const fn none() -> Self {
        Self(AtomicPtr::new(ptr::null_mut()), PhantomData)
    }

    #[inline]
    pub(crate) fn get(&self) -> Option<&'static T> {
        // SAFETY: null, or a pointer that `set` leaked: it is valid and never freed.
        unsafe { self.0.load(Ordering::Acquire).as_ref() }
    }

    /// # Errors
    /// There is a value: this one is handed back.
    pub(crate) fn set(&self, value: T) -> Result<(), T> {
        let new = Box::into_raw(Box::new(value));
        let set =
            self.0
                .compare_exchange(ptr::null_mut(), new, Ordering::AcqRel, Ordering::Acquire);
        match set {
            Ok(_) => Ok(()),
            // SAFETY: it came from a box above, and nobody else has it.
            Err(_) => Err(*unsafe { Box::from_raw(new) }),
        }
    }

    /// From here on there is none.
    pub(crate) fn forget(&self) {
        self.0.store(ptr::null_mut(), Ordering::Release);
    }
}

impl<T> fmt::Debug for Current<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Current").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_set_once_until_it_is_forgotten() {
        let current = Current::none();
        assert_eq!(current.get(), None);
        assert_eq!(current.set(1), Ok(()));
        assert_eq!((current.set(2), current.get()), (Err(2), Some(&1)));
        current.forget();
        assert_eq!(current.get(), None);
        assert_eq!((current.set(3), current.get()), (Ok(()), Some(&3)));
    }
}
