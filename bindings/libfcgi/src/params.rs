//! A request's parameters as a program finds them in `envp`: `NAME=value` strings, and pointers to them.

use std::ffi::c_char;
use std::ptr;

/// What an unusual request needed beyond this is given back, unless its strings must stay.
const RETAINED: usize = 64 * 1024;

/// The strings of one request, in memory that the next request but one uses again.
#[derive(Debug, Default)]
pub(crate) struct Strings {
    bytes: Vec<u8>,
    pointers: Vec<*mut c_char>,
    /// Memory that became too small, when it must stay readable. Each is at most half of the next.
    outgrown: Vec<Vec<u8>>,
}

impl Strings {
    /// Replaces the strings. `size` is at least the length of all of them, with `=` and NUL.
    ///
    /// With `stay`, a pointer to any string that was ever here still points to a string afterwards, though
    /// it may be another one: programs save what getenv(3) gave them.
    pub(crate) fn replace<'a>(
        &mut self,
        pairs: impl Iterator<Item = (&'a [u8], &'a [u8])>,
        size: usize,
        stay: bool,
    ) {
        self.pointers.clear();
        if !stay && self.bytes.capacity() > RETAINED {
            self.bytes = Vec::new();
        }
        if self.bytes.capacity() < size {
            let larger = Vec::with_capacity(size.max(2 * self.bytes.capacity()));
            let outgrown = std::mem::replace(&mut self.bytes, larger);
            if stay && outgrown.capacity() > 0 {
                self.outgrown.push(outgrown);
            }
        }
        // Only grows, so that nothing is filled in twice.
        if self.bytes.len() < size {
            self.bytes.resize(size, 0);
        }
        let memory = self.bytes.as_mut_ptr();
        let mut used = 0;
        for (name, value) in pairs {
            let end = used + name.len() + 1 + value.len() + 1;
            let Some(string) = self.bytes.get_mut(used..end) else {
                break;
            };
            string[..name.len()].copy_from_slice(name);
            string[name.len()] = b'=';
            string[name.len() + 1..name.len() + 1 + value.len()].copy_from_slice(value);
            string[name.len() + 1 + value.len()] = 0;
            // The memory does not move: there is room for all of them.
            self.pointers.push(memory.wrapping_add(used).cast());
            used = end;
        }
        self.pointers.push(ptr::null_mut());
    }

    /// The pointers, NULL behind the last, and how many strings there are.
    pub(crate) fn vector(&mut self) -> (*mut *mut c_char, usize) {
        (self.pointers.as_mut_ptr(), self.pointers.len() - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::CStr;

    fn read(strings: &mut Strings) -> Vec<String> {
        let (vector, count) = strings.vector();
        (0..count)
            .map(|index| {
                // SAFETY: the strings were just made.
                unsafe { CStr::from_ptr(*vector.add(index)) }
                    .to_string_lossy()
                    .into_owned()
            })
            .collect()
    }

    fn pairs(count: usize) -> Vec<(Vec<u8>, Vec<u8>)> {
        (0..count)
            .map(|n| (format!("NAME_{n}").into_bytes(), vec![b'v'; n % 50]))
            .collect()
    }

    fn fill(strings: &mut Strings, pairs: &[(Vec<u8>, Vec<u8>)], stay: bool) {
        let size = pairs.iter().map(|(n, v)| n.len() + v.len() + 2).sum();
        let each = pairs.iter().map(|(n, v)| (&n[..], &v[..]));
        strings.replace(each, size, stay);
    }

    #[test]
    fn each_request_has_its_own_strings() {
        let mut strings = Strings::default();
        for count in [3, 0, 200, 1] {
            fill(&mut strings, &pairs(count), false);
            let texts = read(&mut strings);
            assert_eq!(texts.len(), count);
            if count > 2 {
                assert_eq!(texts[2], "NAME_2=vv");
            }
        }
    }

    #[test]
    fn a_pointer_that_was_saved_points_to_a_string_for_ever() {
        let mut strings = Strings::default();
        let mut saved = Vec::new();
        for count in [1, 30, 3000, 2, 500, 10_000] {
            fill(&mut strings, &pairs(count), true);
            let (vector, count) = strings.vector();
            // SAFETY: the vector has that many.
            saved.extend((0..count).map(|index| unsafe { *vector.add(index) }));
        }
        for pointer in saved {
            // SAFETY: this is what the test is about.
            let length = unsafe { libc::strlen(pointer) };
            assert!(length < 1_000_000);
        }
        assert!(strings.outgrown.len() <= 20);
    }
}
