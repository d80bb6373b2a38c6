//! Both directions of a connection.

use fcgipm::conn::Stream;
use fcgipm::wire::PairLimits;

use super::pieces::{Lengths, cut};
use super::response::{self, Act};
use super::session::{Host, Seen, observe};

/// The first byte chooses the direction and the host's habits, the next four the rest of them and
/// the pieces; then comes what arrives, or what the application does.
pub fn check(data: &[u8]) {
    let Some(([habits, rest @ ..], data)) = data.split_first_chunk::<5>() else {
        return;
    };
    if habits & 0x80 != 0 {
        response::check(&acts(data));
        return;
    }
    let host = Host {
        reads: match rest[0] {
            255 => usize::MAX,
            few => usize::from(few) * usize::from(few),
        },
        lingers: habits & 1 != 0,
        parks: habits & 2 != 0,
        limits: PairLimits {
            count: 1 + usize::from(rest[1]),
            pair: 1 << (rest[2] % 20),
            total: 1 << (rest[2] % 24),
        },
    };
    check_splits(host, data, u64::from(rest[3]));
}

/// Any split of the bytes gives the same events and the same replies, and so does a connection that
/// is handed from worker to worker.
pub fn check_splits(host: Host, data: &[u8], seed: u64) {
    let whole = observe(host, [data]);
    compare(&observe(host, cut(data, std::iter::repeat(1))), &whole);
    compare(&observe(host, cut(data, Lengths::new(seed))), &whole);
    let parks = !host.parks;
    let other = Host { parks, ..host };
    compare(&observe(other, cut(data, Lengths::new(!seed))), &whole);
}

/// Says where they part, not all that they have in common.
pub fn compare(pieces: &[Seen], whole: &[Seen]) {
    let same = pieces.iter().zip(whole).take_while(|(a, b)| a == b).count();
    assert!(
        pieces[same..] == whole[same..],
        "after {same} events: in pieces {:?}, as a whole {:?}",
        &pieces[same..],
        &whole[same..]
    );
}

/// Reads what an application does from three bytes an act: what, and how much of it.
fn acts(data: &[u8]) -> Vec<Act> {
    let mut budget = 1 << 20;
    let acts = data.chunks_exact(3).filter_map(<[u8]>::first_chunk::<3>);
    let mut act = |[what, high, low]: [u8; 3]| {
        let length = usize::from(u16::from_be_bytes([high, low])).min(budget);
        budget -= length;
        let stream = if what & 8 == 0 {
            Stream::Stdout
        } else {
            Stream::Stderr
        };
        let bytes = || {
            (0..length)
                .map(|i| (i as u8).wrapping_mul(31) ^ what)
                .collect()
        };
        match what % 6 {
            0 | 1 => Act::Gather(stream, bytes()),
            2 => Act::Framed(stream, bytes()),
            3 => Act::Answer(bytes()),
            4 => Act::Flush,
            _ => Act::End(u32::from(low)),
        }
    };
    acts.map(|bytes| act(*bytes)).collect()
}
