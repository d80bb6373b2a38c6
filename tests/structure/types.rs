//! The shape of types: the files of their methods, private fields, the number of flags, and the use
//! of plain descriptors.

use std::collections::{BTreeMap, BTreeSet};

use syn::visit::{self, Visit};

use super::allowed::{self, Finding};
use super::circles::Names;
use super::owned_fds::OWNED_FD;
use super::paths::{attributes, is_test, line, paths_outside_tests};
use super::source::{self, Package, Source};

/// The files that may have `impl` blocks of one type.
const IMPL_FILES: usize = 3;
/// Types that may have more: the pool is pure, and its simulation tests it as a whole.
const SPREAD: [&str; 1] = ["src/pool/machine.rs Pool"];
/// The fields of type `bool` that one struct may have.
const FLAGS: usize = 2;
/// Types with private fields.
const COMPONENTS: [&str; 4] = ["Acceptor", "Exchange", "EventLoop", "Children"];

/// Types whose `impl` blocks are in too many files, or outside of the type's folder.
fn scattered_impls(sources: &[Source]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for package in Package::ALL {
        let names = Names::new(sources, package);
        let all: Vec<_> = names.files().collect();
        // For each type, by file and name: the files of its methods, with a line in each.
        let mut impls: BTreeMap<(usize, String), BTreeMap<usize, usize>> = BTreeMap::new();
        for (file, source) in &all {
            for item in &source.syntax.items {
                let syn::Item::Impl(block) = item else {
                    continue;
                };
                let is_inherent = block.trait_.is_none() && !is_test(&block.attrs);
                match &*block.self_ty {
                    syn::Type::Path(own) if is_inherent => {
                        let names_of = own.path.segments.iter().map(|s| s.ident.to_string());
                        let path: Vec<_> = names_of.collect();
                        let local = (*file, path.last().cloned().unwrap_or_default());
                        let resolved = names.resolve(*file, &rooted(source, &path));
                        let files = impls.entry(resolved.unwrap_or(local)).or_default();
                        files.entry(*file).or_insert(line(block.impl_token.span));
                    }
                    _ => {}
                }
            }
        }
        for ((home, name), files) in impls {
            let home = all[home].1;
            let is_spread = SPREAD.contains(&&*format!("{} {name}", home.path));
            for (file, at) in &files {
                let source = all[*file].1;
                let is_inside = source.path.starts_with(&format!("{}/", home.folder()));
                let what = if !is_inside {
                    format!(
                        "methods of {name} outside of its folder {}: move them there, or make them functions or \
                         a type of their own",
                        home.folder()
                    )
                } else if files.len() > IMPL_FILES && !is_spread {
                    format!(
                        "methods of {name} in {} files, more than {IMPL_FILES}: make a part of it a type of its \
                         own, with its own state",
                        files.len()
                    )
                } else {
                    continue;
                };
                findings.push(Finding {
                    key: format!("{} {name}", source.path),
                    at: format!("{}:{at}", source.path),
                    what,
                });
            }
        }
    }
    findings
}

/// A path from the crate's root, if it is relative.
fn rooted(source: &Source, path: &[String]) -> Vec<String> {
    let ups = path.iter().take_while(|name| *name == "super").count();
    if ups == 0 {
        return path.to_vec();
    }
    let module = &source.module[..source.module.len() - ups];
    [&["crate".to_owned()], module, &path[ups..]].concat()
}

/// Runs a function on each struct outside of tests.
fn each_struct(source: &Source, see: impl FnMut(&syn::ItemStruct)) {
    struct Structs<F>(F);
    impl<'a, F: FnMut(&syn::ItemStruct)> Visit<'a> for Structs<F> {
        fn visit_item(&mut self, item: &'a syn::Item) {
            if !is_test(attributes(item)) {
                visit::visit_item(self, item);
            }
        }
        fn visit_item_struct(&mut self, item: &'a syn::ItemStruct) {
            (self.0)(item);
        }
    }
    Structs(see).visit_file(&source.syntax);
}

/// Structs with too many flags to consider all combinations.
fn flags(sources: &[Source]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in sources {
        each_struct(source, |item| {
            // The switches of a command line are flags.
            let derives = item
                .attrs
                .iter()
                .filter_map(|attribute| match &attribute.meta {
                    syn::Meta::List(list) if list.path.is_ident("derive") => {
                        Some(list.tokens.to_string())
                    }
                    _ => None,
                });
            if derives
                .into_iter()
                .any(|list| list.contains("Args") || list.contains("Parser"))
            {
                return;
            }
            let is_flag = |field: &&syn::Field| matches!(&field.ty, syn::Type::Path(path) if path.path.is_ident("bool"));
            let count = item.fields.iter().filter(is_flag).count();
            for _ in FLAGS..count {
                findings.push(Finding {
                    key: format!("{} {}", source.path, item.ident),
                    at: format!("{}:{}", source.path, line(item.ident.span())),
                    what: format!(
                        "{} has {count} fields of type bool, more than {FLAGS}: make the states that can occur an \
                         enum",
                        item.ident
                    ),
                });
            }
        });
    }
    findings
}

/// Components with fields that are not private.
fn open_components(sources: &[Source]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let sources = sources
        .iter()
        .filter(|source| matches!(source.layer(), "server" | "manager"));
    for source in sources.filter(|source| source.package == Package::Library) {
        each_struct(source, |item| {
            if !COMPONENTS.iter().any(|name| item.ident == name) {
                return;
            }
            for field in &item.fields {
                if matches!(field.vis, syn::Visibility::Inherited) {
                    continue;
                }
                let name = field
                    .ident
                    .as_ref()
                    .map_or("0".to_owned(), ToString::to_string);
                findings.push(Finding {
                    key: format!("{} {}::{name}", source.path, item.ident),
                    at: format!("{}:{}", source.path, field.ident.as_ref().map_or(1, |ident| line(ident.span()))),
                    what: format!(
                        "the field {name} of {} is not private: give {} a method that does what the others need",
                        item.ident, item.ident
                    ),
                });
            }
        });
    }
    findings
}

/// Plain descriptors outside of `sys`.
fn owned_fds(sources: &[Source]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in sources {
        let is_permitted = OWNED_FD.iter().any(|(path, _)| *path == source.path);
        if source.package != Package::Library || source.layer() == "sys" || is_permitted {
            continue;
        }
        let found = paths_outside_tests(source).into_iter();
        let lines: BTreeSet<_> = found
            .filter(|(_, path)| path.last().is_some_and(|name| name == "OwnedFd"))
            .map(|(span, _)| line(span))
            .collect();
        findings.extend(lines.first().map(|at| Finding {
            key: source.path.clone(),
            at: format!("{}:{at}", source.path),
            what: "OwnedFd outside of src/sys: use the type that says how far the descriptor is trusted \
                   (src/sys/fd), or list the file with its reason in tests/structure/owned_fds.rs"
                .to_owned(),
        }));
    }
    findings
}

/// Functions with the ambiguous name `log`.
fn log_functions(sources: &[Source]) -> Vec<Finding> {
    struct Functions(Vec<usize>);
    impl<'a> Visit<'a> for Functions {
        fn visit_signature(&mut self, signature: &'a syn::Signature) {
            if signature.ident == "log" {
                self.0.push(line(signature.ident.span()));
            }
        }
    }
    let mut findings = Vec::new();
    for source in sources {
        let mut functions = Functions(Vec::new());
        functions.visit_file(&source.syntax);
        findings.extend(functions.0.into_iter().map(|at| Finding {
            key: source.path.clone(),
            at: format!("{}:{at}", source.path),
            what: "a function named log: name where the line goes (console::error, log::line, Outbox::push)"
                .to_owned(),
        }));
    }
    findings
}

#[test]
fn methods_are_near_their_type() {
    allowed::check("scattered_impls", &scattered_impls(&source::read_code()));
}

#[test]
fn states_are_enums_instead_of_flags() {
    allowed::check("flags", &flags(&source::read_code()));
}

#[test]
fn components_have_private_fields() {
    allowed::check("open_components", &open_components(&source::read_code()));
}

#[test]
fn descriptors_have_types_by_trust() {
    allowed::check("owned_fds", &owned_fds(&source::read_code()));
}

#[test]
fn no_function_is_named_log() {
    allowed::check("log_functions", &log_functions(&source::read_code()));
}

fn seen(rule: fn(&[Source]) -> Vec<Finding>, files: &[(&str, &str)]) -> usize {
    let sources: Vec<_> = files
        .iter()
        .map(|(path, text)| Source::parse(path, text))
        .collect();
    rule(&sources).len()
}

#[test]
fn the_impl_rule_counts_files_and_folders() {
    let root = ("src/lib.rs", "mod pool; mod wire;");
    let home = (
        "src/pool/mod.rs",
        "mod a; mod b; mod c; mod d; pub struct Pool; impl Pool {}",
    );
    let near = ["a", "b", "c"].map(|name| {
        let path = format!("src/pool/{name}.rs");
        (&*path.leak(), "use super::Pool; impl Pool {}")
    });
    let far = ("src/wire.rs", "impl crate::pool::Pool {}");
    let traits = ("src/wire.rs", "impl Drop for crate::pool::Pool {}");
    assert_eq!(seen(scattered_impls, &[root, home, near[0], near[1]]), 0);
    assert_eq!(
        seen(scattered_impls, &[root, home, near[0], near[1], near[2]]),
        4
    );
    assert_eq!(seen(scattered_impls, &[root, home, far]), 1);
    assert_eq!(
        seen(scattered_impls, &[root, home, near[0], near[1], traits]),
        0
    );
    let nested = ("src/pool/a.rs", "mod tests { impl super::Pool {} }");
    assert_eq!(seen(scattered_impls, &[root, home, nested]), 0);
}

#[test]
fn the_flag_rule_counts_fields() {
    let file = |text| [("src/pool/machine.rs", text)];
    assert_eq!(
        seen(
            flags,
            &file("struct S { a: bool, b: bool, c: bool, d: bool }")
        ),
        2
    );
    assert_eq!(seen(flags, &file("struct S(bool, bool, bool);")), 1);
    assert_eq!(
        seen(
            flags,
            &file("struct S { a: bool, b: bool, c: Option<bool>, d: u8 }")
        ),
        0
    );
    assert_eq!(
        seen(
            flags,
            &file("#[derive(Args)] struct S { a: bool, b: bool, c: bool }")
        ),
        0
    );
}

#[test]
fn the_component_rule_sees_every_visibility() {
    let accept = "src/server/accept/mod.rs";

    for open in ["pub", "pub(super)", "pub(crate)", "pub(in crate::server)"] {
        let text =
            format!("struct Acceptor {{ a: u8, {open} b: u8 }} struct Other {{ {open} b: u8 }}");
        assert_eq!(seen(open_components, &[(accept, &text)]), 1);
    }
    assert_eq!(
        seen(
            open_components,
            &[(accept, "pub struct Acceptor { a: u8 }")]
        ),
        0
    );
    assert_eq!(
        seen(
            open_components,
            &[("src/bin/load/client.rs", "struct Exchange { pub a: u8 }")]
        ),
        0
    );
}

#[test]
fn the_descriptor_rule_sees_names_outside_of_sys() {
    let file = |text| [("src/server/request.rs", text)];
    assert_eq!(seen(owned_fds, &file("use std::os::fd::OwnedFd;")), 1);
    assert_eq!(seen(owned_fds, &file("struct S(std::os::fd::OwnedFd);")), 1);
    assert_eq!(seen(owned_fds, &file("use crate::sys::fd::PeerFd;")), 0);
    assert_eq!(
        seen(
            owned_fds,
            &[("src/sys/fd/io.rs", "use std::os::fd::OwnedFd;")]
        ),
        0
    );
}

#[test]
fn the_log_name_rule_sees_functions_and_methods() {
    let file = |text| [("src/manager/event.rs", text)];
    assert_eq!(seen(log_functions, &file("fn log() {}")), 1);
    assert_eq!(
        seen(log_functions, &file("impl S { pub fn log(&self) {} }")),
        1
    );
    assert_eq!(
        seen(
            log_functions,
            &file("mod log; fn log_line() { log::line() }")
        ),
        0
    );
}
