//! The record format a second time, written from the specification (section 3.3) and not from the
//! library, which is compared with it.

pub const BEGIN: u8 = 1;
pub const ABORT: u8 = 2;
pub const END: u8 = 3;
pub const PARAMS: u8 = 4;
pub const STDIN: u8 = 5;
pub const STDOUT: u8 = 6;
pub const STDERR: u8 = 7;
pub const DATA: u8 = 8;
pub const GET_VALUES: u8 = 9;
pub const GET_VALUES_RESULT: u8 = 10;
pub const UNKNOWN_TYPE: u8 = 11;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub kind: u8,
    pub id: u16,
    pub content: Vec<u8>,
    pub padding: usize,
}

/// Takes whole records apart, and insists that there is nothing else.
pub fn split(mut bytes: &[u8]) -> Vec<Record> {
    let mut records = Vec::new();
    while !bytes.is_empty() {
        assert!(bytes.len() >= 8, "half a header: {bytes:?}");
        let (header, rest) = bytes.split_at(8);
        assert_eq!(header[0], 1, "version");
        assert_eq!(header[7], 0, "the reserved byte");
        let length = usize::from(header[4]) * 256 + usize::from(header[5]);
        let padding = usize::from(header[6]);
        assert!(rest.len() >= length + padding, "a record is cut off");
        assert!(
            rest[length..length + padding].iter().all(|byte| *byte == 0),
            "padding that tells what was in memory"
        );
        records.push(Record {
            kind: header[1],
            id: u16::from(header[2]) * 256 + u16::from(header[3]),
            content: rest[..length].to_vec(),
            padding,
        });
        bytes = &rest[length + padding..];
    }
    records
}

/// Appends a record with any padding.
pub fn put(out: &mut Vec<u8>, kind: u8, id: u16, content: &[u8], padding: u8) {
    let length = u16::try_from(content.len()).expect("a record carries 65,535 bytes at most");
    out.extend([1, kind]);
    out.extend(id.to_be_bytes());
    out.extend(length.to_be_bytes());
    out.extend([padding, 0]);
    out.extend(content);
    // Whatever stands in the padding is to be skipped.
    out.extend(std::iter::repeat_n(0xa5, usize::from(padding)));
}

/// Appends BEGIN_REQUEST.
pub fn put_begin(out: &mut Vec<u8>, id: u16, role: u16, keep: bool, padding: u8) {
    let [high, low] = role.to_be_bytes();
    let content = [high, low, u8::from(keep), 0, 0, 0, 0, 0];
    put(out, BEGIN, id, &content, padding);
}

/// Appends a name-value pair (section 3.4).
pub fn put_pair(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    for length in [name.len(), value.len()] {
        match u8::try_from(length) {
            Ok(short) if short < 128 => out.push(short),
            _ => out.extend((0x8000_0000 | length as u32).to_be_bytes()),
        }
    }
    out.extend(name);
    out.extend(value);
}
