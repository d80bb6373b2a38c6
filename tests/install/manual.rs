//! The man pages: complete, and nothing that mandoc or groff would warn of.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use fcgipm::options::TABLE;

use super::peer::compiled::product;
use super::tree::{at, empty, listing, said, with_library};

/// The pages that this project writes; those of Perl modules have a test with the modules.
fn pages() -> Vec<PathBuf> {
    let mut found = Vec::new();
    for (section, least) in [(1, 6), (3, 60), (5, 1), (7, 4)] {
        let folder = at(&format!("share/man/man{section}"));
        let names = listing(&folder)
            .into_keys()
            .filter(|name| !name.ends_with(".3pm"));
        let before = found.len();
        found.extend(names.map(|name| folder.join(name)));
        let count = found.len() - before;
        assert!(count >= least, "section {section}: {count} pages");
    }
    found
}

/// The source of a page, with the minus signs and names as a reader sees them.
fn source(page: &str) -> String {
    let text = fs::read_to_string(at("share/man").join(page))
        .unwrap_or_else(|error| panic!("{page}: {error}"));
    text.replace("\\%", "")
        .replace("\\-", "-")
        .replace("\\fB", "")
        .replace("\\fI", "")
        .replace("\\fR", "")
}

#[test]
fn mandoc_finds_nothing_to_report() {
    for page in pages() {
        let said = said(
            Command::new("mandoc")
                .args(["-Tlint", "-Wstyle"])
                .arg(&page),
        );
        assert_eq!(said, "");
    }
}

#[test]
fn man_formats_each_page_without_a_warning() {
    for page in pages() {
        let output = Command::new("man")
            .args(["--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z"])
            .arg(&page)
            .envs([
                ("LC_ALL", "C.UTF-8"),
                ("MANROFFSEQ", ""),
                ("MANWIDTH", "80"),
            ])
            .output()
            .expect("man");
        assert!(output.status.success() && !output.stdout.is_empty());
        assert_eq!(
            String::from_utf8_lossy(&output.stderr),
            "",
            "{}",
            page.display()
        );
    }
}

#[test]
fn man_finds_pages_by_the_names_that_they_describe() {
    for (section, name, wanted) in [
        ("1", "fcgipm-run", "--max-requests"),
        ("3", "fcgipm_options_effective", "RETURN VALUE"),
        ("5", "fcgipm.toml", "[[pool]]"),
        ("7", "fcgipm-signals", "SIGNALS TO THE MANAGER"),
        ("7", "fcgipm-systemd", "SOCKET UNITS"),
    ] {
        let mut man = Command::new("man");
        man.arg("-M").arg(at("share/man")).args([section, name]);
        man.envs([
            ("LC_ALL", "C.UTF-8"),
            ("MANPAGER", "cat"),
            ("MAN_KEEP_FORMATTING", ""),
        ]);
        assert!(said(&mut man).contains(wanted), "{name}({section})");
    }
}

/// The long options that a help text lists.
fn long_options(help: &str) -> BTreeSet<String> {
    let is_of_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let lines = help.lines().filter_map(|line| {
        let line = line.trim_start();
        let (_, name) = line.split_once("--").filter(|_| line.starts_with('-'))?;
        Some(format!("--{}", name.split(|c| !is_of_name(c)).next()?))
    });
    lines.collect()
}

fn help(arguments: &[&str]) -> String {
    said(
        with_library(&at("bin/fcgipm"))
            .args(arguments)
            .arg("--help"),
    )
}

#[test]
fn each_subcommand_has_a_page_with_each_of_its_options() {
    let overview = help(&[]);
    let commands: Vec<_> = overview
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .map_while(|line| line.strip_prefix("  ")?.split(' ').next())
        .collect();
    assert!(
        commands.len() >= 5 && commands.contains(&"run"),
        "{commands:?}"
    );
    let mut checked = 0;
    for command in commands {
        assert!(
            source("man1/fcgipm.1").contains(&format!("\nfcgipm-{command}(1)\n")),
            "{command}"
        );
        let page = source(&format!("man1/fcgipm-{command}.1"));
        for option in long_options(&help(&[command])) {
            let is_tag = page.lines().any(|line| {
                let mut words = line.split([' ', '[', '=', ',']);
                line.starts_with('-') && words.any(|word| word == option)
            });
            assert!(is_tag, "fcgipm {command} {option}");
            checked += 1;
        }
    }
    assert!(checked > 60, "{checked} options");
}

#[test]
fn each_exported_function_has_a_page_that_names_it() {
    let table = said(
        Command::new("nm")
            .args(["-D", "--defined-only"])
            .arg(at("lib/libfcgipm.so")),
    );
    let functions: Vec<_> = table
        .lines()
        .filter_map(|line| line.split(" T ").nth(1)?.split('@').next())
        .collect();
    assert!(functions.len() > 50, "{functions:?}");
    for function in functions {
        let page = source(&format!("man3/{function}.3"));
        let names = page.split(" - ").next().unwrap();
        assert!(
            names.split([',', ' ', '\n']).any(|word| word == function),
            "{function}: {names}"
        );
        let synopsis = page.split(".SH \"DESCRIPTION\"").next().unwrap();
        assert!(
            synopsis.contains(&format!("{function}(")),
            "{function}: {synopsis}"
        );
        assert!(
            source("man3/fcgipm.3").contains(&format!("{function}(3)")),
            "{function}"
        );
    }
}

#[test]
fn each_option_is_described() {
    let page = source("man7/fcgipm-options.7");
    let keys = source("man5/fcgipm.toml.5");
    for spec in TABLE {
        let tag = format!(".TP\n{} (FCGIPM_{})\n", spec.name, spec.name.to_uppercase());
        assert!(page.contains(&tag), "{}", spec.name);
        assert!(
            keys.split([' ', ',', '.', '\n'])
                .any(|word| word == spec.name),
            "{}",
            spec.name
        );
    }
}

#[test]
fn each_error_and_constant_is_described() {
    let header = fs::read_to_string(at("include/fcgipm.h")).unwrap();
    let names = header
        .lines()
        .filter_map(|line| line.strip_prefix("#define ")?.split_once(' '));
    let folder = at("share/man/man3");
    let pages: String = listing(&folder)
        .into_keys()
        .filter(|name| name.ends_with(".3"))
        .map(|name| source(&format!("man3/{name}")))
        .collect();
    let mut checked = 0;
    for (name, _) in names {
        assert!(pages.contains(&format!(".TP\n{name}\n")), "{name}");
        checked += 1;
    }
    assert!(checked > 40, "{checked} constants");
}

#[test]
fn the_same_sources_give_the_same_pages() {
    let folders = ["first", "second"].map(|name| {
        let folder = empty(&format!("generated-{name}"));
        let mut generator = Command::new(product("fcgipm-pages"));
        generator.arg(&folder).arg("2026-01-02");
        said(generator.current_dir(super::tree::root()));
        folder
    });
    said(Command::new("diff").arg("-r").args(&folders));
    let page = fs::read_to_string(folders[0].join("man/fcgipm.1")).unwrap();
    let version = env!("CARGO_PKG_VERSION");
    assert!(
        page.starts_with(&format!(".TH FCGIPM 1 2026-01-02 \"fcgipm {version}\" ")),
        "{page}"
    );
}

#[test]
fn the_generator_says_what_is_missing() {
    let output = Command::new(product("fcgipm-pages"))
        .args(["out", "2026-01-02"])
        .current_dir(empty("no-sources"))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(
        said,
        "fcgipm-pages: include/fcgipm.h: No such file or directory (os error 2)\n"
    );
}
