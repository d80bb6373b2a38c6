//! Attacks by another user of the machine against a manager, in particular one of root.

#[path = "../peer/mod.rs"]
mod peer;

mod environment;
mod pid_file;
mod socket_file;
mod status;
mod stop;

use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};

use nix::unistd::User;
use peer::program::folder;

/// The user who attacks.
const ATTACKER: &str = "nobody";

/// A folder that belongs to the attacker. These tests run as root, as do the managers that they
/// attack.
fn attackers_folder() -> PathBuf {
    let path = folder();
    give(&path);
    path
}

/// Makes the attacker the owner of a file.
fn give(path: &Path) {
    let user = User::from_name(ATTACKER).unwrap().unwrap();
    chown(path, Some(user.uid.as_raw()), Some(user.gid.as_raw()))
        .expect("these tests must run as root");
}

/// The owner, the group and the mode of a file.
fn ownership(path: &Path) -> (u32, u32, u32) {
    use std::os::unix::fs::MetadataExt as _;
    let metadata = path.symlink_metadata().unwrap();
    (metadata.uid(), metadata.gid(), metadata.mode())
}
