//! The folder that `make install` fills, and the commands that look at it.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use super::peer::compiled::product;

/// A prefix that no compiler and no loader searches on its own.
pub(crate) const PREFIX: &str = "/opt/fcgipm";

pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A new, empty folder of this name.
pub(crate) fn empty(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join("install")
        .join(name);
    let _ = fs::remove_dir_all(&path);
    fs::create_dir_all(&path).unwrap();
    path
}

/// Runs make in the root of the repository, as a user would.
pub(crate) fn make(arguments: &[&str]) -> Output {
    let mut command = Command::new("make");
    command.arg("--no-print-directory").args(arguments);
    // `make test` runs this test: its own flags and variables are not those of a user.
    for variable in ["MAKEFLAGS", "MFLAGS", "MAKELEVEL", "MAKEOVERRIDES"] {
        command.env_remove(variable);
    }
    command.current_dir(root()).output().expect("make")
}

/// The same for a call that must succeed.
pub(crate) fn made(arguments: &[&str]) -> String {
    let output = make(arguments);
    assert!(
        output.status.success(),
        "make {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

/// The output of a command that must succeed.
pub(crate) fn said(command: &mut Command) -> String {
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(
        output.status.success(),
        "{command:?}: {}\n{out}{err}",
        output.status
    );
    format!("{out}{err}")
}

/// Everything, installed once for all tests that only read it.
pub(crate) fn installed() -> &'static Path {
    static TREE: OnceLock<PathBuf> = OnceLock::new();
    TREE.get_or_init(|| {
        product("libfcgipm.so");
        let tree = empty("everything");
        made(&[
            "install",
            &format!("DESTDIR={}", tree.display()),
            &format!("PREFIX={PREFIX}"),
        ]);
        tree
    })
}

/// A path below the prefix of what is installed.
pub(crate) fn at(path: &str) -> PathBuf {
    installed().join(PREFIX.trim_start_matches('/')).join(path)
}

/// A program that uses the installed library, which is not where the loader looks.
pub(crate) fn with_library(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.env("LD_LIBRARY_PATH", at("lib"));
    command
}

/// The files below a folder: the mode and the size of each, or what a link says.
pub(crate) fn listing(folder: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut pending = vec![folder.to_owned()];
    while let Some(next) = pending.pop() {
        for entry in fs::read_dir(&next).unwrap() {
            let path = entry.unwrap().path();
            let about = path.symlink_metadata().unwrap();
            let name = path.strip_prefix(folder).unwrap().to_str().unwrap();
            if about.is_dir() {
                pending.push(path);
            } else if about.is_symlink() {
                let target = fs::read_link(&path).unwrap();
                found.insert(name.to_owned(), format!("-> {}", target.display()));
            } else {
                let mode = about.permissions().mode() & 0o7777;
                found.insert(name.to_owned(), format!("{mode:o} {}", about.len()));
            }
        }
    }
    found
}
