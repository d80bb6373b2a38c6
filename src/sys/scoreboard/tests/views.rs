//! The whole scoreboard, as `fcgipm status` and a program find it.

use std::os::fd::AsFd as _;
use std::sync::atomic::Ordering;

use super::*;

#[test]
fn a_view_of_the_memfd_shows_what_the_manager_and_its_workers_write() {
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
    assert!(pool.reload_at >= pool.started && pool.end == End::None);
    let slot = view.slot(2).unwrap();
    assert_eq!(
        (slot.stage, slot.pid, slot.generation),
        (Stage::Ready, 4321, 7)
    );
    assert_eq!(slot.last_exit, None);
    let seen = view.snapshot(2).unwrap();
    assert_eq!(view.details(2, &seen).unwrap().uri, "/shown");
    board.slot(2).set_exit(4321, 9);
    let slot = view.slot(2).unwrap();
    let exit = slot.last_exit.unwrap();
    assert_eq!((slot.stage, exit.pid, exit.status), (Stage::Empty, 4321, 9));
    assert_eq!(view.slot(4_500), None);
    assert_eq!(view.snapshot(4_500), None);
    // Of 74 MiB of address space four pages were touched.
    let blocks = |file| nix::sys::stat::fstat(file).unwrap().st_blocks;
    let used = 512 * (blocks(board.file()) + blocks(board.region(2).unwrap().as_fd()));
    let page = i64::try_from(crate::sys::process::page_size()).unwrap();
    assert!(used <= 4 * page, "{used} bytes for one slot");
}

#[test]
fn a_file_that_is_not_a_scoreboard_is_refused() {
    let refused = |file: &std::fs::File| View::of(file).unwrap_err();
    let file = std::fs::File::open("/proc/self/exe").unwrap();
    assert_eq!(refused(&file), ViewError::Foreign);
    let board = board();
    let magic = words_of(board.header());
    let before = magic[1].fetch_add(1, Ordering::Relaxed);
    let other = ViewError::Version(VERSION + 1);
    assert_eq!(View::of(board.file()).unwrap_err(), other);
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
fn a_region_is_shared_with_its_worker_and_reveals_no_other() {
    let mut board = Scoreboard::new(3).unwrap();
    board.begin(1, 5, 7);
    let file = board.region(1).unwrap().try_clone().unwrap();
    let its = memory::adopt_region(&file).unwrap();
    assert_eq!((its.pool_size(), its.request_limit()), (5, 7));
    assert!(!board.page(1).has_reported());
    its.announce(at(1));
    assert!(board.page(1).has_reported());
    assert_eq!(board.page(1).activity(), Some(Activity::Starting));
    let mut one = Loop::at(its, 0);
    one.busy(b"/apart", 2);
    let mut view = View::of(board.file.as_ref().unwrap()).unwrap();
    // The scoreboard's own file has no data there.
    assert_eq!(view.snapshot(1).unwrap().activity, Activity::Starting);
    view.attach(1, &file).unwrap();
    assert_eq!(view.snapshot(1).unwrap().activity, Activity::Busy);
    assert_eq!(view.attach(3, &file), Err(ViewError::Foreign));
    board.page(1).give_order(Order::Retire);
    assert_eq!(its.order(), Order::Retire);
    // The next worker's region is another one.
    board.begin(1, 5, 7);
    assert!(!board.page(1).has_reported());
    assert_eq!(its.order(), Order::Retire);
    assert_eq!(board.page(1).order(), Order::Serve);
}

#[test]
fn a_file_that_is_not_a_region_is_not_adopted() {
    let board = Scoreboard::new(3).unwrap();
    let whole = board.file.as_ref().unwrap();
    let error = memory::adopt_region(whole).unwrap_err();
    assert!(error.message().contains("bytes, not of"), "{error}");
    let plain = tempfile::tempfile().unwrap().into();
    let error = memory::adopt_region(&plain).unwrap_err();
    assert_eq!(error.message(), "scoreboard region: not a memfd");
}
