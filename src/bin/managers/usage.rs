//! What a process uses, from /proc.

use std::fs;
use std::io::Read as _;
use std::sync::OnceLock;

use nix::unistd::{SysconfVar, sysconf};

/// Memory and processor time of a process.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Usage {
    /// Resident, in bytes.
    pub(super) memory: u64,
    /// User and system time, in seconds.
    pub(super) cpu: f64,
}

impl Usage {
    /// `None`: the process has ended.
    pub(super) fn of(pid: i32) -> Option<Self> {
        // In one call: what reads to the end begins with a few bytes here, because the size is 0.
        let mut stat = [0; 2_048];
        let mut file = fs::File::open(format!("/proc/{pid}/stat")).ok()?;
        let length = file.read(&mut stat).ok()?;
        let stat = String::from_utf8_lossy(stat.get(..length)?);
        Self::parse(&stat, Units::of_system())
    }

    /// /proc/PID/stat: `pid (name) state ppid …`; utime, stime and rss are the fields 14, 15 and 24.
    fn parse(stat: &str, units: Units) -> Option<Self> {
        let (_, rest) = stat.rsplit_once(") ")?;
        // The first is field 3.
        let field = |number: usize| rest.split(' ').nth(number - 3)?.parse::<u64>().ok();
        let ticks = field(14)?.saturating_add(field(15)?);
        Some(Self {
            memory: field(24)?.saturating_mul(units.page),
            cpu: ticks as f64 / units.ticks as f64,
        })
    }
}

/// The resident memory of a process in bytes, of which a page that N processes share counts for one Nth.
/// Slow: the kernel walks through all pages.
pub(crate) fn proportional_memory(pid: i32) -> Option<u64> {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1_024)
}

/// The units of the kernel's numbers.
#[derive(Clone, Copy)]
struct Units {
    page: u64,
    /// Per second.
    ticks: u64,
}

impl Units {
    fn of_system() -> Self {
        static UNITS: OnceLock<Units> = OnceLock::new();
        let value = |variable, default| {
            let value = sysconf(variable).ok().flatten();
            value
                .and_then(|value| u64::try_from(value).ok())
                .filter(|value| *value > 0)
                .unwrap_or(default)
        };
        *UNITS.get_or_init(|| Self {
            page: value(SysconfVar::PAGE_SIZE, 4_096),
            ticks: value(SysconfVar::CLK_TCK, 100),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_blanks_and_parentheses_does_not_move_the_fields() {
        let stat = "17 (a ) S 9 (b) S 1 17 17 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 1 0 4711 8000000 \
                    300 18446744073709551615 1 1 0 0 0 0 0 0 0 0 0 0 17 1 0 0 0 0 0\n";
        let units = Units {
            page: 4_096,
            ticks: 100,
        };
        let found = Usage::parse(stat, units).unwrap();
        assert_eq!((found.memory, found.cpu), (300 * 4_096, 3.0));
        for broken in ["", "17 (a) S 1", "17 a S 1 2 3"] {
            assert_eq!(Usage::parse(broken, units), None, "{broken}");
        }
    }
}
