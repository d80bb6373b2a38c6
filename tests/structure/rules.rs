//! The rules, each from a file to the lines that break it.

use proc_macro2::{Span, TokenStream, TokenTree};
use syn::spanned::Spanned as _;
use syn::visit::{self, Visit};

use super::source::Source;

/// A line, and what is wrong with it.
pub(crate) type Broken = Vec<(usize, String)>;
pub(crate) type Rule = fn(&Source) -> Broken;

/// What each room may import, besides itself; `error` and `options` are everybody's.
const IMPORTS: [(&str, &[&str]); 10] = [
    ("wire", &[]),
    ("conn", &["wire"]),
    ("pool", &[]),
    ("sys", &[]),
    ("worker", &["sys"]),
    ("server", &["conn", "sys", "worker"]),
    ("manager", &["conn", "pool", "server", "sys", "worker"]),
    ("ffi", &["manager", "server", "worker"]),
    ("error", &[]),
    ("options", &[]),
];
const PURE: [&str; 3] = ["wire", "conn", "pool"];
const LONGEST: usize = 500;

pub(crate) fn imports(source: &Source) -> Broken {
    let room = source.room();
    if room == "lib" {
        return Broken::new();
    }
    let Some((_, allowed)) = IMPORTS.iter().find(|(name, _)| *name == room) else {
        return vec![(1, format!("the room {room} has no place in the rule"))];
    };
    let mut broken = Broken::new();
    for (span, path) in paths(source) {
        let [root, target, ..] = &path[..] else {
            continue;
        };
        if root != "crate" || !IMPORTS.iter().any(|(name, _)| name == target) {
            continue;
        }
        if target != room
            && !["error", "options"].contains(&target.as_str())
            && !allowed.contains(&target.as_str())
        {
            broken.push((line(span), format!("{room} imports {target}")));
        }
    }
    broken
}

pub(crate) fn purity(source: &Source) -> Broken {
    if !PURE.contains(&source.room()) {
        return Broken::new();
    }
    let mut broken = Broken::new();
    for (span, path) in paths(source) {
        let names: Vec<&str> = path.iter().map(String::as_str).collect();
        let impure = match names[..] {
            [
                "std",
                "fs" | "net" | "os" | "env" | "io" | "process" | "thread",
                ..,
            ]
            | ["std", "time", "Instant" | "SystemTime" | "*", ..]
            | ["nix" | "libc" | "parking_lot" | "once_cell", _, ..] => true,
            // A macro's name is a path of its own.
            [
                ..,
                "thread_local" | "println" | "eprintln" | "print" | "eprint" | "dbg",
            ] => true,
            _ => false,
        };
        if impure {
            broken.push((
                line(span),
                format!("a pure room names {}", names.join("::")),
            ));
        }
    }
    struct Statics(Broken);
    impl<'a> Visit<'a> for Statics {
        fn visit_item_static(&mut self, item: &'a syn::ItemStatic) {
            self.0
                .push((line(item.span()), format!("a global: {}", item.ident)));
        }
    }
    let mut statics = Statics(broken);
    statics.visit_file(&source.syntax);
    statics.0
}

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
    /// Where the statement or the item that is being looked at begins.
    statement: Option<usize>,
    broken: Broken,
}

impl Unsafe<'_> {
    fn found(&mut self, span: Span, needs_reason: bool) {
        let at = line(span);
        if !matches!(self.source.room(), "sys" | "ffi") {
            self.broken
                .push((at, "unsafe outside sys and ffi".to_owned()));
        } else if needs_reason
            && !self.has_reason(at)
            && !self.statement.is_some_and(|start| self.has_reason(start))
        {
            self.broken
                .push((at, "unsafe without a SAFETY line".to_owned()));
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

pub(crate) fn no_panics(source: &Source) -> Broken {
    struct Panics(Broken);
    const METHODS: [&str; 4] = ["unwrap", "expect", "unwrap_err", "expect_err"];
    const MACROS: [&str; 4] = ["panic", "todo", "unimplemented", "unreachable"];
    impl<'a> Visit<'a> for Panics {
        fn visit_item(&mut self, item: &'a syn::Item) {
            if !is_test(attributes(item)) {
                visit::visit_item(self, item);
            }
        }
        fn visit_expr_method_call(&mut self, call: &'a syn::ExprMethodCall) {
            if METHODS.iter().any(|name| call.method == name) {
                self.0
                    .push((line(call.method.span()), call.method.to_string()));
            }
            visit::visit_expr_method_call(self, call);
        }
        fn visit_macro(&mut self, invocation: &'a syn::Macro) {
            if let Some(last) = invocation.path.segments.last()
                && MACROS.iter().any(|name| last.ident == name)
            {
                self.0.push((line(last.span()), format!("{}!", last.ident)));
            }
            each_ident(&invocation.tokens, &mut |ident| {
                if METHODS.iter().chain(&MACROS).any(|name| ident == name) {
                    self.0.push((line(ident.span()), ident.to_string()));
                }
            });
        }
    }
    let mut panics = Panics(Broken::new());
    panics.visit_file(&source.syntax);
    panics.0
}

pub(crate) fn files(source: &Source) -> Broken {
    const VAGUE: [&str; 4] = ["utils", "helpers", "common", "misc"];
    struct Modules(Broken);
    impl<'a> Visit<'a> for Modules {
        fn visit_item_mod(&mut self, module: &'a syn::ItemMod) {
            if VAGUE.iter().any(|name| module.ident == name) {
                self.0.push((
                    line(module.span()),
                    format!("a module named {}", module.ident),
                ));
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
        modules.0.push((1, "a name that says no role".to_owned()));
    }
    if source.lines.len() > LONGEST {
        let what = format!("{} lines, over {LONGEST}", source.lines.len());
        modules.0.push((source.lines.len(), what));
    }
    modules.0
}

/// An export's body is one call of `enter` or `enter_quietly`, or of a function of the same file
/// whose body is.
pub(crate) fn boundary(source: &Source) -> Broken {
    if source.room() != "ffi" {
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
            broken.push((at, format!("{name} walks past the boundary")));
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
        if source.room() != "ffi" || !is_export(function) {
            continue;
        }
        let text = documentation(&function.attrs);
        let returns = !matches!(function.sig.output, syn::ReturnType::Default);
        let what = if text.trim().is_empty() {
            "says nothing"
        } else if text.contains("# Safety") {
            "speaks Rust to readers of C"
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
        if let syn::Meta::NameValue(pair) = &attribute.meta
            && pair.path.is_ident("doc")
            && let syn::Expr::Lit(literal) = &pair.value
            && let syn::Lit::Str(line) = &literal.lit
        {
            text.push_str(&line.value());
            text.push('\n');
        }
    }
    text
}

fn is_test(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| match &attribute.meta {
        syn::Meta::List(list) => list.path.is_ident("cfg") && list.tokens.to_string() == "test",
        meta => meta.path().is_ident("test"),
    })
}

fn attributes(item: &syn::Item) -> &[syn::Attribute] {
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

fn each_ident(tokens: &TokenStream, see: &mut dyn FnMut(&proc_macro2::Ident)) {
    for token in tokens.clone() {
        match token {
            TokenTree::Ident(ident) => see(&ident),
            TokenTree::Group(group) => each_ident(&group.stream(), see),
            TokenTree::Punct(_) | TokenTree::Literal(_) => {}
        }
    }
}

/// Every path that a file names, from the crate's root where it is one of the crate: in imports, in
/// code, and within the arguments of macros.
pub(crate) fn paths(source: &Source) -> Vec<(Span, Vec<String>)> {
    let mut paths = Paths {
        module: source.module.clone(),
        found: Vec::new(),
    };
    paths.visit_file(&source.syntax);
    paths.found
}

struct Paths {
    module: Vec<String>,
    found: Vec<(Span, Vec<String>)>,
}

impl Paths {
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

    /// Paths within tokens that nobody has parsed.
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
    fn visit_item_use(&mut self, item: &'a syn::ItemUse) {
        self.add_use(&item.tree, &mut Vec::new());
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
