//! A request's parameters as the program gets them in `envp`: `NAME=value` strings, and pointers to
//! them.

use std::ffi::c_char;
use std::ptr;

use fcgipm::server::{Params, Scope};

/// The strings of one request, and the pointers to them.
#[derive(Debug, Default)]
pub(crate) struct Strings {
    pointers: Vec<*mut c_char>,
    /// The strings of a request that must not be used after it.
    own: Vec<u8>,
    /// The strings of the process environment.
    lasting: Vec<u8>,
    /// Earlier memory of `lasting`, which must stay readable. Each is at most half as long as the
    /// next.
    outgrown: Vec<Vec<u8>>,
}

const ROLE: &[u8] = b"FCGI_ROLE=";

/// Memory for strings that is kept from request to request; what a larger request needs is freed.
const RETAINED: usize = 64 * 1024;

impl Strings {
    /// Stores the strings of a scope, until the next call.
    pub(crate) fn fill(&mut self, params: &mut Params, scope: Scope) {
        let (needed, _) = params.strings_len(scope);
        if self.own.len() < needed || self.own.len() > needed.max(RETAINED) {
            self.own = memory_for(needed);
        }
        point_to(&mut self.pointers, &mut self.own, params, scope);
    }

    /// The same for the process environment: a pointer to a string stays valid forever, though it
    /// may point to another string later. Programs save what getenv(3) returned.
    pub(crate) fn fill_lasting(&mut self, params: &mut Params, scope: Scope) {
        let (needed, _) = params.strings_len(scope);
        if self.lasting.len() < needed {
            let larger = vec![0; needed.max(2 * self.lasting.len())];
            self.outgrown
                .push(std::mem::replace(&mut self.lasting, larger));
        }
        // After a saved pointer there is the NUL of some string, or the one at the end of the
        // memory.
        point_to(&mut self.pointers, &mut self.lasting, params, scope);
    }

    /// The pointers, terminated by NULL, and the number of strings.
    pub(crate) fn vector(&mut self) -> (*mut *mut c_char, usize) {
        (self.pointers.as_mut_ptr(), self.pointers.len() - 1)
    }
}

fn memory_for(needed: usize) -> Vec<u8> {
    let is_usual = needed <= RETAINED;
    vec![
        0;
        if is_usual {
            needed.next_power_of_two()
        } else {
            needed
        }
    ]
}

/// The role comes first, as with libfcgi.
fn point_to(pointers: &mut Vec<*mut c_char>, memory: &mut [u8], params: &mut Params, scope: Scope) {
    let (_, count) = params.strings_len(scope);
    pointers.clear();
    pointers.reserve(count + 2);
    // If the web server sends a role, too, the library's own one counts: it comes last.
    pointers.push(ptr::null_mut());
    params.write_strings(scope, memory, |string| {
        let is_role = string.starts_with(ROLE);
        let pointer = string.as_mut_ptr().cast();
        match pointers.first_mut().filter(|_| is_role) {
            Some(first) => *first = pointer,
            None => pointers.push(pointer),
        }
    });
    pointers.push(ptr::null_mut());
}

#[cfg(test)]
mod tests {
    use std::ffi::CStr;

    use fcgipm::conn::{Event, Inbound, PairLimits};
    use fcgipm::wire::{Header, RecordType, encode_pair};

    use super::*;

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

    /// A connection that has received a request with this many parameters.
    fn received(count: usize) -> Inbound {
        let mut pairs = Vec::new();
        encode_pair(b"FCGI_ROLE", b"a web server's idea", &mut pairs);
        for n in 0..count {
            let (name, value) = (format!("NAME_{n}"), "v".repeat(n % 50));
            encode_pair(name.as_bytes(), value.as_bytes(), &mut pairs);
        }
        let mut bytes = Vec::new();
        let mut put = |kind, content: &[u8]| {
            let header = Header {
                padding_length: 0,
                ..Header::new(kind, 1, content.len() as u16)
            };
            bytes.extend(header.encode());
            bytes.extend(content);
        };
        put(RecordType::BeginRequest, &[0, 1, 1, 0, 0, 0, 0, 0]);
        for piece in pairs.chunks(60_000) {
            put(RecordType::Params, piece);
        }
        put(RecordType::Params, b"");
        let most = usize::MAX;
        let mut inbound = Inbound::new(PairLimits {
            count: most,
            pair: most,
            total: most,
        });
        let step = inbound.handle(&bytes).unwrap();
        assert_eq!(step.event, Some(Event::Request));
        inbound
    }

    #[test]
    fn each_request_has_its_own_strings_and_the_role_is_the_first() {
        let (mut strings, mut lasting) = (Strings::default(), Strings::default());
        for count in [3, 0, 200, 6_000, 1] {
            let mut inbound = received(count);
            let params = inbound.params_mut();
            strings.fill(params, Scope::WellFormed);
            let found = read(&mut strings);
            assert_eq!(found.len(), count + 1);
            assert_eq!(found[0], "FCGI_ROLE=RESPONDER");
            if count > 2 {
                assert_eq!(found[3], "NAME_2=vv");
            }
            lasting.fill_lasting(params, Scope::Environment);
            assert_eq!(read(&mut lasting), found);
        }
        assert!(strings.own.len() <= RETAINED);
    }

    #[test]
    fn a_string_that_the_program_changed_is_restored_with_the_next_request() {
        let mut strings = Strings::default();
        for _ in 0..2 {
            let mut inbound = received(3);
            strings.fill(inbound.params_mut(), Scope::WellFormed);
            assert_eq!(read(&mut strings)[3], "NAME_2=vv");
            let (vector, _) = strings.vector();
            // SAFETY: the program may write to its strings.
            unsafe { (*vector.add(3)).add(8).write(b'x' as c_char) };
            assert_eq!(read(&mut strings)[3], "NAME_2=vx");
            assert_eq!(inbound.params_mut().get(b"NAME_2"), Some(&b"vv"[..]));
        }
    }

    #[test]
    fn a_saved_pointer_stays_valid_forever() {
        let mut strings = Strings::default();
        let mut saved = Vec::new();
        for count in [1, 30, 3000, 2, 500, 10_000] {
            strings.fill_lasting(received(count).params_mut(), Scope::Environment);
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
