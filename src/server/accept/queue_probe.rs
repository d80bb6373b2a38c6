//! Whether a worker that watches connections looks into the listen queue before it asks epoll.
//!
//! Under load somebody waits there, and the question is a system call that can be saved. Where nobody does, looking is
//! one more. So it is tried while it succeeds, and after each failure less often.

/// Between two looks at most so many connections come by way of epoll.
const SELDOM: u8 = 31;

/// How the listen queue was found lately.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::server) struct AtOnce {
    /// So many connections come by way of epoll before the next look.
    skip: u8,
    /// What `skip` was after the latest failure; 0: the latest look succeeded.
    pause: u8,
}

impl AtOnce {
    /// Whether to look.
    pub(in crate::server) const fn is_likely(self) -> bool {
        self.skip == 0
    }

    /// There was a look.
    pub(in crate::server) const fn tried(&mut self, found: bool) {
        self.pause = match (found, self.pause) {
            (true, _) => 0,
            (false, SELDOM..) => SELDOM,
            (false, pause) => 2 * pause + 1,
        };
        self.skip = self.pause;
    }

    /// Epoll told that somebody waits.
    pub(in crate::server) const fn woken(&mut self) {
        self.skip = self.skip.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Looks at the queue for so many connections, each of which finds it so.
    fn looks(at_once: &mut AtOnce, connections: usize, somebody_waits: bool) -> usize {
        let mut looks = 0;
        for _ in 0..connections {
            if at_once.is_likely() {
                looks += 1;
                at_once.tried(somebody_waits);
                if somebody_waits {
                    continue;
                }
            }
            at_once.woken();
        }
        looks
    }

    #[test]
    fn a_queue_that_is_never_empty_is_always_looked_into() {
        assert_eq!(looks(&mut AtOnce::default(), 100, true), 100);
    }

    #[test]
    fn a_queue_that_is_always_empty_costs_a_look_in_thirty_one() {
        let mut at_once = AtOnce::default();
        looks(&mut at_once, 100, false);
        assert_eq!(looks(&mut at_once, 310, false), 10);
    }

    #[test]
    fn soon_after_somebody_waits_each_time_it_is_looked_each_time() {
        let mut at_once = AtOnce::default();
        looks(&mut at_once, 1_000, false);
        looks(&mut at_once, usize::from(SELDOM), true);
        assert_eq!(looks(&mut at_once, 100, true), 100);
    }
}
