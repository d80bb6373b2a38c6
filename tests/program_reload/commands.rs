//! `fcgipm reload --program` returns when the new program serves, or with the reason why it does not.

use std::process::{Command, Output};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::code::{Language, Preloaded, address_text};
use super::peer::program::{Transport, product};

fn reload(preloaded: &Preloaded, options: &[&str]) -> Output {
    reload_at(&address_text(&preloaded.pool.program.address), options)
}

pub(crate) fn reload_at(address: &str, options: &[&str]) -> Output {
    let mut command = Command::new(product("fcgipm"));
    command.arg("reload").args(options).arg(address);
    command.output().unwrap()
}

#[test]
fn the_command_waits_for_the_new_program() {
    for language in [Language::C, Language::Perl] {
        let preloaded = Preloaded::start(language, Transport::Tcp, &[]);
        for word in ["second", "third", "fourth"] {
            preloaded.deploy(word);
            let output = reload(&preloaded, &["--program"]);
            assert!(output.status.success(), "{output:?}");
            preloaded.assert_serves(word);
        }
        preloaded.deploy("broken");
        let output = reload(&preloaded, &["--program"]);
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert!(
            text.contains("exited with status 25; its last lines on standard error"),
            "{text}"
        );
        preloaded.assert_serves("fourth");
        // Then one of the workers only.
        let output = reload(&preloaded, &[]);
        assert!(output.status.success(), "{output:?}");
        preloaded.assert_serves("fourth");
        preloaded.stop();
    }
}

#[test]
fn a_reload_of_the_workers_does_not_end_the_wait_for_the_program() {
    let mut preloaded = Preloaded::start(Language::C, Transport::Unix, &[]);
    preloaded.deploy("hanging");
    let address = address_text(&preloaded.pool.program.address);
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| reload_at(&address, &["--program"]));
        preloaded.pool.program.line("preloaded: hanging");
        // While the template starts: this one is covered by it, and fails with it.
        let workers = scope.spawn(|| reload_at(&address, &[]));
        preloaded.pool.program.line("received SIGHUP");
        let hanging = preloaded.await_templates(1)[0];
        kill(Pid::from_raw(hanging), Signal::SIGKILL).unwrap();
        for command in [waiting, workers] {
            let output = command.join().unwrap();
            let text = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(1), "{text}");
            assert!(text.contains("killed by SIGKILL"), "{text}");
        }
    });
    preloaded.pool.program.signal(Signal::SIGHUP);
    preloaded.pool.program.line("reload done");
    preloaded.stop();
}
