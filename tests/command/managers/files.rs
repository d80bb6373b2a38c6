//! What `fcgipm status` shows of the files that run.

use std::fs;
use std::os::unix::net::UnixListener;
use std::process::Command;

use serde_json::Value;

use super::ran;
use crate::managed::Pool;

#[test]
fn a_program_or_library_that_was_replaced_on_disk_is_marked() {
    let folder = tempfile::tempdir().unwrap();
    let built = |name: &str| {
        let release = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/release");
        format!("{release}/{name}")
    };
    let copy = |name: &str, from: &str| {
        let new = folder.path().join("new");
        let copied = Command::new("cp").arg(built(from)).arg(&new).status();
        assert!(copied.unwrap().success());
        fs::rename(&new, folder.path().join(name)).unwrap();
    };
    copy("hello", "examples/hello");
    copy("libfcgipm.so.0", "libfcgipm.so");
    let place = folder.path().display();
    let script = format!("LD_LIBRARY_PATH={place} exec {place}/hello fd:0");
    let listener = UnixListener::bind(folder.path().join("socket")).unwrap();
    let pool = Pool::start_as(listener, 1, &script);
    let replaced = || {
        let report = crate::run::status(&pool.pid_file());
        let files = report["files"].as_array().unwrap().clone();
        let state = |name: &str| {
            let path = folder.path().join(name);
            let of = |file: &&Value| file["path"] == path.to_str().unwrap();
            files.iter().find(of).unwrap()["replaced"]
                .as_bool()
                .unwrap()
        };
        ["hello", "libfcgipm.so.0"].map(state)
    };
    assert_eq!(replaced(), [false, false]);
    copy("libfcgipm.so.0", "libfcgipm.so");
    assert_eq!(replaced(), [false, true]);
    fs::remove_file(folder.path().join("hello")).unwrap();
    assert_eq!(replaced(), [true, true]);
    let table = ran(&["status", &pool.pid_file()]).1;
    assert!(table.contains("/hello, replaced on disk\n"), "{table}");
}
