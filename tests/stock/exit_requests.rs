//! Programs without a manager that are asked to exit at any moment. libfcgi checks a flag, and then
//! waits in accept(2): it misses a signal between the two until the next connection arrives.

use std::process::Command;
use std::time::Instant;

use crate::peer::program::cpu_pressure;
use crate::side::{Side, built};

/// The maximum time for an idle program to exit, in microseconds.
const BOUND: u64 = 100_000;

pub(crate) fn ten_thousand_programs_asked_to_exit_at_random_complete_their_answers() {
    const TOTAL: u64 = 10_000;
    let (begun, before) = (Instant::now(), cpu_pressure());
    let mut command = Side::DropIn.on(Command::new(built("exit_requests.c", &[])));
    command.args([TOTAL, BOUND].map(|number| number.to_string()));
    let out = command.output().unwrap();
    let share = (cpu_pressure() - before) / begun.elapsed().as_secs_f64();
    let text = String::from_utf8(out.stdout).unwrap();
    let errors = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{:?} {errors}", out.status);
    let (mut total, mut idle, mut late, mut answered, mut longest) = (0, 0, 0, 0, 0);
    for line in text.lines() {
        let words: Vec<_> = line.split(' ').collect();
        let numbers: Vec<u64> = words[2..]
            .iter()
            .map(|word| word.parse().unwrap())
            .collect();
        let [count, broken, beyond, took, calmest] = numbers[..] else {
            panic!("{line}");
        };
        assert!(count > TOTAL / 50, "{text}");
        assert_eq!(broken, 0, "{text}");
        total += count;
        if words[1] == "idle" {
            assert!(calmest < BOUND, "{text}");
            idle += count;
            late += beyond;
            longest = longest.max(took);
        } else {
            answered += count;
        }
    }
    assert_eq!(total, TOTAL);
    // On a busy machine some exits are late, but not a larger share than that of the time in which
    // processes waited for a CPU.
    assert!(
        late as f64 <= (idle as f64 * share).ceil(),
        "{share}: {text}"
    );
    println!(
        "measured: {total} programs on the drop-in asked to exit: {answered} complete answers, lost=0; {idle} idle ones exited \
         after at most {:.1} ms, {late} of them after 100 ms",
        longest as f64 / 1000.0
    );
}
