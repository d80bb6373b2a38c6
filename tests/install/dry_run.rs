//! What make would run: the flags of distributions reach every compilation and every link.

use super::tree::made;

/// The command lines of a build from the beginning.
fn build(variables: &[&str]) -> Vec<String> {
    let mut arguments = vec!["-n", "-B", "build", "SETUP=:"];
    arguments.extend(variables);
    let text = made(&arguments).replace("\\\n", " ");
    text.lines().map(str::to_owned).collect()
}

#[test]
fn flags_are_added_and_none_is_overridden() {
    let lines = build(&[
        "CC=the-compiler",
        "CFLAGS=-O1 -fhardened",
        "CPPFLAGS=-DDISTRIBUTION",
        "LDFLAGS=-Wl,-z,pack-relative-relocs -Wl,-O1",
        "RUSTFLAGS=-Cdebuginfo=2",
    ]);
    let compilers: Vec<_> = lines
        .iter()
        .filter(|line| line.contains("the-compiler"))
        .collect();
    assert!(compilers.len() >= 5, "{lines:#?}");
    for line in compilers {
        assert!(line.contains(" -O1 -fhardened "), "{line}");
        let compiles = line.split(' ').any(|word| word.ends_with(".c"));
        assert_eq!(line.contains("-DDISTRIBUTION"), compiles, "{line}");
        let links = !line.contains(" -c ");
        assert_eq!(
            line.contains("-Wl,-z,pack-relative-relocs"),
            links,
            "{line}"
        );
        for overriding in [" -O2 ", " -Wl,-s ", " -s "] {
            assert!(!line.contains(overriding), "{line}");
        }
    }
    let cargo: Vec<_> = lines
        .iter()
        .filter(|line| line.contains("cargo build"))
        .collect();
    assert_eq!(cargo.len(), 1, "{cargo:?}");
    assert!(
        cargo[0].contains(
            "RUSTFLAGS='-Cdebuginfo=2 -Clink-arg=-Wl,-z,pack-relative-relocs -Clink-arg=-Wl,-O1'"
        ),
        "{cargo:?}"
    );
}

#[test]
fn without_flags_nothing_is_stripped_and_cargo_has_its_own() {
    let lines = build(&[]);
    let text = lines.join("\n");
    assert!(
        text.contains(" -O2 -g ") && !text.contains("-Wl,-s ") && !text.contains("RUSTFLAGS"),
        "{text}"
    );
    let stripped = build(&["STRIP=yes"]).join("\n");
    assert!(stripped.matches("-Wl,-s ").count() >= 3, "{stripped}");
}

/// A package is built where nothing may be installed, and installed by root, who must not own files of the build.
#[test]
fn installing_builds_nothing_and_installs_no_packages() {
    let text = made(&["-n", "install", "DESTDIR=/nonexistent"]);
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), 1, "{text}");
    assert!(
        lines[0].contains("packaging/install/install.sh install lib dev command man doc perl"),
        "{text}"
    );
    let built = build(&[]).join("\n");
    assert!(!built.contains("packaging/setup.sh"), "{built}");
}
