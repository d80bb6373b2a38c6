use std::fs::{self, File};

use super::{Deployed, begun, ended, ran};
use crate::managed::signal;
use crate::run::{Run, call, fifo, hello};

/// What a worker runs that waits until the test has opened the FIFO and closed it again.
fn at_gate(gate: &str) -> String {
    format!("cat {gate}")
}

fn generations(deployed: &Deployed) -> Vec<u64> {
    let report = deployed.status();
    let workers = report["workers"].as_array().unwrap().iter();
    let serving = workers.filter(|worker| worker["state"] != "retiring");
    serving
        .map(|worker| worker["generation"].as_u64().unwrap())
        .collect()
}

#[test]
fn it_returns_when_only_new_workers_serve() {
    let deployed = Deployed::start(3);
    for round in 1..=3 {
        let (status, out, errors) = ran(&["reload", &deployed.pool.pid_file()]);
        assert_eq!((status, &*out, &*errors), (0, "reloaded\n", ""));
        assert_eq!(generations(&deployed), [round; 3]);
        for _ in 0..10 {
            let answer = call(&deployed.address);
            let old = deployed.pool.workers.iter();
            let mut old = old.map(|pid| format!("pid {pid}"));
            assert!(!old.any(|pid| answer.contains(&pid)), "{answer}");
        }
    }
}

#[test]
fn a_manager_is_named_by_address_and_by_pid_as_well() {
    let deployed = Deployed::start(1);
    for target in [&deployed.address, &deployed.pool.pid().to_string()] {
        let (status, out, errors) = ran(&["reload", target]);
        assert_eq!((status, &*out, &*errors), (0, "reloaded\n", ""));
    }
    let (status, _, errors) = ran(&["reload", "4194305"]);
    assert_eq!(status, 1);
    assert_eq!(errors, "fcgipm reload: there is no process 4194305\n");
    for wrong in [
        &["reload"][..],
        &["reload", "1", "--timeout", "0"],
        &["reload", "1", "2"],
    ] {
        assert_eq!(ran(wrong).0, 2);
    }
}

#[test]
fn a_broken_deploy_fails_with_the_last_lines_of_standard_error() {
    let deployed = Deployed::start(2);
    deployed.deploy("echo 'syntax error at shop.pl line 7' >&2; exit 3");
    let (status, out, errors) = ran(&["reload", &deployed.pool.pid_file()]);
    assert_eq!((status, &*out), (1, ""));
    let begin = "fcgipm reload: reload failed, the old workers continue: worker (pid ";
    assert!(errors.starts_with(begin), "{errors}");
    assert!(
        errors.contains("syntax error at shop.pl line 7"),
        "{errors}"
    );
    assert_eq!(generations(&deployed), [0; 2]);
    deployed.deploy("exit 0");
    assert_eq!(ran(&["reload", &deployed.pool.pid_file()]).0, 0);
    assert_eq!(generations(&deployed), [2; 2]);
}

#[test]
fn a_request_during_a_reload_waits_for_the_reload_that_follows() {
    let deployed = Deployed::start(1);
    let gate = fifo(&deployed.folder);
    deployed.deploy(&at_gate(&gate));
    signal("HUP", deployed.pool.pid());
    // The first reload runs its worker: what is deployed from here on is not in it.
    let first = File::options().write(true).open(&gate).unwrap();
    deployed.pool.line("reload begun");
    fs::remove_file(&gate).unwrap();
    let second = fifo(&deployed.folder);
    deployed.deploy(&format!("{}; exit 4", at_gate(&second)));
    let reload = begun(&["reload", &deployed.pool.pid_file()]);
    deployed.pool.line("another one follows");
    drop(first);
    // The first one has succeeded, the second fails.
    drop(File::options().write(true).open(&second).unwrap());
    let (status, out, errors) = ended(reload);
    assert_eq!((status, &*out), (1, ""));
    assert!(errors.contains("exited with status 1"), "{errors}");
    assert_eq!(generations(&deployed), [1]);
}

#[test]
fn an_old_worker_that_finishes_a_request_is_not_waited_for() {
    let deployed = Deployed::start(1);
    let (client, gate) = deployed.pool.paused(&deployed.address, "/pause");
    let (status, out, errors) = ran(&["reload", &deployed.pool.pid_file()]);
    let said = "reloaded; 1 old worker finishes its request\n";
    assert_eq!((status, &*out, &*errors), (0, said, ""));
    assert_eq!(deployed.status()["reload"]["state"], "running");
    drop(gate);
    assert!(client.wait_with_output().unwrap().status.success());
}

#[test]
fn a_timeout_names_what_is_missing() {
    let deployed = Deployed::start(1);
    let gate = fifo(&deployed.folder);
    deployed.deploy(&at_gate(&gate));
    let target = deployed.pool.pid_file();
    let (status, _, errors) = ran(&["reload", &target, "--timeout", "300ms"]);
    assert_eq!(status, 1);
    let said =
        "fcgipm reload: timed out after 0.3 s: the reload continues, with 1 starting worker\n";
    assert_eq!(errors, said);
    drop(File::options().write(true).open(&gate).unwrap());
    deployed.pool.line("reload done");
    signal("STOP", deployed.pool.pid());
    let (status, _, errors) = ran(&["reload", &target, "--timeout", "100ms"]);
    assert_eq!(status, 1);
    assert!(errors.contains("has not noticed the signal"), "{errors}");
}

#[test]
fn the_end_of_the_manager_ends_the_wait() {
    for (name, said) in [("KILL", "has ended"), ("TERM", "the pool is stopping")] {
        let mut deployed = Deployed::start(1);
        let gate = fifo(&deployed.folder);
        deployed.deploy(&at_gate(&gate));
        let reload = begun(&["reload", &deployed.pool.pid_file()]);
        deployed.pool.line("reload begun");
        signal(name, deployed.pool.pid());
        if name == "KILL" {
            deployed.pool.child.wait().unwrap();
        }
        let (status, _, errors) = ended(reload);
        assert_eq!(status, 1);
        assert!(errors.contains(said), "{errors}");
    }
}

#[test]
fn a_process_that_the_signal_would_kill_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let listener = std::os::unix::net::UnixListener::bind(folder.path().join("socket")).unwrap();
    let script = "FCGIPM_NO_SIGNALS=1 exec \"$0\" fd:0";
    let mut pool = crate::managed::Pool::start_as(listener, 1, script);
    for command in ["reload", "stop"] {
        let (status, _, errors) = ran(&[command, &pool.pid_file()]);
        assert_eq!(status, 1);
        assert!(errors.contains("does not handle SIG"), "{errors}");
    }
    assert!(pool.child.try_wait().unwrap().is_none());
}

#[test]
fn all_pools_of_a_file_are_reloaded_and_each_is_reported() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.toml");
    let mark = folder.path().join("broken");
    let pool = |name: &str, start: &str| {
        format!(
            "[[pool]]\nname = \"{name}\"\nlisten = \"{}\"\nworkers = 2\npreload = false\n\
             command = [\"{}\", \"fd:0\"]\nenv = {{ HELLO_START = \"{start}\" }}\n",
            folder.path().join(name).display(),
            hello()
        )
    };
    let broken = format!("test ! -e {}", mark.display());
    let text = pool("shop", "exit 0") + &pool("wiki", &broken);
    fs::write(&path, text).unwrap();
    let arguments = ["--config", path.to_str().unwrap()];
    let mut run = Run::start(tempfile::tempdir().unwrap(), &arguments, &[]);
    run.ready_ones(4);
    let target = run.pid().to_string();
    let (status, out, errors) = ran(&["reload", &target]);
    assert_eq!((status, &*errors), (0, ""));
    let mut lines: Vec<_> = out.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["pool 'shop': reloaded", "pool 'wiki': reloaded"]);
    fs::write(&mark, "").unwrap();
    let (status, out, errors) = ran(&["reload", &target]);
    assert_eq!((status, &*out), (1, "pool 'shop': reloaded\n"));
    let begin = "fcgipm reload: pool 'wiki': reload failed, the old workers continue: ";
    assert!(errors.starts_with(begin), "{errors}");
    let (status, _, errors) = ran(&["resize", &target, "3"]);
    assert_eq!(status, 1);
    assert!(errors.contains("has several pools: use one of the pids"));
    assert!(errors.contains("(pool 'shop')"), "{errors}");
    let (status, out, _) = ran(&["check", &target]);
    assert_eq!((status, out.lines().count()), (0, 2));
    assert_eq!(ran(&["stop", &target]).0, 0);
    assert_eq!(run.end().0.code(), Some(0));
}
