//! What a reader of the scoreboard finds, whatever was written: [`reports`] of workers, and
//! [`views`] of the whole.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use super::*;

mod reports;
mod views;

/// All words of a region, as its worker can write them.
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

/// A loop's record, as its worker uses it.
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
        self.entry.set_activity(activity, at(seconds));
        self.record.publish(&mut self.entry);
    }

    fn busy(&mut self, uri: &[u8], seconds: u64) {
        self.record.describe(b"GET", uri);
        self.entry.begin(7, 9, at(seconds));
        self.record.publish(&mut self.entry);
    }

    fn finish(&mut self) {
        self.answer(&Served::default(), 3);
    }

    fn answer(&mut self, served: &Served, seconds: u64) {
        self.record.count(&mut self.entry, at(seconds), served);
        self.turn_to(Activity::Finished, seconds);
    }
}

#[cfg(test)]
fn board() -> Scoreboard {
    let mut board = Scoreboard::new(3).unwrap();
    board.begin(1, 5, 0);
    board
}
