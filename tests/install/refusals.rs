//! What cannot be installed is refused in one line that names the path and the remedy.

use std::fs;

use super::tree::{empty, listing, make};

/// The lines that make's recipe wrote; make adds one of its own.
fn refused(arguments: &[&str]) -> Vec<String> {
    let output = make(arguments);
    assert_eq!(output.status.code(), Some(2), "make {arguments:?}");
    let said = String::from_utf8(output.stderr).unwrap();
    let own = said.lines().filter(|line| !line.starts_with("make: ***"));
    own.map(str::to_owned).collect()
}

#[test]
fn a_path_that_cannot_be_written() {
    let tree = empty("unwritable");
    let file = tree.join("file");
    fs::write(&file, "").unwrap();
    let destination = format!("DESTDIR={}", file.display());
    for goal in ["install", "install-lib", "install-man"] {
        let lines = refused(&[goal, &destination]);
        let [line] = &lines[..] else {
            panic!("{goal}: {lines:?}")
        };
        assert!(
            line.starts_with(&format!(
                "make install: cannot write {}/usr/local/",
                file.display()
            )),
            "{line}"
        );
        assert!(
            line.ends_with(
                "(Not a directory): type 'sudo make install', or give another DESTDIR= or PREFIX="
            ),
            "{line}"
        );
    }
    assert_eq!(listing(&tree).len(), 1);
}

#[test]
fn a_directory_where_a_file_goes() {
    let tree = empty("occupied");
    fs::create_dir_all(tree.join("usr/local/include/fcgipm.h/x")).unwrap();
    let lines = refused(&["install-dev", &format!("DESTDIR={}", tree.display())]);
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains("include/fcgipm.h ("), "{lines:?}");
    let left = listing(&tree);
    assert!(
        !left.keys().any(|name| name.contains("/.fcgipm")),
        "{left:?}"
    );
}

#[test]
fn what_was_not_built() {
    let tree = empty("unbuilt");
    let destination = format!("DESTDIR={}", tree.join("to").display());
    let target = format!("CARGO_TARGET_DIR={}", tree.join("none").display());
    for (goal, missing) in [
        ("install", "release/libfcgipm.so"),
        ("install-command", "release/fcgipm"),
        ("install-man", "release/man/*"),
    ] {
        let lines = refused(&[goal, &destination, &target]);
        let wanted = format!(
            "make install: {}/{missing} is missing: type 'make build' first",
            tree.join("none").display()
        );
        assert_eq!(lines, [wanted]);
    }
    assert!(!tree.join("to").exists());
}

/// Without DESTDIR the library is for this system, whose loader may not find it.
#[test]
fn a_library_directory_that_the_loader_does_not_search_is_reported() {
    let tree = empty("of this system");
    let output = make(&["install-lib", &format!("PREFIX={}", tree.display())]);
    assert!(output.status.success());
    let said = String::from_utf8(output.stdout).unwrap();
    let libraries = tree.join("lib");
    let start = format!(
        "make install: the loader does not search {}: ",
        libraries.display()
    );
    assert!(said.starts_with(&start), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(libraries.join("libfcgipm.so.0").exists());
}

/// The command looks for its drop-in relative to itself, and must be built for another place.
#[test]
fn a_library_directory_that_the_command_does_not_know() {
    let tree = empty("elsewhere");
    let destination = format!("DESTDIR={}", tree.display());
    let lines = refused(&["install-command", &destination, "LIBDIR=/usr/local/strange"]);
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(
        lines[0]
            .ends_with("type 'make build LIBDIR=/usr/local/strange BINDIR=/usr/local/bin' first"),
        "{lines:?}"
    );
    assert!(listing(&tree).is_empty());
}
