//! The cost of the scoreboard for a worker, per request.

use std::hint::black_box;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fcgipm::worker::{self, Activity, LoopStatus, ManagerLink, Scoreboard, Served};

const SERVED: Served = Served {
    status: 404,
    received: 100,
    sent: 1_000,
    aborted: false,
    queue_wait: Some(Duration::from_millis(3)),
};

/// Makes this process a worker in slot 1.
fn become_worker() {
    let mut scoreboard = Scoreboard::new(3).unwrap();
    scoreboard.begin(1, 2, 0);
    let pipe = || nix::unistd::pipe().unwrap();
    let (handover, _) = UnixStream::pair().unwrap();
    let link_to_manager = ManagerLink::new(
        scoreboard.keep_only(1),
        1,
        pipe().1.into(),
        pipe().0.into(),
        (
            Arc::new(handover.try_clone().unwrap().into()),
            Arc::new(handover.into()),
        ),
    );
    assert!(worker::install(link_to_manager).is_ok());
}

/// All reports of a request loop for a request on a new connection.
fn report_one(report: &mut LoopStatus, uri: &[u8]) {
    report.idle();
    report.reading();
    report.busy(black_box(b"POST"), black_box(uri), 7, 1);
    report.respond(true, true);
    report.finished(black_box(&SERVED));
}

/// The fastest of many short batches is one that was not interrupted, even on a busy machine.
#[test]
fn the_scoreboard_costs_less_than_100_nanoseconds_per_request() {
    const BATCH: u32 = 1_000;
    const LIMIT: Duration = Duration::from_nanos(100);
    become_worker();
    let mut report = LoopStatus::default();
    let uri = b"/application/some/longer/path?with=a&query=of&some=more&bytes=0123456789";
    let mut fastest = Duration::MAX;
    for _ in 0..5_000 {
        let start = Instant::now();
        for _ in 0..BATCH {
            report_one(&mut report, uri);
        }
        fastest = fastest.min(start.elapsed() / BATCH);
    }
    println!("measured: the scoreboard costs a request {fastest:?}");
    let snapshot = worker::current().unwrap().page.snapshot().unwrap();
    assert_eq!(snapshot.activity, Activity::Finished);
    assert_eq!(snapshot.requests, 5_000_000);
    let counted = worker::current().unwrap().page.tallies(Duration::MAX);
    assert_eq!(counted.count(), 5_000_000);
    assert_eq!(counted.responses, [0, 0, 0, 5_000_000, 0]);
    assert_eq!(counted.sent, 5_000_000_000);
    assert!(fastest < LIMIT, "{fastest:?} per request");
}
