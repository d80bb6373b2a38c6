//! Allocations of `wire` and `conn`: none for data that a peer only claims, and none for a request
//! like the previous one.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use fcgipm::conn::{Event, Inbound, Outbound, Scope, Stream};
use fcgipm::wire::{BeginRequest, Header, PairDecoder, PairLimits, RecordType, encode_pair};

/// Counts the allocations of each thread, since the harness has its own threads.
struct Counting;

thread_local! {
    static COUNT: Cell<usize> = const { Cell::new(0) };
    static BYTES: Cell<usize> = const { Cell::new(0) };
}

fn count(bytes: usize) {
    // A thread that exits has no counters.
    let _ = COUNT.try_with(|count| count.set(count.get() + 1));
    let _ = BYTES.try_with(|sum| sum.set(sum.get() + bytes));
}

// SAFETY: it passes all calls to the system's allocator, under the same contract.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: the caller keeps the contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size);
        // SAFETY: the caller keeps the contract.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The number of allocations of the body, and their total size.
fn allocations(body: impl FnOnce()) -> (usize, usize) {
    let before = (COUNT.get(), BYTES.get());
    body();
    (COUNT.get() - before.0, BYTES.get() - before.1)
}

const WIDE: PairLimits = PairLimits {
    count: usize::MAX,
    pair: usize::MAX,
    total: usize::MAX,
};

fn record(out: &mut Vec<u8>, kind: RecordType, content: &[u8]) {
    let header = Header::new(kind, 1, content.len() as u16);
    out.extend(header.encode());
    out.extend(content);
    out.resize(out.len() + usize::from(header.padding_length), 0);
}

/// A request with parameters as from nginx, and some that are not part of the environment.
fn request(keep_connection: bool) -> Vec<u8> {
    let mut pairs = Vec::new();
    for number in 0..28 {
        let name = format!("HTTP_PARAMETER_{number}");
        encode_pair(name.as_bytes(), &[b'v'; 60], &mut pairs);
    }
    encode_pair(b"HTTP_PROXY", b"http://proxy/", &mut pairs);
    encode_pair(b"A=B", b"malformed", &mut pairs);
    let mut out = Vec::new();
    let begin = BeginRequest {
        role: 1,
        keep_connection,
    };
    record(&mut out, RecordType::BeginRequest, &begin.encode());
    for piece in pairs.chunks(1_000) {
        record(&mut out, RecordType::Params, piece);
    }
    record(&mut out, RecordType::Params, &[]);
    record(&mut out, RecordType::Stdin, &[b'b'; 5_000]);
    record(&mut out, RecordType::Stdin, &[]);
    out
}

/// Serves a complete request, which arrives in pieces.
fn serve(inbound: &mut Inbound, outbound: &mut Outbound, bytes: &[u8], piece: usize) {
    let mut body = 0;
    for mut left in bytes.chunks(piece) {
        while !left.is_empty() {
            let step = inbound.handle(left).unwrap();
            left = &left[step.consumed..];
            match step.event {
                Some(Event::Stdin(piece)) => body += piece.len(),
                Some(Event::Request) => {
                    outbound.clear();
                    outbound.begin(1);
                    let params = inbound.params_mut();
                    assert!(params.get(b"HTTP_PROXY").is_some());
                    assert!(!params.flat(Scope::Environment).is_empty());
                    let mut columns = [0; 8192];
                    let length = params.copy_columns(Scope::WellFormed, b"", &mut columns);
                    assert!(length < columns.len());
                    params.write_strings(Scope::WellFormed, &mut columns, |_| {});
                }
                _ => {}
            }
        }
    }
    assert_eq!(body, 5_000);
    assert!(inbound.input_is_complete());
    // Headers, a page, messages and an end.
    for (stream, length) in [
        (Stream::Stdout, 100),
        (Stream::Stderr, 77),
        (Stream::Stdout, 40_000),
        (Stream::Stderr, 1),
        (Stream::Stdout, 1),
    ] {
        let mut left = &[b'x'; 40_000][..length];
        while !left.is_empty() {
            let taken = outbound.gather(stream, left);
            left = &left[taken..];
            if !left.is_empty() {
                assert!(!outbound.pending().is_empty());
                outbound.sent();
            }
        }
    }
    outbound.frame(Stream::Stdout, 100_000);
    outbound.sent();
    outbound.end(0);
    assert!(!outbound.pending().is_empty());
    outbound.sent();
    inbound.finish();
}

#[test]
fn a_request_like_the_previous_one_allocates_nothing() {
    let bytes = request(true);
    for piece in [bytes.len(), 1_500, 7] {
        let mut inbound = Inbound::new(WIDE);
        let mut outbound = Outbound::new();
        serve(&mut inbound, &mut outbound, &bytes, piece);
        let (count, _) = allocations(|| {
            for _ in 0..100 {
                serve(&mut inbound, &mut outbound, &bytes, piece);
            }
        });
        assert_eq!(count, 0, "allocations in 100 requests, pieces of {piece}");
    }
}

#[test]
fn a_connection_like_the_previous_one_allocates_nothing() {
    let bytes = request(false);
    let mut inbound = Inbound::new(WIDE);
    let mut outbound = Outbound::new();
    serve(&mut inbound, &mut outbound, &bytes, bytes.len());
    let (count, _) = allocations(|| {
        let suspended = inbound.suspend();
        assert!(suspended.is_between_records());
        inbound.resume(fcgipm::conn::Suspended::fresh());
        serve(&mut inbound, &mut outbound, &bytes, bytes.len());
    });
    assert_eq!(count, 0);
}

/// The buffer has its final capacity from the start.
#[test]
fn a_full_buffer_of_a_response_fits_its_first_allocation() {
    let mut outbound = Outbound::new();
    let (count, _) = allocations(|| {
        for first in 32 * 1024 - 40..=32 * 1024 {
            for second in 1..40 {
                outbound.begin(1);
                outbound.gather(Stream::Stdout, &[b'x'; 32 * 1024][..first]);
                outbound.gather(Stream::Stderr, &[b'y'; 40][..second]);
                outbound.end(0);
                outbound.sent();
            }
        }
    });
    assert_eq!(count, 0);
}

#[test]
fn claimed_lengths_allocate_nothing() {
    let mut inbound = Inbound::new(WIDE);
    let mut bytes = Vec::new();
    let begin = BeginRequest {
        role: 1,
        keep_connection: true,
    };
    record(&mut bytes, RecordType::BeginRequest, &begin.encode());
    // A name and a value of 2 GiB less a byte each, of which two bytes arrive.
    let mut content = vec![0xff; 8];
    content.extend(b"NA");
    bytes.extend(Header::new(RecordType::Params, 1, 65_535).encode());
    bytes.extend(&content);
    let (_, taken) = allocations(|| assert!(inbound.handle(&bytes).unwrap().event.is_none()));
    assert!(taken < 64, "{taken} bytes allocated for 10 that arrived");
}

#[test]
fn get_values_allocates_only_for_what_has_arrived() {
    let mut inbound = Inbound::new(WIDE);
    let header = Header::new(RecordType::GetValues, 0, 65_535).encode();
    let (_, taken) = allocations(|| {
        assert!(inbound.handle(&header).unwrap().event.is_none());
        assert!(inbound.handle(b"abc").unwrap().event.is_none());
    });
    assert!(taken < 64, "{taken} bytes allocated for 3 that arrived");
}

/// A buffer that grows by doubling allocates up to four times its final content in total.
#[test]
fn parameters_allocate_in_proportion_to_what_arrives() {
    let mut inbound = Inbound::new(WIDE);
    let mut start = Vec::new();
    let begin = BeginRequest {
        role: 1,
        keep_connection: true,
    };
    record(&mut start, RecordType::BeginRequest, &begin.encode());
    // One parameter of 2 GiB, of which 4 MiB arrive.
    record(
        &mut start,
        RecordType::Params,
        &[1, 0xff, 0xff, 0xff, 0xff, b'N'],
    );
    let mut piece = Vec::new();
    record(&mut piece, RecordType::Params, &[b'v'; 32 * 1024]);
    inbound.handle(&start).unwrap();
    let mut arrived = 0;
    let mut sum = 0;
    for _ in 0..128 {
        let (_, taken) = allocations(|| assert!(inbound.handle(&piece).unwrap().event.is_none()));
        arrived += piece.len();
        sum += taken;
        assert!(sum <= 4 * arrived + 1024, "{sum} bytes for {arrived}");
    }
}

#[test]
fn the_pair_decoder_allocates_nothing_within_the_capacity() {
    let mut pairs = Vec::new();
    for length in 0..300 {
        encode_pair(&vec![b'n'; length], &vec![b'v'; 300 - length], &mut pairs);
    }
    let mut bytes = Vec::with_capacity(pairs.len());
    let mut found = Vec::with_capacity(300);
    let (count, _) = allocations(|| {
        for size in [1, 2, 3, 100, pairs.len()] {
            let mut decoder = PairDecoder::new(WIDE);
            bytes.clear();
            found.clear();
            for piece in pairs.chunks(size) {
                bytes.extend_from_slice(piece);
                decoder.push(&mut bytes, &mut found).unwrap();
            }
            assert_eq!(found.len(), 300);
        }
    });
    assert_eq!(count, 0);
}
