//! A request's parameters as a program finds them in `envp`: `NAME=value` strings, and pointers to them.

use std::ffi::c_char;
use std::ptr;

/// The pointers of one request, and, where the strings must outlive it, the strings.
#[derive(Debug, Default)]
pub(crate) struct Strings {
    pointers: Vec<*mut c_char>,
    bytes: Vec<u8>,
    /// Memory that became too small, and must stay readable. Each is at most half of the next.
    outgrown: Vec<Vec<u8>>,
}

/// What an entry has in front of its string (`server::Request::lend_params`).
const LENGTHS: usize = 8;

const ROLE: &[u8] = b"FCGI_ROLE=";

impl Strings {
    /// Points to the strings of these entries, where they lie. The role comes first, as with libfcgi.
    pub(crate) fn point_to(&mut self, mut entries: &mut [u8]) {
        self.pointers.clear();
        // The last one is the library's own, whatever the web server sends.
        self.pointers.push(ptr::null_mut());
        while let Some((string, rest)) = split_entry(entries) {
            let is_role = string.len() > ROLE.len() && string[..ROLE.len()] == *ROLE;
            let pointer = string.as_mut_ptr().cast();
            match self.pointers.first_mut().filter(|_| is_role) {
                Some(first) => *first = pointer,
                None => self.pointers.push(pointer),
            }
            entries = rest;
        }
        self.pointers.push(ptr::null_mut());
    }

    /// The same with copies of the strings. A pointer to any string that was ever here still points to a string
    /// afterwards, though it may be another one: programs save what getenv(3) gave them.
    pub(crate) fn copy(&mut self, entries: &[u8]) {
        if self.bytes.len() < entries.len() {
            let larger = vec![0; entries.len().max(2 * self.bytes.len())];
            self.outgrown
                .push(std::mem::replace(&mut self.bytes, larger));
        }
        self.bytes[..entries.len()].copy_from_slice(entries);
        // What is behind them ends with the NUL of an earlier one.
        let mut bytes = std::mem::take(&mut self.bytes);
        self.point_to(&mut bytes[..entries.len()]);
        self.bytes = bytes;
    }

    /// The pointers, NULL behind the last, and how many strings there are.
    pub(crate) fn vector(&mut self) -> (*mut *mut c_char, usize) {
        (self.pointers.as_mut_ptr(), self.pointers.len() - 1)
    }
}

/// The first entry's string with its NUL, and the entries behind it.
fn split_entry(entries: &mut [u8]) -> Option<(&mut [u8], &mut [u8])> {
    let (lengths, rest) = entries.split_at_mut_checked(LENGTHS)?;
    let (name, value) = lengths.split_first_chunk::<4>()?;
    let length = |bytes: &[u8]| Some(u32::from_ne_bytes(*bytes.first_chunk()?) as usize);
    let length = length(name)? + length(value)? + 2;
    rest.split_at_mut_checked(length)
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

    fn entries(count: usize) -> Vec<u8> {
        let mut entries = Vec::new();
        let mut put = |name: &str, value: &str| {
            for length in [name.len(), value.len()] {
                entries.extend((length as u32).to_ne_bytes());
            }
            entries.extend(format!("{name}={value}\0").bytes());
        };
        put("FCGI_ROLE", "a web server's idea");
        (0..count).for_each(|n| put(&format!("NAME_{n}"), &"v".repeat(n % 50)));
        put("FCGI_ROLE", "RESPONDER");
        entries
    }

    #[test]
    fn each_request_has_its_own_strings_and_the_role_is_the_first() {
        let mut strings = Strings::default();
        for count in [3, 0, 200, 1] {
            let mut entries = entries(count);
            strings.point_to(&mut entries);
            let pointed = read(&mut strings);
            assert_eq!(pointed.len(), count + 1);
            assert_eq!(pointed[0], "FCGI_ROLE=RESPONDER");
            if count > 2 {
                assert_eq!(pointed[3], "NAME_2=vv");
            }
            let mut copies = Strings::default();
            copies.copy(&entries);
            assert_eq!(read(&mut copies), pointed);
        }
    }

    #[test]
    fn a_pointer_that_was_saved_points_to_a_string_for_ever() {
        let mut strings = Strings::default();
        let mut saved = Vec::new();
        for count in [1, 30, 3000, 2, 500, 10_000] {
            strings.copy(&entries(count));
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
