//! What another user of the machine may try against a manager, above all one that root runs.

#[path = "../peer/mod.rs"]
mod peer;

mod environment;
mod pid_file;
mod socket_file;
mod status;

use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};

use nix::unistd::User;
use peer::program::folder;

/// The user that tries it, who owns nothing else.
const ATTACKER: &str = "nobody";

/// A folder that belongs to that user. The tests run as root, as the managers that are worth attacking do.
fn attackers_folder() -> PathBuf {
    let path = folder();
    give(&path);
    path
}

/// Makes a file the attacker's.
fn give(path: &Path) {
    let user = User::from_name(ATTACKER).unwrap().unwrap();
    chown(path, Some(user.uid.as_raw()), Some(user.gid.as_raw()))
        .expect("these tests have to run as root");
}

/// What of a file only its owner may decide: who that is, and the permissions.
fn ownership(path: &Path) -> (u32, u32, u32) {
    use std::os::unix::fs::MetadataExt as _;
    let metadata = path.symlink_metadata().unwrap();
    (metadata.uid(), metadata.gid(), metadata.mode())
}
