//! The formats in which hosts receive parameters, each written in one pass from the received bytes.

use crate::wire::Pair;

/// A name or value of up to this length is copied with a fixed length, including bytes after it. A
/// call of memcpy(3) for each would be half of the cost of a request outside the kernel.
const SHORT: usize = 32;

/// Spare bytes after the last value, and after the end of the output, for copies of fixed length.
pub(super) const SLACK: usize = 2 * SHORT;

/// The size of the flat format of `pairs` pairs with `text` bytes of names and values: each has a
/// length of 32 bits and a NUL.
pub(super) const fn flat_len(pairs: usize, text: usize) -> usize {
    text + pairs * 2 * (4 + 1)
}

/// Writes the flat format. `out` has its size and [`SLACK`].
pub(super) fn write_flat(pairs: &[Pair], bytes: &[u8], mut out: &mut [u8]) {
    const ROOM: usize = flat_len(1, 2 * SHORT);
    for pair in pairs {
        let (name_len, value_len) = (pair.name_len as usize, pair.value_len as usize);
        let from = &bytes[pair.start as usize..];
        let is_short = name_len <= SHORT && value_len <= SHORT;
        match (
            from.first_chunk::<{ 2 * SHORT }>(),
            out.first_chunk_mut::<ROOM>(),
        ) {
            // Both names and values without a bounds check for each.
            (Some(text), Some(field)) if is_short => {
                field[..4].copy_from_slice(&pair.name_len.to_be_bytes());
                field[4..4 + SHORT].copy_from_slice(&text[..SHORT]);
                field[4 + name_len] = 0;
                let value = 4 + name_len + 1;
                field[value..value + 4].copy_from_slice(&pair.value_len.to_be_bytes());
                let text = &text[name_len..name_len + SHORT];
                field[value + 4..value + 4 + SHORT].copy_from_slice(text);
                field[value + 4 + value_len] = 0;
                out = &mut out[value + 4 + value_len + 1..];
            }
            _ => {
                out = put_counted(out, from, name_len);
                out = put_counted(out, &from[name_len..], value_len);
            }
        }
    }
}

/// Writes the length, the first `length` bytes of `from`, and a NUL. Returns the rest of `out`.
fn put_counted<'o>(out: &'o mut [u8], from: &[u8], length: usize) -> &'o mut [u8] {
    let (count, out) = out.split_at_mut(4);
    count.copy_from_slice(&(length as u32).to_be_bytes());
    put(out, from, length, 0)
}

/// Writes the first `length` bytes of `from`, and the byte `end`. Returns the rest of `out`.
#[inline]
fn put<'o>(out: &'o mut [u8], from: &[u8], length: usize, end: u8) -> &'o mut [u8] {
    match (
        from.first_chunk::<SHORT>(),
        out.first_chunk_mut::<{ SHORT + 1 }>(),
    ) {
        (Some(text), Some(field)) if length <= SHORT => {
            field[..SHORT].copy_from_slice(text);
            field[length] = end;
            &mut out[length + 1..]
        }
        _ => put_long(out, from, length, end),
    }
}

#[inline(never)]
fn put_long<'o>(out: &'o mut [u8], from: &[u8], length: usize, end: u8) -> &'o mut [u8] {
    let (text, out) = out.split_at_mut(length);
    text.copy_from_slice(&from[..length]);
    out[0] = end;
    &mut out[1..]
}

/// The size of the strings, with [`SLACK`].
pub(super) const fn strings_len(pairs: usize, text: usize) -> usize {
    text + pairs * 2 + SLACK
}

/// Writes each pair as `NAME=VALUE` and a NUL, and calls `each` with it. `out` has room for them;
/// the rest is filled with zeroes.
pub(super) fn write_strings<'o>(
    pairs: &[Pair],
    bytes: &[u8],
    mut out: &'o mut [u8],
    mut each: impl FnMut(&'o mut [u8]),
) {
    const ROOM: usize = 2 * SHORT + 2;
    for pair in pairs {
        let (name_len, value_len) = (pair.name_len as usize, pair.value_len as usize);
        let from = &bytes[pair.start as usize..];
        let is_short = name_len <= SHORT && value_len <= SHORT;
        match (
            from.first_chunk::<{ 2 * SHORT }>(),
            out.first_chunk_mut::<ROOM>(),
        ) {
            (Some(text), Some(field)) if is_short => {
                field[..SHORT].copy_from_slice(&text[..SHORT]);
                field[name_len] = b'=';
                let value = name_len + 1;
                field[value..value + SHORT].copy_from_slice(&text[name_len..name_len + SHORT]);
                field[value + value_len] = 0;
            }
            _ => {
                let out = put(out, from, name_len, b'=');
                put(out, &from[name_len..], value_len, 0);
            }
        }
        let string;
        (string, out) = out.split_at_mut(name_len + 1 + value_len + 1);
        each(string);
    }
    out[..SLACK].fill(0);
}

/// Writes all names, each with a NUL, one more NUL, and all values, each with a NUL. Returns the
/// length. If it does not fit, nothing is written.
pub(super) fn copy_columns(pairs: &[Pair], text: usize, bytes: &[u8], into: &mut [u8]) -> usize {
    let needed = text + pairs.len() * 2 + 1;
    if let Some(mut out) = into.get_mut(..needed) {
        for pair in pairs {
            out = put(
                out,
                &bytes[pair.start as usize..],
                pair.name_len as usize,
                0,
            );
        }
        out = put(out, b"", 0, 0);
        for pair in pairs {
            out = put(
                out,
                &bytes[pair.value_start()..],
                pair.value_len as usize,
                0,
            );
        }
    }
    needed
}

/// Writes a NUL, and name, NUL, value, NUL for each pair whose value differs from that in `held`,
/// or is empty. `None` if `held`, in the format of [`copy_columns`], does not have the same names.
pub(super) fn copy_changes(
    pairs: &[Pair],
    bytes: &[u8],
    held: &[u8],
    into: &mut [u8],
) -> Option<usize> {
    let values = values_if_same_names(pairs, bytes, held)?;
    let changed = pairs.iter().zip(values).filter(|(pair, old)| {
        let value = pair.value(bytes);
        value.is_empty() || value != *old
    });
    let length = |pair: &Pair| pair.name_len as usize + pair.value_len as usize + 2;
    let needed = 1 + changed.clone().map(|(pair, _)| length(pair)).sum::<usize>();
    if let Some(out) = into.get_mut(..needed) {
        let mut out = put(out, b"", 0, 0);
        for (pair, _) in changed {
            out = put(
                out,
                &bytes[pair.start as usize..],
                pair.name_len as usize,
                0,
            );
            out = put(
                out,
                &bytes[pair.value_start()..],
                pair.value_len as usize,
                0,
            );
        }
    }
    Some(needed)
}

/// The values in `held`, if it has exactly the names of these pairs in this order.
fn values_if_same_names<'h>(
    pairs: &[Pair],
    bytes: &[u8],
    held: &'h [u8],
) -> Option<impl Iterator<Item = &'h [u8]> + Clone> {
    let mut rest = held;
    for pair in pairs {
        rest = rest.strip_prefix(pair.name(bytes))?.strip_prefix(b"\0")?;
    }
    let values = rest.strip_prefix(b"\0")?.strip_suffix(b"\0")?;
    let values = values.split(|&byte| byte == 0);
    // A value with a NUL in it would shift the values after it.
    (values.clone().count() == pairs.len()).then_some(values)
}
