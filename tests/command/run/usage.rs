//! Refused options, and the effect of options and the environment.

use super::{Run, address, hello, plain};
use crate::process::fcgipm;

/// It exits with this status and this reason.
fn assert_refused(arguments: &[&str], status: i32, reason: &str) {
    let output = fcgipm(&[&["run"], arguments].concat(), b"");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(
        output.status.code(),
        Some(status),
        "{arguments:?}: {errors}"
    );
    assert!(errors.contains(reason), "{arguments:?}: {errors}");
}

#[test]
fn contradictory_options_are_usage_errors() {
    for (arguments, reason) in [
        (&[][..], "--listen <ADDRESS>"),
        (&["--listen", ":1"], "PROGRAM"),
        (
            &["--listen", ":1", "--max-request", "1", "--", "x"],
            "--max-requests",
        ),
        (
            &["--listen", ":1", "--workers", "many", "--", "x"],
            "option n_processes: 'many' is not a whole number in the range 0..2000",
        ),
        (
            &["--listen", ":1", "--env", "x", "--", "x"],
            "--env 'x': not NAME=VALUE",
        ),
        (&["--config", "x", "--listen", ":1"], "cannot be used with"),
        (
            &["--config", "x", "--workers", "1"],
            "--workers cannot be used with --config",
        ),
        (
            &["--config", "/nowhere.toml"],
            "/nowhere.toml: No such file",
        ),
        (&["--pool", "x", "--listen", ":1", "--", "x"], "--config"),
    ] {
        assert_refused(arguments, 2, reason);
    }
}

#[test]
fn usage_errors_are_reported_immediately() {
    let folder = tempfile::tempdir().unwrap();
    let address = address(&folder);
    for (options, reason) in [
        (
            &["--workers", "0", "--", "true"][..],
            "option n_processes: a program needs at least one worker",
        ),
        (&["--no-signals", "--", "true"], "option no_signals"),
        (
            &[
                "--workers",
                "4",
                "--max-spare",
                "1",
                "--min-spare",
                "2",
                "--pm",
                "dynamic",
                "--",
                "true",
            ],
            "option max_spare: 1",
        ),
    ] {
        let arguments = [&["--no-preload", "--listen", &address], options].concat();
        assert_refused(&arguments, 1, reason);
        assert!(!std::fs::exists(&address).unwrap(), "{reason}");
    }
}

#[test]
fn the_environment_overrides_the_command_line_and_that_is_logged() {
    let folder = tempfile::tempdir().unwrap();
    let mut run = Run::pool_by(
        folder,
        &[],
        &["--workers", "3"],
        &[&hello(), "fd:0"],
        &[("FCGIPM_N_PROCESSES", "1")],
    );
    run.line("managing 1 worker");
    run.line("FCGIPM_N_PROCESSES=1 overrides n_processes=3 set by the program");
    run.ready();
    run.call();
    run.stop();
}

#[test]
fn preloaded_libraries_come_before_existing_ones() {
    let folder = tempfile::tempdir().unwrap();
    let address = address(&folder);
    let library = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../target/release/libfcgipm.so")
        .canonicalize()
        .unwrap();
    let library = library.to_str().unwrap();
    let script = format!(
        "echo \"preload: $LD_PRELOAD\" >&2; exec {} graceful",
        plain()
    );
    let arguments = ["--listen", &address, "--", "sh", "-c", &script];
    let environment = [("FCGIPM_DROPIN", library), ("LD_PRELOAD", library)];
    let mut run = Run::start(folder, &arguments, &environment);
    let line = run.line("preload: ");
    assert_eq!(line, format!("preload: {library}:{library}"));
    run.stop();

    let folder = tempfile::tempdir().unwrap();
    let environment = [("FCGIPM_DROPIN", "/no/such.so")];
    let mut run = Run::start(folder, &["--listen", ":1", "--", "true"], &environment);
    let (status, lines) = run.end();
    assert_eq!(status.code(), Some(1));
    assert!(
        lines[0].contains("FCGIPM_DROPIN=/no/such.so: No such file"),
        "{lines:?}"
    );
}

#[test]
fn every_option_of_the_table_is_a_flag_with_a_line_of_help() {
    let output = fcgipm(&["run", "--help"], b"");
    let help = String::from_utf8(output.stdout).unwrap();
    for spec in fcgipm::options::TABLE {
        let name = match spec.name {
            "n_processes" => "workers".to_owned(),
            name => name.replace('_', "-"),
        };
        let shown = help.contains(&format!("--{name} "));
        let shown = shown || help.contains(&format!("--{name}["));
        assert_eq!(shown, spec.name != "no_signals", "{}", spec.name);
    }
    assert!(!help.contains("n-processes"), "{help}");
}
