//! What a reader of the scoreboard can be made to believe.

use std::os::fd::AsFd as _;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use super::record::Found;
use super::*;

/// All words of a region that its worker can write to, by its own mapping.
fn words(page: &Page) -> &[AtomicU64] {
    let base: *const Page = page;
    // SAFETY: a page is made of atomics, for which any bytes are valid, and is as long as this.
    unsafe { std::slice::from_raw_parts(base.cast(), size_of::<Page>() / 8) }
}

fn random(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A loop's record, as its worker has it.
struct Loop<'p> {
    record: &'p Record,
    entry: record::Entry,
}

#[cfg(test)]
impl<'p> Loop<'p> {
    fn at(page: &'p Page, place: usize) -> Self {
        let (record, entry) = page.record(place).unwrap();
        let mut this = Self { record, entry };
        this.turn_to(Activity::Idle, 1);
        this
    }

    fn turn_to(&mut self, activity: Activity, seconds: u64) {
        self.entry.turn_to(activity, at(seconds));
        self.record.publish(&mut self.entry);
    }

    fn busy(&mut self, uri: &[u8], seconds: u64) {
        self.record.describe(b"GET", uri);
        self.entry.begin(7, 9, at(seconds));
        self.record.publish(&mut self.entry);
    }

    fn finish(&mut self) {
        self.entry.count();
        self.turn_to(Activity::Finished, 3);
    }
}

#[cfg(test)]
fn board() -> Scoreboard {
    let mut board = Scoreboard::new(3).unwrap();
    board.begin(1, 5, 0);
    board
}

#[test]
fn a_request_is_seen_from_its_beginning_to_its_end() {
    let board = board();
    let page = board.page(1);
    let look = page.look().unwrap();
    assert_eq!((look.activity, look.request), (Activity::Starting, 0));
    let mut one = Loop::at(page, 0);
    assert_eq!(page.activity(), Some(Activity::Idle));
    one.busy(b"/first?a=b", 2);
    let look = page.look().unwrap();
    assert_eq!((look.activity, look.since), (Activity::Busy, at(2)));
    assert_eq!((look.request, look.requests), (1, 0));
    let details = page.details(&look).unwrap();
    assert_eq!(
        (&*details.method, &*details.uri),
        ("GET", "/first?a=b"),
        "{details:?}"
    );
    assert_eq!((details.fd, details.id), (7, 9));
    assert!(!details.begun && !details.mid_record);
    assert!(one.entry.respond(true, true));
    one.record.publish(&mut one.entry);
    let details = page.details(&look).unwrap();
    assert!(details.begun && details.mid_record);
    one.finish();
    assert_eq!(page.details(&look), None, "it is over");
    assert_eq!(page.look().unwrap().requests, 1);
    one.busy(&[b'x'; 1000], 4);
    assert_eq!(page.details(&look), None, "it is another one");
    let details = page.details(&page.look().unwrap()).unwrap();
    assert_eq!(details.uri, "x".repeat(400) + "…");
    assert!(!details.begun && !details.mid_record);
}

#[test]
fn of_several_loops_the_one_that_has_been_busy_longest_is_shown() {
    let board = board();
    let page = board.page(1);
    let mut loops: Vec<_> = (0..RECORDS).map(|place| Loop::at(page, place)).collect();
    assert_eq!(page.activity(), Some(Activity::Idle));
    loops[20].turn_to(Activity::Reading, 2);
    assert_eq!(page.look().unwrap().record, 20);
    loops[9].busy(b"/later", 8);
    loops[30].busy(b"/earlier", 5);
    let look = page.look().unwrap();
    assert_eq!((look.record, look.since), (30, at(5)));
    assert_eq!(page.details(&look).unwrap().uri, "/earlier");
    loops[30].finish();
    let other = page.look().unwrap();
    assert_eq!((other.record, other.requests), (9, 1));
    assert_ne!(look.request, other.request, "each the first of its loop");
    loops[9].finish();
    for one in &mut loops {
        one.turn_to(Activity::Idle, 9);
    }
    loops[3].turn_to(Activity::Idle, 10);
    let look = page.look().unwrap();
    assert_eq!((look.requests, look.since), (2, at(10)));
    assert!(page.record(RECORDS).is_none());
}

#[test]
fn notice_is_of_one_request_and_ends_with_it() {
    let board = board();
    let page = board.page(1);
    let mut one = Loop::at(page, 0);
    let mut two = Loop::at(page, 1);
    one.busy(b"/", 1);
    two.busy(b"/", 2);
    assert!(!page.notice_given());
    page.give_notice(page.look().unwrap().request);
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
fn a_write_that_never_ends_hides_nothing() {
    let board = board();
    let page = board.page(1);
    let mut one = Loop::at(page, 0);
    one.busy(b"/stuck", 2);
    let before = words(page).iter().map(|word| word.load(Ordering::Relaxed));
    let before: Vec<u64> = before.collect();
    let shown = page.look().unwrap();
    one.finish();
    let after: Vec<u64> = words(page)
        .iter()
        .map(|word| word.load(Ordering::Relaxed))
        .collect();
    let changed: Vec<usize> = (0..before.len())
        .filter(|&word| before[word] != after[word])
        .collect();
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
        assert_eq!(page.look(), Some(shown));
        assert_eq!(page.details(&shown).unwrap().uri, "/stuck");
    }
}

#[test]
fn random_bytes_never_mean_anything() {
    let mut board = board();
    let page = board.page(1);
    let mut state = 0x9e37_79b9_7f4a_7c15;
    // Everywhere, or in the records that were used only.
    for (rounds, length) in [(2_000, 2048), (100_000, 128)] {
        for _ in 0..rounds {
            for word in &words(page)[64..length] {
                word.store(random(&mut state), Ordering::Relaxed);
            }
            assert_eq!(page.look(), None);
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
        if let Some(look) = page.look() {
            assert_eq!((look.activity, look.requests), (Activity::Starting, 0));
        }
    }
    board.begin(1, 5, 0);
    let page = board.page(1);
    assert_eq!(page.activity(), Some(Activity::Starting), "all gone");
    assert!(
        words(page)[64..]
            .iter()
            .all(|word| word.load(Ordering::Relaxed) == 0)
    );
    assert_eq!(page.pool_size(), 5);
}

#[test]
fn a_worker_that_lies_with_a_seal_that_fits_is_still_within_bounds() {
    let mut board = board();
    let page = board.page(1);
    let mut one = Loop::at(page, 0);
    let mut two = Loop::at(page, 1);
    for lied in [&mut one, &mut two] {
        for _ in 0..3 {
            lied.busy(b"\x1b]0;\x07\xff\n", u64::MAX >> 24);
        }
        lied.entry.finished = u64::MAX;
        lied.record.publish(&mut lied.entry);
    }
    let look = page.look().unwrap();
    assert_eq!(look.requests, 1 << 53);
    let details = page.details(&look).unwrap();
    assert_eq!(details.uri, "\\u{1b}]0;\\u{7}\\xff\\u{a}");
    // The number of a request of another loop.
    one.entry.number = 3 << 56 | 1;
    one.record.publish(&mut one.entry);
    assert_eq!(page.look(), None);
    // Words that no worker writes.
    board.begin(1, 5, 0);
    let page = board.page(1);
    let mut one = Loop::at(page, 0);
    one.entry.state = 0xff;
    one.record.publish(&mut one.entry);
    assert_eq!(page.look(), None);
}

/// A reader that is held up between the two lines does not take the first for the latest, when the
/// second is half written and both have been written since.
#[test]
fn a_reader_that_was_held_up_does_not_go_back() {
    let board = board();
    let page = board.page(1);
    let mut one = Loop::at(page, 0);
    one.turn_to(Activity::Reading, 2);
    assert_eq!(one.entry.version % 2, 0, "it stands in the first line");
    let tear_the_second = || words(page)[64 + 6 + 3].store(77, Ordering::Relaxed);
    let found = one.record.find_with(tear_the_second);
    assert_eq!(found, Found::Entry(one.entry), "nothing has come after it");
    let (record, mut entry) = (one.record, one.entry);
    let found = record.find_with(|| {
        for seconds in 3..=5 {
            entry.turn_to(Activity::Reading, at(seconds));
            record.publish(&mut entry);
        }
        tear_the_second();
    });
    assert_eq!(found, Found::Unreadable);
}

/// Each request is told apart from the others by its time and its text; whoever reads while they are
/// written finds one of them, and nothing between.
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
                assert_eq!(page.look().unwrap().request, number);
                one.finish();
            }
            done.store(true, Ordering::Release);
        });
        let (mut unread, mut told, mut last) = (0_u64, 0_u64, 0);
        while !done.load(Ordering::Acquire) {
            let Some(look) = page.look() else {
                unread += 1;
                continue;
            };
            assert!(look.request >= last, "{look:?} after {last}");
            last = look.request;
            if look.activity == Activity::Busy {
                assert_eq!(look.since, at(look.request));
                if let Some(details) = page.details(&look) {
                    told += 1;
                    let number = look.request;
                    let text = format!("/{number}/{}", "y".repeat(number as usize % 60));
                    assert_eq!(details.uri, text);
                }
            }
        }
        println!("{told} requests told of, {unread} looks without result");
    });
}

#[test]
fn whoever_has_the_memfd_sees_what_the_manager_and_its_workers_write() {
    let mut board = Scoreboard::new(4_500).unwrap();
    assert!(board.is_visible());
    let header = board.header();
    header.set_pm("dynamic");
    header.set_listeners(&[11, 12]);
    let figures = Figures {
        wanted: 2,
        processes: 3,
        busy: 1,
        ..Figures::default()
    };
    header.set_figures(&figures);
    header.add(Total::Forks, 2);
    header.add(Total::Forks, 1);
    header.set_reload(Reload::Running, "");
    header.set_reload(Reload::Failed, &format!("why\n{}", "x".repeat(600)));
    board.begin(2, 2, 0);
    board.slot(2).set_worker(4321, 7);
    board.slot(2).set_stage(Stage::Ready);
    let mut one = Loop::at(board.page(2), 0);
    one.busy(b"/shown", 6);
    let mut view = View::of(board.file()).unwrap();
    view.attach(2, board.region(2).unwrap()).unwrap();
    let pool = view.pool();
    assert_eq!(pool.manager, i32::try_from(std::process::id()).unwrap());
    assert_eq!((&*pool.pm, pool.slots_used), ("dynamic", 3));
    assert_eq!(pool.listeners, [11, 12]);
    assert_eq!(pool.figures, figures);
    assert_eq!(pool.total(Total::Forks), 3);
    assert_eq!(pool.total(Total::ReloadsFailed), 1);
    assert_eq!(pool.reload, Reload::Failed);
    assert!(pool.reload_message.starts_with("why\\u{a}xxx"));
    assert!(pool.reload_message.ends_with("x…"));
    assert!(pool.reload_at >= pool.started && !pool.stopping);
    let slot = view.slot(2).unwrap();
    assert_eq!(
        (slot.stage, slot.pid, slot.generation),
        (Stage::Ready, 4321, 7)
    );
    assert_eq!(slot.last_exit, None);
    let look = view.look(2).unwrap();
    assert_eq!(view.details(2, &look).unwrap().uri, "/shown");
    board.slot(2).set_exit(4321, 9);
    let slot = view.slot(2).unwrap();
    let exit = slot.last_exit.unwrap();
    assert_eq!((slot.stage, exit.pid, exit.status), (Stage::Empty, 4321, 9));
    assert_eq!(view.slot(4_500), None);
    assert_eq!(view.look(4_500), None);
    // 74 MiB of address space, of which four pages were touched.
    let blocks = |file| nix::sys::stat::fstat(file).unwrap().st_blocks;
    let used = 512 * (blocks(board.file()) + blocks(board.region(2).unwrap().as_fd()));
    let page = i64::try_from(crate::sys::process::page_size()).unwrap();
    assert!(used <= 4 * page, "{used} bytes for one slot");
}

#[test]
fn what_is_no_scoreboard_is_refused() {
    let refused = |file: &std::fs::File| View::of(file).unwrap_err();
    let file = std::fs::File::open("/proc/self/exe").unwrap();
    assert_eq!(refused(&file), ViewError::Foreign);
    let board = board();
    let magic = words_of(board.header());
    let before = magic[1].fetch_add(1, Ordering::Relaxed);
    assert_eq!(View::of(board.file()).unwrap_err(), ViewError::Version(2));
    magic[1].store(before, Ordering::Relaxed);
    // The stride, among others.
    let mut state = 1;
    for _ in 0..100_000 {
        let word = 1 + random(&mut state) as usize % 2;
        let before = magic[word].swap(random(&mut state), Ordering::Relaxed);
        assert!(View::of(board.file()).is_err());
        magic[word].store(before, Ordering::Relaxed);
    }
    magic[0].store(0, Ordering::Relaxed);
    assert_eq!(View::of(board.file()).unwrap_err(), ViewError::Foreign);
}

fn words_of(header: &Header) -> &[AtomicU64] {
    let base: *const Header = header;
    // SAFETY: as for a page.
    unsafe { std::slice::from_raw_parts(base.cast(), size_of::<Header>() / 8) }
}

#[cfg(test)]
impl Scoreboard {
    fn file(&self) -> std::os::fd::BorrowedFd<'_> {
        self.file.as_ref().unwrap().as_fd()
    }
}

#[test]
fn a_region_apart_is_seen_by_both_sides_and_gives_away_no_other() {
    let mut board = Scoreboard::new(3).unwrap();
    board.begin(1, 5, 7);
    let file = board.region(1).unwrap().try_clone().unwrap();
    let its = memory::adopt_region(&file).unwrap();
    assert_eq!((its.pool_size(), its.request_limit()), (5, 7));
    assert!(!board.page(1).has_spoken());
    its.announce(at(1));
    assert!(board.page(1).has_spoken());
    assert_eq!(board.page(1).activity(), Some(Activity::Starting));
    let mut one = Loop::at(its, 0);
    one.busy(b"/apart", 2);
    let mut view = View::of(board.file.as_ref().unwrap()).unwrap();
    // The scoreboard's own file has nothing of it.
    assert_eq!(view.look(1).unwrap().activity, Activity::Starting);
    view.attach(1, &file).unwrap();
    assert_eq!(view.look(1).unwrap().activity, Activity::Busy);
    assert_eq!(view.attach(3, &file), Err(ViewError::Foreign));
    board.page(1).give_order(Order::Retire);
    assert_eq!(its.order(), Order::Retire);
    // The next worker's region is another one.
    board.begin(1, 5, 7);
    assert!(!board.page(1).has_spoken());
    assert_eq!(its.order(), Order::Retire);
    assert_eq!(board.page(1).order(), Order::Serve);
}

#[test]
fn what_is_no_region_is_not_adopted() {
    let board = Scoreboard::new(3).unwrap();
    let whole = board.file.as_ref().unwrap();
    let error = memory::adopt_region(whole).unwrap_err();
    assert!(error.message().contains("bytes, not of"), "{error}");
    let plain = tempfile::tempfile().unwrap().into();
    let error = memory::adopt_region(&plain).unwrap_err();
    assert_eq!(error.message(), "scoreboard region: not a memfd");
}
