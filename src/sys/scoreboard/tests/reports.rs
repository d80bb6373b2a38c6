//! The reports of workers, as a reader finds them.

use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::sys::scoreboard::record::Found;

/// The offset of the records in a page.
const RECORDS_AT: usize = 512;

#[test]
fn a_request_is_shown_from_its_beginning_to_its_end() {
    let board = board();
    let page = board.page(1);
    let seen = page.snapshot().unwrap();
    assert_eq!((seen.activity, seen.request), (Activity::Starting, 0));
    let mut one = Loop::at(page, 0);
    assert_eq!(page.activity(), Some(Activity::Idle));
    one.busy(b"/first?a=b", 2);
    let seen = page.snapshot().unwrap();
    assert_eq!((seen.activity, seen.since), (Activity::Busy, at(2)));
    assert_eq!((seen.request, seen.requests), (1, 0));
    let details = page.details(&seen).unwrap();
    assert_eq!(
        (&*details.method, &*details.uri),
        ("GET", "/first?a=b"),
        "{details:?}"
    );
    assert_eq!((details.fd, details.id), (7, 9));
    assert!(!details.begun && !details.mid_record);
    assert!(one.entry.respond(true, true));
    one.record.publish(&mut one.entry);
    let details = page.details(&seen).unwrap();
    assert!(details.begun && details.mid_record);
    one.finish();
    assert_eq!(page.details(&seen), None, "it has ended");
    assert_eq!(page.snapshot().unwrap().requests, 1);
    one.busy(&[b'x'; 1000], 4);
    assert_eq!(page.details(&seen), None, "it is another request");
    let details = page.details(&page.snapshot().unwrap()).unwrap();
    assert_eq!(details.uri, "x".repeat(400) + "…");
    assert!(!details.begun && !details.mid_record);
}

#[test]
fn ids_are_those_of_the_request_and_harmless() {
    let board = board();
    let page = board.page(1);
    let mut one = Loop::at(page, 0);
    let ids = || {
        let details = page.details(&page.snapshot().unwrap()).unwrap();
        (details.request_id, details.trace_id)
    };
    one.record.identify(b"id\x1b[2J", &[b'a'; 32]);
    one.busy(b"/", 2);
    assert_eq!(ids(), ("id\\u{1b}[2J".to_owned(), "a".repeat(32)));
    one.finish();
    one.record.identify(&[b'x'; 1_000], b"");
    one.busy(b"/", 4);
    assert_eq!(ids(), ("x".repeat(64) + "…", String::new()));
}

#[test]
fn of_several_loops_the_one_that_has_been_busy_longest_is_shown() {
    let board = board();
    let page = board.page(1);
    let mut loops: Vec<_> = (0..RECORDS).map(|place| Loop::at(page, place)).collect();
    assert_eq!(page.activity(), Some(Activity::Idle));
    loops[20].turn_to(Activity::Reading, 2);
    assert_eq!(page.snapshot().unwrap().record, 20);
    loops[9].busy(b"/later", 8);
    loops[30].busy(b"/earlier", 5);
    let seen = page.snapshot().unwrap();
    assert_eq!((seen.record, seen.since), (30, at(5)));
    assert_eq!(page.details(&seen).unwrap().uri, "/earlier");
    loops[30].finish();
    let other = page.snapshot().unwrap();
    assert_eq!((other.record, other.requests), (9, 1));
    assert_ne!(seen.request, other.request, "each the first of its loop");
    loops[9].finish();
    for one in &mut loops {
        one.turn_to(Activity::Idle, 9);
    }
    loops[3].turn_to(Activity::Idle, 10);
    let seen = page.snapshot().unwrap();
    assert_eq!((seen.requests, seen.since), (2, at(10)));
    assert!(page.record(RECORDS).is_none());
}

#[test]
fn the_counters_of_all_loops_are_added() {
    let board = board();
    let page = board.page(1);
    assert_eq!(page.tallies(at(100)), Tallies::default());
    let mut loops = [0, 1, 30].map(|place| Loop::at(page, place));
    for (number, one) in loops.iter_mut().enumerate() {
        one.busy(b"/", 10);
        let served = Served {
            status: 404,
            received: 1,
            sent: 10,
            aborted: number == 0,
            queue_wait: (number < 2).then_some(Duration::from_millis(20)),
        };
        one.answer(&served, 12);
    }
    // Places that were never used end the list.
    let sums = page.tallies(at(100));
    assert_eq!((sums.count(), sums.duration), (2, 4_000_000));
    assert_eq!((sums.received, sums.sent, sums.aborted), (2, 20, 1));
    assert_eq!(sums.responses, [0, 0, 0, 2, 0]);
    assert_eq!((sums.waits[2], sums.wait), (2, 40_000));
    assert_eq!(
        page.tallies(at(1)).duration,
        2_000_000,
        "a second for each loop"
    );
    // A loop begins anew where its line was overwritten.
    words(page)[RECORDS_AT / 8..][..12]
        .iter()
        .for_each(|word| word.store(1, Ordering::Relaxed));
    assert_eq!(page.tallies(at(100)).count(), 1);
    let mut first = Loop::at(page, 0);
    first.busy(b"/", 20);
    first.answer(&Served::default(), 21);
    assert_eq!(page.tallies(at(100)).count(), 2);
}

#[test]
fn notice_is_for_one_request_and_ends_with_it() {
    let board = board();
    let page = board.page(1);
    let mut one = Loop::at(page, 0);
    let mut two = Loop::at(page, 1);
    one.busy(b"/", 1);
    two.busy(b"/", 2);
    assert!(!page.notice_given());
    page.give_notice(page.snapshot().unwrap().request);
    assert!(page.notice_given());
    two.finish();
    assert!(page.notice_given());
    one.finish();
    assert!(!page.notice_given());
    one.busy(b"/", 3);
    assert!(!page.notice_given());
    page.give_notice(u64::MAX);
    assert!(!page.notice_given());
}

/// A worker may be stopped, or killed, between any two of its stores.
#[test]
fn an_unfinished_write_leaves_the_previous_line_visible() {
    let board = board();
    let page = board.page(1);
    let mut one = Loop::at(page, 0);
    one.busy(b"/stuck", 2);
    let before = words(page).iter().map(|word| word.load(Ordering::Relaxed));
    let before: Vec<u64> = before.collect();
    let shown = page.snapshot().unwrap();
    one.finish();
    let after: Vec<u64> = words(page)
        .iter()
        .map(|word| word.load(Ordering::Relaxed))
        .collect();
    // The counters of the request precede the line.
    let lines = RECORDS_AT / 8..RECORDS_AT / 8 + 12;
    let changed: Vec<usize> = lines.filter(|&word| before[word] != after[word]).collect();
    assert!(changed.len() >= 4, "{changed:?}");
    // The seal is stored last.
    let (seal, others) = changed.split_last().unwrap();
    for stores in 0..1_u32 << others.len() {
        words(page)[*seal].store(before[*seal], Ordering::Relaxed);
        for (bit, word) in others.iter().enumerate() {
            let from = if stores & 1 << bit == 0 {
                &before
            } else {
                &after
            };
            words(page)[*word].store(from[*word], Ordering::Relaxed);
        }
        assert_eq!(page.snapshot(), Some(shown));
        assert_eq!(page.details(&shown).unwrap().uri, "/stuck");
    }
}

#[test]
fn random_bytes_are_never_taken_for_a_report() {
    let mut board = board();
    let page = board.page(1);
    let mut state = 0x9e37_79b9_7f4a_7c15;
    // Everywhere, or only in the records that were used.
    for (rounds, length) in [(2_000, 2048), (100_000, 128)] {
        for _ in 0..rounds {
            for word in &words(page)[64..length] {
                word.store(random(&mut state), Ordering::Relaxed);
            }
            assert_eq!(page.snapshot(), None);
            let bogus = Snapshot {
                activity: Activity::Busy,
                request: 1,
                requests: 0,
                since: at(0),
                record: random(&mut state) as usize % 40,
            };
            assert_eq!(page.details(&bogus), None);
            page.give_notice(random(&mut state));
            assert!(!page.notice_given());
        }
    }
    // A sparse page: most words are zero, as in a real one.
    for _ in 0..300_000 {
        let word = random(&mut state) as usize % 20;
        words(page)[64 + word].store(random(&mut state) % 3, Ordering::Relaxed);
        if let Some(seen) = page.snapshot() {
            assert_eq!((seen.activity, seen.requests), (Activity::Starting, 0));
        }
    }
    board.begin(1, 5, 0);
    let page = board.page(1);
    assert_eq!(page.activity(), Some(Activity::Starting), "a fresh region");
    assert!(
        words(page)[64..]
            .iter()
            .all(|word| word.load(Ordering::Relaxed) == 0)
    );
    assert_eq!(page.pool_size(), 5);
}

#[test]
fn a_false_report_with_a_valid_seal_stays_within_bounds() {
    let mut board = board();
    let page = board.page(1);
    let mut one = Loop::at(page, 0);
    let mut two = Loop::at(page, 1);
    for forged in [&mut one, &mut two] {
        for _ in 0..3 {
            forged.busy(b"\x1b]0;\x07\xff\n", u64::MAX >> 24);
        }
        forged.entry.finished = u64::MAX;
        forged.record.publish(&mut forged.entry);
    }
    let seen = page.snapshot().unwrap();
    assert_eq!(seen.requests, 1 << 53);
    let details = page.details(&seen).unwrap();
    assert_eq!(details.uri, "\\u{1b}]0;\\u{7}\\xff\\u{a}");
    // A request number of another loop.
    one.entry.number = 3 << 56 | 1;
    one.record.publish(&mut one.entry);
    assert_eq!(page.snapshot(), None);
    // An activity that does not exist.
    board.begin(1, 5, 0);
    let page = board.page(1);
    let mut one = Loop::at(page, 0);
    one.entry.state = 0xff;
    one.record.publish(&mut one.entry);
    assert_eq!(page.snapshot(), None);
}

/// A reader that is delayed between the two lines does not take the first for the latest, when the
/// second is half written and both have been written since.
#[test]
fn a_delayed_reader_does_not_find_an_older_line() {
    let board = board();
    let page = board.page(1);
    let mut one = Loop::at(page, 0);
    one.turn_to(Activity::Reading, 2);
    assert_eq!(one.entry.version % 2, 0, "it is in the first line");
    let tear_the_second = || words(page)[64 + 6 + 3].store(77, Ordering::Relaxed);
    let found = one.record.find_with(tear_the_second);
    assert_eq!(
        found,
        Found::Entry(one.entry),
        "nothing was written after it"
    );
    let (record, mut entry) = (one.record, one.entry);
    let found = record.find_with(|| {
        for seconds in 3..=5 {
            entry.set_activity(Activity::Reading, at(seconds));
            record.publish(&mut entry);
        }
        tear_the_second();
    });
    assert_eq!(found, Found::Unreadable);
}

/// Each request has its own time and text; a reader finds one of them while they are written, and
/// never a mixture.
#[test]
fn no_reader_sees_half_of_one_request_and_half_of_another() {
    let board = board();
    let page = board.page(1);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut one = Loop::at(page, 0);
            for number in 1..=300_000_u64 {
                one.turn_to(Activity::Reading, number);
                let text = format!("/{number}/{}", "y".repeat(number as usize % 60));
                one.busy(text.as_bytes(), number);
                assert_eq!(page.snapshot().unwrap().request, number);
                one.finish();
            }
            done.store(true, Ordering::Release);
        });
        let (mut unread, mut shown, mut last) = (0_u64, 0_u64, 0);
        while !done.load(Ordering::Acquire) {
            let Some(seen) = page.snapshot() else {
                unread += 1;
                continue;
            };
            assert!(seen.request >= last, "{seen:?} after {last}");
            last = seen.request;
            if seen.activity == Activity::Busy {
                assert_eq!(seen.since, at(seen.request));
                if let Some(details) = page.details(&seen) {
                    shown += 1;
                    let number = seen.request;
                    let text = format!("/{number}/{}", "y".repeat(number as usize % 60));
                    assert_eq!(details.uri, text);
                }
            }
        }
        println!("{shown} requests shown, {unread} reads without result");
    });
}
