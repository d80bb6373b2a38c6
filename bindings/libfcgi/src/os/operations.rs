//! The reads and writes that a program has asked for and that were not made yet: at most one of each per descriptor.

use std::ffi::{c_int, c_void};

use super::Callback;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Direction {
    Read,
    Write,
}

/// What an operation is found by. In their order they are made.
pub(super) type Key = (c_int, Direction);

#[derive(Clone, Copy, Debug)]
pub(super) struct Operation {
    pub(super) key: Key,
    pub(super) buffer: *mut c_void,
    pub(super) length: c_int,
    pub(super) callback: Callback,
    pub(super) word: *mut c_void,
}

// SAFETY: the pointers are the caller's, and only handed back to it.
unsafe impl Send for Operation {}

/// In the order of their keys.
#[derive(Debug)]
pub(super) struct Operations {
    under_way: Vec<Planned>,
}

#[derive(Debug)]
struct Planned {
    operation: Operation,
    /// The descriptor was seen to be ready for it.
    is_ready: bool,
}

impl Operations {
    pub(super) const fn new() -> Self {
        Self {
            under_way: Vec::new(),
        }
    }

    /// False: there is such a one already.
    pub(super) fn begin(&mut self, operation: Operation) -> bool {
        match self.position(operation.key) {
            Ok(_) => false,
            Err(place) => {
                let planned = Planned {
                    operation,
                    is_ready: false,
                };
                self.under_way.insert(place, planned);
                true
            }
        }
    }

    pub(super) fn forget(&mut self, key: Key) {
        if let Ok(place) = self.position(key) {
            self.under_way.remove(place);
        }
    }

    pub(super) fn forget_all(&mut self) {
        self.under_way.clear();
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = Key> + '_ {
        self.under_way.iter().map(|planned| planned.operation.key)
    }

    pub(super) fn any_ready(&self) -> bool {
        self.under_way.iter().any(|planned| planned.is_ready)
    }

    pub(super) fn set_ready(&mut self, key: Key) {
        if let Ok(place) = self.position(key)
            && let Some(planned) = self.under_way.get_mut(place)
        {
            planned.is_ready = true;
        }
    }

    /// The first one behind this key that is ready. A callback may have begun or forgotten any of them meanwhile.
    pub(super) fn take_ready(&mut self, after: Option<Key>) -> Option<Operation> {
        let place = self.under_way.iter().position(|planned| {
            planned.is_ready && after.is_none_or(|after| planned.operation.key > after)
        })?;
        Some(self.under_way.remove(place).operation)
    }

    fn position(&self, key: Key) -> Result<usize, usize> {
        self.under_way
            .binary_search_by_key(&key, |planned| planned.operation.key)
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
    fn they_are_made_by_descriptor_and_reads_before_writes() {
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
    fn what_was_begun_anew_meanwhile_waits_for_its_own_readiness() {
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
