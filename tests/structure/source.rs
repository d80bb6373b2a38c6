//! A source file as the rules see it.

use std::fs;
use std::path::{Path, PathBuf};

use super::paths::is_test;

/// A crate whose files the rules read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Package {
    Library,
    Command,
    DropIn,
    Benches,
}

impl Package {
    pub(crate) const ALL: [Self; 4] = [Self::Library, Self::Command, Self::DropIn, Self::Benches];

    /// The folder of the crate's root module.
    pub(crate) fn folder(self) -> &'static str {
        match self {
            Self::Library => "src",
            Self::Command => "src/bin",
            Self::DropIn => "bindings/libfcgi/src",
            Self::Benches => "benches/src",
        }
    }

    /// The crate that a path belongs to. The command is below the library's folder, so it is first.
    fn of(path: &str) -> Option<Self> {
        let all = [Self::Command, Self::Library, Self::DropIn, Self::Benches];
        let is_below = |package: &Self| below(path, package.folder()).is_some();
        all.into_iter().find(is_below)
    }
}

fn below<'p>(path: &'p str, folder: &str) -> Option<&'p str> {
    path.strip_prefix(folder)?.strip_prefix('/')
}

/// One file of a crate.
pub(crate) struct Source {
    /// From the root of the repository, as `src/conn/inbound.rs`.
    pub(crate) path: String,
    pub(crate) package: Package,
    /// The file's place in its crate's tree of modules.
    pub(crate) module: Vec<String>,
    pub(crate) lines: Vec<String>,
    pub(crate) syntax: syn::File,
}

impl Source {
    pub(crate) fn parse(path: &str, text: &str) -> Self {
        let syntax = syn::parse_file(text).unwrap_or_else(|error| panic!("{path}: {error}"));
        let package = Package::of(path).unwrap_or_else(|| panic!("{path} is in no crate"));
        let name = below(path, package.folder()).unwrap_or(path);
        let parts = name.trim_end_matches(".rs").split('/');
        let mut module: Vec<_> = parts.map(str::to_owned).collect();
        if matches!(
            module.last().map(String::as_str),
            Some("mod" | "lib" | "main")
        ) {
            module.pop();
        }
        Self {
            path: path.to_owned(),
            package,
            module,
            lines: text.lines().map(str::to_owned).collect(),
            syntax,
        }
    }

    /// The top-level module that the file is in; `lib` for the root.
    pub(crate) fn layer(&self) -> &str {
        self.module.first().map_or("lib", String::as_str)
    }

    /// The folder that the file is in.
    pub(crate) fn folder(&self) -> &str {
        self.path.rsplit_once('/').map_or("", |(folder, _)| folder)
    }
}

pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All files of a crate, without its integration tests and its build script.
pub(crate) fn read(package: Package) -> Vec<Source> {
    let paths = files(&[package.folder()], |path| path.ends_with(".rs"));
    let own = paths
        .iter()
        .filter(|path| Package::of(path) == Some(package))
        .filter(|path| !path.contains("/tests/") && !path.ends_with("/build.rs"));
    let parse = |path: &String| Source::parse(path, &text(path));
    let sources: Vec<_> = own.map(parse).collect();
    assert!(sources.len() > 10, "{} files", sources.len());
    sources
}

/// All files of all crates, without those that are only a module of tests.
pub(crate) fn read_code() -> Vec<Source> {
    let mut all = Vec::new();
    for package in Package::ALL {
        let mut sources = read(package);
        let tests: Vec<_> = sources.iter().flat_map(test_modules).collect();
        sources.retain(|source| !tests.contains(&source.module));
        all.append(&mut sources);
    }
    all
}

/// The modules that a file declares with `#[cfg(test)]`.
fn test_modules(source: &Source) -> Vec<Vec<String>> {
    let declared = source.syntax.items.iter().filter_map(|item| match item {
        syn::Item::Mod(module) if is_test(&module.attrs) => Some(module.ident.to_string()),
        _ => None,
    });
    declared
        .map(|name| [&source.module[..], &[name]].concat())
        .collect()
}

pub(crate) fn text(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The folders with code, and with its comments.
pub(crate) const FOLDERS: [&str; 7] = [
    "src",
    "tests",
    "benches",
    "bindings",
    "fuzz",
    "include",
    "packaging",
];

/// The files below some folders that `wanted` picks, from the root of the repository, in order.
pub(crate) fn files(folders: &[&str], wanted: impl Fn(&str) -> bool) -> Vec<String> {
    let mut pending: Vec<PathBuf> = folders.iter().map(|folder| root().join(folder)).collect();
    let mut found = Vec::new();
    while let Some(path) = pending.pop() {
        let name = path.strip_prefix(root()).unwrap().to_str().unwrap();
        if path.is_dir() {
            let is_built = ["target", "artifacts", "corpus", "blib"]
                .iter()
                .any(|built| name.rsplit('/').next() == Some(built));
            if !is_built {
                pending.extend(
                    fs::read_dir(&path)
                        .unwrap()
                        .map(|entry| entry.unwrap().path()),
                );
            }
        } else if path.exists() && wanted(name) {
            found.push(name.to_owned());
        }
    }
    found.sort();
    found
}
