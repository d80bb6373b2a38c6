//! Bodies, and their hashes.

use std::collections::HashMap;
use std::sync::{Mutex, OnceLock};

use sha2::{Digest as _, Sha256};

pub(crate) const KIB: usize = 1024;
pub(crate) const MIB: usize = 1024 * KIB;
pub(crate) const LARGEST: usize = 64 * MIB;

/// A body of this size without repetitions: any lost, duplicated or displaced part changes its
/// hash.
pub(crate) fn body(size: usize) -> &'static [u8] {
    static LONGEST: OnceLock<Vec<u8>> = OnceLock::new();
    let longest = LONGEST.get_or_init(|| {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut bytes = Vec::with_capacity(LARGEST);
        while bytes.len() < LARGEST {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            bytes.extend_from_slice(&state.to_ne_bytes());
        }
        bytes
    });
    &longest[..size]
}

/// The FNV-1a hash of [`body`], as 16 hexadecimal digits.
pub(crate) fn fnv1a(size: usize) -> String {
    static KNOWN: OnceLock<Mutex<HashMap<usize, String>>> = OnceLock::new();
    once(&KNOWN, size, |bytes| {
        let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
        });
        format!("{hash:016x}")
    })
}

/// The SHA-256 hash of [`body`] in hexadecimal digits.
pub(crate) fn sha256(size: usize) -> String {
    static KNOWN: OnceLock<Mutex<HashMap<usize, String>>> = OnceLock::new();
    once(&KNOWN, size, |bytes| {
        let hash = Sha256::digest(bytes);
        hash.iter().map(|byte| format!("{byte:02x}")).collect()
    })
}

/// Computes a hash once: 64 MiB take seconds without optimisation, and every test needs them.
fn once(
    known: &'static OnceLock<Mutex<HashMap<usize, String>>>,
    size: usize,
    hash: impl FnOnce(&[u8]) -> String,
) -> String {
    let mut known = known.get_or_init(Mutex::default).lock().unwrap();
    let hash = known.entry(size).or_insert_with(|| hash(body(size)));
    hash.clone()
}
