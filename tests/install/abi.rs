//! The ABI of this header and library, beside that of the last release: it only grows.
//!
//! tests/abi has the release's ABI in the form of abidw(1), and its numbers. A release writes both with
//! `FCGIPM_WRITE=1 cargo test --test install abi::`.
//!
//! What is compared is a library that is compiled from the header, in which each function ends the program. Debug
//! information of the real one describes it as Rust has it. That both have the same symbols is tested, and that the
//! header is that of the sources is tested elsewhere.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use super::tree::{at, empty, root, said};

const RELEASED: &str = "tests/abi/libfcgipm.so.0.abi";
const NUMBERS: &str = "tests/abi/numbers";

fn header() -> String {
    fs::read_to_string(at("include/fcgipm.h")).unwrap()
}

/// Compiles a library that has the functions of a header.
fn compiled(header: &str, name: &str) -> PathBuf {
    let folder = empty(&format!("abi-{name}"));
    fs::write(folder.join("fcgipm.h"), header).unwrap();
    let mut source = String::from("#include \"fcgipm.h\"\n");
    let (_, declarations) = header
        .split_once("extern \"C\" {\n#endif // __cplusplus\n")
        .unwrap();
    for declaration in without_comments(declarations).split(';') {
        let declaration = declaration.trim();
        if declaration.ends_with(')') && declaration.contains("fcgipm_") {
            source.push_str(&format!("{declaration} {{ __builtin_trap(); }}\n"));
        }
    }
    fs::write(folder.join("fcgipm.c"), source).unwrap();
    let mut cc = Command::new("cc");
    cc.args([
        "-g",
        "-O0",
        "-w",
        "-fPIC",
        "-shared",
        "-Wl,-soname,libfcgipm.so.0",
        "-o",
        "libfcgipm.so.0",
        "fcgipm.c",
    ]);
    let map = root().join("src/ffi/fcgipm.map");
    said(
        cc.arg(format!("-Wl,--version-script={}", map.display()))
            .current_dir(&folder),
    );
    folder.join("libfcgipm.so.0")
}

fn without_comments(text: &str) -> String {
    let mut parts = text.split("/*");
    let first = parts.next().unwrap_or_default().to_owned();
    let after = |part: &str| part.split_once("*/").unwrap().1.to_owned();
    parts.map(after).fold(first, |text, part| text + &part)
}

/// The dump of a library, without anything of the machine that made it.
fn dump(library: &Path) -> String {
    let mut abidw = Command::new("abidw");
    abidw.args([
        "--no-corpus-path",
        "--no-comp-dir-path",
        "--no-show-locs",
        "--no-architecture",
        "--type-id-style",
        "hash",
    ]);
    said(abidw.arg(library))
}

/// What was changed or removed since the release; new functions are allowed. Two dumps are compared, since the
/// release's has no architecture.
fn compared(library: &Path) -> Output {
    let now = library.with_extension("abi");
    fs::write(&now, dump(library)).unwrap();
    let mut abidiff = Command::new("abidiff");
    abidiff
        .arg("--no-added-syms")
        .arg(root().join(RELEASED))
        .arg(now);
    abidiff.output().expect("abidiff")
}

/// The numbers of a header, as `NAME NUMBER`.
fn numbers(header: &str) -> Vec<String> {
    let defined = header
        .lines()
        .filter_map(|line| line.strip_prefix("#define "));
    let with_value = defined.filter_map(|line| line.split_once(' '));
    with_value
        .map(|(name, value)| format!("{name} {}", value.trim_matches(['(', ')'])))
        .collect()
}

/// Those of the release that a header has no longer, or with another value.
fn lost_numbers(header: &str) -> Vec<String> {
    let released = fs::read_to_string(root().join(NUMBERS)).unwrap();
    let now = numbers(header);
    let lost = released
        .lines()
        .filter(|line| !now.iter().any(|number| number == line));
    lost.map(str::to_owned).collect()
}

fn symbols(library: &Path) -> Vec<String> {
    let table = said(
        Command::new("nm")
            .args(["-D", "--defined-only"])
            .arg(library),
    );
    let mut names: Vec<_> = table
        .lines()
        .filter_map(|line| Some(line.split(" T ").nth(1)?.to_owned()))
        .collect();
    names.sort();
    names
}

#[test]
fn no_function_layout_or_number_of_the_release_has_changed() {
    let library = compiled(&header(), "now");
    if std::env::var_os("FCGIPM_WRITE").is_some() {
        fs::write(root().join(RELEASED), dump(&library)).unwrap();
        fs::write(root().join(NUMBERS), numbers(&header()).join("\n") + "\n").unwrap();
    }
    let output = compared(&library);
    assert!(
        output.status.success(),
        "the ABI of the last release ({RELEASED}) was changed:\n{}",
        String::from_utf8_lossy(&output.stdout)
    );
    assert_eq!(lost_numbers(&header()), Vec::<String>::new());
}

#[test]
fn what_is_compared_has_the_symbols_of_the_library() {
    let library = compiled(&header(), "symbols");
    let real = symbols(&at("lib/libfcgipm.so"));
    assert!(
        real.len() > 50 && real.iter().all(|name| name.ends_with("@@FCGIPM_0")),
        "{real:?}"
    );
    assert_eq!(symbols(&library), real);
    let dynamic = said(
        Command::new("readelf")
            .arg("-dW")
            .arg(at("lib/libfcgipm.so")),
    );
    assert!(dynamic.contains("[libfcgipm.so.0]"), "{dynamic}");
}

/// Each of these would break a program that was compiled with the release.
#[test]
fn a_change_that_breaks_programs_is_found() {
    let header = header();
    for (name, before, after) in [
        ("removed", "int32_t fcgipm_socket_close(int32_t fd);", ""),
        ("renamed", "fcgipm_socket_close(", "fcgipm_socket_shut("),
        (
            "parameter",
            "fcgipm_socket_close(int32_t fd)",
            "fcgipm_socket_close(int64_t fd)",
        ),
        (
            "more",
            "fcgipm_socket_close(int32_t fd)",
            "fcgipm_socket_close(int32_t fd, int32_t how)",
        ),
        (
            "result",
            "int32_t fcgipm_socket_close(",
            "int64_t fcgipm_socket_close(",
        ),
        (
            "field",
            "  size_t name_length;\n",
            "  uint32_t name_length;\n",
        ),
        (
            "larger",
            "  size_t value_length;\n",
            "  size_t value_length;\n  uint32_t flags;\n",
        ),
    ] {
        assert!(header.contains(before), "{before}");
        let library = compiled(&header.replace(before, after), name);
        let output = compared(&library);
        let said = String::from_utf8_lossy(&output.stdout);
        // Bit 2: changed, bit 3: programs break for certain.
        let code = output.status.code().unwrap();
        assert!(
            code & 0b1100 != 0 && code & 0b11 == 0,
            "{name}: {code}\n{said}"
        );
    }
    let changed = header.replace("#define FCGIPM_EINUSE (-5)", "#define FCGIPM_EINUSE (-55)");
    assert_eq!(lost_numbers(&changed), ["FCGIPM_EINUSE -5"]);
}

#[test]
fn a_new_function_is_allowed() {
    let marker = "int32_t fcgipm_socket_close(int32_t fd);";
    let header = header().replace(
        marker,
        &format!("{marker}\n\nint32_t fcgipm_socket_new(void);"),
    );
    let output = compared(&compiled(&header, "added"));
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stdout)
    );
}
