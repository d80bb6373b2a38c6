//! Text in atomic words, and arbitrary bytes as printable text.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};

/// Up to `8 * N` bytes, with a NUL at the end if there is space for one.
#[derive(Debug)]
#[repr(transparent)]
pub(super) struct Words<const N: usize>([AtomicU64; N]);

impl<const N: usize> Words<N> {
    /// Truncates text that does not fit.
    #[inline]
    pub(super) fn store(&self, text: &[u8]) {
        let mut words = self.0.iter();
        let mut chunks = text.chunks_exact(8);
        // The chunk comes first in the zip, so that no word is lost when there are no more chunks.
        for (chunk, word) in chunks.by_ref().zip(words.by_ref()) {
            let mut bytes = [0; 8];
            bytes.copy_from_slice(chunk);
            word.store(u64::from_ne_bytes(bytes), Ordering::Relaxed);
        }
        if let Some(word) = words.next() {
            let mut bytes = [0; 8];
            for (byte, rest) in bytes.iter_mut().zip(chunks.remainder()) {
                *byte = *rest;
            }
            word.store(u64::from_ne_bytes(bytes), Ordering::Relaxed);
        }
    }

    /// The text, and whether it fills all words, so that some of it may be missing.
    pub(super) fn load(&self) -> (Vec<u8>, bool) {
        let mut text = Vec::with_capacity(8 * N);
        for word in &self.0 {
            let bytes = word.load(Ordering::Relaxed).to_ne_bytes();
            match bytes.iter().position(|byte| *byte == 0) {
                Some(end) => {
                    text.extend_from_slice(&bytes[..end]);
                    return (text, false);
                }
                None => text.extend_from_slice(&bytes),
            }
        }
        (text, true)
    }

    /// The text, harmless to a terminal or a log.
    pub(super) fn printable(&self) -> String {
        let (text, full) = self.load();
        let mut out = printable(&text);
        if full {
            out.push('…');
        }
        out
    }
}

/// Bytes as text on one line: control characters, and characters that reorder or hide others, as
/// `\u{…}`; invalid UTF-8 as `\x…`.
pub(super) fn printable(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for letter in chunk.valid().chars() {
            if is_harmful(letter) {
                let _ = write!(out, "\\u{{{:x}}}", u32::from(letter));
            } else {
                out.push(letter);
            }
        }
        for byte in chunk.invalid() {
            let _ = write!(out, "\\x{byte:02x}");
        }
    }
    out
}

fn is_harmful(letter: char) -> bool {
    letter.is_control()
        || matches!(
            letter,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e0fff}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words<const N: usize>() -> Words<N> {
        Words([const { AtomicU64::new(u64::MAX) }; N])
    }

    #[test]
    fn text_of_any_length_is_stored_up_to_the_size() {
        for length in 0..40 {
            let text: Vec<u8> = (1..=length).collect();
            let words = words::<3>();
            words.store(&text);
            let (back, full) = words.load();
            assert_eq!(back, text[..text.len().min(24)], "{length} bytes");
            assert_eq!(full, length >= 24);
        }
    }

    #[test]
    fn printable_text_has_no_control_characters() {
        assert_eq!(printable(b"/a?b=c%20d"), "/a?b=c%20d");
        assert_eq!(printable("/ü/\u{1f600}".as_bytes()), "/ü/\u{1f600}");
        assert_eq!(
            printable(b"/\x1b[2J\r\n\x7f\xff\xc3"),
            "/\\u{1b}[2J\\u{d}\\u{a}\\u{7f}\\xff\\xc3"
        );
        assert_eq!(
            printable("\u{9b}\u{202e}\u{200b}".as_bytes()),
            "\\u{9b}\\u{202e}\\u{200b}"
        );
    }
}
