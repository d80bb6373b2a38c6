//! Random bytes of the kernel (getrandom(2)).

use nix::errno::Errno;

/// Bytes that nobody can guess.
///
/// # Errors
/// The kernel has no such call.
pub(crate) fn bytes<const COUNT: usize>() -> nix::Result<[u8; COUNT]> {
    let mut bytes = [0; COUNT];
    let mut filled = 0;
    while filled < COUNT {
        let rest = &mut bytes[filled..];
        // SAFETY: the memory is that of the slice.
        let count = unsafe { libc::getrandom(rest.as_mut_ptr().cast(), rest.len(), 0) };
        match Errno::result(count) {
            Ok(count) => filled += count as usize,
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    #[test]
    fn each_call_has_other_bytes() {
        let one: [u8; 16] = super::bytes().unwrap();
        assert_ne!(one, super::bytes::<16>().unwrap());
    }
}
