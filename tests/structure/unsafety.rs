//! `unsafe` is only in some modules, and has a comment with its reason.

use proc_macro2::Span;
use syn::spanned::Spanned as _;
use syn::visit::{self, Visit};

use super::paths::{each_ident, line};
use super::source::Source;
use super::{Broken, assert_kept, assert_sees};

pub(crate) fn unsafety(source: &Source) -> Broken {
    let mut finder = Unsafe {
        source,
        statement: None,
        broken: Broken::new(),
    };
    finder.visit_file(&source.syntax);
    finder.broken
}

struct Unsafe<'s> {
    source: &'s Source,
    /// Where the statement or the item being visited begins.
    statement: Option<usize>,
    broken: Broken,
}

impl Unsafe<'_> {
    fn found(&mut self, span: Span, needs_reason: bool) {
        let at = line(span);
        if !matches!(self.source.layer(), "sys" | "ffi") {
            self.broken.push((
                at,
                "unsafe outside of sys and ffi: move it into src/sys, behind a safe function"
                    .to_owned(),
            ));
        } else if needs_reason
            && !self.has_reason(at)
            && !self.statement.is_some_and(|start| self.has_reason(start))
        {
            self.broken.push((
                at,
                "unsafe without a line `// SAFETY: …` above it that says why it is sound"
                    .to_owned(),
            ));
        }
    }

    /// Whether the comment right above a line gives a reason.
    fn has_reason(&self, at: usize) -> bool {
        self.source.lines[..at - 1]
            .iter()
            .rev()
            .map(|line| line.trim_start())
            .take_while(|line| line.starts_with("//") || line.starts_with("#["))
            .any(|line| line.starts_with("// SAFETY: "))
    }

    fn within(&mut self, span: Span, visit: impl FnOnce(&mut Self)) {
        let before = self.statement.replace(line(span));
        visit(self);
        self.statement = before;
    }
}

impl<'a> Visit<'a> for Unsafe<'_> {
    fn visit_stmt(&mut self, statement: &'a syn::Stmt) {
        self.within(statement.span(), |this| visit::visit_stmt(this, statement));
    }
    fn visit_arm(&mut self, arm: &'a syn::Arm) {
        self.within(arm.span(), |this| visit::visit_arm(this, arm));
    }
    fn visit_expr_unsafe(&mut self, block: &'a syn::ExprUnsafe) {
        self.found(block.span(), true);
        visit::visit_expr_unsafe(self, block);
    }
    fn visit_item_impl(&mut self, item: &'a syn::ItemImpl) {
        if let Some(keyword) = item.unsafety {
            self.found(keyword.span, true);
        }
        visit::visit_item_impl(self, item);
    }
    fn visit_signature(&mut self, signature: &'a syn::Signature) {
        // Its callers give the reasons.
        if let Some(keyword) = signature.unsafety {
            self.found(keyword.span, false);
        }
        visit::visit_signature(self, signature);
    }
    fn visit_macro(&mut self, invocation: &'a syn::Macro) {
        each_ident(&invocation.tokens, &mut |ident| {
            if ident == "unsafe" {
                self.found(ident.span(), true);
            }
        });
    }
}

#[test]
fn unsafe_is_only_in_sys_and_ffi_and_gives_its_reason() {
    assert_kept(unsafety);
}

#[test]
fn the_unsafe_rule_sees_the_layer_and_the_missing_reason() {
    assert_sees(
        unsafety,
        "src/server/request.rs",
        &[
            "fn f() { // SAFETY: no.\n unsafe { g() } }",
            "unsafe fn f() {}",
            "unsafe impl Send for X {}",
        ],
        &["fn f() {}", "extern \"C\" fn f() {}"],
    );
    assert_sees(
        unsafety,
        "src/sys/fd/io.rs",
        &[
            "fn f() { unsafe { g() } }",
            "fn f() {\n // because\n unsafe { g() } }",
            "fn f() {\n // SAFETY: of another one.\n h();\n unsafe { g() } }",
            "unsafe impl Send for X {}",
        ],
        &[
            "fn f() {\n // SAFETY: so.\n unsafe { g() } }",
            "fn f() {\n // SAFETY: so,\n // and so.\n let x = h(\n unsafe { g() });\n }",
            "// SAFETY: so.\nunsafe impl Send for X {}",
        ],
    );
}
