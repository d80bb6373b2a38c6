//! No two files import each other, directly or through others.
//!
//! A file imports another one if its code names an item that is *defined* there. A `pub use` is followed
//! to the definition, so a `mod.rs` that only declares and re-exports is not part of a circle. It is if
//! it imports its children, and defines something that they import. Naming a module is not an import,
//! only naming an item in it is. Tests are ignored, and so are method calls, which need no import:
//! `types.rs` limits the files that a type's methods are in.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use syn::visit::{self, Visit};

use super::allowed::{self, Finding};
use super::paths::{attributes, is_test, line, paths_of_code};
use super::source::{self, Package, Source};

/// The files of one crate, and how to find what a path names.
pub(crate) struct Names<'s> {
    sources: Vec<&'s Source>,
    by_module: HashMap<&'s [String], usize>,
    /// For each file, what its `use` items bring in.
    imported: Vec<HashMap<String, Vec<String>>>,
}

impl<'s> Names<'s> {
    pub(crate) fn new(sources: &'s [Source], package: Package) -> Self {
        let own = sources.iter().filter(|source| source.package == package);
        let sources: Vec<_> = own.collect();
        let modules = sources.iter().map(|source| &source.module[..]);
        Self {
            by_module: modules.zip(0..).collect(),
            imported: sources
                .iter()
                .map(|source| Imported::of(source).names)
                .collect(),
            sources,
        }
    }

    pub(crate) fn files(&self) -> impl Iterator<Item = (usize, &'s Source)> + '_ {
        self.sources.iter().copied().enumerate()
    }

    /// The file that defines the item of a path in file `from`, and the name there. `None` for
    /// another crate, for a module, and for an item of the file itself.
    pub(crate) fn resolve(&self, from: usize, path: &[String]) -> Option<(usize, String)> {
        self.resolve_within(from, path, 8)
    }

    fn resolve_within(
        &self,
        from: usize,
        path: &[String],
        depth: usize,
    ) -> Option<(usize, String)> {
        let depth = depth.checked_sub(1)?;
        let first = path.first()?;
        if first == "crate" {
            return self.walk(&path[1..], depth);
        }
        if let Some(target) = self.imported[from].get(first) {
            let target = [target, &path[1..]].concat();
            return (target.first()? == "crate").then(|| self.walk(&target[1..], depth))?;
        }
        let module = &self.sources[from].module;
        let is_child = self
            .by_module
            .contains_key(&[module, &path[..1]].concat()[..]);
        is_child.then(|| self.walk(&[module, path].concat(), depth))?
    }

    /// From the crate's root down to the item.
    fn walk(&self, path: &[String], depth: usize) -> Option<(usize, String)> {
        let is_module = |length: &usize| self.by_module.contains_key(&path[..*length]);
        let length = (0..=path.len()).rev().find(is_module)?;
        let file = self.by_module[&path[..length]];
        let name = path.get(length)?;
        match self.imported[file].get(name) {
            // Follow the re-export to the definition.
            Some(_) => self.resolve_within(file, &path[length..], depth),
            None => Some((file, name.clone())),
        }
    }
}

/// What the `use` items of a file bring in, from the crate's root.
struct Imported<'s> {
    source: &'s Source,
    names: HashMap<String, Vec<String>>,
}

impl<'s> Imported<'s> {
    fn of(source: &'s Source) -> Self {
        let mut imported = Self {
            source,
            names: HashMap::new(),
        };
        imported.visit_file(&source.syntax);
        imported
    }

    fn add(&mut self, tree: &syn::UseTree, before: &[String]) {
        let with = |name: &syn::Ident| [before, &[name.to_string()]].concat();
        let (name, path) = match tree {
            syn::UseTree::Path(path) => return self.add(&path.tree, &with(&path.ident)),
            syn::UseTree::Group(group) => {
                return group.items.iter().for_each(|tree| self.add(tree, before));
            }
            syn::UseTree::Glob(_) => return,
            syn::UseTree::Name(name) if name.ident == "self" => {
                (before.last().cloned().unwrap_or_default(), before.to_vec())
            }
            syn::UseTree::Name(name) => (name.ident.to_string(), with(&name.ident)),
            syn::UseTree::Rename(rename) => (rename.rename.to_string(), with(&rename.ident)),
        };
        self.names.insert(name, self.rooted(path));
    }

    fn rooted(&self, path: Vec<String>) -> Vec<String> {
        let mut module = self.source.module.clone();
        let mut rest = &path[..];
        match rest.first().map(String::as_str) {
            Some("crate") => module.clear(),
            Some("self") => {}
            Some("super") => drop(module.pop()),
            // A child of this module, or another crate.
            Some(first) if declares(self.source, first) => rest = &path,
            _ => return path,
        }
        if matches!(rest[0].as_str(), "crate" | "self" | "super") {
            rest = &rest[1..];
        }
        while rest.first().is_some_and(|name| name == "super") {
            module.pop();
            rest = &rest[1..];
        }
        [&["crate".to_owned()], &module[..], rest].concat()
    }
}

impl<'a> Visit<'a> for Imported<'_> {
    fn visit_item(&mut self, item: &'a syn::Item) {
        if !is_test(attributes(item)) {
            visit::visit_item(self, item);
        }
    }
    fn visit_item_use(&mut self, item: &'a syn::ItemUse) {
        self.add(&item.tree, &[]);
    }
}

fn declares(source: &Source, name: &str) -> bool {
    source
        .syntax
        .items
        .iter()
        .any(|item| matches!(item, syn::Item::Mod(module) if module.ident == name))
}

/// For each file, the files that it imports, with the line of the first mention.
fn edges(names: &Names<'_>) -> BTreeMap<(usize, usize), usize> {
    let mut edges = BTreeMap::new();
    for (from, source) in names.files() {
        for (span, path) in paths_of_code(source) {
            if let Some((to, _)) = names.resolve(from, &path) {
                if to != from {
                    edges.entry((from, to)).or_insert_with(|| line(span));
                }
            }
        }
    }
    edges
}

/// The shortest way from one file to another.
fn way(edges: &BTreeMap<(usize, usize), usize>, from: usize, to: usize) -> Option<Vec<usize>> {
    let mut ways = vec![vec![from]];
    let mut seen = BTreeSet::from([from]);
    while !ways.is_empty() {
        let mut longer = Vec::new();
        for way in ways {
            let last = *way.last()?;
            for ((_, next), _) in edges.range((last, 0)..(last + 1, 0)) {
                if *next == to {
                    return Some([&way[..], &[to]].concat());
                }
                if seen.insert(*next) {
                    longer.push([&way[..], &[*next]].concat());
                }
            }
        }
        ways = longer;
    }
    None
}

/// Every import that is part of a circle.
fn circles(sources: &[Source]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for package in Package::ALL {
        let names = Names::new(sources, package);
        let edges = edges(&names);
        for ((from, to), line) in &edges {
            let Some(back) = way(&edges, *to, *from) else {
                continue;
            };
            let path = |file: &usize| names.sources[*file].path.as_str();
            let through: Vec<_> = back[1..back.len() - 1].iter().map(path).collect();
            let through = match &through[..] {
                [] => String::new(),
                through => format!(" through {}", through.join(", ")),
            };
            let (from, to) = (path(from), path(to));
            findings.push(Finding {
                key: format!("{from} -> {to}"),
                at: format!("{from}:{line}"),
                what: format!(
                    "imports {to}, which imports it back{through}: move what both need into a file that \
                     neither of them imports from, or pass it as an argument"
                ),
            });
        }
    }
    findings
}

#[test]
fn no_files_import_each_other() {
    allowed::check("circles", &circles(&source::read_code()));
}

#[test]
fn the_circle_rule_follows_re_exports() {
    let found = |files: &[(&str, &str)]| -> Vec<String> {
        let sources: Vec<_> = files
            .iter()
            .map(|(path, text)| Source::parse(path, text))
            .collect();
        circles(&sources)
            .into_iter()
            .map(|finding| finding.key)
            .collect()
    };
    let root = (
        "src/server/mod.rs",
        "mod a; mod b; pub(crate) use a::A; pub use b::B;",
    );
    // Through the parent's re-export, and by a path in the code.
    assert_eq!(
        found(&[
            root,
            ("src/server/a.rs", "use super::B; struct A;"),
            ("src/server/b.rs", "struct B(crate::server::A);"),
        ]),
        [
            "src/server/a.rs -> src/server/b.rs",
            "src/server/b.rs -> src/server/a.rs"
        ],
    );
    // The module is imported first.
    assert_eq!(
        found(&[
            ("src/lib.rs", "mod a; mod b; mod c;"),
            ("src/a.rs", "use crate::b; fn f() { b::g() }"),
            ("src/b.rs", "use crate::c::{self, h}; fn g() { h() }"),
            ("src/c.rs", "fn h() { crate::a::f() }"),
        ])
        .len(),
        3,
    );
    // A parent and its child that each use what the other one defines.
    assert_eq!(
        found(&[
            ("src/pool/mod.rs", "mod a; use a::A; struct P(A);"),
            ("src/pool/a.rs", "use super::P; struct A;"),
        ])
        .len(),
        2,
    );
    for good in [
        // One way.
        &[
            root,
            ("src/server/a.rs", "use super::B; struct A;"),
            ("src/server/b.rs", "struct B;"),
        ],
        // Only declared and re-exported.
        &[
            root,
            ("src/server/a.rs", "use super::super::server;"),
            ("src/server/b.rs", ""),
        ],
        // Only in a test.
        &[
            root,
            ("src/server/a.rs", "use super::B;"),
            (
                "src/server/b.rs",
                "#[cfg(test)] mod tests { use crate::server::A; }",
            ),
        ],
    ] {
        assert!(found(good).is_empty(), "{good:?}");
    }
}
