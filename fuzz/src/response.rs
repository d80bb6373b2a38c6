//! A response driven the way the server drives it, and what arrives of it.

use fcgipm::conn::{Outbound, Stream};

use super::records::{self, Record};

/// What an application or the protocol does with the output.
#[derive(Clone, Debug)]
pub enum Act {
    /// A small write, which is gathered; when there is no room, what is pending is sent.
    Gather(Stream, Vec<u8>),
    /// A large write, framed in place.
    Framed(Stream, Vec<u8>),
    /// An answer of the protocol's own, of a type that no application has.
    Answer(Vec<u8>),
    Flush,
    /// Ends this response and begins the next on the same connection.
    End(u32),
}

/// A piece of what was written, in order, without regard to records.
#[derive(Debug, PartialEq, Eq)]
enum Piece {
    Written(u8, Vec<u8>),
    Answer(Vec<u8>),
    Ended(u16, u32),
}

/// Performs the acts, ends the response, and compares what is sent with what was written.
pub fn check(acts: &[Act]) {
    let mut outbound = Outbound::new();
    let mut wire = Vec::new();
    let mut expected = Vec::new();
    let mut id = 1;
    outbound.begin(id);
    let last = [Act::End(7)];
    for act in acts.iter().chain(&last) {
        match act {
            Act::Gather(stream, data) => {
                let mut left = &data[..];
                while !left.is_empty() {
                    let taken = outbound.gather(*stream, left);
                    left = &left[taken..];
                    if !left.is_empty() {
                        flush(&mut outbound, &mut wire);
                    }
                }
                expect_written(&mut expected, *stream, data);
            }
            Act::Framed(stream, data) => {
                let mut left = &data[..];
                while !left.is_empty() {
                    let direct = outbound.frame(*stream, left.len());
                    flush(&mut outbound, &mut wire);
                    wire.extend(direct.header);
                    let (content, rest) = left.split_at(direct.content);
                    assert!(!content.is_empty(), "an empty record would end the stream");
                    wire.extend(content);
                    wire.extend(std::iter::repeat_n(0, direct.padding));
                    left = rest;
                }
                expect_written(&mut expected, *stream, data);
            }
            Act::Answer(content) => {
                let mut record = Vec::new();
                let padding = (content.len().wrapping_neg() % 8) as u8;
                put_clean(&mut record, content, padding);
                outbound.append_records(&record);
                expected.push(Piece::Answer(content.clone()));
            }
            Act::Flush => flush(&mut outbound, &mut wire),
            Act::End(status) => {
                outbound.end(*status);
                expected.push(Piece::Ended(id, *status));
                id += 1;
                outbound.begin(id);
            }
        }
    }
    flush(&mut outbound, &mut wire);
    assert!(outbound.is_empty());
    let arrived = arrived(&records::split(&wire));
    assert!(
        arrived == expected,
        "sent {arrived:?}\nwritten {expected:?}"
    );
}

fn flush(outbound: &mut Outbound, wire: &mut Vec<u8>) {
    wire.extend(outbound.pending());
    outbound.sent();
}

fn put_clean(out: &mut Vec<u8>, content: &[u8], padding: u8) {
    records::put(out, records::UNKNOWN_TYPE, 0, content, padding);
    let from = out.len() - usize::from(padding);
    out[from..].fill(0);
}

fn number(stream: Stream) -> u8 {
    match stream {
        Stream::Stdout => records::STDOUT,
        Stream::Stderr => records::STDERR,
    }
}

fn expect_written(expected: &mut Vec<Piece>, stream: Stream, data: &[u8]) {
    if !data.is_empty() {
        write(expected, number(stream), data);
    }
}

fn write(pieces: &mut Vec<Piece>, kind: u8, data: &[u8]) {
    match pieces.last_mut() {
        Some(Piece::Written(before, bytes)) if *before == kind => bytes.extend_from_slice(data),
        _ => pieces.push(Piece::Written(kind, data.to_vec())),
    }
}

/// What a web server makes of the records (section 5.5): each stream is closed once, the standard
/// output always, the other one if it was used, and nothing follows but the end.
fn arrived(records: &[Record]) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut id = 1;
    let (mut stdout_closed, mut stderr_used, mut stderr_closed) = (false, false, false);
    for record in records {
        assert_eq!((record.content.len() + record.padding) % 8, 0, "alignment");
        assert!(record.padding < 8);
        match record.kind {
            records::STDOUT => {
                assert_eq!(record.id, id);
                assert!(!stdout_closed);
                if record.content.is_empty() {
                    stdout_closed = true;
                } else {
                    write(&mut pieces, record.kind, &record.content);
                }
            }
            records::STDERR => {
                assert_eq!(record.id, id);
                assert!(!stderr_closed);
                if record.content.is_empty() {
                    assert!(stderr_used);
                    stderr_closed = true;
                } else {
                    stderr_used = true;
                    write(&mut pieces, record.kind, &record.content);
                }
            }
            records::END => {
                assert_eq!(record.id, id);
                assert!(stdout_closed);
                assert_eq!(stderr_closed, stderr_used);
                let Ok([a, b, c, d, rest @ ..]) = <[u8; 8]>::try_from(&record.content[..]) else {
                    panic!("END_REQUEST of {} bytes", record.content.len());
                };
                assert_eq!(rest, [0; 4], "REQUEST_COMPLETE, and reserved bytes");
                pieces.push(Piece::Ended(id, u32::from_be_bytes([a, b, c, d])));
                id += 1;
                (stdout_closed, stderr_used, stderr_closed) = (false, false, false);
            }
            records::UNKNOWN_TYPE => pieces.push(Piece::Answer(record.content.clone())),
            other => panic!("a record of type {other}"),
        }
    }
    pieces
}
