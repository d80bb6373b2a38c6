//! A source file as the rules see it.

use std::fs;
use std::path::Path;

/// One file of the library.
pub(crate) struct Source {
    /// Below `src`, as `conn/inbound.rs`.
    pub(crate) path: String,
    /// The file's place in the tree of modules.
    pub(crate) module: Vec<String>,
    pub(crate) lines: Vec<String>,
    pub(crate) syntax: syn::File,
}

impl Source {
    pub(crate) fn parse(path: &str, text: &str) -> Self {
        let syntax = syn::parse_file(text).unwrap_or_else(|error| panic!("{path}: {error}"));
        let mut module: Vec<_> = path
            .trim_end_matches(".rs")
            .split('/')
            .map(str::to_owned)
            .collect();
        if matches!(module.last().map(String::as_str), Some("mod" | "lib")) {
            module.pop();
        }
        Self {
            path: path.to_owned(),
            module,
            lines: text.lines().map(str::to_owned).collect(),
            syntax,
        }
    }

    /// The room that the file stands in; a file beside the rooms is one of its own.
    pub(crate) fn room(&self) -> &str {
        self.module.first().map_or("lib", String::as_str)
    }
}

/// All files of the library; the command in `src/bin` is another package.
pub(crate) fn read(src: &Path) -> Vec<Source> {
    let mut sources = Vec::new();
    let mut folders = vec![src.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path == src.join("bin") {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(src).unwrap().to_str().unwrap().to_owned();
                sources.push(Source::parse(&name, &fs::read_to_string(&path).unwrap()));
            }
        }
    }
    sources
}
