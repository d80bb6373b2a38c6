//! CPU time and memory of a process tree, from /proc.

use std::fs;
use std::ops::Sub;

/// The CPU time of a process tree.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Spent {
    /// By the scheduler's clock.
    pub(crate) nanoseconds: u64,
    /// In ticks of 10 ms, only for the ratio of user and system time.
    pub(crate) user: u64,
    pub(crate) system: u64,
}

impl Spent {
    /// The sum of these processes, without those that have exited.
    pub(crate) fn of(pids: &[i32]) -> Self {
        let mut sum = Self::default();
        for pid in pids {
            let threads = fs::read_dir(format!("/proc/{pid}/task"))
                .into_iter()
                .flatten();
            for thread in threads.flatten() {
                let read = |name| fs::read_to_string(thread.path().join(name)).unwrap_or_default();
                let (user, system) = ticks(&read("stat")).unwrap_or_default();
                sum.user += user;
                sum.system += system;
                // A kernel without CONFIG_SCHED_INFO has only the ticks.
                sum.nanoseconds +=
                    scheduled(&read("schedstat")).unwrap_or((user + system) * 10_000_000);
            }
        }
        sum
    }

    /// The share of the time that was spent outside the kernel.
    pub(crate) fn user_share(self) -> f64 {
        match self.user + self.system {
            0 => 0.0,
            all => self.user as f64 / all as f64,
        }
    }
}

impl Sub for Spent {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        Self {
            nanoseconds: self.nanoseconds.saturating_sub(before.nanoseconds),
            user: self.user.saturating_sub(before.user),
            system: self.system.saturating_sub(before.system),
        }
    }
}

/// A process and its descendants.
pub(crate) fn tree(pid: i32) -> Vec<i32> {
    let mut found = vec![pid];
    let mut at = 0;
    while let Some(&parent) = found.get(at) {
        let children = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children"));
        let children = children.unwrap_or_default();
        found.extend(
            children
                .split_whitespace()
                .filter_map(|pid| pid.parse::<i32>().ok()),
        );
        at += 1;
    }
    found
}

/// Resident and proportional memory of a process, in KiB.
pub(crate) fn memory(pid: i32) -> Option<(f64, f64)> {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    Some((kibibytes(&text, "Rss:")?, kibibytes(&text, "Pss:")?))
}

/// Ticks in which the CPUs of the machine were busy, or stolen by the host.
pub(crate) fn busy_ticks() -> u64 {
    busy(&fs::read_to_string("/proc/stat").unwrap_or_default()).unwrap_or(0)
}

fn busy(stat: &str) -> Option<u64> {
    let numbers: Vec<u64> = stat
        .lines()
        .next()?
        .split_whitespace()
        .skip(1)
        .map_while(|word| word.parse().ok())
        .collect();
    // user nice system idle iowait irq softirq steal; guests are within user.
    let all: u64 = numbers.iter().take(8).sum();
    Some(all - numbers.get(3)? - numbers.get(4)?)
}

fn kibibytes(text: &str, key: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(key))?;
    line.split_whitespace().next()?.parse().ok()
}

fn scheduled(schedstat: &str) -> Option<u64> {
    schedstat.split_whitespace().next()?.parse().ok()
}

/// User and system time. The name before them may contain any characters, and ends at the last bracket.
fn ticks(stat: &str) -> Option<(u64, u64)> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(11);
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_found_after_a_name_that_looks_like_fields() {
        let stat = "7 (a) b 1 2) S 1 7 7 0 -1 4194560 100 0 0 0 31 12 5 6 20 0 1 0 99 1000 50";
        assert_eq!(ticks(stat), Some((31, 12)));
        assert_eq!(ticks("7 (x"), None);
        assert_eq!(scheduled("188821 52639 1\n"), Some(188_821));
        assert_eq!(scheduled(""), None);
    }

    #[test]
    fn waiting_is_not_busy_but_stolen_time_is() {
        assert_eq!(
            busy("cpu  100 1 50 9000 30 2 3 4 7 0\ncpu0 1 1 1"),
            Some(160)
        );
        assert_eq!(busy(""), None);
    }

    #[test]
    fn memory_is_read_by_its_key() {
        let rollup = "5581-7ffc ---p 0 00:00 0 [rollup]\nRss:    4120 kB\nPss:    1032 kB\nPss_Dirty: 7 kB\n";
        assert_eq!(kibibytes(rollup, "Pss:"), Some(1032.0));
        assert_eq!(kibibytes(rollup, "Swap:"), None);
    }

    #[test]
    fn the_cpu_time_of_this_process_is_counted() {
        let own = tree(std::process::id() as i32);
        let before = Spent::of(&own);
        let begun = std::time::Instant::now();
        while begun.elapsed().as_millis() < 60 {
            std::hint::black_box(0);
        }
        let spent = Spent::of(&own) - before;
        assert!(spent.nanoseconds > 5_000_000, "{spent:?}");
        assert_eq!(before - Spent::of(&own), Spent::default());
    }

    #[test]
    fn without_time_the_share_is_zero() {
        assert_eq!(Spent::default().user_share(), 0.0);
        let spent = Spent {
            nanoseconds: 1,
            user: 1,
            system: 3,
        };
        assert_eq!(spent.user_share(), 0.25);
    }
}
