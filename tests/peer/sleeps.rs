//! Whether a process waits, or runs without a pause.

use std::time::Duration;

use super::program::context_switches;

/// What a process that waits between two events needs for a few of them.
const SMALL: Duration = Duration::from_millis(250);

/// What shows that it does not wait.
const LARGE: Duration = Duration::from_millis(500);

/// How long a process has run so far.
fn ran(pid: i32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/schedstat")).unwrap();
    let (ran, _) = stat.split_once(' ').unwrap();
    Duration::from_nanos(ran.parse().unwrap())
}

/// Checks that a process which something wakes again and again goes to sleep as often, and does not
/// occupy a CPU. A busy machine changes neither.
pub(crate) fn assert_sleeps(pid: i32, times: u64, mut wake: impl FnMut()) {
    let sleeps = || context_switches(pid)[0];
    let (first, before) = (sleeps(), ran(pid));
    loop {
        wake();
        let (slept, ran) = (sleeps() - first, ran(pid).saturating_sub(before));
        if slept >= times || ran >= LARGE {
            println!("measured: process {pid} has run for {ran:.1?} and has slept {slept} times");
            assert!(
                ran < SMALL,
                "process {pid} has run for {ran:?} and slept {slept} times"
            );
            return;
        }
        std::thread::yield_now();
    }
}
