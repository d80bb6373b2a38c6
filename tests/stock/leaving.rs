//! Programs of their own, without a manager, that are told to leave at any moment. libfcgi looks whether it is to leave,
//! and then waits in accept(2): a signal between the two is seen only when the next connection comes.

use std::process::Command;

use crate::side::{Side, built};

/// Microseconds that an idle one may take.
const BOUND: u64 = 100_000;

pub(crate) fn ten_thousand_programs_told_to_leave_at_random_answer_what_they_have() {
    const TOTAL: u64 = 10_000;
    let mut command = Side::DropIn.on(Command::new(built("leaving.c", &[])));
    let out = command.arg(TOTAL.to_string()).output().unwrap();
    let text = String::from_utf8(out.stdout).unwrap();
    assert!(
        out.status.success(),
        "{:?} {}",
        out.status,
        String::from_utf8_lossy(&out.stderr)
    );
    let (mut total, mut idle, mut answered, mut longest) = (0, 0, 0, 0);
    for line in text.lines() {
        let words: Vec<_> = line.split(' ').collect();
        let [_, phase, numbers @ ..] = &words[..] else {
            panic!("{line}");
        };
        let numbers: Vec<u64> = numbers.iter().map(|word| word.parse().unwrap()).collect();
        let [count, broken, took] = numbers[..] else {
            panic!("{line}");
        };
        assert!(count > TOTAL / 50, "{text}");
        assert_eq!(broken, 0, "{text}");
        total += count;
        if *phase == "idle" {
            assert!(took < BOUND, "{text}");
            idle += count;
            longest = longest.max(took);
        } else {
            answered += count;
        }
    }
    assert_eq!(total, TOTAL);
    println!(
        "measured: {total} programs on the drop-in told to leave: {answered} answers whole, lost=0; {idle} idle ones gone \
         after at most {:.1} ms",
        longest as f64 / 1000.0
    );
}
