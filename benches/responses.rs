//! Encoding of gathered responses, per byte and per write, compared with memcpy of the same bytes.

#![allow(missing_docs)] // criterion_group! makes a public function

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use fcgipm::conn::{Outbound, Stream};

/// A response that fits into the buffer, in writes of this size.
fn respond(outbound: &mut Outbound, content: &[u8], write: usize) -> usize {
    outbound.begin(1);
    for piece in content.chunks(write) {
        assert_eq!(outbound.gather(Stream::Stdout, piece), piece.len());
    }
    outbound.end(0);
    let length = outbound.pending().len();
    outbound.sent();
    length
}

fn gathered(criterion: &mut Criterion) {
    const SIZE: usize = 16 * 1024;
    let content = vec![b'x'; SIZE];
    let mut group = criterion.benchmark_group("response of 16 KiB per byte");
    group.throughput(Throughput::Bytes(SIZE as u64));
    group.bench_function("memcpy", |bencher| {
        let mut into = vec![0; SIZE];
        bencher.iter(|| black_box(&mut into).copy_from_slice(black_box(&content)));
    });
    // Only the writes, without the rest of a response.
    for write in [16, 256, 4096, SIZE] {
        group.bench_function(BenchmarkId::new("memcpy in pieces of", write), |bencher| {
            let mut into = vec![0; SIZE];
            bencher.iter(|| {
                for (to, from) in black_box(&mut into)
                    .chunks_mut(write)
                    .zip(black_box(&content).chunks(write))
                {
                    to.copy_from_slice(from);
                }
            });
        });
        group.bench_function(BenchmarkId::new("encode writes of", write), |bencher| {
            let mut outbound = Outbound::new();
            bencher.iter(|| respond(&mut outbound, black_box(&content), write));
        });
    }
    group.finish();
}

fn small(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("small responses");
    group.throughput(Throughput::Elements(1));
    group.bench_function("one write of 50 bytes", |bencher| {
        let (mut outbound, content) = (Outbound::new(), [b'x'; 50]);
        bencher.iter(|| respond(&mut outbound, black_box(&content), content.len()));
    });
    group.bench_function("framed in place, 64 KiB", |bencher| {
        let mut outbound = Outbound::new();
        bencher.iter(|| {
            outbound.begin(1);
            let direct = black_box(outbound.frame(Stream::Stdout, 64 * 1024));
            outbound.end(0);
            let length = outbound.pending().len() + direct.content;
            outbound.sent();
            length
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
    targets = gathered, small
}
criterion_main!(benches);
