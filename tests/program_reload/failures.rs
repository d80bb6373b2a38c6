//! A new program that does not become ready: the old workers continue, and the log has the reason.

use std::fs;

use nix::sys::signal::Signal;

use super::code::{Language, Preloaded};
use super::peer::program::{Transport, compiled, copy_program, folder};

/// A word, the reason of the failure, and the language.
fn failures(language: Language, words: &[(&str, &str)]) {
    let mut preloaded = Preloaded::start(language, Transport::Unix, &[]);
    for (word, reason) in words {
        let line = preloaded.failed_reload(word);
        assert!(line.contains(reason), "{word}: {line}");
        preloaded.assert_serves("first");
        assert!(preloaded.await_templates(0).is_empty());
    }
    preloaded.reload("second");
    preloaded.assert_serves("second");
    // Now the old source is a template.
    for (word, reason) in words {
        let line = preloaded.failed_reload(word);
        assert!(line.contains(reason), "{word}: {line}");
        preloaded.assert_serves("second");
        assert_eq!(preloaded.await_templates(1).len(), 1);
    }
    // It still forks workers.
    preloaded.pool.program.signal(Signal::SIGHUP);
    preloaded.pool.program.line("reload done");
    preloaded.assert_serves("second");
    preloaded.stop();
}

#[test]
fn a_new_c_program_that_fails_takes_nothing_down() {
    let words = [
        (
            "broken",
            "exited with status 25; its last lines on standard error: preloaded: the code is broken",
        ),
        ("killed", "killed by SIGKILL"),
        (
            "closing",
            "has closed its connection to the manager, and did not exit",
        ),
        ("threaded", "the process has 2 threads"),
        (
            "elsewhere",
            "listen address '127.0.0.1:1': the manager of this program does not listen there",
        ),
        (
            "alone",
            "option n_processes: 0 in a program that a manager has started for a reload",
        ),
        ("dying", "exited with status 3 before it was ready"),
    ];
    failures(Language::C, &words);
}

#[test]
fn a_new_perl_program_that_fails_takes_nothing_down() {
    let words = [
        (
            "broken",
            "exited with status 25; its last lines on standard error: the code is broken",
        ),
        ("killed", "killed by SIGKILL"),
        ("dying", "exited with status 3 before it was ready"),
    ];
    failures(Language::Perl, &words);
}

/// The limit is that of the program whose workers serve.
#[test]
fn a_new_program_that_hangs_takes_nothing_down() {
    let reason = "was not ready within start_timeout = 2s";
    let hangs = |preloaded: &mut Preloaded, word| {
        let line = preloaded.failed_reload("hanging");
        assert!(line.contains(reason), "{line}");
        preloaded.assert_serves(word);
    };
    for language in [Language::C, Language::Perl] {
        let environment = [("FCGIPM_START_TIMEOUT", "2")];
        let mut preloaded = Preloaded::start(language, Transport::Unix, &environment);
        hangs(&mut preloaded, "first");
        assert!(preloaded.await_templates(0).is_empty());
        preloaded.stop();
        // By default it is a minute.
        let mut preloaded = Preloaded::start(language, Transport::Unix, &[]);
        preloaded.reload("impatient");
        hangs(&mut preloaded, "impatient");
        assert_eq!(preloaded.await_templates(1).len(), 1);
        preloaded.stop();
    }
}

#[test]
fn a_program_whose_file_was_removed_is_refused() {
    let folder = folder();
    let file = folder.join("program");
    copy_program(&compiled("program_reload/preloaded.c"), &file);
    let change = |command: std::process::Command| {
        let mut copy = std::process::Command::new(&file);
        copy.args(command.get_args());
        for (name, value) in command.get_envs() {
            copy.env(name, value.unwrap());
        }
        copy
    };
    let mut preloaded = Preloaded::start_by(change, Language::C, Transport::Unix, &[]);
    fs::remove_file(&file).unwrap();
    let line = preloaded.failed_reload("second");
    assert!(
        line.contains("program: No such file or directory"),
        "{line}"
    );
    preloaded.assert_serves("first");
    preloaded.stop();
}

#[test]
fn a_reload_requested_during_a_failing_one_follows_it() {
    let mut preloaded = Preloaded::start(Language::C, Transport::Unix, &[]);
    preloaded.deploy("hanging");
    preloaded.pool.program.signal(Signal::SIGUSR2);
    preloaded.pool.program.line("preloaded: hanging");
    preloaded.deploy("second");
    preloaded.pool.program.signal(Signal::SIGUSR2);
    preloaded.pool.program.line("received SIGUSR2");
    let hanging = preloaded.await_templates(1)[0];
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(hanging), Signal::SIGKILL).unwrap();
    preloaded.pool.program.line("reload failed");
    preloaded.pool.program.line("reload done");
    preloaded.assert_serves("second");
    preloaded.stop();
}
