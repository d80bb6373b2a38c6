//! The children of a worker, when it is killed and when it exits.

use std::fs;

use super::{Run, script, wait_until_exited};

/// A program with a child that writes its pid to a file, and keeps running. `first` and `rest` are
/// its commands before and after that.
fn with_child(folder: &tempfile::TempDir, first: &str, rest: &str) -> (String, String) {
    let file = folder.path().join("child").to_str().unwrap().to_owned();
    let start = format!("sleep 1000 </dev/null >/dev/null 2>&1 &\necho $! >{file}\necho begun >&2");
    (script(folder, &format!("{first}\n{start}\n{rest}")), file)
}

const WAITS: &str = "while :; do wait; done";

fn child(file: &str) -> u32 {
    fs::read_to_string(file).unwrap().trim().parse().unwrap()
}

fn is_running(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit_once(')').unwrap().1.starts_with(" Z"))
}

#[test]
fn the_children_of_a_killed_worker_are_killed() {
    let folder = tempfile::tempdir().unwrap();
    let (program, file) = with_child(&folder, "trap '' TERM", WAITS);
    let options = ["--ready-delay", "0.3", "--die-timeout", "0.2"];
    let mut run = Run::pool_in(folder, &options, &[&program]);
    run.ready();
    run.lines_with("begun", 1);
    let orphan = child(&file);
    assert!(is_running(orphan));
    run.signal("TERM");
    run.line("killing worker");
    wait_until_exited(orphan);
    assert_eq!(run.end().0.code(), Some(0));
}

#[test]
fn children_survive_without_process_group_or_if_the_worker_exits() {
    let killed = "trap '' TERM";
    let exits = "trap 'exit 0' TERM";
    for (first, option, how) in [
        (killed, "--process-group=0", "killed by SIGKILL"),
        (exits, "--process-group=1", "exited with status 0"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let (program, file) = with_child(&folder, first, WAITS);
        let options = [option, "--ready-delay", "0.3", "--die-timeout", "0.5"];
        let mut run = Run::pool_in(folder, &options, &[&program]);
        let worker = run.ready();
        run.lines_with("begun", 1);
        let orphan = child(&file);
        run.signal("TERM");
        run.line(&format!("worker (pid {worker}) {how}"));
        run.line("stopped");
        assert!(is_running(orphan), "{option}");
        crate::managed::signal("KILL", orphan);
        assert_eq!(run.end().0.code(), Some(0));
    }
}

#[test]
fn a_worker_leads_its_own_process_group() {
    let mut run = Run::pool(&["--workers", "2"], &[&super::hello(), "fd:0"]);
    let group = |pid: u32| -> u32 {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        let fields = stat.rsplit_once(") ").unwrap().1;
        fields.split(' ').nth(2).unwrap().parse().unwrap()
    };
    for pid in run.ready_ones(2) {
        assert_eq!(group(pid), pid);
    }
    assert_eq!(group(run.pid()), run.pid());
    run.stop();
}
