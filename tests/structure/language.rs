//! The syntax that the oldest supported compiler, `rust-version` in Cargo.toml, does not know. Clippy does
//! the same for the standard library; what neither sees, a build with that compiler does.

use proc_macro2::Span;
use syn::spanned::Spanned as _;
use syn::visit::{self, Visit};

use super::Broken;
use super::paths::{each_ident, line};
use super::source::{self, files};

/// The version that this rule is written for.
const OLDEST: &str = "1.85";
/// Everything in Rust, tests and benchmarks too.
const FOLDERS: [&str; 7] = [
    "src",
    "packaging",
    "bindings",
    "tests",
    "benches",
    "include",
    "fuzz",
];

struct Newer(Broken);

impl Newer {
    fn found(&mut self, at: Span, what: &str, version: &str) {
        let what = format!("{what} needs Rust {version}, and rust-version is {OLDEST}");
        self.0.push((line(at), what));
    }

    /// The condition of an `if` or a `while`: a single `let`, or an expression without any.
    fn condition(&mut self, condition: &syn::Expr) {
        match condition {
            syn::Expr::Let(only) => {
                self.visit_pat(&only.pat);
                self.visit_expr(&only.expr);
            }
            other => self.visit_expr(other),
        }
    }
}

impl<'a> Visit<'a> for Newer {
    fn visit_expr_if(&mut self, expression: &'a syn::ExprIf) {
        self.condition(&expression.cond);
        self.visit_block(&expression.then_branch);
        if let Some((_, branch)) = &expression.else_branch {
            self.visit_expr(branch);
        }
    }
    fn visit_expr_while(&mut self, expression: &'a syn::ExprWhile) {
        self.condition(&expression.cond);
        self.visit_block(&expression.body);
    }
    fn visit_expr_let(&mut self, expression: &'a syn::ExprLet) {
        let what = "`let` beside other conditions, or in the guard of a match arm,";
        self.found(expression.let_token.span, what, "1.88");
        visit::visit_expr_let(self, expression);
    }
    fn visit_local(&mut self, local: &'a syn::Local) {
        if let Some(syn::Expr::Macro(called)) = local.init.as_ref().map(|init| &*init.expr) {
            if called.mac.path.is_ident("format_args") {
                self.found(local.span(), "`let` of format_args!", "1.89");
            }
        }
        visit::visit_local(self, local);
    }
    fn visit_expr_repeat(&mut self, array: &'a syn::ExprRepeat) {
        if matches!(*array.len, syn::Expr::Infer(_)) {
            self.found(array.span(), "an array of inferred length", "1.89");
        }
        visit::visit_expr_repeat(self, array);
    }
    fn visit_attribute(&mut self, attribute: &'a syn::Attribute) {
        if let syn::Meta::List(list) = &attribute.meta {
            each_ident(&list.tokens, &mut |ident| {
                if list.path.is_ident("cfg") && (ident == "true" || ident == "false") {
                    self.found(ident.span(), "cfg of true or false", "1.88");
                } else if list.path.is_ident("unsafe") && ident == "naked" {
                    self.found(ident.span(), "a naked function", "1.88");
                }
            });
        }
    }
    fn visit_item_fn(&mut self, function: &'a syn::ItemFn) {
        let mut attributes = function.attrs.iter();
        let is_for_a_feature = attributes.any(|one| one.path().is_ident("target_feature"));
        if is_for_a_feature && function.sig.unsafety.is_none() {
            self.found(
                function.sig.span(),
                "a safe function for a target feature",
                "1.86",
            );
        }
        visit::visit_item_fn(self, function);
    }
}

fn newer(text: &str) -> syn::Result<Broken> {
    let mut newer = Newer(Broken::new());
    newer.visit_file(&syn::parse_file(text)?);
    Ok(newer.0)
}

#[test]
fn the_oldest_supported_compiler_knows_the_syntax() {
    let stated = env!("CARGO_PKG_RUST_VERSION");
    assert_eq!(
        stated, OLDEST,
        "rust-version has changed: remove from this rule what that version knows"
    );
    let mut broken = Vec::new();
    let mut paths = files(&FOLDERS, |path| path.ends_with(".rs"));
    paths.push("build.rs".to_owned());
    for path in paths {
        let found = newer(&source::text(&path)).unwrap_or_else(|error| panic!("{path}: {error}"));
        broken.extend(
            found
                .iter()
                .map(|(line, what)| format!("{path}:{line}: {what}")),
        );
    }
    assert!(broken.is_empty(), "\n{}", broken.join("\n"));
}

#[test]
fn the_rule_about_syntax_sees_what_is_new() {
    for text in [
        "fn f() { if let Some(a) = b && a {} }",
        "fn f() { if b && let Some(a) = c {} }",
        "fn f() { if b {} else if let Some(a) = c && a {} }",
        "fn f() { while let Some(a) = b && a {} }",
        "fn f() { match a { b if let Some(c) = b => {} _ => {} } }",
        "fn f() { if let Some(a) = { if let Some(b) = c && b {}; d } {} }",
        "fn f() { let a = format_args!(\"{b}\"); }",
        "fn f() { let a: [u8; 3] = [0; _]; }",
        "#[cfg(true)] fn f() {}",
        "#[unsafe(naked)] extern \"C\" fn f() {}",
        "#[target_feature(enable = \"avx2\")] fn f() {}",
    ] {
        assert_eq!(newer(text).unwrap().len(), 1, "{text}");
    }
    for text in [
        "fn f() { if let Some(a) = b { if a && c {} } else if let Some(a) = d {} }",
        "fn f() { while let Some(a) = b.filter(|a| a && c) {} }",
        "fn f() { let Some(a) = b else { return }; let c = a && b; }",
        "fn f() { g(format_args!(\"{b}\")); let a = [0; 3]; }",
        "#[cfg(all(test, unix))] #[unsafe(no_mangle)] fn f() {}",
        "#[target_feature(enable = \"avx2\")] unsafe fn f() {}",
    ] {
        assert_eq!(newer(text).unwrap(), [], "{text}");
    }
}
