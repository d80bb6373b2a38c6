//! `make dist`: the source archive has what is committed and the crates, is the same for the same commit, and
//! builds without a network.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use nix::sys::stat::{Mode, umask};
use serde_json::Value;
use tempfile::TempDir;

const NAME: &str = concat!("fcgipm-", env!("CARGO_PKG_VERSION"));

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn folder() -> TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

fn run(command: &mut Command) -> Output {
    command
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"))
}

fn output(command: &mut Command) -> String {
    let output = run(command);
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {complaint}");
    String::from_utf8(output.stdout).unwrap()
}

fn git(folder: &Path, arguments: &[&str]) -> String {
    output(Command::new("git").args(arguments).current_dir(folder))
}

fn dist(checkout: &Path, into: &Path) -> Command {
    let mut command = Command::new(checkout.join("packaging/dist.sh"));
    // What compresses least takes the least time.
    command.arg(into).env("CARGO", env!("CARGO"));
    command.env("XZ_OPT", "-0").env_remove("SOURCE_DATE_EPOCH");
    command
}

/// The archive of this checkout, made once.
fn archive() -> &'static Path {
    static MADE: OnceLock<PathBuf> = OnceLock::new();
    MADE.get_or_init(|| {
        let into = Path::new(env!("CARGO_TARGET_TMPDIR")).join("archive");
        output(&mut dist(root(), &into));
        into.join(format!("{NAME}.tar.xz"))
    })
}

/// A folder with the archive's content.
fn unpacked() -> TempDir {
    let folder = folder();
    let mut unpack = Command::new("tar");
    output(
        unpack
            .arg("-xf")
            .arg(archive())
            .arg("-C")
            .arg(folder.path()),
    );
    folder
}

/// A program as on a machine that has no crates and no network.
fn alone(program: &str, top: &Path, home: &Path) -> Command {
    let mut command = Command::new("unshare");
    command.args(["--map-root-user", "--net", program]);
    command.current_dir(top).env("CARGO_HOME", home);
    command
        .env("CARGO", env!("CARGO"))
        .env_remove("CARGO_TARGET_DIR");
    command
}

#[test]
fn the_same_commit_gives_the_same_bytes() {
    let other = folder();
    let clone = other.path().join("a checkout elsewhere");
    let commit = git(root(), &["rev-parse", "HEAD"]);
    let mut cloning = Command::new("git");
    cloning.args(["clone", "--quiet", "--no-checkout"]);
    output(cloning.arg(root()).arg(&clone));
    git(&clone, &["checkout", "--quiet", "--detach", commit.trim()]);
    let mut again = dist(&clone, other.path());
    again.env("TZ", "Asia/Tokyo").env("LC_ALL", "C.UTF-8");
    // SAFETY: umask is async-signal-safe.
    unsafe {
        again.pre_exec(|| {
            umask(Mode::S_IRWXG | Mode::S_IRWXO);
            Ok(())
        });
    }
    output(&mut again);
    let (one, other) = (
        fs::read(archive()).unwrap(),
        fs::read(other.path().join(format!("{NAME}.tar.xz"))).unwrap(),
    );
    assert!(one == other, "{} and {} bytes", one.len(), other.len());
}

#[test]
fn it_has_what_is_committed_and_the_crates() {
    let listed = output(Command::new("tar").arg("-tf").arg(archive()));
    let files: BTreeSet<_> = listed
        .lines()
        .map(|path| path.strip_prefix(&format!("{NAME}/")).unwrap())
        .filter(|path| !path.is_empty() && !path.ends_with('/'))
        .collect();
    let committed = git(root(), &["ls-tree", "-r", "--name-only", "-z", "HEAD"]);
    let committed: BTreeSet<_> = committed.split_terminator('\0').collect();
    let missing: Vec<_> = committed.difference(&files).collect();
    assert!(missing.is_empty(), "missing: {missing:?}");
    let added: Vec<_> = files
        .difference(&committed)
        .filter(|path| !path.starts_with("vendor/"))
        .collect();
    assert_eq!(added, [&".cargo/config.toml"]);
    let file = format!("{NAME}/packaging/commit");
    let named = output(Command::new("tar").arg("-xOf").arg(archive()).arg(file));
    assert_eq!(
        named,
        git(root(), &["rev-parse", "HEAD"]),
        "fcgipm --version"
    );
}

#[test]
fn it_builds_without_a_network() {
    let (unpacked, home) = (unpacked(), folder());
    let top = unpacked.path().join(NAME);
    // Every crate that this system uses is whole.
    let metadata = output(
        alone(env!("CARGO"), &top, home.path())
            .args(["metadata", "--locked", "--format-version", "1"])
            .args(["--filter-platform", "x86_64-unknown-linux-gnu"]),
    );
    let metadata: Value = serde_json::from_str(&metadata).unwrap();
    let used = metadata["resolve"]["nodes"].as_array().unwrap();
    let used: BTreeSet<_> = used.iter().map(|node| node["id"].as_str()).collect();
    let packages = metadata["packages"].as_array().unwrap().iter();
    for package in packages.filter(|package| used.contains(&package["id"].as_str())) {
        for target in package["targets"].as_array().unwrap() {
            let path = target["src_path"].as_str().unwrap();
            let is_built = ["lib", "proc-macro", "custom-build"]
                .iter()
                .any(|kind| target["kind"][0] == *kind);
            assert!(!is_built || Path::new(path).exists(), "there is no {path}");
        }
    }
    output(alone(env!("CARGO"), &top, home.path()).args([
        "check",
        "--locked",
        "--package=fcgipm",
        "--package=fcgipm-command",
        "--package=fcgipm-libfcgi",
    ]));
}

/// They are in the crates, which an archive has and a checkout gets from the registry.
#[test]
fn the_licences_of_the_crates_are_the_same_without_a_network() {
    let (unpacked, home) = (unpacked(), folder());
    let top = unpacked.path().join(NAME);
    let texts = [root(), &top].map(|sources| {
        let file = home.path().join("licences");
        let mut script = if sources == top {
            alone("packaging/licenses.pl", &top, home.path())
        } else {
            let mut script = Command::new(root().join("packaging/licenses.pl"));
            script.current_dir(root()).env("CARGO", env!("CARGO"));
            script
        };
        output(script.arg(&file));
        fs::read_to_string(file).unwrap()
    });
    assert!(texts[0] == texts[1], "{}\n\nand\n\n{}", texts[0], texts[1]);
    let crates = texts[0].lines().filter(|line| line.ends_with("command"));
    assert!(crates.count() > 20, "{}", texts[0]);
}

#[test]
fn without_a_checkout_there_is_one_line() {
    let folder = folder();
    fs::create_dir(folder.path().join("packaging")).unwrap();
    for file in ["Cargo.toml", "packaging/dist.sh"] {
        fs::copy(root().join(file), folder.path().join(file)).unwrap();
    }
    let refused = run(&mut dist(folder.path(), &folder.path().join("dist")));
    let complaint = String::from_utf8(refused.stderr).unwrap();
    assert!(!refused.status.success());
    assert_eq!(complaint.lines().count(), 1, "{complaint}");
    assert!(complaint.contains("is not a git checkout"), "{complaint}");
}
