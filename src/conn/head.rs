//! The status of a CGI response (RFC 3875, section 6.3.3), from the first bytes of STDOUT.

/// The head of a response is not examined further than this.
const EXAMINED_MAX: usize = 8 * 1024;

/// What the next byte belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    /// A new line of the head.
    #[default]
    LineStart,
    /// A line of the head that has begun.
    Line,
    /// What does not matter.
    Rest,
}

/// The head of a response, of which some may still come.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Head {
    /// 0: no Status field so far.
    status: u16,
    examined: usize,
    has_location: bool,
    place: Place,
}

impl Head {
    /// Whether more bytes can change the status.
    #[inline]
    pub(super) fn is_open(&self) -> bool {
        self.place != Place::Rest
    }

    /// The next bytes. A field that they do not contain whole is not seen.
    pub(super) fn examine(&mut self, bytes: &[u8]) {
        let room = EXAMINED_MAX - self.examined;
        let mut rest = bytes.get(..room).unwrap_or(bytes);
        self.examined += rest.len();
        while !rest.is_empty() {
            if self.place == Place::LineStart {
                self.begin_line(rest);
            }
            if self.place == Place::Rest {
                return;
            }
            let end = newline(rest);
            self.place = if end.is_some() {
                Place::LineStart
            } else {
                Place::Line
            };
            rest = end.and_then(|end| rest.get(end + 1..)).unwrap_or_default();
        }
        if self.examined == EXAMINED_MAX {
            self.place = Place::Rest;
        }
    }

    fn begin_line(&mut self, line: &[u8]) {
        match line {
            [b'\n', ..] | [b'\r', b'\n', ..] => self.place = Place::Rest,
            [b's' | b'S', ..] => {
                if let Some(value) = value_of(b"status:", line) {
                    self.status = number(value);
                    self.place = Place::Rest;
                }
            }
            [b'l' | b'L', ..] => self.has_location |= value_of(b"location:", line).is_some(),
            _ => {}
        }
    }

    /// The status; 0: nothing was sent, or the status is not a number of three digits.
    pub(super) const fn status(&self) -> u16 {
        if self.status != 0 {
            return if self.status == INVALID {
                0
            } else {
                self.status
            };
        }
        match (self.examined, self.has_location) {
            (0, _) => 0,
            (_, true) => 302,
            (_, false) => 200,
        }
    }
}

const INVALID: u16 = u16::MAX;

fn value_of<'l>(name: &[u8], line: &'l [u8]) -> Option<&'l [u8]> {
    let (given, value) = line.split_at_checked(name.len())?;
    given.eq_ignore_ascii_case(name).then_some(value)
}

fn number(value: &[u8]) -> u16 {
    let blanks = value.iter().take_while(|byte| matches!(byte, b' ' | b'\t'));
    let value = value.get(blanks.count()..).unwrap_or_default();
    match value {
        [a @ b'1'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9', rest @ ..]
            if !rest.first().is_some_and(u8::is_ascii_alphanumeric) =>
        {
            let digit = |byte: &u8| u16::from(byte - b'0');
            digit(a) * 100 + digit(b) * 10 + digit(c)
        }
        _ => INVALID,
    }
}

/// Eight bytes at a time.
fn newline(bytes: &[u8]) -> Option<usize> {
    const ONES: u64 = u64::MAX / 0xff;
    let mut words = bytes.chunks_exact(8);
    for (place, chunk) in words.by_ref().enumerate() {
        let word = chunk.try_into().map_or(0, u64::from_le_bytes) ^ (ONES * b'\n' as u64);
        // The highest bit of each byte that is 0, and perhaps of others behind it.
        let found = word.wrapping_sub(ONES) & !word & (ONES << 7);
        if found != 0 {
            return Some(place * 8 + found.trailing_zeros() as usize / 8);
        }
    }
    let rest = words.remainder();
    let at = rest.iter().position(|byte| *byte == b'\n')?;
    Some(bytes.len() - rest.len() + at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(pieces: &[&str]) -> u16 {
        let mut head = Head::default();
        for piece in pieces {
            head.examine(piece.as_bytes());
        }
        head.status()
    }

    #[test]
    fn the_status_is_that_of_the_head() {
        for (text, expected) in [
            ("", 0),
            ("Content-Type: text/plain\r\n\r\nStatus: 404", 200),
            ("Status: 404 Not Found\r\n\r\n", 404),
            ("status:503\n\n", 503),
            ("X: y\nSTATUS: \t 301\n\n", 301),
            (
                "Content-Type: text/html; charset=utf-8\nstatus: 500\n\n",
                500,
            ),
            ("\nStatus: 404\n", 200),
            ("\r\nStatus: 404\n", 200),
            ("Location: /a\r\n\r\n", 302),
            ("Location: /a\r\nStatus: 307 x\r\n\r\n", 307),
            ("Status: 307 x\r\nLocation: /a\r\n\r\n", 307),
            ("Status: \r\n\r\n", 0),
            ("Status: 4040\r\n\r\n", 0),
            ("Status: 099\r\n\r\n", 0),
            ("Status: abc\r\n\r\n", 0),
            ("Status: 20", 0),
            ("Stat", 200),
            ("no head", 200),
        ] {
            assert_eq!(status(&[text]), expected, "{text:?}");
        }
    }

    #[test]
    fn a_head_may_come_in_pieces_of_whole_lines() {
        let lines = ["X: 1\r\n", "Location: x\r\n", "Status: 303\r\n", "\r\n"];
        assert_eq!(status(&lines), 303);
        assert_eq!(status(&["X: 1\r", "\n", "Status: 303\r\n"]), 303);
        assert_eq!(status(&["X: 1 ", "Status: 303\r\n\r\n"]), 200);
    }

    #[test]
    fn no_more_than_a_part_is_examined() {
        let mut head = Head::default();
        head.examine(&[b'x'; EXAMINED_MAX - 1]);
        assert!(head.is_open());
        head.examine(b"\nStatus: 500\n");
        assert!(!head.is_open() && head.status() == 200);
        head.examine(b"Status: 500\n");
        assert_eq!(head.status(), 200);
    }

    #[test]
    fn the_first_newline_is_found_at_every_place() {
        for length in 0..40 {
            let mut bytes = vec![0x0b; length];
            assert_eq!(newline(&bytes), None);
            for at in (0..length).rev() {
                bytes[at] = b'\n';
                assert_eq!(newline(&bytes), Some(at));
            }
        }
    }
}
