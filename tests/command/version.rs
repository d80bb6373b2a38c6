//! `fcgipm --version` names the commit, wherever the sources are from.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::process::fcgipm;

#[allow(dead_code)]
#[path = "../../src/bin/build.rs"]
mod build;

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

fn write_commit(root: &Path, text: &str) {
    fs::create_dir_all(root.join("packaging")).unwrap();
    fs::write(root.join("packaging/commit"), text).unwrap();
}

fn git(folder: &Path, arguments: &[&str]) {
    let mut git = Command::new("git");
    git.arg("-C")
        .arg(folder)
        .args(["-c", "user.name=x", "-c", "user.email=x"]);
    assert!(
        git.args(arguments).status().unwrap().success(),
        "{arguments:?}"
    );
}

#[test]
fn version_and_commit_are_printed() {
    let output = fcgipm(&["--version"], b"");
    let version = env!("CARGO_PKG_VERSION");
    let expected = match build::commit(root()) {
        Some(commit) => format!("fcgipm {version} (commit {commit})\n"),
        None => format!("fcgipm {version}\n"),
    };
    assert_eq!(String::from_utf8(output.stdout).unwrap(), expected);
}

#[test]
fn an_archive_names_its_commit() {
    let folder = tempfile::tempdir().unwrap();
    write_commit(folder.path(), &format!("{COMMIT}\n"));
    assert_eq!(build::commit(folder.path()).as_deref(), Some(&COMMIT[..12]));
}

#[test]
fn a_checkout_is_asked_only_about_itself() {
    let folder = tempfile::tempdir().unwrap();
    let inside = folder.path().join("unpacked");
    for root in [folder.path(), &inside] {
        write_commit(root, "$Format:%H$\n");
    }
    assert_eq!(build::commit(folder.path()), None);
    git(folder.path(), &["init", "--quiet"]);
    git(
        folder.path(),
        &["commit", "--quiet", "--allow-empty", "--message=x"],
    );
    let commit = build::commit(folder.path()).unwrap();
    assert_eq!(commit.len(), 12);
    assert_eq!(build::commit(&inside), None);
}
