use std::os::unix::net::UnixListener;

use super::{Deployed, ran};
use crate::managed::Pool;

#[test]
fn the_pool_has_the_size_when_it_returns() {
    let deployed = Deployed::start(2);
    let target = deployed.pool.pid_file();
    for size in ["7", "1", "1", "3"] {
        let (status, out, errors) = ran(&["resize", &target, size]);
        let said = format!("resized to {size} workers\n");
        assert_eq!((status, &*out, &*errors), (0, &*said, ""));
        let report = deployed.status();
        assert_eq!(report["ready"].to_string(), size);
        assert_eq!(report["wanted"].to_string(), size);
    }
    for wrong in ["0", "2001", "x"] {
        assert_eq!(ran(&["resize", &target, wrong]).0, 2);
    }
}

#[test]
fn workers_that_do_not_start_are_reported_at_the_timeout() {
    let deployed = Deployed::start(1);
    deployed.deploy("exit 5");
    let target = deployed.pool.pid_file();
    let (status, _, errors) = ran(&["resize", &target, "2", "--timeout", "500ms"]);
    assert_eq!(status, 1);
    let said = "fcgipm resize: timed out after 0.5 s: 1 of 2 workers are ready\n";
    assert_eq!(errors, said);
}

#[test]
fn with_a_size_by_load_it_changes_the_maximum() {
    let folder = tempfile::tempdir().unwrap();
    let listener = UnixListener::bind(folder.path().join("socket")).unwrap();
    let script = "FCGIPM_PM=dynamic FCGIPM_N_PROCESSES=4 exec \"$0\" fd:0";
    let pool = Pool::start_as(listener, 1, script);
    let target = pool.pid_file();
    let (status, out, _) = ran(&["resize", &target, "9"]);
    assert_eq!((status, &*out), (0, "resized to at most 9 workers\n"));
    assert_eq!(crate::run::status(&target)["max"], 9);
}
