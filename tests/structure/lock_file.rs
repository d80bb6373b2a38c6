//! Cargo.lock: where the crates are from, one version of each in the products, and none that was withdrawn.
//! All of it without a network: known vulnerabilities are in a database that only a network has.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{env, fs};

use serde_json::Value;

use super::licences::PRODUCTS;
use super::metadata::{Metadata, name_of, text};
use super::source;

/// A crate as Cargo.lock has it.
#[derive(Debug, Default)]
struct Locked {
    name: String,
    version: String,
    source: Option<String>,
    checksum: Option<String>,
}

fn locked(file: &str) -> Vec<Locked> {
    let value = |entry: &str, key: &str| {
        let line = entry.lines().find_map(|line| line.strip_prefix(key));
        line.map(|value| value.trim_start_matches(" = ").trim_matches('"').to_owned())
    };
    let entries = file.split("[[package]]").skip(1);
    let parsed = entries.map(|entry| Locked {
        name: value(entry, "name").unwrap_or_default(),
        version: value(entry, "version").unwrap_or_default(),
        source: value(entry, "source"),
        checksum: value(entry, "checksum"),
    });
    parsed.collect()
}

/// The crates that are neither ours nor, with a checksum, from crates.io.
fn foreign(crates: &[Locked], ours: &[String]) -> Vec<String> {
    let complaint = |one: &Locked| {
        let is_fine = match one.source.as_deref() {
            None => ours.contains(&one.name),
            Some(source) => {
                let is_registry =
                    source.starts_with("registry+") && source.ends_with("/crates.io-index");
                is_registry && one.checksum.is_some()
            }
        };
        let place = one.source.as_deref().unwrap_or("a path");
        let Locked { name, version, .. } = one;
        (!is_fine).then(|| {
            format!("{name} {version} is from {place}: only crates.io, with a checksum, is allowed")
        })
    };
    crates.iter().filter_map(complaint).collect()
}

/// Where cargo keeps what it knows of a crate's versions.
fn entry_of(index: &Path, name: &str) -> PathBuf {
    let name = name.to_lowercase();
    let folder = match name.len() {
        1 => "1".to_owned(),
        2 => "2".to_owned(),
        3 => format!("3/{}", &name[..1]),
        _ => format!("{}/{}", &name[..2], &name[2..4]),
    };
    index.join(".cache").join(folder).join(name)
}

/// Whether a version was withdrawn, by an entry of the index; `None` if it is not in there. The versions are
/// JSON objects between NUL bytes.
fn is_yanked(entry: &[u8], version: &str) -> Option<bool> {
    let parts = entry.split(|byte| *byte == 0);
    let mut versions = parts.filter_map(|part| serde_json::from_slice::<Value>(part).ok());
    versions.find(|one| one["vers"] == version)?["yanked"].as_bool()
}

#[test]
fn every_crate_is_from_crates_io() {
    let packages = Metadata::read().packages;
    let ours = packages
        .iter()
        .filter(|package| package["source"].is_null());
    let ours: Vec<_> = ours.map(|package| text(package, "name")).collect();
    let foreign = foreign(&locked(&source::text("Cargo.lock")), &ours);
    assert!(foreign.is_empty(), "\n{}", foreign.join("\n"));
}

#[test]
fn the_products_have_one_version_of_each_crate() {
    let metadata = Metadata::read();
    let linked = metadata.linked_into(&PRODUCTS);
    let mut versions: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for package in metadata
        .packages
        .iter()
        .filter(|one| linked.contains(&text(one, "id")))
    {
        versions
            .entry(text(package, "name"))
            .or_default()
            .push(name_of(package));
    }
    versions.retain(|_, names| names.len() > 1);
    let advice = "see which crates want them with: cargo tree --invert NAME@VERSION";
    assert!(versions.is_empty(), "{versions:?}: {advice}");
}

/// As far as cargo has its index here: it has entries of what it has resolved, and none for an archive with
/// its own crates.
#[test]
fn no_crate_was_withdrawn() {
    let home = env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(Path::new(&env::var_os("HOME")?).join(".cargo")));
    let indices = home.and_then(|home| fs::read_dir(home.join("registry/index")).ok());
    let indices: Vec<_> = indices
        .into_iter()
        .flatten()
        .map(|entry| entry.unwrap().path())
        .collect();
    let (mut known, mut withdrawn) = (0, Vec::new());
    let mut crates = locked(&source::text("Cargo.lock"));
    crates.retain(|one| one.source.is_some());
    for one in &crates {
        let entries = indices
            .iter()
            .filter_map(|index| fs::read(entry_of(index, &one.name)).ok());
        let answers: Vec<_> = entries
            .filter_map(|entry| is_yanked(&entry, &one.version))
            .collect();
        known += usize::from(!answers.is_empty());
        if answers.contains(&true) {
            withdrawn.push(format!(
                "{} {}: cargo update {}",
                one.name, one.version, one.name
            ));
        }
    }
    println!(
        "of {} crates, cargo knows the state of {known}",
        crates.len()
    );
    assert!(
        withdrawn.is_empty(),
        "withdrawn by their authors:\n{}",
        withdrawn.join("\n")
    );
}

#[test]
fn the_rule_about_sources_sees_what_is_not_from_crates_io() {
    let found = |entry: &str| {
        foreign(
            &locked(&format!("version = 4\n\n[[package]]\n{entry}")),
            &["ours".to_owned()],
        )
    };
    let head = "name = \"a\"\nversion = \"1.0.0\"\n";
    let fine = "source = \"registry+https://a.example/crates.io-index\"\nchecksum = \"0a\"\n";
    assert_eq!(found(&format!("{head}{fine}")), [""; 0]);
    assert_eq!(found("name = \"ours\"\nversion = \"1.0.0\"\n"), [""; 0]);
    assert_eq!(found(head).len(), 1);
    for source in [
        "git+https://a.example/a#1",
        "registry+https://a.example/index",
        "path+file:///a",
    ] {
        assert_eq!(
            found(&format!("{head}source = \"{source}\"\nchecksum = \"0a\"\n")).len(),
            1,
            "{source}"
        );
    }
    let (unchecked, _) = fine.split_once("checksum").unwrap();
    assert_eq!(found(&format!("{head}{unchecked}")).len(), 1);
}

#[test]
fn the_rule_about_withdrawn_crates_reads_the_index() {
    let versions = [("1.0.0", true), ("1.0.1", false)].map(|(version, yanked)| {
        format!("\0{version}\0{{\"vers\":\"{version}\",\"yanked\":{yanked}}}\0")
    });
    let entry = ["\u{3}\u{2}\0\0\0Unknown", &versions.concat()].concat();
    let answers = ["1.0.0", "1.0.1", "1.0.2"].map(|version| is_yanked(entry.as_bytes(), version));
    assert_eq!(answers, [Some(true), Some(false), None]);
    let places = ["a", "ab", "abc", "Serde_json"].map(|name| entry_of(Path::new("/i"), name));
    let expected = ["1/a", "2/ab", "3/a/abc", "se/rd/serde_json"];
    assert_eq!(
        places,
        expected.map(|place| Path::new("/i/.cache").join(place))
    );
}
