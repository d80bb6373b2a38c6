//! The size of files, and the names of modules.

use syn::spanned::Spanned as _;
use syn::visit::{self, Visit};

use super::allowed::{self, Finding};
use super::paths::line;
use super::source::{self, Package, Source};
use super::{Broken, assert_kept_by, assert_sees};

/// The maximum number of lines in a file.
const LONGEST: usize = 400;

/// Names that say nothing about what a module is for.
fn vague_names(source: &Source) -> Broken {
    const VAGUE: [&str; 4] = ["utils", "helpers", "common", "misc"];
    struct Modules(Broken);
    impl<'a> Visit<'a> for Modules {
        fn visit_item_mod(&mut self, module: &'a syn::ItemMod) {
            if VAGUE.iter().any(|name| module.ident == name) {
                let what = format!(
                    "the name {} does not say what the module is for",
                    module.ident
                );
                self.0.push((line(module.span()), what));
            }
            visit::visit_item_mod(self, module);
        }
    }
    let mut modules = Modules(Broken::new());
    modules.visit_file(&source.syntax);
    if source
        .module
        .iter()
        .any(|name| VAGUE.contains(&name.as_str()))
    {
        let what = "the file's name does not say what it is for".to_owned();
        modules.0.push((1, what));
    }
    modules.0
}

fn is_limited(path: &str) -> bool {
    [".rs", ".c", ".cpp", ".pm", ".t"]
        .iter()
        .any(|end| path.ends_with(end))
}

fn too_long(path: &str, text: &str) -> Option<Finding> {
    let lines = text.lines().count();
    (lines > LONGEST).then(|| Finding {
        key: path.to_owned(),
        at: format!("{path}:{lines}"),
        what: format!(
            "{lines} lines, more than {LONGEST}: move one of its subjects into a file of its own"
        ),
    })
}

#[test]
fn names_of_modules_say_what_they_are_for() {
    for package in Package::ALL {
        assert_kept_by(&source::read(package), vague_names);
    }
}

#[test]
fn no_file_is_too_long_to_read() {
    let paths = source::files(&source::FOLDERS, is_limited);
    let long = paths
        .iter()
        .filter_map(|path| too_long(path, &source::text(path)));
    allowed::check("long_files", &long.collect::<Vec<_>>());
}

#[test]
fn the_file_rules_see_length_and_names() {
    assert_sees(
        vague_names,
        "src/conn/inbound.rs",
        &["mod utils;", "mod helpers {}", "mod common;", "mod misc;"],
        &["mod inbound;"],
    );
    assert_sees(vague_names, "src/conn/utils.rs", &[""], &[]);
    assert!(too_long("src/conn/inbound.rs", &"\n".repeat(LONGEST)).is_none());
    assert!(too_long("src/conn/inbound.rs", &"\n".repeat(LONGEST + 1)).is_some());
    assert!(is_limited("bindings/perl/lib/FCGIPM.pm") && is_limited("bindings/perl/xs/XS.c"));
    assert!(is_limited("bindings/perl/t/xs.t") && !is_limited("include/fcgipm.h"));
}
