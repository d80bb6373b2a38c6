//! Programs that others build: against the installed header, with pkg-config, CMake and Meson.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::tree::{PREFIX, at, empty, installed, root, said, with_library};

const C_STANDARDS: [&str; 4] = ["c99", "c11", "c17", "c2x"];
const CPP_STANDARDS: [&str; 5] = ["c++11", "c++14", "c++17", "c++20", "c++2b"];

/// Lets pkg-config see what is installed as if it were at the root of the system, and nothing else.
fn find_installed(command: &mut Command) -> &mut Command {
    command
        .env("PKG_CONFIG_SYSROOT_DIR", installed())
        .env("PKG_CONFIG_LIBDIR", at("lib/pkgconfig"))
        .env_remove("PKG_CONFIG_PATH")
}

/// The command line of the README, in a shell.
fn shell(folder: &Path, line: &str) -> String {
    let mut shell = Command::new("sh");
    shell.args(["-ec", line]).current_dir(folder);
    said(find_installed(&mut shell))
}

/// The README's C program, and the line that compiles it.
fn readme() -> (String, String) {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let lines = readme
        .lines()
        .skip_while(|line| *line != "    #include <stdio.h>")
        .take_while(|line| line.is_empty() || line.starts_with("    "));
    let program: Vec<_> = lines.map(|line| line.get(4..).unwrap_or("")).collect();
    let compiled = readme
        .lines()
        .map(str::trim)
        .find(|line| line.starts_with("cc ") && line.contains("pkg-config"));
    let compiled = compiled.expect("a line of README.md that compiles with pkg-config");
    (program.join("\n") + "\n", compiled.to_owned())
}

/// Without a worker, the program starts and names a mistake in its environment: header, library and loader fit.
fn reports_its_mistake(program: &Path) {
    let output = with_library(program)
        .env("FCGIPM_N_PROCESES", "3")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("FCGIPM_N_PROCESES: unknown option"), "{said}");
}

#[test]
fn the_readmes_program_compiles_with_pkg_config() {
    let folder = empty("readme");
    let (program, line) = readme();
    fs::write(folder.join("app.c"), program).unwrap();
    shell(&folder, &line);
    let named = line.split(' ').skip_while(|word| *word != "-o").nth(1);
    reports_its_mistake(&folder.join(named.unwrap_or("a.out")));
}

/// All of it in the program, also the C library.
#[test]
fn pkg_config_static_links_a_program_that_needs_no_library() {
    let folder = empty("static");
    fs::write(folder.join("app.c"), readme().0).unwrap();
    shell(
        &folder,
        "cc -static app.c $(pkg-config --static --cflags --libs fcgipm)",
    );
    let program = folder.join("a.out");
    let dynamic = said(Command::new("readelf").arg("-dW").arg(&program));
    assert!(dynamic.contains("no dynamic section"), "{dynamic}");
    reports_its_mistake(&program);
    // Only this library; the rest as usual.
    shell(
        &folder,
        "cc -o mixed app.c $(pkg-config --static --cflags --libs fcgipm | sed s/-lfcgipm/-l:libfcgipm.a/)",
    );
    let dynamic = said(Command::new("readelf").arg("-dW").arg(folder.join("mixed")));
    assert!(!dynamic.contains("libfcgipm"), "{dynamic}");
    reports_its_mistake(&folder.join("mixed"));
}

#[test]
fn pkg_config_tells_the_version_and_the_directories() {
    let ask = |question: &str| {
        shell(root(), &format!("pkg-config {question} fcgipm"))
            .trim()
            .to_owned()
    };
    assert_eq!(ask("--modversion"), env!("CARGO_PKG_VERSION"));
    let libraries = ask("--variable=libdir");
    assert!(libraries.ends_with(&format!("{PREFIX}/lib")), "{libraries}");
    shell(root(), "pkg-config --validate fcgipm");
}

/// A program on libfcgi that names the drop-in's directory gets its headers and its library.
#[test]
fn a_program_on_libfcgi_can_be_built_with_the_drop_in() {
    let folder = empty("dropin");
    let source = "#include <fcgiapp.h>\nint main(void) { return FCGX_Init() || !FCGX_IsCGI(); }\n";
    fs::write(folder.join("app.c"), source).unwrap();
    let private = at("lib/fcgipm/pkgconfig");
    let line = format!(
        "export PKG_CONFIG_LIBDIR='{}'; cc app.c $(pkg-config --cflags --libs fcgi)",
        private.display()
    );
    shell(&folder, &line);
    let mut program = Command::new(folder.join("a.out"));
    said(program.env("LD_LIBRARY_PATH", at("lib/fcgipm")));
}

#[test]
fn the_header_is_valid_in_every_standard_since_c99_and_cpp11() {
    let folder = empty("standards");
    let source = "#include <fcgipm.h>\n#include <fcgipm.h>\nint main(void) { return fcgipm_version() == 0; }\n";
    for (names, compilers, file) in [
        (&C_STANDARDS[..], ["gcc", "clang"], "app.c"),
        (&CPP_STANDARDS[..], ["g++", "clang++"], "app.cpp"),
    ] {
        fs::write(folder.join(file), source).unwrap();
        for compiler in compilers {
            for standard in names {
                let mut command = Command::new(compiler);
                command.args([
                    "-Wall",
                    "-Wextra",
                    "-Wpedantic",
                    "-Wconversion",
                    "-Wundef",
                    "-Werror",
                ]);
                command.arg(format!("-std={standard}")).arg("-fsyntax-only");
                // Not as a system header, in which nothing is reported.
                command.arg("-I").arg(at("include")).arg(folder.join(file));
                assert_eq!(said(&mut command), "", "{compiler} {standard}");
            }
        }
    }
}

/// The examples as they are installed, copied to where a user would work on them.
fn examples(name: &str) -> PathBuf {
    let folder = empty(name);
    for file in ["hello.c", "CMakeLists.txt", "meson.build"] {
        fs::copy(
            at("share/doc/fcgipm/examples/c").join(file),
            folder.join(file),
        )
        .unwrap();
    }
    folder
}

/// The program starts with the installed library and says why an address is wrong.
fn refuses_its_address(program: &Path) {
    let output = with_library(program).arg("nowhere:x").output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("nowhere:x"), "{said}");
}

#[test]
fn the_cmake_example_builds() {
    let folder = examples("cmake");
    let mut configure = Command::new("cmake");
    configure
        .args(["-S", ".", "-B", "build", "-Wdev", "-Werror=dev"])
        .current_dir(&folder);
    said(find_installed(&mut configure));
    said(
        Command::new("cmake")
            .args(["--build", "build"])
            .current_dir(&folder),
    );
    refuses_its_address(&folder.join("build/hello"));
}

#[test]
fn the_meson_example_builds() {
    let folder = examples("meson");
    let mut configure = Command::new("meson");
    configure
        .args(["setup", "build", "--fatal-meson-warnings"])
        .current_dir(&folder);
    said(find_installed(&mut configure));
    said(
        Command::new("meson")
            .args(["compile", "-C", "build"])
            .current_dir(&folder),
    );
    refuses_its_address(&folder.join("build/hello"));
}
