//! Programs of their own, without a manager, that are asked to exit at any moment. libfcgi checks whether it should exit,
//! and then waits in accept(2): a signal between the two is seen only when the next connection comes.

use std::process::Command;
use std::time::Instant;

use crate::side::{Side, built};

/// Microseconds that an idle one may take.
const BOUND: u64 = 100_000;

/// For how many seconds so far there was somebody in this machine who waited for a processor; 0 where the kernel does
/// not say.
fn waited_for_processor() -> f64 {
    let pressure = std::fs::read_to_string("/proc/pressure/cpu").unwrap_or_default();
    let total = pressure
        .lines()
        .next()
        .and_then(|line| line.split("total=").nth(1));
    total.map_or(0.0, |total| total.parse::<f64>().unwrap() / 1e6)
}

pub(crate) fn ten_thousand_programs_asked_to_exit_at_random_answer_what_they_have() {
    const TOTAL: u64 = 10_000;
    let (begun, before) = (Instant::now(), waited_for_processor());
    let mut command = Side::DropIn.on(Command::new(built("exit_requests.c", &[])));
    command.args([TOTAL, BOUND].map(|number| number.to_string()));
    let out = command.output().unwrap();
    let share = (waited_for_processor() - before) / begun.elapsed().as_secs_f64();
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
    // On a machine that has other things to do some wait for a processor: no larger a share than that of the time in
    // which somebody did.
    assert!(
        late as f64 <= (idle as f64 * share).ceil(),
        "{share}: {text}"
    );
    println!(
        "measured: {total} programs on the drop-in asked to exit: {answered} answers whole, lost=0; {idle} idle ones gone \
         after at most {:.1} ms, {late} of them after 100 ms",
        longest as f64 / 1000.0
    );
}
