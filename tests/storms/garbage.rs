//! Random bytes in the region of a worker in the scoreboard.

use std::fs::File;
use std::os::fd::AsRawFd as _;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use nix::sys::signal::Signal;

use super::board::{self, Board};
use super::host;
use super::load::Load;
use super::peer::pool::Pool;
use super::peer::program::{Transport, folder};
use super::random::Chance;

const LENGTH: Duration = Duration::from_secs(10);

/// The offset of the worker's records in its region.
const RECORDS_AT: usize = 512;

/// The region of a slot, mapped as by its worker.
struct Region {
    base: *mut libc::c_void,
    length: usize,
    words: &'static [AtomicU64],
}

impl Region {
    fn of(manager: i32, slot: usize) -> Self {
        let file = File::options()
            .read(true)
            .write(true)
            .open(board::region(manager, slot).expect("a region"))
            .unwrap();
        let length = usize::try_from(file.metadata().unwrap().len()).unwrap();
        assert_eq!(length, 296 * 1024, "this test is for another layout");
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: the kernel chooses the address, and the file cannot shrink.
        let base = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                length,
                protection,
                libc::MAP_SHARED,
                file.as_raw_fd(),
                0,
            )
        };
        assert_ne!(base, libc::MAP_FAILED);
        // SAFETY: the mapping lives as long as self. Words of any value are valid, and all
        // processes access them as atomics.
        let words = unsafe { std::slice::from_raw_parts(base.cast::<AtomicU64>(), length / 8) };
        Self {
            base,
            length,
            words,
        }
    }

    /// Writes from this byte on until it is stopped, and returns the number of words. With `small`
    /// some of the words are small numbers, which can be valid values.
    fn fill(&self, from: usize, small: bool, chance: &mut Chance, stop: &AtomicBool) -> u64 {
        let mut written = 0;
        while !stop.load(Ordering::Relaxed) {
            for word in &self.words[from / 8..] {
                let value = chance.next();
                let value = if small && value % 8 == 0 {
                    value >> 61
                } else {
                    value
                };
                word.store(value, Ordering::Relaxed);
                written += 1;
            }
        }
        written
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        // SAFETY: mapped with this length, and the words are not used any more.
        unsafe { libc::munmap(self.base, self.length) };
    }
}

// SAFETY: the mapping is only accessed by atomics.
unsafe impl Sync for Region {}

/// The log of the manager without numbers, and without the lines that depend on timing.
fn trace(pool: &mut Pool) -> Vec<String> {
    let lines = pool.program.lines().iter();
    let depend_on_timing = ["waiting for", "overload: all of"];
    let lines = lines.filter(|line| !depend_on_timing.iter().any(|text| line.contains(text)));
    let plain = lines.map(|line| line.replace(|c: char| c.is_ascii_digit(), ""));
    plain.collect()
}

fn sorted(mut list: Vec<String>) -> Vec<String> {
    list.sort();
    list
}

/// The CPU time of a process, in seconds.
fn cpu(pid: i32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/schedstat")).unwrap();
    let nanoseconds: f64 = stat.split(' ').next().unwrap().parse().unwrap();
    nanoseconds / 1e9
}

fn assert_status_works(pool: &Pool) {
    assert_eq!(pool.status()["manager"], pool.program.pid());
}

pub(crate) fn random_bytes_in_a_workers_records_change_no_decision() {
    let limits = [
        ("FCGIPM_REQUEST_TIMEOUT", "2"),
        ("FCGIPM_REQUEST_TIMEOUT_GRACE", "1"),
        ("FCGIPM_SLOW_REQUEST", "1"),
    ];
    let mut chance = Chance::new("garbage");
    let mut control = Pool::start(Transport::Unix, 3, &limits);
    let mut subject = Pool::start(Transport::Unix, 3, &limits);
    let manager = subject.program.pid();
    let region = Region::of(manager, 1);
    let (quiet, noisy) = (cpu(control.program.pid()), cpu(manager));
    let stop = AtomicBool::new(false);
    let time = LENGTH.as_secs().to_string();
    let loads = [&control, &subject].map(|pool| {
        let how = ["-c", "4", "-t", &time, "--split", "1", "--expect", "Hello"];
        Load::start(&host::address(pool), &how)
    });
    let written = std::thread::scope(|scope| {
        let filling = scope.spawn(|| region.fill(RECORDS_AT, false, &mut chance, &stop));
        // The scenario lasts as long as the load.
        for load in loads {
            assert_status_works(&subject);
            let tally = load.finish();
            assert_eq!(tally.lost(), 0, "{tally:?}");
        }
        assert_status_works(&subject);
        stop.store(true, Ordering::Relaxed);
        filling.join().unwrap()
    });
    let (quiet, noisy) = (cpu(control.program.pid()) - quiet, cpu(manager) - noisy);
    println!(
        "measured: {} MiB of random bytes in {LENGTH:?}: the manager ran for {noisy:.4} s, the control for {quiet:.4} s",
        written >> 17
    );
    assert!(noisy < 1.0, "{noisy} s");
    for pool in [&mut control, &mut subject] {
        pool.program.signal(Signal::SIGUSR1);
        pool.program.line("received SIGUSR1");
    }
    // The workers of a pool become ready in any order, and nothing else differs.
    assert_eq!(sorted(trace(&mut subject)), sorted(trace(&mut control)));
    for pool in [&mut control, &mut subject] {
        host::reload(pool);
        pool.program.signal(Signal::SIGTERM);
        pool.assert_stopped();
    }
    assert_eq!(sorted(trace(&mut subject)), sorted(trace(&mut control)));
}

pub(crate) fn random_bytes_in_a_whole_region_affect_only_that_worker() {
    const SLOT: usize = 1;
    let mut chance = Chance::new("garbage everywhere");
    let folder = folder();
    let log = folder.join("log");
    let limits = [
        ("FCGIPM_REQUEST_TIMEOUT", "2"),
        ("FCGIPM_START_TIMEOUT", "2"),
        ("FCGIPM_ACCESS_LOG", log.to_str().unwrap()),
    ];
    let mut pool = Pool::start(Transport::Unix, 4, &limits);
    let manager = pool.program.pid();
    let board = Board::of(manager);
    let others = |board: &Board| {
        let mut workers = board.workers();
        workers.retain(|(slot, _)| *slot != SLOT && *slot < 4);
        workers
    };
    let before = others(&board);
    assert_eq!(before.len(), 3);
    let region = Region::of(manager, SLOT);
    let ran = cpu(manager);
    let stop = AtomicBool::new(false);
    let load = Load::start(
        &host::address(&pool),
        &["-c", "4", "-t", "5", "--split", "1", "--expect", "Hello"],
    );
    let tally = std::thread::scope(|scope| {
        let filling = scope.spawn(|| region.fill(0, true, &mut chance, &stop));
        assert_status_works(&pool);
        let tally = load.finish();
        assert_status_works(&pool);
        stop.store(true, Ordering::Relaxed);
        filling.join().unwrap();
        tally
    });
    let ran = cpu(manager) - ran;
    let exits = trace(&mut pool);
    let exits = exits.iter().filter(|line| line.contains("exited with"));
    let exits = u64::try_from(exits.count()).unwrap();
    println!(
        "measured: random bytes in a whole region: {} requests, lost={}; {exits} exits in its slot; the manager ran for {ran:.4} s",
        tally.requests(),
        tally.lost()
    );
    // Its orders were random as well, so that worker may exit with a request that it is about to
    // read.
    assert!(
        tally.lost() <= exits,
        "{tally:?} {:#?}",
        pool.program.lines()
    );
    assert!(ran < 1.0, "{ran} s");
    assert_eq!(others(&board), before, "another worker has exited");
    host::reload(&mut pool);
    assert_eq!(board.view.pool().figures.ready, 4);
    let dropped = pool.status()["access_log_dropped"].as_u64().unwrap();
    assert!(dropped < 10_000_000, "{dropped}");
    host::end(&mut pool);
    // The lines of the others are there, and what that region contained is harmless.
    let log = std::fs::read(log).unwrap();
    let is_harmless = |byte: &u8| matches!(byte, b'\n' | b' '..=b'~');
    assert!(log.iter().all(is_harmless));
    let lines = log.split(|byte| *byte == b'\n');
    assert!(lines.clone().all(|line| line.len() < 4_096));
    let requests = lines
        .filter(|line| line.starts_with(b"127.0.0.1 - - ["))
        .count();
    assert!(requests > 100, "{requests}");
    std::fs::remove_dir_all(folder).unwrap();
}
