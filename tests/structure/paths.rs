//! The paths in a source file, and helpers for its syntax.

use proc_macro2::{Span, TokenStream, TokenTree};
use syn::spanned::Spanned as _;
use syn::visit::{self, Visit};

use super::source::Source;

/// A path, as a list of names. With `self` or `super` at its beginning, it is resolved to the root
/// of the crate.
pub(crate) type Named = (Span, Vec<String>);

/// All paths in a file: in imports, in code, and in the arguments of macros.
pub(crate) fn paths(source: &Source) -> Vec<Named> {
    Paths::find(source, true, true)
}

/// The same without tests.
pub(crate) fn paths_outside_tests(source: &Source) -> Vec<Named> {
    Paths::find(source, false, true)
}

/// The same without tests, and without what the file only re-exports.
pub(crate) fn paths_of_code(source: &Source) -> Vec<Named> {
    Paths::find(source, false, false)
}

struct Paths {
    module: Vec<String>,
    with_tests: bool,
    with_exports: bool,
    found: Vec<Named>,
}

impl Paths {
    fn find(source: &Source, with_tests: bool, with_exports: bool) -> Vec<Named> {
        let mut paths = Self {
            module: source.module.clone(),
            with_tests,
            with_exports,
            found: Vec::new(),
        };
        paths.visit_file(&source.syntax);
        paths.found
    }

    fn add(&mut self, span: Span, path: &[String]) {
        let mut resolved = match path.first().map(String::as_str) {
            Some("self" | "super") => {
                let mut resolved = vec!["crate".to_owned()];
                resolved.extend(self.module.iter().cloned());
                resolved
            }
            Some(_) | None => Vec::new(),
        };
        for name in path {
            match name.as_str() {
                "super" => drop(resolved.pop()),
                "self" => {}
                name => resolved.push(name.to_owned()),
            }
        }
        self.found.push((span, resolved));
    }

    fn add_use(&mut self, tree: &syn::UseTree, before: &mut Vec<String>) {
        match tree {
            syn::UseTree::Path(path) => {
                before.push(path.ident.to_string());
                self.add_use(&path.tree, before);
                before.pop();
            }
            syn::UseTree::Group(group) => {
                for tree in &group.items {
                    self.add_use(tree, before);
                }
            }
            syn::UseTree::Name(syn::UseName { ident })
            | syn::UseTree::Rename(syn::UseRename { ident, .. }) => {
                before.push(ident.to_string());
                self.add(ident.span(), before);
                before.pop();
            }
            syn::UseTree::Glob(glob) => {
                before.push("*".to_owned());
                self.add(glob.span(), before);
                before.pop();
            }
        }
    }

    /// Paths within tokens that are not parsed.
    fn add_tokens(&mut self, tokens: &TokenStream) {
        let mut path: Vec<String> = Vec::new();
        let mut start = Span::call_site();
        let mut colons = 0;
        for token in tokens.clone() {
            match token {
                TokenTree::Ident(ident) => {
                    if colons != 2 {
                        self.add(start, &std::mem::take(&mut path));
                        start = ident.span();
                    }
                    path.push(ident.to_string());
                    colons = 0;
                }
                TokenTree::Punct(punct) if punct.as_char() == ':' => colons += 1,
                TokenTree::Group(group) => {
                    self.add_tokens(&group.stream());
                    colons = 0;
                }
                TokenTree::Punct(_) | TokenTree::Literal(_) => colons = 0,
            }
        }
        self.add(start, &path);
    }
}

impl<'a> Visit<'a> for Paths {
    fn visit_item(&mut self, item: &'a syn::Item) {
        if self.with_tests || !is_test(attributes(item)) {
            visit::visit_item(self, item);
        }
    }
    fn visit_item_use(&mut self, item: &'a syn::ItemUse) {
        if self.with_exports || matches!(item.vis, syn::Visibility::Inherited) {
            self.add_use(&item.tree, &mut Vec::new());
        }
    }
    fn visit_item_mod(&mut self, module: &'a syn::ItemMod) {
        self.module.push(module.ident.to_string());
        visit::visit_item_mod(self, module);
        self.module.pop();
    }
    fn visit_path(&mut self, path: &'a syn::Path) {
        let names: Vec<_> = path.segments.iter().map(|s| s.ident.to_string()).collect();
        self.add(path.span(), &names);
        visit::visit_path(self, path);
    }
    fn visit_macro(&mut self, invocation: &'a syn::Macro) {
        visit::visit_macro(self, invocation);
        self.add_tokens(&invocation.tokens);
    }
    fn visit_attribute(&mut self, _: &'a syn::Attribute) {}
    fn visit_visibility(&mut self, _: &'a syn::Visibility) {}
}

pub(crate) fn is_test(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| match &attribute.meta {
        syn::Meta::List(list) => list.path.is_ident("cfg") && list.tokens.to_string() == "test",
        meta => meta.path().is_ident("test"),
    })
}

pub(crate) fn attributes(item: &syn::Item) -> &[syn::Attribute] {
    match item {
        syn::Item::Fn(item) => &item.attrs,
        syn::Item::Mod(item) => &item.attrs,
        syn::Item::Impl(item) => &item.attrs,
        syn::Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

pub(crate) fn line(span: Span) -> usize {
    span.start().line
}

pub(crate) fn each_ident(tokens: &TokenStream, see: &mut dyn FnMut(&proc_macro2::Ident)) {
    for token in tokens.clone() {
        match token {
            TokenTree::Ident(ident) => see(&ident),
            TokenTree::Group(group) => each_ident(&group.stream(), see),
            TokenTree::Punct(_) | TokenTree::Literal(_) => {}
        }
    }
}
