//! Tells the command which commit it is built from, for `fcgipm --version`. Nothing else: no time, no
//! machine, so that the same sources give the same program.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

fn main() {
    let setting = |name: &str| env::var(name).unwrap_or_else(|error| panic!("{name}: {error}"));
    let root = Path::new(&setting("CARGO_MANIFEST_DIR")).join("../..");
    let version = setting("CARGO_PKG_VERSION");
    // Not FCGIPM_...: cargo sets it for the tests, too, and the programs that they start would take it for an option.
    match commit(&root) {
        Some(commit) => println!("cargo:rustc-env=VERSION_SHOWN={version} (commit {commit})"),
        None => println!("cargo:rustc-env=VERSION_SHOWN={version}"),
    }
    println!("cargo:rerun-if-changed=build.rs");
    let moves = ["HEAD", "logs/HEAD"].map(|name| git(&root, &["rev-parse", "--git-path", name]));
    let moves = moves.into_iter().flatten().map(|path| root.join(path));
    // Cargo would take a missing file for a changed one, every time.
    for path in moves.chain([file(&root)]).filter(|path| path.exists()) {
        println!("cargo:rerun-if-changed={}", path.display());
    }
}

/// `git archive` writes the commit into this file.
fn file(root: &Path) -> PathBuf {
    root.join("packaging/commit")
}

/// The first digits of the commit: of the source archive, or of the checkout that `root` is. `None` for
/// sources that are neither.
pub(crate) fn commit(root: &Path) -> Option<String> {
    let archived = fs::read_to_string(file(root)).ok();
    let found = archived.filter(|text| !text.contains('$')).or_else(|| {
        // The checkout of something else may contain these sources.
        let top = fs::canonicalize(git(root, &["rev-parse", "--show-toplevel"])?).ok()?;
        let is_ours = fs::canonicalize(root).ok()? == top;
        is_ours.then(|| git(root, &["rev-parse", "HEAD"])).flatten()
    });
    found.map(|commit| commit.trim().chars().take(12).collect())
}

fn git(root: &Path, arguments: &[&str]) -> Option<String> {
    let output = Command::new("git")
        .arg("-C")
        .arg(root)
        .args(arguments)
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}
