//! The reads and writes that a program has asked for and that are still pending: at most one of
//! each per descriptor.

use std::ffi::{c_int, c_void};

use super::Callback;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Direction {
    Read,
    Write,
}

/// Identifies an operation. Operations are performed in the order of their keys.
pub(super) type Key = (c_int, Direction);

#[derive(Clone, Copy, Debug)]
pub(super) struct Operation {
    pub(super) key: Key,
    pub(super) buffer: *mut c_void,
    pub(super) length: c_int,
    pub(super) callback: Callback,
    pub(super) word: *mut c_void,
}

// SAFETY: the pointers are the caller's, and are only passed back to it.
unsafe impl Send for Operation {}

/// In the order of their keys.
#[derive(Debug)]
pub(super) struct Operations {
    pending: Vec<Pending>,
}

#[derive(Debug)]
struct Pending {
    operation: Operation,
    /// The descriptor is ready for it.
    is_ready: bool,
}

impl Operations {
    pub(super) const fn new() -> Self {
        Self {
            pending: Vec::new(),
        }
    }

    /// False: there already is one with this key.
    pub(super) fn begin(&mut self, operation: Operation) -> bool {
        match self.position(operation.key) {
            Ok(_) => false,
            Err(place) => {
                let pending = Pending {
                    operation,
                    is_ready: false,
                };
                self.pending.insert(place, pending);
                true
            }
        }
    }

    pub(super) fn forget(&mut self, key: Key) {
        if let Ok(place) = self.position(key) {
            self.pending.remove(place);
        }
    }

    pub(super) fn forget_all(&mut self) {
        self.pending.clear();
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = Key> + '_ {
        self.pending.iter().map(|one| one.operation.key)
    }

    pub(super) fn any_ready(&self) -> bool {
        self.pending.iter().any(|one| one.is_ready)
    }

    pub(super) fn set_ready(&mut self, key: Key) {
        if let Ok(place) = self.position(key) {
            if let Some(one) = self.pending.get_mut(place) {
                one.is_ready = true;
            }
        }
    }

    /// Takes the first one after this key that is ready. A callback may have begun or forgotten any
    /// of them meanwhile.
    pub(super) fn take_ready(&mut self, after: Option<Key>) -> Option<Operation> {
        let place = self
            .pending
            .iter()
            .position(|one| one.is_ready && after.is_none_or(|after| one.operation.key > after))?;
        Some(self.pending.remove(place).operation)
    }

    fn position(&self, key: Key) -> Result<usize, usize> {
        self.pending
            .binary_search_by_key(&key, |one| one.operation.key)
    }
}

#[cfg(test)]
mod tests {
    use std::ptr;

    use super::*;

    unsafe extern "C" fn ignore(_: *mut c_void, _: c_int) {}

    fn operation(descriptor: c_int, direction: Direction) -> Operation {
        Operation {
            key: (descriptor, direction),
            buffer: ptr::null_mut(),
            length: 0,
            callback: ignore,
            word: ptr::null_mut(),
        }
    }

    #[test]
    fn operations_are_ordered_by_descriptor_and_reads_come_before_writes() {
        let mut operations = Operations::new();
        for key in [
            (7, Direction::Write),
            (2000, Direction::Read),
            (7, Direction::Read),
            (0, Direction::Read),
        ] {
            assert!(operations.begin(operation(key.0, key.1)));
            operations.set_ready(key);
        }
        let mut order = Vec::new();
        while let Some(next) = operations.take_ready(order.last().copied()) {
            order.push(next.key);
        }
        let expected = [
            (0, Direction::Read),
            (7, Direction::Read),
            (7, Direction::Write),
            (2000, Direction::Read),
        ];
        assert_eq!(order, expected);
    }

    #[test]
    fn an_operation_that_was_begun_again_waits_for_its_own_readiness() {
        let mut operations = Operations::new();
        let key = (3, Direction::Read);
        assert!(operations.begin(operation(3, Direction::Read)));
        assert!(
            !operations.begin(operation(3, Direction::Read)),
            "there is one"
        );
        operations.set_ready(key);
        assert!(operations.take_ready(None).is_some());
        assert!(operations.begin(operation(3, Direction::Read)));
        assert!(!operations.any_ready());
        assert!(operations.take_ready(None).is_none());
        operations.forget(key);
        assert_eq!(operations.keys().count(), 0);
    }
}
