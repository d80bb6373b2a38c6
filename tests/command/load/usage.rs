//! Options that are refused before a request is sent.

use std::process::Command;

use super::load;
use crate::process::fcgipm;

#[test]
fn a_usage_error_has_status_2_and_names_the_option_and_the_value() {
    for (options, words) in [
        (&["-n", "5", "-t", "1"][..], &["--requests", "--time"][..]),
        (&["-n", "0"], &["--requests", "0"]),
        (&["-c", "0"], &["--clients", "0"]),
        (&["-t", "0"], &["--time", "0"]),
        (&["-c", "8", "-n", "4"], &["--clients 8", "--requests 4"]),
        (
            &["--split", "3000", "--timeout", "3"],
            &["--split 3000", "--timeout 3"],
        ),
        (&["--split", "soon"], &["--split", "soon"]),
        (&["--body", "5g"], &["--body", "5g"]),
        (&["--body", "2000m"], &["--body", "2000m", "1024m"]),
        (&["--body", "k"], &["--body", "'k'"]),
        (
            &["--body", "1k", "--body-file", "x"],
            &["--body <SIZE>", "--body-file <FILE>"],
        ),
        (
            &["--body-file", "/nowhere/at/all"],
            &["--body-file /nowhere/at/all", "No such file"],
        ),
        (&["--params", "3"], &["--params 3", "15 parameters"]),
        (&["--uri", "nowhere"], &["--uri", "nowhere"]),
        (&["--uri", "/%zz"], &["--uri", "%zz"]),
        (&["--expect", ""], &["--expect"]),
        (&["--status", "99"], &["--status", "99"]),
        (&["-p", "novalue"], &["novalue"]),
        (
            &["--clients", "900000", "-t", "1"],
            &["--clients 900000", "descriptors", "ulimit -Hn"],
        ),
    ] {
        let loaded = load(":9", options);
        assert_eq!(loaded.status, 2, "{options:?}: {}", loaded.out);
        for word in words {
            assert!(loaded.err.contains(word), "{options:?}: {}", loaded.err);
        }
        assert_eq!(loaded.out, "");
    }
    for address in [":99999", "no-port", "host.invalid:9"] {
        let loaded = load(address, &[]);
        assert_eq!(loaded.status, 2, "{}", loaded.out);
        assert!(loaded.err.contains(address), "{}", loaded.err);
    }
}

#[test]
fn the_soft_limit_of_descriptors_is_raised_if_that_is_enough() {
    let script = "ulimit -Sn 64 && exec \"$0\" load -c 100 -n 100 @nobody-listens-here";
    let output = Command::new("sh")
        .args(["-c", script, env!("CARGO_BIN_EXE_fcgipm")])
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(
        text.contains("lost refused: 100 (ECONNREFUSED 100)"),
        "{text}"
    );
}

#[test]
fn the_help_explains_every_kind_of_loss() {
    let output = fcgipm(&["load", "--help"], b"");
    let help = String::from_utf8(output.stdout).unwrap();
    for word in [
        "refused",
        "before",
        "before (reused)",
        "within",
        "after",
        "status",
        "content",
        "malformed",
        "stuck",
        "EAGAIN",
        "lost=0",
        "Exit status",
        "--split",
        "--expect",
    ] {
        assert!(help.contains(word), "{word}: {help}");
    }
}
