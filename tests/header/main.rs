//! The public interface: the C header, the reference of the options and the shared library match
//! the sources.
//!
//! With `FCGIPM_WRITE=1` outdated pages are rewritten. The tests of the shared library need the one
//! that `make build` links.

#[path = "../../include/generate.rs"]
#[allow(dead_code, unreachable_pub)]
mod header;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use fcgipm::error::Code;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A generated page is up to date, on disk and in the index of git.
fn assert_up_to_date(page: &str, text: &str) {
    let path = root().join(page);
    if std::env::var_os("FCGIPM_WRITE").is_some() {
        fs::write(&path, text).unwrap();
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == text,
        "{page} is out of date: FCGIPM_WRITE=1 cargo test --test header"
    );
    let staged = Command::new("git")
        .args(["show", &format!(":{page}")])
        .current_dir(root())
        .output();
    // Without a git checkout there is no index to compare with.
    if let Ok(staged) = staged {
        if staged.status.success() {
            assert!(
                staged.stdout == text.as_bytes(),
                "{page} is up to date, but not added to git"
            );
        }
    }
}

#[test]
fn the_header_is_up_to_date() {
    assert_up_to_date("include/fcgipm.h", &header::generate(root()).unwrap());
}

#[test]
fn the_reference_of_the_options_is_up_to_date() {
    assert_up_to_date("docs/OPTIONS.md", &fcgipm::options::reference());
}

#[test]
fn error_numbers_and_names_are_unique_and_match() {
    let header = fs::read_to_string(root().join("include/fcgipm.h")).unwrap();
    let numbers: BTreeSet<_> = Code::ALL.iter().map(|code| code.number()).collect();
    let names: BTreeSet<_> = Code::ALL.iter().map(|code| code.name()).collect();
    assert_eq!(
        (numbers.len(), names.len()),
        (Code::ALL.len(), Code::ALL.len())
    );
    for code in Code::ALL {
        assert!(code.number() < 0 && code.name().starts_with("FCGIPM_E"));
        let name = format!("FCGIPM_E{}", format!("{code:?}").to_uppercase());
        assert_eq!(code.name(), name);
        assert!(header.contains(&format!("#define {name} ({})\n", code.number())));
    }
}

#[test]
fn the_header_has_no_terms_of_rust() {
    let header = fs::read_to_string(root().join("include/fcgipm.h")).unwrap();
    for line in header.lines() {
        assert!(
            line.len() <= 100,
            "a line of {} columns: {line}",
            line.len()
        );
        for rust in ["# Safety", "# Errors", "uintptr_t", "[`", "::", "usize"] {
            assert!(
                !line.contains(rust) || line.contains("[::1]"),
                "{rust}: {line}"
            );
        }
    }
}

/// The library that `make build` links.
fn library() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let target = test.ancestors().nth(3).unwrap();
    let library = target.join("release/libfcgipm.so");
    assert!(
        library.exists(),
        "{} is missing: make build",
        library.display()
    );
    library
}

fn run(command: &mut Command) -> String {
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(
        output.status.success(),
        "{command:?}: {}\n{out}{err}",
        output.status
    );
    out.into_owned()
}

fn compiled(compiler: &str, standard: &str, source: &Path) -> PathBuf {
    let library = library();
    let folder = library.parent().unwrap();
    let name = source.file_stem().unwrap().to_str().unwrap();
    let program = std::env::temp_dir().join(format!("fcgipm-{name}-{}", std::process::id()));
    run(Command::new(compiler)
        .arg(format!("-std={standard}"))
        .args(["-Wall", "-Wextra", "-Werror", "-pedantic"])
        .arg("-I")
        .arg(root().join("include"))
        .arg("-o")
        .arg(&program)
        .arg(source)
        .arg("-L")
        .arg(folder)
        .arg("-lfcgipm")
        .arg(format!("-Wl,-rpath,{}", folder.display())));
    program
}

fn compiles_and_runs(compiler: &str, standard: &str, source: &str) {
    let program = compiled(
        compiler,
        standard,
        &root().join("tests/header").join(source),
    );
    let version = run(&mut Command::new(&program));
    fs::remove_file(&program).unwrap();
    assert_eq!(version, format!("{}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn the_c_program_of_the_readme_compiles_and_reports_errors() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let lines = readme
        .lines()
        .skip_while(|line| *line != "    #include <stdio.h>")
        .take_while(|line| line.is_empty() || line.starts_with("    "));
    let source = std::env::temp_dir().join(format!("readme-{}.c", std::process::id()));
    let text: Vec<&str> = lines.map(|line| line.get(4..).unwrap_or("")).collect();
    fs::write(&source, text.join("\n") + "\n").unwrap();
    let program = compiled("cc", "c11", &source);
    let output = Command::new(&program)
        .env("FCGIPM_N_PROCESES", "3")
        .output()
        .unwrap();
    fs::remove_file(&source).unwrap();
    fs::remove_file(&program).unwrap();
    assert_eq!(output.status.code(), Some(1));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        errors.contains("FCGIPM_N_PROCESES: unknown option"),
        "{errors}"
    );
}

#[test]
fn a_c11_program_compiles_and_runs() {
    compiles_and_runs("cc", "c11", "c11.c");
}

#[test]
fn a_cpp17_program_compiles_and_runs() {
    compiles_and_runs("c++", "c++17", "cpp17.cpp");
}

/// The build of the Debian package compares its list with the library, too.
#[test]
fn the_symbols_of_the_debian_package_are_those_of_the_abi_page() {
    let page = fs::read_to_string(root().join("docs/ABI.md")).unwrap();
    let listed: BTreeSet<_> = page
        .lines()
        .filter_map(|line| line.strip_prefix("| `fcgipm_"))
        .map(|line| {
            format!(
                "fcgipm_{}",
                line.replace("` | ", "@FCGIPM_0 ").trim_end_matches(" |")
            )
        })
        .collect();
    let file = root().join("packaging/debian/libfcgipm0.symbols");
    let text = fs::read_to_string(file).unwrap();
    let packaged: BTreeSet<_> = text
        .lines()
        .filter_map(|line| line.strip_prefix(" "))
        .filter(|line| !line.starts_with("FCGIPM_0@"))
        .map(str::to_owned)
        .collect();
    assert_eq!(packaged, listed, "libfcgipm0.symbols, and docs/ABI.md");
}

#[test]
fn the_exported_symbols_are_those_of_the_abi_page() {
    let page = fs::read_to_string(root().join("docs/ABI.md")).unwrap();
    let listed: BTreeSet<_> = page
        .lines()
        .filter_map(|line| line.strip_prefix("| `fcgipm_"))
        .map(|line| format!("fcgipm_{}", line.split('`').next().unwrap()))
        .collect();
    let table = run(Command::new("nm")
        .args(["-D", "--defined-only"])
        .arg(library()));
    let mut exported = BTreeSet::new();
    for line in table.lines() {
        let symbol = line.split_whitespace().last().unwrap();
        if symbol == "FCGIPM_0" {
            continue;
        }
        let (name, version) = symbol.split_once("@@").unwrap_or((symbol, "none"));
        assert_eq!(version, "FCGIPM_0", "the version node of {name}");
        exported.insert(name.to_owned());
    }
    assert_eq!(exported, listed, "exported, and listed in docs/ABI.md");
    let header = fs::read_to_string(root().join("include/fcgipm.h")).unwrap();
    for symbol in &listed {
        assert!(
            header.contains(&format!("{symbol}(")),
            "{symbol} is not in the header"
        );
    }
}

#[test]
fn the_shared_library_is_linked_as_promised() {
    let dynamic = run(Command::new("readelf").args(["-Wd"]).arg(library()));
    assert!(
        dynamic.contains("Library soname: [libfcgipm.so.0]"),
        "{dynamic}"
    );
    for flag in ["NOW", "NODELETE"] {
        assert!(
            dynamic
                .lines()
                .any(|line| line.contains("FLAGS") && line.contains(flag)),
            "{flag} is missing:\n{dynamic}"
        );
    }
    for needed in dynamic.lines().filter(|line| line.contains("(NEEDED)")) {
        assert!(
            ["[libc.so.", "[libgcc_s.so.", "[ld-linux"]
                .iter()
                .any(|name| needed.contains(name)),
            "{needed}"
        );
    }
    let segments = run(Command::new("readelf").args(["-Wl"]).arg(library()));
    assert!(segments.contains("GNU_RELRO"), "{segments}");
}

/// The Perl binding cannot read the header, so it repeats the constants.
#[test]
fn the_constants_of_the_perl_binding_match_the_header() {
    let header = fs::read_to_string(root().join("include/fcgipm.h")).unwrap();
    let defined = |name: &str| {
        header.lines().find_map(|line| {
            let mut words = line.split_whitespace();
            let found = words.next() == Some("#define") && words.next() == Some(name);
            let number = words.next()?.trim_matches(['(', ')']);
            found.then(|| number.parse::<i64>().ok())?
        })
    };
    let module = root().join("bindings/perl/lib/FCGIPM/Library.pm");
    let module = fs::read_to_string(module).unwrap();
    let words: Vec<&str> = module
        .split(|c: char| c.is_whitespace() || c == ',')
        .filter(|word| !word.is_empty())
        .collect();
    let mut compared = 0;
    for pair in words.windows(3) {
        let [name, "=>", number] = pair else { continue };
        let is_constant = |c: char| c.is_ascii_uppercase() || c == '_';
        let Ok(number) = number.parse::<i64>() else {
            continue;
        };
        if !name.chars().all(is_constant) {
            continue;
        }
        let name = format!("FCGIPM_{}", name.trim_start_matches("STREAM_"));
        assert_eq!(defined(&name), Some(number), "{name}");
        compared += 1;
    }
    let numbers = header
        .lines()
        .filter(|line| line.starts_with("#define FCGIPM_"))
        .filter(|line| line.split_whitespace().count() == 3)
        .count();
    // Without the three roles, which Perl programs read from FCGI_ROLE.
    assert_eq!(compared, numbers - 3);
}
