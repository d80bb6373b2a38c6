use super::{Deployed, begun, ended, ran};

#[test]
fn it_returns_when_the_manager_has_ended() {
    let mut deployed = Deployed::start(2);
    let (client, gate) = deployed.pool.paused(&deployed.address, "/pause");
    let target = deployed.pool.pid_file();
    let (status, _, errors) = ran(&["stop", &target, "--timeout", "200ms"]);
    assert_eq!(status, 1);
    let pid = deployed.pool.pid();
    let said =
        format!("fcgipm stop: timed out after 0.2 s: process {pid} still runs, with 1 worker\n");
    assert_eq!(errors, said);
    deployed.pool.line("received SIGTERM");
    // Another one for the same stop.
    let stop = begun(&["stop", &target]);
    deployed.pool.line("received SIGTERM");
    drop(gate);
    assert!(client.wait_with_output().unwrap().status.success());
    assert_eq!(deployed.pool.child.wait().unwrap().code(), Some(0));
    deployed.pool.reaped = true;
    let (status, out, errors) = ended(stop);
    assert_eq!((status, &*out, &*errors), (0, "stopped\n", ""));
    assert_eq!(ran(&["stop", &target]).0, 1);
}
