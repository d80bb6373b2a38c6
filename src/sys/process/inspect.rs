//! What /proc shows of a child.

use std::fs;

/// Memory of a process in bytes, shared and private, including what is swapped out (proc(5),
/// status). This takes some ten microseconds, while [`private_memory`] walks through all pages.
pub(crate) fn resident_memory(pid: i32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let kilobytes = |label: &str| {
        let found = status.lines().find_map(|line| line.strip_prefix(label))?;
        found.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()
    };
    let swapped = kilobytes("VmSwap:").unwrap_or(0);
    Some(kilobytes("VmRSS:")?.saturating_add(swapped) << 10)
}

/// Private memory of a process in bytes, including what is swapped out: what its end would free
/// (proc(5), smaps_rollup). `None` if the kernel does not provide it.
pub(crate) fn private_memory(pid: i32) -> Option<u64> {
    const COUNTED: [&str; 4] = [
        "Private_Clean:",
        "Private_Dirty:",
        "Private_Hugetlb:",
        "SwapPss:",
    ];
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let kilobytes = rollup.lines().filter_map(|line| {
        let counted = COUNTED.iter().find_map(|name| line.strip_prefix(name))?;
        counted
            .trim()
            .strip_suffix("kB")?
            .trim()
            .parse::<u64>()
            .ok()
    });
    Some(kilobytes.sum::<u64>() << 10)
}

/// Whether a process has a handler for a signal (proc(5), SigCgt). False without /proc.
pub(crate) fn catches(pid: i32, signal: i32) -> bool {
    let Ok(status) = fs::read_to_string(format!("/proc/{pid}/status")) else {
        return false;
    };
    let caught = status
        .lines()
        .find_map(|line| line.strip_prefix("SigCgt:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    let bit = u32::try_from(signal - 1).ok();
    matches!((caught, bit), (Some(mask), Some(bit)) if mask.checked_shr(bit).unwrap_or(0) & 1 == 1)
}

/// Whether a process has begun to exit, or has exited (proc(5), stat: PF_EXITING). False without
/// /proc.
pub(crate) fn is_exiting(pid: i32) -> bool {
    const PF_EXITING: u32 = 4;
    /// The number of the flags among the fields after the name, which may contain anything.
    const FLAGS: usize = 6;
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let flags = stat
        .rsplit_once(") ")
        .and_then(|(_, fields)| fields.split_ascii_whitespace().nth(FLAGS))
        .and_then(|flags| flags.parse::<u32>().ok());
    flags.is_some_and(|flags| flags & PF_EXITING != 0)
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader, Write as _};
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn an_allocation_adds_to_private_memory() {
        // Not this process: other tests fork, and then its memory is shared for a while.
        let mut perl = Command::new("perl")
            .args([
                "-e",
                "$| = 1; print qq(a\n); <STDIN>; my $block = q(x) x (32 << 20); print qq(b\n); <STDIN>",
            ])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let pid = i32::try_from(perl.id()).unwrap();
        let mut lines = BufReader::new(perl.stdout.take().unwrap()).lines();
        let mut next = || assert!(lines.next().unwrap().is_ok());
        next();
        let before = private_memory(pid).unwrap();
        writeln!(perl.stdin.as_mut().unwrap()).unwrap();
        next();
        let grown = private_memory(pid).unwrap() - before;
        assert!(resident_memory(pid).unwrap() >= grown);
        assert!(grown >= 30 << 20, "{grown}");
        drop(perl.stdin.take());
        assert!(perl.wait().unwrap().success());
        assert_eq!(private_memory(-1), None);
        assert_eq!(resident_memory(-1), None);
    }

    #[test]
    fn a_signal_is_caught_only_with_a_handler() {
        let own = i32::try_from(std::process::id()).unwrap();
        // Rust's runtime handles it, to report a stack overflow.
        assert!(catches(own, libc::SIGSEGV));
        assert!(!catches(own, libc::SIGVTALRM));
        assert!(!catches(-1, libc::SIGSEGV));
    }

    #[test]
    fn a_process_that_has_not_been_reaped_is_exiting() {
        let mut cat = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        let pid = i32::try_from(cat.id()).unwrap();
        assert!(!is_exiting(pid));
        drop(cat.stdin.take());
        while !is_exiting(pid) {
            std::thread::yield_now();
        }
        assert!(cat.wait().unwrap().success());
        assert!(!is_exiting(-1));
    }
}
