//! The library never panics on purpose.

use proc_macro2::{Ident, Span};
use syn::spanned::Spanned as _;
use syn::visit::{self, Visit};

use super::paths::{attributes, each_ident, is_test, line};
use super::source::Source;
use super::{Broken, assert_kept, assert_sees};

pub(crate) fn no_panics(source: &Source) -> Broken {
    struct Panics(Broken);
    const METHODS: [&str; 4] = ["unwrap", "expect", "unwrap_err", "expect_err"];
    const MACROS: [&str; 4] = ["panic", "todo", "unimplemented", "unreachable"];
    impl Panics {
        fn found(&mut self, at: Span, name: &Ident) {
            let what = format!("{name} panics: return an error");
            self.0.push((line(at), what));
        }
    }
    impl<'a> Visit<'a> for Panics {
        fn visit_item(&mut self, item: &'a syn::Item) {
            if !is_test(attributes(item)) {
                visit::visit_item(self, item);
            }
        }
        fn visit_expr_method_call(&mut self, call: &'a syn::ExprMethodCall) {
            if METHODS.iter().any(|name| call.method == name) {
                self.found(call.method.span(), &call.method);
            }
            visit::visit_expr_method_call(self, call);
        }
        fn visit_macro(&mut self, invocation: &'a syn::Macro) {
            if let Some(last) = invocation.path.segments.last() {
                if MACROS.iter().any(|name| last.ident == name) {
                    self.found(last.span(), &last.ident);
                }
            }
            each_ident(&invocation.tokens, &mut |ident| {
                if METHODS.iter().chain(&MACROS).any(|name| ident == name) {
                    self.found(ident.span(), ident);
                }
            });
        }
    }
    let mut panics = Panics(Broken::new());
    panics.visit_file(&source.syntax);
    panics.0
}

#[test]
fn the_library_never_panics_on_purpose() {
    assert_kept(no_panics);
}

#[test]
fn the_panic_rule_sees_what_panics_outside_of_tests() {
    assert_sees(
        no_panics,
        "src/conn/inbound.rs",
        &[
            "fn f() { x.unwrap(); }",
            "fn f() { x.expect(\"\"); }",
            "fn f() { x.unwrap_err(); }",
            "fn f() { panic!(); }",
            "fn f() { todo!() }",
            "fn f() { unimplemented!() }",
            "fn f() { unreachable!() }",
            "fn f() { println!(\"{}\", x.unwrap()) }",
        ],
        &[
            "fn f() { x.unwrap_or_default(); x.unwrap_or(1); }",
            "#[cfg(test)] mod tests { fn f() { x.unwrap(); panic!() } }",
            "#[test] fn f() { x.unwrap(); }",
            "fn f() { debug_assert!(x); }",
        ],
    );
}
