//! Whether a worker that watches connections tries accept before it asks epoll.
//!
//! Under load a connection waits there, and epoll is a system call that can be saved. Where none
//! waits, the attempt is one call more. So it is made while it succeeds, and less often after each
//! failure.

/// The maximum number of connections by way of epoll between two attempts.
const SELDOM: u8 = 31;

/// How the latest attempts ended.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct QueueProbe {
    /// Connections by way of epoll before the next attempt.
    skip: u8,
    /// What `skip` was after the latest failure; 0: the latest attempt succeeded.
    pause: u8,
}

impl QueueProbe {
    /// Whether to try.
    pub(super) const fn is_due(self) -> bool {
        self.skip == 0
    }

    /// It was tried.
    pub(super) const fn tried(&mut self, found: bool) {
        self.pause = match (found, self.pause) {
            (true, _) => 0,
            (false, SELDOM..) => SELDOM,
            (false, pause) => 2 * pause + 1,
        };
        self.skip = self.pause;
    }

    /// Epoll reported a connection.
    pub(super) const fn woken(&mut self) {
        self.skip = self.skip.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The number of attempts for this many connections, each of which waits in the queue or does not.
    fn attempts(probe: &mut QueueProbe, connections: usize, is_waiting: bool) -> usize {
        let mut attempts = 0;
        for _ in 0..connections {
            if probe.is_due() {
                attempts += 1;
                probe.tried(is_waiting);
                if is_waiting {
                    continue;
                }
            }
            probe.woken();
        }
        attempts
    }

    #[test]
    fn a_queue_that_is_never_empty_is_always_tried() {
        assert_eq!(attempts(&mut QueueProbe::default(), 100, true), 100);
    }

    #[test]
    fn a_queue_that_is_always_empty_costs_one_attempt_in_thirty_one() {
        let mut probe = QueueProbe::default();
        attempts(&mut probe, 100, false);
        assert_eq!(attempts(&mut probe, 310, false), 10);
    }

    #[test]
    fn soon_after_connections_wait_each_time_it_is_tried_each_time() {
        let mut probe = QueueProbe::default();
        attempts(&mut probe, 1_000, false);
        attempts(&mut probe, usize::from(SELDOM), true);
        assert_eq!(attempts(&mut probe, 100, true), 100);
    }
}
