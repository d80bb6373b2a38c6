//! Parameters, per pair and per byte, compared with memcpy of the same bytes.

#![allow(missing_docs)] // criterion_group! makes a public function

use std::hint::black_box;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use fcgipm::conn::{Event, Inbound, PairLimits, Params, Scope};
use fcgipm::wire::{BeginRequest, Header, PairDecoder, Pairs, RecordType, encode_pair};

const LIMITS: PairLimits = PairLimits {
    count: 10_000,
    pair: 1 << 20,
    total: 1 << 20,
};

/// Parameters as from a web server: names of about 12 bytes, values of about 24.
fn pairs(count: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    for number in 0..count {
        let name = format!("HTTP_X_LOAD_{number}");
        encode_pair(name.as_bytes(), b"a value of usual length", &mut bytes);
    }
    bytes
}

/// A complete request without a body.
fn request(pairs: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut record = |kind, content: &[u8]| {
        let header = Header::new(kind, 1, content.len() as u16);
        bytes.extend_from_slice(&header.encode());
        bytes.extend_from_slice(content);
        bytes.resize(bytes.len() + usize::from(header.padding_length), 0);
    };
    record(
        RecordType::BeginRequest,
        &[0, 1, 0, 0, 0, 0, 0, 0][..BeginRequest::LEN],
    );
    for piece in pairs.chunks(65_528) {
        record(RecordType::Params, piece);
    }
    record(RecordType::Params, &[]);
    record(RecordType::Stdin, &[]);
    bytes
}

fn by(criterion: &mut Criterion, group: &str, throughput: impl Fn(usize, usize) -> Throughput) {
    let mut group = criterion.benchmark_group(group);
    for count in [10, 28, 100, 300, 1000] {
        let bytes = pairs(count);
        let whole = request(&bytes);
        group.throughput(throughput(count, bytes.len()));
        let id = |what| BenchmarkId::new(what, count);

        group.bench_function(id("memcpy"), |bencher| {
            let mut into = vec![0; bytes.len()];
            bencher.iter(|| black_box(&mut into).copy_from_slice(black_box(&bytes)));
        });
        group.bench_function(id("iterate"), |bencher| {
            bencher.iter(|| {
                Pairs::new(black_box(&bytes))
                    .flatten()
                    .map(|(name, value)| name.len() + value.len())
                    .sum::<usize>()
            });
        });
        group.bench_function(id("decode"), |bencher| {
            let (mut gathered, mut found) = (Vec::new(), Vec::new());
            bencher.iter(|| {
                gathered.clear();
                found.clear();
                gathered.extend_from_slice(black_box(&bytes));
                let result = PairDecoder::new(LIMITS).push(&mut gathered, &mut found);
                assert!(result.is_ok());
                found.len()
            });
        });
        // All steps of a request until the host has its parameters.
        let flat: fn(&mut Params) = |params| {
            black_box(params.flat(Scope::Environment));
        };
        let listed: fn(&mut Params) = |params| {
            params.iter(Scope::Environment).for_each(|pair| {
                black_box(pair);
            });
        };
        for (what, hand_over) in [("request, flat", flat), ("request, listed", listed)] {
            group.bench_function(id(what), |bencher| {
                let mut inbound = Inbound::new(LIMITS);
                bencher.iter(|| {
                    let mut rest = &black_box(&whole)[..];
                    while !rest.is_empty() {
                        let step = inbound
                            .handle(rest)
                            .unwrap_or_else(|error| panic!("{error}"));
                        rest = &rest[step.consumed..];
                        if matches!(step.event, Some(Event::Request)) {
                            hand_over(inbound.params_mut());
                        }
                    }
                    inbound.finish();
                });
            });
        }
        group.bench_function(id("encode"), |bencher| {
            let list: Vec<(Vec<u8>, Vec<u8>)> = Pairs::new(&bytes)
                .flatten()
                .map(|(name, value)| (name.to_vec(), value.to_vec()))
                .collect();
            bencher.iter_batched_ref(
                || Vec::with_capacity(bytes.len()),
                |into| {
                    list.iter()
                        .for_each(|(name, value)| encode_pair(name, value, into))
                },
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

fn per_pair(criterion: &mut Criterion) {
    by(criterion, "parameters per pair", |count, _| {
        Throughput::Elements(count as u64)
    });
}

fn per_byte(criterion: &mut Criterion) {
    by(criterion, "parameters per byte", |_, bytes| {
        Throughput::Bytes(bytes as u64)
    });
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(std::time::Duration::from_millis(100))
        .measurement_time(std::time::Duration::from_millis(300))
        .sample_size(20);
    targets = per_pair, per_byte
}
criterion_main!(benches);
