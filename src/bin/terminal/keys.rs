//! Keys, from the bytes that a terminal sends for them.

/// A key that was pressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Key {
    Char(char),
    /// With the control key; in lower case.
    Control(char),
    Enter,
    Escape,
    Tab,
    BackTab,
    Backspace,
    Up,
    Down,
    PageUp,
    PageDown,
    Home,
    End,
}

/// A sequence that is longer is none.
const LONGEST: usize = 32;

/// The bytes of a key that is not complete yet.
#[derive(Debug, Default)]
pub(crate) struct Keys(Vec<u8>);

enum Parsed {
    /// A key, if it is a known one, and its length.
    Whole(Option<Key>, usize),
    Incomplete,
}

impl Keys {
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Vec<Key> {
        self.0.extend_from_slice(bytes);
        let mut keys = Vec::new();
        while let Parsed::Whole(key, length) = parse(&self.0) {
            keys.extend(key);
            self.0.drain(..length);
        }
        if self.0.len() > LONGEST {
            self.0.clear();
        }
        keys
    }

    /// Whether more bytes may follow.
    pub(crate) fn is_incomplete(&self) -> bool {
        !self.0.is_empty()
    }

    /// Nothing followed: a single ESC is the key.
    pub(crate) fn give_up(&mut self) -> Option<Key> {
        let was = std::mem::take(&mut self.0);
        (was == [0x1b]).then_some(Key::Escape)
    }
}

fn parse(bytes: &[u8]) -> Parsed {
    let Some((&first, rest)) = bytes.split_first() else {
        return Parsed::Incomplete;
    };
    let key = match first {
        0x1b => return escaped(rest),
        b'\r' | b'\n' => Key::Enter,
        b'\t' => Key::Tab,
        0x08 | 0x7f => Key::Backspace,
        1..=26 => Key::Control(char::from(b'a' + first - 1)),
        b' '..=b'~' => Key::Char(char::from(first)),
        0xc0.. => return several(bytes),
        _ => return Parsed::Whole(None, 1),
    };
    Parsed::Whole(Some(key), 1)
}

/// A character of UTF-8.
fn several(bytes: &[u8]) -> Parsed {
    const LENGTH_MAX: usize = 4;
    let bytes = &bytes[..bytes.len().min(LENGTH_MAX)];
    let valid = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => match (error.valid_up_to(), error.error_len()) {
            (0, None) => return Parsed::Incomplete,
            (0, Some(length)) => return Parsed::Whole(None, length),
            (length, _) => std::str::from_utf8(&bytes[..length]).unwrap_or_default(),
        },
    };
    match valid.chars().next() {
        Some(letter) => Parsed::Whole(Some(Key::Char(letter)), letter.len_utf8()),
        None => Parsed::Whole(None, 1),
    }
}

/// What follows ESC: `[` or `O` and so on, as terminfo has it for xterm, screen, tmux and linux.
fn escaped(rest: &[u8]) -> Parsed {
    let Some((&kind, rest)) = rest.split_first() else {
        return Parsed::Incomplete;
    };
    match kind {
        b'[' | b'O' => {}
        // Two keys that came together.
        0x1b => return Parsed::Whole(Some(Key::Escape), 1),
        // With the Alt key.
        _ => return Parsed::Whole(None, 2),
    }
    // The function keys of the Linux console have another `[`.
    let Some(end) = rest
        .iter()
        .enumerate()
        .position(|(place, byte)| (0x40..=0x7e).contains(byte) && (*byte != b'[' || place > 0))
    else {
        return Parsed::Incomplete;
    };
    let (number, last) = (&rest[..end], rest[end]);
    let key = match (last, number) {
        (_, [b'[', ..]) => None,
        (b'A', _) => Some(Key::Up),
        (b'B', _) => Some(Key::Down),
        (b'H', _) | (b'~', b"1" | b"7") => Some(Key::Home),
        (b'F', _) | (b'~', b"4" | b"8") => Some(Key::End),
        (b'~', b"5") => Some(Key::PageUp),
        (b'~', b"6") => Some(Key::PageDown),
        (b'Z', _) => Some(Key::BackTab),
        (b'M', _) if kind == b'O' => Some(Key::Enter),
        _ => None,
    };
    Parsed::Whole(key, end + 3)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(bytes: &[u8]) -> Vec<Key> {
        let mut keys = Keys::default();
        let mut all = keys.push(bytes);
        all.extend(keys.give_up());
        all
    }

    #[test]
    fn keys_are_recognised() {
        assert_eq!(
            keys(b"q\r\t\x7f"),
            [Key::Char('q'), Key::Enter, Key::Tab, Key::Backspace]
        );
        assert_eq!(keys(b"\x03\x1a"), [Key::Control('c'), Key::Control('z')]);
        assert_eq!(
            keys(b"\x1b[A\x1bOB\x1b[1;5A"),
            [Key::Up, Key::Down, Key::Up]
        );
        assert_eq!(keys(b"\x1b[5~\x1b[6~"), [Key::PageUp, Key::PageDown]);
        assert_eq!(
            keys(b"\x1b[1~\x1bOF\x1b[Z"),
            [Key::Home, Key::End, Key::BackTab]
        );
        assert_eq!(keys("ä".as_bytes()), [Key::Char('ä')]);
        assert_eq!(keys(b"\x1b"), [Key::Escape]);
        assert_eq!(keys(b"\x1b\x1b[A"), [Key::Escape, Key::Up]);
        // F1 of the console, F5 of xterm, Alt-x, bytes that are no UTF-8.
        assert_eq!(keys(b"\x1b[[A\x1b[15~\x1bx\xff\x80q"), [Key::Char('q')]);
    }

    #[test]
    fn a_key_may_arrive_in_pieces() {
        let mut keys = Keys::default();
        assert_eq!(keys.push(b"\x1b"), []);
        assert!(keys.is_incomplete());
        assert_eq!(keys.push(b"["), []);
        assert_eq!(keys.push(b"Bx"), [Key::Down, Key::Char('x')]);
        assert!(!keys.is_incomplete());
        assert_eq!(keys.push(&[b"\x1b[".as_slice(), &[b'1'; 100]].concat()), []);
        assert!(!keys.is_incomplete());
    }
}
