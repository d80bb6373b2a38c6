//! Every export catches panics, and documents its result.

use syn::spanned::Spanned as _;

use super::paths::line;
use super::source::Source;
use super::{Broken, assert_kept, assert_sees};

/// The body of an export is one call of `enter` or `enter_quietly`, or of a function of the same
/// file with such a body.
pub(crate) fn boundary(source: &Source) -> Broken {
    if source.layer() != "ffi" {
        return Broken::new();
    }
    let functions = || {
        source.syntax.items.iter().filter_map(|item| match item {
            syn::Item::Fn(function) => Some(function),
            _ => None,
        })
    };
    let passes = |function: &syn::ItemFn, gates: &[String]| {
        let statements: Vec<_> = function
            .block
            .stmts
            .iter()
            .filter(|statement| !matches!(statement, syn::Stmt::Item(_)))
            .collect();
        match statements[..] {
            [syn::Stmt::Expr(expression, _)] => {
                called(expression).is_some_and(|name| gates.contains(&name))
            }
            _ => false,
        }
    };
    let mut gates = vec!["enter".to_owned(), "enter_quietly".to_owned()];
    let inner: Vec<_> = functions()
        .filter(|function| !is_export(function) && passes(function, &gates))
        .map(|function| function.sig.ident.to_string())
        .collect();
    gates.extend(inner);
    let mut broken = Broken::new();
    for function in functions() {
        let (name, at) = (&function.sig.ident, line(function.sig.span()));
        let c_abi = function.sig.abi.is_some();
        if is_export(function) != c_abi {
            broken.push((at, format!("{name} is exported or has the C ABI, not both")));
        } else if c_abi && !passes(function, &gates) {
            broken.push((
                at,
                format!("{name} does not catch panics: let its body be one call of enter"),
            ));
        }
    }
    broken
}

pub(crate) fn export_docs(source: &Source) -> Broken {
    let mut broken = Broken::new();
    for item in &source.syntax.items {
        let syn::Item::Fn(function) = item else {
            continue;
        };
        if source.layer() != "ffi" || !is_export(function) {
            continue;
        }
        let text = documentation(&function.attrs);
        let returns = !matches!(function.sig.output, syn::ReturnType::Default);
        let what = if text.trim().is_empty() {
            "has no documentation"
        } else if text.contains("# Safety") {
            "has a section for readers of Rust, and its readers write C"
        } else if returns && !text.contains("Returns ") {
            "does not say what it returns"
        } else {
            continue;
        };
        broken.push((
            line(function.sig.span()),
            format!("{} {what}", function.sig.ident),
        ));
    }
    broken
}

fn called(expression: &syn::Expr) -> Option<String> {
    match expression {
        syn::Expr::Call(call) => match &*call.func {
            syn::Expr::Path(path) => Some(path.path.segments.last()?.ident.to_string()),
            _ => None,
        },
        syn::Expr::Unsafe(block) => match &block.block.stmts[..] {
            [syn::Stmt::Expr(inner, _)] => called(inner),
            _ => None,
        },
        _ => None,
    }
}

fn is_export(function: &syn::ItemFn) -> bool {
    function
        .attrs
        .iter()
        .any(|attribute| match &attribute.meta {
            syn::Meta::List(list) if list.path.is_ident("unsafe") => {
                list.tokens.to_string().contains("no_mangle")
            }
            meta => meta.path().is_ident("no_mangle"),
        })
}

fn documentation(attributes: &[syn::Attribute]) -> String {
    let mut text = String::new();
    for attribute in attributes {
        let syn::Meta::NameValue(pair) = &attribute.meta else {
            continue;
        };
        let syn::Expr::Lit(literal) = &pair.value else {
            continue;
        };
        match &literal.lit {
            syn::Lit::Str(line) if pair.path.is_ident("doc") => {
                text.push_str(&line.value());
                text.push('\n');
            }
            _ => {}
        }
    }
    text
}

#[test]
fn every_export_passes_the_boundary() {
    assert_kept(boundary);
}

#[test]
fn every_export_documents_what_it_returns() {
    assert_kept(export_docs);
}

#[test]
fn the_boundary_rule_sees_an_export_that_does_not_pass_it() {
    assert_sees(
        boundary,
        "src/ffi/request.rs",
        &[
            "pub extern \"C\" fn f() -> i32 { 0 }",
            "pub extern \"C\" fn f() -> i32 { let x = g(); enter(|| x) }",
            "#[unsafe(no_mangle)] pub fn f() -> i32 { enter(|| Ok(0)) }",
            "pub unsafe extern \"C\" fn f() -> i32 { unsafe { outer(1) } }",
        ],
        &[
            "#[unsafe(no_mangle)] pub extern \"C\" fn f() -> i32 { enter(|| Ok(0)) }",
            "#[unsafe(no_mangle)] pub extern \"C\" fn f() { enter_quietly(|| 0); }",
            "#[unsafe(no_mangle)] pub extern \"C\" fn f() { static X: u8 = 0; enter(|| X) }",
            "fn through() -> i32 { enter(|| Ok(0)) }\n\
             #[unsafe(no_mangle)] pub extern \"C\" fn f() -> i32 { unsafe { through() } }",
            "fn inner() -> i32 { 0 }",
        ],
    );
}

#[test]
fn the_documentation_rule_sees_a_missing_result() {
    assert_sees(
        export_docs,
        "src/ffi/request.rs",
        &[
            "#[unsafe(no_mangle)] pub extern \"C\" fn f() -> i32 {}",
            "/** Does it. */ #[unsafe(no_mangle)] pub extern \"C\" fn f() -> i32 {}",
            "/** Does it.\n\n# Safety\nReturns. */ #[unsafe(no_mangle)] pub extern \"C\" fn f() -> i32 {}",
            "#[unsafe(no_mangle)] pub extern \"C\" fn f() {}",
        ],
        &[
            "/** Does it.\n\nReturns 0. */ #[unsafe(no_mangle)] pub extern \"C\" fn f() -> i32 {}",
            "/** Does it. */ #[unsafe(no_mangle)] pub extern \"C\" fn f() {}",
        ],
    );
}
