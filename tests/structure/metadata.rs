//! The crates of the lock file, as `cargo metadata` describes them.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

use super::source::root;

/// The crates that are used on this machine's kind of system.
pub(crate) struct Metadata {
    pub(crate) packages: Vec<Value>,
    /// For each id, the ids of the crates that it links.
    links: BTreeMap<String, Vec<String>>,
}

impl Metadata {
    pub(crate) fn read() -> Self {
        let rustc = Command::new("rustc")
            .arg("-vV")
            .output()
            .expect("rustc runs");
        let version = String::from_utf8(rustc.stdout).unwrap();
        let host = version.lines().find_map(|line| line.strip_prefix("host: "));
        let output = Command::new(env!("CARGO"))
            .args(["metadata", "--locked", "--offline", "--format-version", "1"])
            .args(["--filter-platform", host.expect("rustc names its host")])
            .current_dir(root())
            .output()
            .expect("cargo runs");
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "cargo metadata: {complaint}");
        Self::parse(serde_json::from_slice(&output.stdout).unwrap())
    }

    pub(crate) fn parse(mut metadata: Value) -> Self {
        let normal = |dependency: &&Value| {
            let kinds = dependency["dep_kinds"].as_array().unwrap();
            kinds.iter().any(|kind| kind["kind"].is_null())
        };
        let nodes = metadata["resolve"]["nodes"].as_array().unwrap();
        let links: BTreeMap<_, _> = nodes
            .iter()
            .map(|node| {
                let dependencies = node["deps"].as_array().unwrap().iter().filter(normal);
                (
                    text(node, "id"),
                    dependencies.map(|one| text(one, "pkg")).collect(),
                )
            })
            .collect();
        let Value::Array(mut packages) = metadata["packages"].take() else {
            panic!("cargo metadata lists no packages");
        };
        packages.retain(|package| links.contains_key(&text(package, "id")));
        Self { packages, links }
    }

    /// The ids of what is linked into these crates of ours, and they themselves. Procedural macros run in
    /// the compiler.
    pub(crate) fn linked_into(&self, ours: &[&str]) -> BTreeSet<String> {
        let by_id: BTreeMap<_, _> = self
            .packages
            .iter()
            .map(|one| (text(one, "id"), one))
            .collect();
        let is_macro = |id: &String| {
            let targets = by_id[id]["targets"].as_array().unwrap();
            targets
                .iter()
                .any(|target| target["kind"][0] == "proc-macro")
        };
        let named = |package: &&Value| ours.contains(&package["name"].as_str().unwrap());
        let roots = self.packages.iter().filter(named);
        let mut pending: Vec<_> = roots.map(|package| text(package, "id")).collect();
        assert_eq!(
            pending.len(),
            ours.len(),
            "not in the workspace: one of {ours:?}"
        );
        let mut linked = BTreeSet::new();
        while let Some(id) = pending.pop() {
            if !is_macro(&id) && linked.insert(id.clone()) {
                pending.extend(self.links[&id].iter().cloned());
            }
        }
        linked
    }
}

pub(crate) fn text(value: &Value, key: &str) -> String {
    let text = value[key].as_str();
    text.unwrap_or_else(|| panic!("no {key}: {value}"))
        .to_owned()
}

/// `NAME VERSION`
pub(crate) fn name_of(package: &Value) -> String {
    format!("{} {}", text(package, "name"), text(package, "version"))
}
