//! All mistakes in the options and the file are reported, and nothing is started.

use std::fs;

use tempfile::TempDir;

use super::{Run, plain};
use crate::process::fcgipm;

/// Runs the command in its own folder, and returns its status and its lines.
fn lines(arguments: &[&str]) -> (Option<i32>, Vec<String>) {
    let output = fcgipm(&[&["run"], arguments].concat(), b"");
    assert!(output.stdout.is_empty());
    let errors = String::from_utf8(output.stderr).unwrap();
    let lines = errors.lines().map(|line| {
        let line = line.strip_prefix("fcgipm run: ");
        line.unwrap_or_else(|| panic!("{errors}")).to_owned()
    });
    (output.status.code(), lines.collect())
}

fn file(folder: &TempDir, text: &str) -> String {
    let path = folder.path().join("run.toml");
    fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

/// Tables of pools, each with these lines.
fn pools(folder: &TempDir, pools: &[(&str, &str)]) -> String {
    let text = pools.iter().map(|(name, lines)| {
        format!("[[pool]]\nname = \"{name}\"\npreload = false\nready_delay = \"100ms\"\n{lines}\n")
    });
    file(folder, &text.collect::<String>())
}

fn good(folder: &TempDir, socket: &str) -> String {
    let socket = folder.path().join(socket);
    format!(
        "listen = \"{}\"\ncommand = [\"{}\", \"graceful\"]",
        socket.display(),
        plain()
    )
}

/// With and without --check it reports these lines, and creates no socket.
fn assert_mistakes(folder: &TempDir, file: &str, expected: &[&str]) {
    for check in [&[][..], &["--check"]] {
        let (status, lines) = lines(&[&["--config", file], check].concat());
        assert_eq!(lines, expected, "{check:?}");
        assert_eq!(status, Some(2));
        let left: Vec<_> = fs::read_dir(folder.path()).unwrap().flatten().collect();
        assert_eq!(left.len(), 1, "{left:?}");
    }
}

#[test]
fn two_pools_with_one_address_or_pid_file_start_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().display();
    let text = [
        (
            "a",
            format!("{}\npid_fname = \"{place}/pid\"", good(&folder, "one")),
        ),
        (
            "b",
            format!("{}\npid_fname = \"{place}/./pid\"", good(&folder, "./one")),
        ),
        (
            "c",
            format!("listen = \"127.0.0.1:19876\"\ncommand = [\"{}\"]", plain()),
        ),
        (
            "d",
            format!("listen = \"localhost:019876\"\ncommand = [\"{}\"]", plain()),
        ),
        ("e", good(&folder, "two")),
    ];
    let text: Vec<_> = text
        .iter()
        .map(|(name, text)| (*name, text.as_str()))
        .collect();
    let file = pools(&folder, &text);
    assert_mistakes(
        &folder,
        &file,
        &[
            &format!("pool 'b': listen address '{place}/./one' is also that of pool 'a'"),
            &format!("pool 'b': pid file '{place}/./pid' is also that of pool 'a'"),
            "pool 'd': listen address 'localhost:019876' is also that of pool 'c'",
        ],
    );
}

#[test]
fn an_address_of_the_environment_cannot_be_that_of_two_pools() {
    let folder = tempfile::tempdir().unwrap();
    let (one, two) = (good(&folder, "one"), good(&folder, "two"));
    let file = pools(&folder, &[("a", &one), ("b", &two)]);
    let listen = folder.path().join("three").to_str().unwrap().to_owned();
    let environment = [("FCGIPM_LISTEN", listen.as_str())];
    let mut command = Run::command(&[], &["--config", &file], &environment);
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(
        String::from_utf8(output.stderr).unwrap(),
        format!("fcgipm run: pool 'b': listen address '{listen}' is also that of pool 'a'\n")
    );
}

#[test]
fn every_mistake_of_every_pool_is_reported() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().display();
    let more = |socket: &str, more: &str| format!("{}\n{more}", good(&folder, socket));
    let text = [
        ("a", good(&folder, "a")),
        (
            "b",
            more(
                "b",
                "user = \"no-such-user\"\ngroup = \"no-such-group\"\nchdir = \"/no/such/place\"",
            ),
        ),
        (
            "c",
            format!(
                "listen = \"{place}/c\"\ncommand = [\"/no/such/program\"]\nlisten_owner = \"no-such-user\""
            ),
        ),
        (
            "d",
            more(
                "d",
                "chroot = \"/no/such/place\"\npid_fname = \"/no/such/pid\"",
            ),
        ),
        (
            "e",
            "listen = \"foo\"\ncommand = [\"no-such-program\"]".to_owned(),
        ),
        (
            "f",
            more(
                "no/such/folder",
                "pm = \"dynamic\"\nworkers = 2\nmin_spare = 3\nmax_spare = 2",
            ),
        ),
    ];
    let text: Vec<_> = text
        .iter()
        .map(|(name, text)| (*name, text.as_str()))
        .collect();
    let file = pools(&folder, &text);
    let (status, lines) = lines(&["--config", &file]);
    assert_eq!(status, Some(2), "{lines:#?}");
    let expected = [
        ("b", "'no-such-user'"),
        ("b", "'no-such-group'"),
        ("b", "'/no/such/place'"),
        ("c", "listen_owner"),
        ("c", "'/no/such/program'"),
        ("d", "'/no/such/place'"),
        (
            "d",
            "option pid_fname: '/no/such/pid': No such file or directory",
        ),
        ("e", "'./foo'"),
        ("e", "'no-such-program'"),
        ("f", "no/such/folder': No such file or directory"),
        ("f", "option start_servers"),
    ];
    for ((pool, text), line) in expected.iter().zip(&lines) {
        let begin = format!("pool '{pool}': ");
        assert!(
            line.starts_with(&begin) && line.contains(text),
            "{pool} {text}: {lines:#?}"
        );
    }
    assert_eq!(lines.len(), expected.len(), "{lines:#?}");
    // With and without --check.
    assert_eq!(
        self::lines(&["--config", &file, "--check"]),
        (status, lines)
    );
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn several_mistakes_in_the_text_of_a_file_are_reported_together() {
    let folder = tempfile::tempdir().unwrap();
    let text = format!(
        "{}\nlisten_mode = \"999\"\nmax_request = 1\ndie_timeout = \"soon\"",
        good(&folder, "a")
    );
    let file = pools(&folder, &[("a", &text)]);
    assert_mistakes(
        &folder,
        &file,
        &[
            &format!(
                "{file}:9: pool 'a': option die_timeout: 'soon' is not a number of seconds or a time such as \
                 250ms, 5m or 1h30m"
            ),
            &format!(
                "{file}:7: pool 'a': option listen_mode: '999' is not an octal mode in the range 0..777"
            ),
            &format!("{file}:8: pool 'a': unknown key 'max_request'"),
        ],
    );
}

#[test]
fn a_correct_file_is_started_only_without_check() {
    let folder = tempfile::tempdir().unwrap();
    let file = pools(
        &folder,
        &[("a", &good(&folder, "a")), ("b", &good(&folder, "b"))],
    );
    assert_eq!(lines(&["--config", &file, "--check"]), (Some(0), vec![]));
    assert_eq!(
        lines(&["--config", &file, "--pool", "b", "--check"]),
        (Some(0), vec![])
    );
    let socket = folder.path().join("c");
    let plain = plain();
    let listen = [
        "--no-preload",
        "--check",
        "--listen",
        socket.to_str().unwrap(),
    ];
    assert_eq!(
        lines(&[&listen[..], &["--", &plain]].concat()),
        (Some(0), vec![])
    );
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn the_command_line_is_checked_as_a_whole() {
    let check = ["--no-preload", "--check", "--listen"];
    let (status, found) = lines(
        &[
            &check[..],
            &[
                "/no/such/folder/s",
                "--user",
                "no-such-user",
                "--",
                "/no/such/program",
            ],
        ]
        .concat(),
    );
    assert_eq!((status, found.len()), (Some(2), 3), "{found:#?}");
    let wrong = [
        "--die-timeout",
        "soon",
        "--listen-mode",
        "9",
        "--env",
        "x",
        "--",
        "x",
    ];
    let (status, found) = lines(&[&check[..], &[":1"], &wrong].concat());
    assert_eq!((status, found.len()), (Some(2), 3), "{found:#?}");
}

#[test]
fn a_plain_name_is_not_an_address_and_creates_no_file() {
    let plain = plain();
    for (listen, says) in [
        ("foo", "for a socket file write './foo', for a port ':9005'"),
        (
            "9005",
            "for a port write ':9005', for a socket file './9005'",
        ),
    ] {
        let (status, lines) = lines(&["--no-preload", "--listen", listen, "--", &plain]);
        let expected = format!("listen address '{listen}': {says}");
        assert_eq!((status, lines), (Some(2), vec![expected]));
        assert!(!fs::exists(listen).unwrap());
    }
}

#[test]
fn durations_are_accepted_in_options_files_and_the_environment() {
    let folder = tempfile::tempdir().unwrap();
    let more =
        "die_timeout = \"1h30m\"\nstart_timeout = \"5m\"\nrequest_timeout = 1.5\nstart_delay = 2";
    let text = format!("{}\n{more}", good(&folder, "a"));
    let file = pools(&folder, &[("a", &text)]);
    assert_eq!(lines(&["--config", &file, "--check"]), (Some(0), vec![]));
    let arguments = [
        "--check",
        "--no-preload",
        "--listen",
        ":1",
        "--ready-delay",
        "250ms",
        "--",
        "true",
    ];
    assert_eq!(lines(&arguments), (Some(0), vec![]));
    for (value, status) in [("5m", 0), ("5x", 2)] {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_fcgipm"))
            .arg("run")
            .args(arguments)
            .env("FCGIPM_DIE_TIMEOUT", value)
            .output()
            .unwrap();
        let errors = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(status), "{errors}");
        let named =
            "environment variable FCGIPM_DIE_TIMEOUT: option die_timeout: '5x' is not a number";
        assert_eq!(errors.contains(named), status == 2, "{errors}");
    }
}
