//! Behaviour of the running kernel that can only be derived from its version.

use nix::sys::utsname::uname;
use once_cell::race::OnceBool;

/// Whether `EPOLLEXCLUSIVE` works: of several processes in epoll_wait(2), a new connection wakes
/// one. Before Linux 5.7 the kernel may choose a process that was woken already and has not run
/// yet; then no process accepts the connection.
pub(crate) fn wakes_one_in_epoll() -> bool {
    // Without blocking: a child that was forked during the initialisation would wait forever.
    static KNOWN: OnceBool = OnceBool::new();
    KNOWN.get_or_init(|| {
        let name = uname();
        let release = name.as_ref().ok().and_then(|name| name.release().to_str());
        release
            .and_then(version)
            .is_some_and(|found| found >= (5, 7))
    })
}

/// The first two numbers of a release name.
fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|character: char| !character.is_ascii_digit());
    let mut next = || numbers.next()?.parse().ok();
    Some((next()?, next()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_begins_with_two_numbers() {
        assert_eq!(version("5.7.0-rc1"), Some((5, 7)));
        assert_eq!(version("6.18.44-cloud"), Some((6, 18)));
        assert_eq!(version("4.18.0-553.el8_10.x86_64"), Some((4, 18)));
        assert_eq!(version("5.10"), Some((5, 10)));
        assert_eq!(version("10.0-x"), Some((10, 0)));
        assert_eq!(version("6"), None);
        assert_eq!(version("next-6.1"), None);
    }
}
