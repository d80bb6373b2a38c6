//! Decoding of records: a body, per byte and compared with memcpy of the same bytes, and headers.

#![allow(missing_docs)] // criterion_group! makes a public function

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use fcgipm::conn::{Event, Inbound, PairLimits};
use fcgipm::wire::{HEADER_LEN, Header, RecordType};

const LIMITS: PairLimits = PairLimits {
    count: 100,
    pair: 1 << 16,
    total: 1 << 16,
};

/// A body in records of this size.
fn records(body: usize, size: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    let content = vec![b'x'; size];
    for _ in 0..body / size {
        bytes.extend_from_slice(&Header::new(RecordType::Stdin, 1, size as u16).encode());
        bytes.extend_from_slice(&content);
    }
    bytes
}

/// BEGIN_REQUEST and the end of the parameters.
fn head() -> Vec<u8> {
    let mut bytes = Header::new(RecordType::BeginRequest, 1, 8)
        .encode()
        .to_vec();
    bytes.extend_from_slice(&[0, 1, 1, 0, 0, 0, 0, 0]);
    bytes.extend_from_slice(&Header::new(RecordType::Params, 1, 0).encode());
    bytes
}

/// Decodes all input, and returns the length of the body.
fn feed(inbound: &mut Inbound, mut rest: &[u8]) -> usize {
    let mut body = 0;
    while !rest.is_empty() {
        let step = inbound
            .handle(rest)
            .unwrap_or_else(|error| panic!("{error}"));
        rest = &rest[step.consumed..];
        if let Some(Event::Stdin(piece)) = step.event {
            body += piece.len();
        }
    }
    body
}

fn body(criterion: &mut Criterion) {
    const BODY: usize = 64 * 1024;
    let mut group = criterion.benchmark_group("body of 64 KiB per byte");
    group.throughput(Throughput::Bytes(BODY as u64));
    group.bench_function("memcpy", |bencher| {
        let (from, mut into) = (vec![b'x'; BODY], vec![0; BODY]);
        bencher.iter(|| black_box(&mut into).copy_from_slice(black_box(&from)));
    });
    for size in [64, 1024, 8192, 32_768] {
        let bytes = records(BODY, size);
        group.bench_function(BenchmarkId::new("decode records of", size), |bencher| {
            let mut inbound = Inbound::new(LIMITS);
            assert_eq!(feed(&mut inbound, &head()), 0);
            bencher.iter(|| assert_eq!(feed(&mut inbound, black_box(&bytes)), BODY));
        });
        // As for a program that reads: decoded, and copied once.
        group.bench_function(
            BenchmarkId::new("decode and copy records of", size),
            |bencher| {
                let (mut inbound, mut into) = (Inbound::new(LIMITS), vec![0; BODY]);
                assert_eq!(feed(&mut inbound, &head()), 0);
                bencher.iter(|| {
                    let (mut rest, mut at) = (black_box(&bytes[..]), 0);
                    while !rest.is_empty() {
                        let step = inbound
                            .handle(rest)
                            .unwrap_or_else(|error| panic!("{error}"));
                        rest = &rest[step.consumed..];
                        if let Some(Event::Stdin(piece)) = step.event {
                            black_box(&mut into)[at..at + piece.len()].copy_from_slice(piece);
                            at += piece.len();
                        }
                    }
                });
            },
        );
    }
    group.finish();
}

fn headers(criterion: &mut Criterion) {
    const COUNT: usize = 1000;
    let bytes: Vec<u8> = (0..COUNT)
        .flat_map(|number| Header::new(RecordType::Stdin, 1, number as u16).encode())
        .collect();
    let mut group = criterion.benchmark_group("headers");
    group.throughput(Throughput::Elements(COUNT as u64));
    group.bench_function("decode", |bencher| {
        bencher.iter(|| {
            let headers = black_box(&bytes).chunks_exact(HEADER_LEN);
            headers
                .filter_map(<[u8]>::first_chunk)
                .map(|bytes| usize::from(Header::decode(*bytes).content_length))
                .sum::<usize>()
        });
    });
    group.bench_function("encode", |bencher| {
        let mut into = bytes.clone();
        bencher.iter(|| {
            let places = black_box(&mut into).chunks_exact_mut(HEADER_LEN);
            for (number, at) in places.enumerate() {
                at.copy_from_slice(&Header::new(RecordType::Stdout, 1, number as u16).encode());
            }
        });
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(std::time::Duration::from_millis(100))
        .measurement_time(std::time::Duration::from_millis(300))
        .sample_size(20);
    targets = body, headers
}
criterion_main!(benches);
