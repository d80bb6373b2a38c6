//! What is installed, how, and that nothing else is touched.

use std::fs;
use std::io::Read as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::Command;
use std::time::SystemTime;

use super::tree::{PREFIX, at, empty, installed, listing, made, root, said};

/// One file of each kind, with its mode, or what its link says.
const FILES: [(&str, &str); 31] = [
    ("lib/libfcgipm.so.0.1.0", "755"),
    ("lib/libfcgipm.so.0", "-> libfcgipm.so.0.1.0"),
    ("lib/libfcgipm.so", "-> libfcgipm.so.0"),
    ("lib/libfcgipm.a", "644"),
    ("include/fcgipm.h", "644"),
    ("lib/pkgconfig/fcgipm.pc", "644"),
    ("bin/fcgipm", "755"),
    ("lib/fcgipm/libfcgi.so.0", "755"),
    ("lib/fcgipm/libfcgi.so", "-> libfcgi.so.0"),
    ("lib/fcgipm/pkgconfig/fcgi.pc", "644"),
    ("include/fcgipm/libfcgi/fcgiapp.h", "644"),
    ("lib/systemd/system/fcgipm@.service", "644"),
    ("lib/systemd/system/fcgipm@.socket", "644"),
    ("lib/systemd/system/fcgipm-perl@.service", "644"),
    ("lib/systemd/system/fcgipm-perl@.socket", "644"),
    ("share/bash-completion/completions/fcgipm", "644"),
    ("share/zsh/site-functions/_fcgipm", "644"),
    ("share/fish/vendor_completions.d/fcgipm.fish", "644"),
    ("share/man/man1/fcgipm-run.1", "644"),
    ("share/man/man3/fcgipm_options_new.3", "644"),
    (
        "share/man/man3/fcgipm_options_set.3",
        "-> fcgipm_options_new.3",
    ),
    ("share/man/man5/fcgipm.toml.5", "644"),
    ("share/man/man7/fcgipm-options.7", "644"),
    ("share/doc/fcgipm/README.md", "644"),
    ("share/doc/fcgipm/alerts.yml", "644"),
    ("share/doc/fcgipm/grafana.json", "644"),
    ("share/doc/fcgipm/images/status-page-light.png", "644"),
    ("share/doc/fcgipm/THIRD-PARTY-LICENSES", "644"),
    ("share/doc/fcgipm/examples/fcgipm.toml", "644"),
    ("share/doc/fcgipm/examples/logrotate", "644"),
    ("share/doc/fcgipm/examples/systemd/relaxed.conf", "644"),
];

#[test]
fn each_file_is_where_it_belongs() {
    let found = listing(installed());
    for (name, wanted) in FILES {
        let path = format!("{}/{name}", PREFIX.trim_start_matches('/'));
        let about = found.get(&path).map(String::as_str).unwrap_or("missing");
        let about = if wanted.starts_with("->") {
            about
        } else {
            about.split(' ').next().unwrap()
        };
        assert_eq!(about, wanted, "{path}");
    }
    let size: u64 = found
        .values()
        .filter_map(|about| about.split_once(' ')?.1.parse::<u64>().ok())
        .sum();
    println!(
        "measured: make install: {} files, {} MiB",
        found.len(),
        size >> 20
    );
}

/// A program that was linked with the library, or runs it, must not see it change.
#[test]
fn a_file_is_replaced_and_never_overwritten() {
    let tree = empty("replaced");
    let destination = format!("DESTDIR={}", tree.display());
    made(&["install-lib", "install-dev", &destination]);
    let library = tree.join("usr/local/lib/libfcgipm.so.0.1.0");
    let before = fs::metadata(&library).unwrap().ino();
    let mut old = fs::File::open(&library).unwrap();
    fs::set_permissions(&library, fs::Permissions::from_mode(0o444)).unwrap();
    made(&["install-lib", "install-dev", &destination]);
    assert_ne!(fs::metadata(&library).unwrap().ino(), before);
    assert_eq!(
        old.metadata().unwrap().nlink(),
        0,
        "the old file is unlinked"
    );
    let mut start = [0; 4];
    old.read_exact(&mut start).unwrap();
    assert_eq!(start, *b"\x7fELF");
    let names = listing(&tree);
    let temporary = names.keys().find(|name| name.contains("/."));
    assert_eq!(temporary, None, "{names:?}");
}

#[test]
fn uninstall_removes_exactly_what_was_installed() {
    let tree = empty("removed");
    let others = [
        "usr/lib/libother.so",
        "usr/share/man/man3/other.3",
        "usr/share/doc/fcgipm/note-of-the-administrator",
        "usr/lib/fcgipm/other",
    ];
    for other in others {
        let path = tree.join(other);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "other").unwrap();
    }
    let variables = [
        format!("DESTDIR={}", tree.display()),
        "prefix=/usr".to_owned(),
        "PERL_INSTALLDIRS=vendor".to_owned(),
    ];
    let with = |goal: &str| {
        let mut arguments = vec![goal];
        arguments.extend(variables.iter().map(String::as_str));
        made(&arguments);
    };
    with("install");
    assert!(listing(&tree).len() > 100);
    with("uninstall");
    let left: Vec<_> = listing(&tree).into_keys().collect();
    let mut wanted = others.map(str::to_owned).to_vec();
    wanted.sort();
    assert_eq!(left, wanted);
    assert!(!tree.join("usr/include/fcgipm").exists());
    with("uninstall");
}

#[test]
fn the_names_of_gnu_are_accepted_and_modes_do_not_depend_on_the_umask() {
    let tree = empty("gnu names");
    let script = format!(
        "umask 077; exec make install-lib install-dev DESTDIR='{}' prefix=/usr libdir=/usr/lib64 includedir=/usr/include/x",
        tree.display()
    );
    let mut shell = Command::new("sh");
    shell.args(["-c", &script]).current_dir(root());
    said(shell.env_remove("MAKEFLAGS").env_remove("MAKELEVEL"));
    let found = listing(&tree);
    assert!(found["usr/lib64/libfcgipm.so.0.1.0"].starts_with("755 "));
    assert!(found["usr/include/x/fcgipm.h"].starts_with("644 "));
    let config = fs::read_to_string(tree.join("usr/lib64/pkgconfig/fcgipm.pc")).unwrap();
    assert!(config.contains("\nlibdir=${exec_prefix}/lib64\nincludedir=${prefix}/include/x\n"));
    for folder in ["usr", "usr/lib64", "usr/include/x"] {
        let mode = fs::metadata(tree.join(folder)).unwrap().mode() & 0o777;
        assert_eq!(mode, 0o755, "{folder}");
    }
}

#[test]
fn installing_writes_nothing_into_the_source_tree() {
    let tree = empty("sources");
    let before = modified(root());
    made(&["install", &format!("DESTDIR={}", tree.display())]);
    assert_eq!(modified(root()), before);
}

/// Everything below a folder and when it was changed, without the tests' own folder.
fn modified(folder: &Path) -> Vec<(String, SystemTime)> {
    let mut found = Vec::new();
    let mut pending = vec![folder.to_owned()];
    while let Some(next) = pending.pop() {
        for entry in fs::read_dir(&next).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(root()).unwrap().to_str().unwrap();
            // Other tests build and write there meanwhile.
            if name == ".git" || name == "target" {
                continue;
            }
            let about = path.symlink_metadata().unwrap();
            found.push((name.to_owned(), about.modified().unwrap()));
            if about.is_dir() {
                pending.push(path);
            }
        }
    }
    found.sort();
    found
}

/// Distributions make their packages of debug symbols from these.
#[test]
fn libraries_and_programs_keep_their_symbols() {
    for name in [
        "lib/libfcgipm.so.0.1.0",
        "lib/fcgipm/libfcgi.so.0",
        "bin/fcgipm",
    ] {
        let sections = said(Command::new("readelf").arg("-SW").arg(at(name)));
        assert!(sections.contains(" .symtab "), "{name}:\n{sections}");
    }
}

/// No path of the machine that built it is of use where it runs.
#[test]
fn the_loader_finds_everything_without_a_path_in_the_file() {
    for name in [
        "lib/libfcgipm.so.0.1.0",
        "lib/fcgipm/libfcgi.so.0",
        "bin/fcgipm",
    ] {
        let dynamic = said(Command::new("readelf").arg("-dW").arg(at(name)));
        assert!(!dynamic.contains("PATH)"), "{name}:\n{dynamic}");
    }
}
