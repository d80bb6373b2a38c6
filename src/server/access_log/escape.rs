//! Values of clients, harmless to a log and to those who read it.

use std::io::Write as _;

/// How values are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    /// As Apache and nginx write them: control characters, quotes, backslashes and bytes beyond ASCII
    /// as `\xHH`; nothing as `-`.
    Text,
    /// A JSON string; nothing as `null`. Invalid UTF-8 becomes the text `\xHH`.
    Json,
}

/// Adds a value of a client; an empty one is absent. What is longer than the limit is cut, and `...`
/// added.
pub(super) fn value(out: &mut Vec<u8>, style: Style, bytes: &[u8], limit: usize) {
    match (bytes, style) {
        ([], Style::Text) => out.push(b'-'),
        ([], Style::Json) => out.extend_from_slice(b"null"),
        (_, Style::Text) => text(out, bytes, limit),
        (_, Style::Json) => json(out, bytes, limit),
    }
}

/// Adds a value that may be empty, in text.
pub(super) fn text(out: &mut Vec<u8>, bytes: &[u8], limit: usize) {
    let end = out.len() + limit;
    let mut rest = bytes;
    loop {
        rest = plain(out, rest, end);
        let Some((byte, after)) = rest.split_first() else {
            return;
        };
        if out.len() >= end {
            return out.extend_from_slice(b"...");
        }
        let _ = write!(out, "\\x{byte:02x}");
        rest = after;
    }
}

/// Adds the bytes at the front that need no escape, up to a length of `out`, and returns the rest.
fn plain<'b>(out: &mut Vec<u8>, bytes: &'b [u8], end: usize) -> &'b [u8] {
    let is_plain = |byte: &u8| PLAIN[usize::from(*byte)];
    let count = bytes.iter().take_while(|byte| is_plain(byte)).count();
    let (front, rest) = bytes.split_at(count.min(end.saturating_sub(out.len())));
    out.extend_from_slice(front);
    rest
}

/// Bytes that need no escape in text and in JSON.
const PLAIN: [bool; 256] = {
    let mut plain = [false; 256];
    let mut byte = b' ';
    while byte <= b'~' {
        plain[byte as usize] = byte != b'"' && byte != b'\\';
        byte += 1;
    }
    plain
};

fn json(out: &mut Vec<u8>, bytes: &[u8], limit: usize) {
    let end = out.len() + 1 + limit;
    out.push(b'"');
    let rest = plain(out, bytes, end);
    if !rest.is_empty() && !json_escaped(out, rest, end) {
        out.extend_from_slice(b"...");
    }
    out.push(b'"');
}

/// True: all of it was added.
fn json_escaped(out: &mut Vec<u8>, bytes: &[u8], end: usize) -> bool {
    for chunk in bytes.utf8_chunks() {
        for letter in chunk.valid().chars() {
            if out.len() >= end {
                return false;
            }
            match letter {
                '"' | '\\' => out.extend_from_slice(&[b'\\', letter as u8]),
                ' '..='~' => out.push(letter as u8),
                other => {
                    for unit in other.encode_utf16(&mut [0; 2]) {
                        let _ = write!(out, "\\u{unit:04x}");
                    }
                }
            }
        }
        for byte in chunk.invalid() {
            if out.len() >= end {
                return false;
            }
            let _ = write!(out, "\\\\x{byte:02x}");
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(style: Style, bytes: &[u8]) -> String {
        let mut out = Vec::new();
        value(&mut out, style, bytes, 10_000);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn nothing_of_a_client_can_end_a_line_or_a_string() {
        let hostile = b"/a\n\"b\\\x1b[2J\x7f\xff\xc3\xa9";
        assert_eq!(
            written(Style::Text, hostile),
            "/a\\x0a\\x22b\\x5c\\x1b[2J\\x7f\\xff\\xc3\\xa9"
        );
        assert_eq!(
            written(Style::Json, hostile),
            r#""/a\u000a\"b\\\u001b[2J\u007f\\xff\u00e9""#
        );
        let all: Vec<u8> = (0..=255).collect();
        for style in [Style::Text, Style::Json] {
            let text = written(style, &all);
            assert!(text.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
        }
        let astral = written(Style::Json, "\u{1f600}\u{202e}".as_bytes());
        assert_eq!(astral, "\"\\ud83d\\ude00\\u202e\"");
    }

    #[test]
    fn long_values_are_cut_and_absent_ones_marked() {
        for style in [Style::Text, Style::Json] {
            for bytes in [
                &b"x".repeat(500)[..],
                &b"\x01".repeat(500),
                &b"\xff".repeat(500),
            ] {
                let mut out = Vec::new();
                value(&mut out, style, bytes, 100);
                assert!(out.len() < 120, "{}", out.len());
                let text = String::from_utf8(out).unwrap();
                assert!(text.trim_end_matches('"').ends_with("..."), "{text}");
            }
        }
        let mut out = Vec::new();
        value(&mut out, Style::Text, b"", 10);
        value(&mut out, Style::Json, b"", 10);
        text(&mut out, b"", 10);
        text(&mut out, b"0123456789", 10);
        text(&mut out, b"abcdefghijk", 10);
        assert_eq!(out, b"-null0123456789abcdefghij...");
    }
}
