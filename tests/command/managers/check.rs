use std::fs::File;

use super::{Deployed, begun, ended, ran};
use crate::managed::signal;
use crate::run::{Run, fifo, hello};

#[test]
fn a_pool_is_ready_as_long_as_a_worker_is_ready_and_it_does_not_stop() {
    let deployed = Deployed::start(2);
    let target = deployed.pool.pid_file();
    let (status, out, errors) = ran(&["check", &target]);
    let said = "ready: 2 of 2 workers\n";
    assert_eq!((status, &*out, &*errors), (0, said, ""));
    let (_client, _gate) = deployed.pool.paused(&deployed.address, "/pause");
    signal("TERM", deployed.pool.pid());
    deployed.pool.line("stopping");
    let (status, out, errors) = ran(&["check", &target]);
    let said = "fcgipm check: not ready: the pool is stopping\n";
    assert_eq!((status, &*out, &*errors), (1, "", said));
}

#[test]
fn a_pool_is_waited_for_from_before_its_start() {
    let folder = tempfile::tempdir().unwrap();
    let gate = fifo(&folder);
    let address = crate::run::address(&folder);
    let (status, _, errors) = ran(&["wait", &address, "--timeout", "100ms"]);
    assert_eq!(status, 1);
    let begin = "fcgipm wait: timed out after 0.1 s: ";
    assert!(errors.starts_with(begin), "{errors}");
    let waiting = begun(&["wait", &address]);
    let start = format!("exec 3<{gate}");
    let environment = [("HELLO_START", &*start)];
    let mut run = Run::pool_by(folder, &[], &[], &[&hello(), "fd:0"], &environment);
    run.line(") started");
    let (status, _, errors) = ran(&["check", &address]);
    let said = "fcgipm check: not ready: none of 1 worker is ready, 1 starting\n";
    assert_eq!((status, &*errors), (1, said));
    drop(File::options().write(true).open(&gate).unwrap());
    let (status, out, errors) = ended(waiting);
    let said = "ready: 1 of 1 worker\n";
    assert_eq!((status, &*out, &*errors), (0, said, ""));
    run.stop();
}

#[test]
fn a_pool_on_demand_is_ready_without_workers() {
    let options = ["--pm", "ondemand", "--n-processes", "2"];
    let mut run = Run::pool(&options, &[&hello(), "fd:0"]);
    run.line("managing");
    let (status, out, errors) = ran(&["wait", &run.address()]);
    let said = "ready: no worker is needed now\n";
    assert_eq!((status, &*out, &*errors), (0, said, ""));
    run.stop();
}
