//! Bodies through `read`, of every shape and into every size of buffer. One thread plays both sides: it knows how
//! much content lies in what it has sent, and reads just that, so nothing here waits.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::net::UnixStream;

use crate::error::{Code, Result};
use crate::options::Options;
use crate::server::Request;

const RESPONDER: u8 = 1;
const FILTER: u8 = 3;
const ABORT: u8 = 2;
const STDIN: u8 = 5;
const DATA: u8 = 8;
const GET_VALUES: u8 = 9;

/// What a peer sends, and of each byte whether it is the input's.
#[derive(Default)]
struct Script {
    bytes: Vec<u8>,
    is_content: Vec<bool>,
    body: Vec<u8>,
}

#[cfg(test)]
impl Script {
    /// A request on a keep-alive connection, up to the end of its parameters.
    fn new(role: u8) -> Self {
        let mut script = Self::default();
        script.record(1, &[0, role, 1, 0, 0, 0, 0, 0], 0);
        script.record(4, b"", 0);
        script
    }

    fn record(&mut self, kind: u8, content: &[u8], padding: u8) {
        let id = u8::from(kind != GET_VALUES);
        let length = u16::try_from(content.len()).unwrap().to_be_bytes();
        self.bytes
            .extend([1, kind, 0, id, length[0], length[1], padding, 0]);
        self.is_content.resize(self.bytes.len(), false);
        self.bytes.extend(content);
        let is_input = [STDIN, DATA].contains(&kind);
        self.is_content.resize(self.bytes.len(), is_input);
        // Padding that would be seen in the body.
        self.bytes
            .resize(self.bytes.len() + usize::from(padding), b'#');
        self.is_content.resize(self.bytes.len(), false);
        if is_input {
            self.body.extend(content);
        }
    }

    /// `length` bytes more of the input, which differ from their neighbours.
    fn input(&mut self, kind: u8, length: usize, padding: u8) {
        let from = self.body.len();
        let content: Vec<u8> = (from..from + length).map(|at| (at % 251) as u8).collect();
        self.record(kind, &content, padding);
    }

    fn content_within(&self, range: std::ops::Range<usize>) -> usize {
        self.is_content[range].iter().filter(|is| **is).count()
    }
}

struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % bound
    }
}

struct Side {
    request: Request,
    peer: UnixStream,
    _listener: TcpListener,
}

#[cfg(test)]
impl Side {
    fn new(options: &Options) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let request = Request::new(listener.as_raw_fd(), 0, options, None).unwrap();
        let (peer, _) = UnixStream::pair().unwrap();
        let _listener = listener;
        Self {
            request,
            peer,
            _listener,
        }
    }

    /// A new connection.
    fn connect(&mut self) {
        let near;
        (self.peer, near) = UnixStream::pair().unwrap();
        self.request.serve(OwnedFd::from(near));
    }

    /// Reads `count` bytes, at most `size` in one call.
    fn read(&mut self, count: usize, size: usize, into: &mut Vec<u8>) {
        let mut buffer = vec![b'!'; size];
        let wanted = into.len() + count;
        while into.len() < wanted {
            let read = self.request.read(&mut buffer).unwrap();
            assert!(read > 0, "the end after {} of {wanted}", into.len());
            into.extend(&buffer[..read]);
        }
        assert_eq!(into.len(), wanted);
    }

    /// Sends and reads in turn.
    fn exchange(
        &mut self,
        script: &Script,
        mut from: usize,
        mut piece: impl FnMut() -> usize,
        size: usize,
    ) {
        let mut got = Vec::new();
        while from < script.bytes.len() {
            let to = (from + piece()).min(script.bytes.len());
            self.peer.write_all(&script.bytes[from..to]).unwrap();
            self.read(script.content_within(from..to), size, &mut got);
            from = to;
        }
        assert!(got == script.body, "the body is another one");
    }

    fn ends(&mut self) -> Result<usize> {
        let first = self.request.read(&mut [0; 100_000]);
        let again = self.request.read(&mut [0]);
        assert_eq!(
            again.map_err(|e| e.code()),
            first.clone().map_err(|e| e.code())
        );
        first
    }
}

/// Pieces that a unix socket holds.
const MOST: usize = 100_000;

#[test]
fn bodies_come_whole_in_records_and_pieces_and_buffers_of_any_size() {
    let mut side = Side::new(&Options::new());
    let mut chance = Chance(1);
    let sizes = [
        1,
        7,
        4095,
        4096,
        20_000,
        32_768,
        65_528,
        65_536,
        65_544,
        131_072,
        1 << 20,
    ];
    for size in sizes {
        for length in [1, 100, 4095, 4096, 8192, 32_768, 65_528, 65_535, 0] {
            for padding in [0, 1, 255] {
                let total = if size.min(length) < 100 {
                    3000
                } else {
                    400_000
                };
                let mut script = Script::new(RESPONDER);
                let head = script.bytes.len();
                while script.body.len() < total {
                    // Of no length: any.
                    let bound = [100, 10_000, 65_535][chance.below(3)];
                    let any = 1 + chance.below(bound);
                    let odd = chance.below(8) == 0;
                    let next = if length == 0 || odd { any } else { length };
                    script.input(STDIN, next, if odd { 8 } else { padding });
                    if chance.below(16) == 0 {
                        script.record(GET_VALUES, b"", 0);
                    }
                }
                script.record(STDIN, b"", padding);
                side.connect();
                side.peer.write_all(&script.bytes[..head]).unwrap();
                side.request.accept().unwrap();
                let most = [MOST, 65_544, 5000][chance.below(3)];
                side.exchange(&script, head, || 1 + chance.below(most), size);
                assert_eq!(side.ends().unwrap(), 0);
                assert!(side.request.input_ended());
                side.request.finish().unwrap();
            }
        }
    }
}

#[test]
fn what_was_sent_ahead_of_its_turn_is_the_next_request() {
    let mut side = Side::new(&Options::new());
    for size in [100, 5000, 65_536, 300_000] {
        // What follows is never as long as the records before it, nor a record of the same input.
        for length in [5000, 20_000, 32_768] {
            side.connect();
            let mut script = Script::new(RESPONDER);
            let head = script.bytes.len();
            for _ in 0..90_000 / length {
                script.input(STDIN, length, 0);
            }
            script.record(STDIN, b"", 0);
            let mut next = Script::new(RESPONDER);
            next.input(STDIN, 10_000, 3);
            next.input(STDIN, 10_000, 3);
            next.record(STDIN, b"", 0);
            side.peer.write_all(&script.bytes).unwrap();
            side.peer.write_all(&next.bytes).unwrap();
            side.request.accept().unwrap();
            let mut got = Vec::new();
            side.read(
                script.content_within(head..script.bytes.len()),
                size,
                &mut got,
            );
            assert!(got == script.body);
            if length != 20_000 {
                assert_eq!(side.ends().unwrap(), 0);
            }
            side.request.finish().unwrap();
            side.request.accept().unwrap();
            let mut got = Vec::new();
            side.read(next.body.len(), size, &mut got);
            assert!(got == next.body);
            assert_eq!(side.ends().unwrap(), 0);
            side.request.finish().unwrap();
            // Two ends of STDOUT and two of requests.
            let mut answers = [0; 64];
            side.peer.read_exact(&mut answers[..48]).unwrap();
            assert_eq!(
                (answers[1], answers[9], answers[25], answers[33]),
                (6, 3, 6, 3)
            );
            drop(std::mem::replace(
                &mut side.peer,
                UnixStream::pair().unwrap().0,
            ));
        }
    }
}

/// Four records, the first ones alike, and an end of some kind.
fn ended_by(end: &str) -> Script {
    let mut script = Script::new(RESPONDER);
    for length in [4200, 4200, 4200, 300] {
        script.input(STDIN, length, 2);
    }
    match end {
        "end" => script.record(STDIN, b"", 0),
        "abort" => script.record(ABORT, b"", 0),
        _ => {
            let at = script.bytes.len();
            script.record(STDIN, b"", 0);
            script.bytes[at] = 9;
        }
    }
    script
}

#[test]
fn a_stream_that_is_cut_anywhere_gives_what_came_and_then_its_end() {
    let mut side = Side::new(&Options::new());
    let ends = [
        ("end", Ok(0)),
        ("abort", Err(Code::Aborted)),
        ("another version", Err(Code::Protocol)),
    ];
    for (end, outcome) in ends {
        let script = ended_by(end);
        let head = Script::new(RESPONDER).bytes.len();
        for cut in head..=script.bytes.len() {
            let size = [4096, 9000, 65_536, 33][cut % 4];
            for continues in [true, false] {
                side.connect();
                side.peer.write_all(&script.bytes[..cut]).unwrap();
                side.request.accept().unwrap();
                let mut got = Vec::new();
                side.read(script.content_within(head..cut), size, &mut got);
                if continues {
                    side.peer.write_all(&script.bytes[cut..]).unwrap();
                    side.read(script.body.len() - got.len(), size, &mut got);
                    assert!(got == script.body, "{end}, cut at {cut}");
                } else {
                    side.peer.shutdown(Shutdown::Write).unwrap();
                    assert!(script.body.starts_with(&got));
                }
                let expected = if continues || cut == script.bytes.len() {
                    outcome
                } else {
                    Err(Code::Incomplete)
                };
                let ended = side.ends().map_err(|error| error.code());
                assert_eq!(
                    ended, expected,
                    "{end}, cut at {cut}, continues: {continues}"
                );
                side.request.abandon().unwrap();
            }
        }
    }
}

#[test]
fn a_filter_reads_its_data_as_it_reads_its_input() {
    let mut side = Side::new(&Options::new());
    for size in [100, 65_536] {
        side.connect();
        let mut script = Script::new(FILTER);
        let head = script.bytes.len();
        script.input(STDIN, 30_000, 0);
        script.input(STDIN, 30_000, 0);
        script.record(STDIN, b"", 0);
        let mut data = Script::default();
        for _ in 0..8 {
            data.input(DATA, 30_000, 0);
        }
        data.record(DATA, b"", 0);
        side.peer.write_all(&script.bytes).unwrap();
        side.peer.write_all(&data.bytes[..100_000]).unwrap();
        side.request.accept().unwrap();
        let mut got = Vec::new();
        side.read(
            script.content_within(head..script.bytes.len()),
            size,
            &mut got,
        );
        assert!(got == script.body);
        assert_eq!(side.ends().unwrap(), 0);
        side.request.start_filter_data().unwrap();
        let mut got = Vec::new();
        side.read(data.content_within(0..100_000), size, &mut got);
        side.peer.write_all(&data.bytes[100_000..]).unwrap();
        side.read(data.body.len() - got.len(), size, &mut got);
        assert!(got == data.body);
        assert_eq!(side.ends().unwrap(), 0);
        side.request.abandon().unwrap();
    }
}

#[test]
fn a_large_read_is_filled_and_tells_of_what_broke_it_off_at_the_next_call() {
    let mut options = Options::new();
    options.set("body_timeout", "0.05").unwrap();
    let mut side = Side::new(&options);
    let mut script = Script::new(RESPONDER);
    let mut chance = Chance(7);
    while script.body.len() < 1 << 20 {
        script.input(STDIN, [32_768, 1 + chance.below(9000)][chance.below(2)], 0);
    }
    for size in [10_000, 65_536, 2 << 20] {
        side.connect();
        let mut peer = side.peer.try_clone().unwrap();
        let bytes = script.bytes.clone();
        let writer = std::thread::spawn(move || peer.write_all(&bytes).unwrap());
        side.request.accept().unwrap();
        let mut buffer = vec![0; size];
        let mut got: Vec<u8> = Vec::new();
        while got.len() < script.body.len() {
            let read = side.request.read_full(&mut buffer).unwrap();
            got.extend(&buffer[..read]);
            assert!(read == size || got.len() == script.body.len());
        }
        writer.join().unwrap();
        assert!(got == script.body);
        assert_eq!(side.ends().unwrap_err().code(), Code::TimedOut);
        side.request.abandon().unwrap();
    }
}
