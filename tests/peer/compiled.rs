//! Programs that tests run: products of the build, and C programs that they compile.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

/// A product of the build.
pub(crate) fn product(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("target/release")
        .join(name);
    assert!(
        path.exists(),
        "{} is missing: run `make build` first",
        path.display()
    );
    path
}

/// Copies a program, by another process: if this one forked for another test while the file is open
/// for writing, it could not be executed (execve(2), ETXTBSY).
#[allow(
    dead_code,
    reason = "not every test that shares this file copies programs"
)]
pub(crate) fn copy_program(from: &Path, to: &Path) {
    let status = Command::new("cp").arg(from).arg(to).status();
    assert!(status.unwrap().success());
}

/// The folder of the drop-in for libfcgi and its headers, as it appears in the maps of a process.
pub(crate) fn dropin() -> PathBuf {
    let library = product("../dropin/libfcgi.so.0").canonicalize().unwrap();
    library.parent().unwrap().to_owned()
}

/// A new folder, whose path is short enough for a socket in it.
pub(crate) fn folder() -> PathBuf {
    use std::os::unix::fs::PermissionsExt as _;
    let path = nix::unistd::mkdtemp(&std::env::temp_dir().join("fcgipm-XXXXXX")).unwrap();
    // Web servers and workers may run as other users.
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path
}

/// Compiles a C program of the tests with the header and the shared library, once per process.
pub(crate) fn compiled(source: &str) -> PathBuf {
    let library = product("libfcgipm.so");
    let include = Path::new(env!("CARGO_MANIFEST_DIR")).join("include");
    build(source, &["-pedantic"], &include, &library)
}

/// The same for a program on FCGX, with the headers and the library of the drop-in.
pub(crate) fn compiled_on_dropin(source: &str) -> PathBuf {
    let dropin = dropin();
    build(
        source,
        &[],
        &dropin.join("include"),
        &dropin.join("libfcgi.so"),
    )
}

fn build(source: &str, flags: &[&str], include: &Path, library: &Path) -> PathBuf {
    static DONE: Mutex<Vec<(String, PathBuf)>> = Mutex::new(Vec::new());
    // A panic of another test leaves only complete entries.
    let mut done = DONE.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, path)) = done.iter().find(|(name, _)| name == source) {
        return path.clone();
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let stem = Path::new(source).file_stem().unwrap().to_str().unwrap();
    let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{stem}-{}", std::process::id()));
    let status = Command::new("cc")
        .args([
            "-std=c11", "-O1", "-g", "-Wall", "-Wextra", "-Werror", "-pthread",
        ])
        .args(flags)
        .arg("-I")
        .arg(include)
        .arg("-o")
        .arg(&out)
        .arg(root.join("tests").join(source))
        .arg(library)
        .arg(format!(
            "-Wl,-rpath,{}",
            library.parent().unwrap().display()
        ))
        .status()
        .expect("cc, the C compiler");
    assert!(status.success(), "tests/{source} does not compile");
    done.push((source.to_owned(), out.clone()));
    out
}
