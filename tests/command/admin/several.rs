//! Several pools under one process.

use super::{Admin, shop_and_wiki};
use crate::managed::signal;
use crate::run::wait_until_exited;

#[test]
fn each_pool_has_its_samples_and_one_that_was_killed_is_reported() {
    let (mut run, file) = shop_and_wiki();
    let admin = Admin::of(&run.pid().to_string());
    let ready = "pool 'shop': ready: 1 of 1 worker\npool 'wiki': ready: 1 of 1 worker\n";
    let all_are_ready = || {
        admin.wait_for("/readyz", 200, "pool 'wiki': ready");
        let response = admin.get("/readyz");
        let mut lines = Vec::from_iter(response.text().lines().map(str::to_owned));
        lines.sort();
        assert_eq!(lines, Vec::from_iter(ready.lines()));
    };
    all_are_ready();
    let report = admin.json();
    let manager =
        |name: &str| u32::try_from(report["pools"][name]["manager"].as_u64().unwrap()).unwrap();
    let (shop, wiki) = (manager("shop"), manager("wiki"));
    assert_ne!(shop, wiki);
    // The process above them must not start it again yet.
    signal("STOP", run.pid());
    signal("KILL", wiki);
    wait_until_exited(wiki);
    let reason = format!("pool 'wiki': not ready: its manager (pid {wiki}) has ended");
    admin.wait_for("/readyz", 503, &reason);
    admin.error_line("pool 'wiki': its manager");
    let metrics = admin.metrics();
    for line in [
        "fcgipm_up{pool=\"shop\"} 1\n",
        "fcgipm_up{pool=\"wiki\"} 0\n",
        "fcgipm_ready{pool=\"wiki\"} 0\n",
        "fcgipm_workers_ready{pool=\"shop\"} 1\n",
    ] {
        assert!(metrics.contains(line), "{line}: {metrics}");
    }
    assert!(admin.json()["pools"]["wiki"]["error"].is_string());
    signal("CONT", run.pid());
    all_are_ready();
    assert!(admin.metrics().contains("fcgipm_up{pool=\"wiki\"} 1\n"));
    // One that is stopped on purpose is not missed.
    std::fs::write(
        &file,
        std::fs::read_to_string(&file)
            .unwrap()
            .split("[[pool]]\nname = \"wiki\"")
            .next()
            .unwrap(),
    )
    .unwrap();
    run.signal("HUP");
    admin.wait_for("/readyz", 200, "shop");
    let until = std::time::Instant::now() + crate::process::LIMIT;
    while admin.get("/readyz").text() != "pool 'shop': ready: 1 of 1 worker\n" {
        assert!(std::time::Instant::now() < until);
    }
    assert_eq!(admin.get("/readyz").status, 200);
    run.stop();
}
