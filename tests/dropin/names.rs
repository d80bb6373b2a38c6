//! The drop-in exports the symbols of stock libfcgi, and its headers declare the same layouts.

use std::path::Path;
use std::process::Command;

use crate::peer::program::dropin;
use crate::side_by_side::{Side, command, run, same};

fn names(library: &Path) -> Vec<String> {
    let out = Command::new("nm")
        .args(["-D", "--defined-only"])
        .arg(library)
        .output()
        .expect("nm");
    let text = String::from_utf8(out.stdout).unwrap();
    let mut names: Vec<_> = text
        .lines()
        .filter_map(|line| line.split_whitespace().nth(2).map(str::to_owned))
        .collect();
    names.sort();
    names
}

/// Where the loader finds stock libfcgi.
fn stock() -> String {
    let out = Command::new("/sbin/ldconfig")
        .arg("-p")
        .output()
        .expect("ldconfig");
    let text = String::from_utf8(out.stdout).unwrap();
    let line = text.lines().find(|line| line.contains("libfcgi.so.0"));
    let line = line.expect("libfcgi0ldbl is not installed");
    line.split("=> ").nth(1).unwrap().trim().to_owned()
}

#[test]
fn exported_symbols_are_those_of_the_list_and_of_stock() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let list = std::fs::read_to_string(root.join("bindings/libfcgi/symbols.txt")).unwrap();
    let list: Vec<_> = list.lines().map(str::to_owned).collect();
    assert_eq!(names(&dropin().join("libfcgi.so.0")), list);
    assert_eq!(names(Path::new(&stock())), list);
}

#[test]
fn structures_constants_and_types_are_those_of_stock() {
    let run = same(|side| run(command("layout.c", side), b""));
    assert!(run.report.lines().count() > 100, "{}", run.report);
}

#[test]
fn a_build_with_pkg_config_finds_the_dropin() {
    let text = std::fs::read_to_string(dropin().join("fcgi.pc")).unwrap();
    assert!(text.contains("\nVersion: 2.4.2\n"), "{text}");
    assert!(text.contains("-lfcgi"), "{text}");
    let run = run(command("layout.c", Side::DropIn), b"");
    assert_eq!(run.ended, "code Some(0), signal None");
}
