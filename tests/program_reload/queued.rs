//! Another program is deployed, and its reload requested, while the one before is being started.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Output;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::code::{Language, Preloaded, address_text};
use super::commands::reload_at;
use super::peer::program::{Transport, folder};

/// Runs `fcgipm reload --program` until the manager has got its signal, and then this.
fn while_the_command_waits(
    preloaded: &mut Preloaded,
    then: impl FnOnce(&mut Preloaded),
) -> (i32, String) {
    let address = address_text(&preloaded.pool.program.address);
    let output: Output = std::thread::scope(|scope| {
        let waiting = scope.spawn(|| reload_at(&address, &["--program", "--timeout", "30s"]));
        preloaded.pool.program.line("received SIGUSR2");
        then(preloaded);
        waiting.join().unwrap()
    });
    let text = String::from_utf8(output.stderr).unwrap();
    (output.status.code().unwrap(), text)
}

/// The program, the first one to be deployed of which is being started, and the FIFO that it waits
/// for.
fn starting() -> (Preloaded, PathBuf) {
    let gate = folder().join("gate");
    nix::unistd::mkfifo(&gate, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let environment = [("PRELOADED_GATE", gate.to_str().unwrap())];
    let mut preloaded = Preloaded::start(Language::C, Transport::Unix, &environment);
    preloaded.deploy("waiting");
    preloaded.pool.program.signal(Signal::SIGUSR2);
    preloaded.pool.program.line("preloaded: waiting");
    (preloaded, gate)
}

fn open(gate: &Path) {
    drop(File::options().write(true).open(gate).unwrap());
}

fn end(mut preloaded: Preloaded, gate: &Path, templates: usize) {
    let started = preloaded
        .pool
        .program
        .count("reload of the program: template");
    assert_eq!(started, templates, "{:#?}", preloaded.pool.program.lines());
    preloaded.stop();
    std::fs::remove_dir_all(gate.parent().unwrap()).unwrap();
}

#[test]
fn the_program_that_was_deployed_last_serves_however_many_signals_there_were() {
    let (mut preloaded, gate) = starting();
    preloaded.deploy("second");
    let waited = while_the_command_waits(&mut preloaded, |preloaded| {
        for _ in 0..3 {
            preloaded.pool.program.signal(Signal::SIGUSR2);
            preloaded.pool.program.line("received SIGUSR2");
        }
        open(&gate);
    });
    assert_eq!(waited, (0, String::new()));
    preloaded.assert_serves("second");
    end(preloaded, &gate, 2);
}

#[test]
fn the_result_is_that_of_the_last_program() {
    let (mut preloaded, gate) = starting();
    preloaded.deploy("broken");
    let (status, text) = while_the_command_waits(&mut preloaded, |_| open(&gate));
    assert_eq!(status, 1, "{text}");
    assert!(text.contains("exited with status 25"), "{text}");
    // Until then an old worker may not have noticed that it was asked to exit.
    preloaded.pool.program.line("reload done");
    preloaded.assert_serves("waiting");
    end(preloaded, &gate, 2);

    let (mut preloaded, gate) = starting();
    preloaded.deploy("second");
    let waited = while_the_command_waits(&mut preloaded, |preloaded| {
        let first = preloaded.await_templates(1)[0];
        kill(Pid::from_raw(first), Signal::SIGKILL).unwrap();
        preloaded.pool.program.line("killed by SIGKILL");
    });
    assert_eq!(waited, (0, String::new()));
    preloaded.assert_serves("second");
    end(preloaded, &gate, 2);
}

/// The workers' template has ended, and a new one is being started in its place.
#[test]
fn a_request_while_the_template_is_replaced_has_a_result() {
    let mut preloaded = Preloaded::start(Language::C, Transport::Unix, &[]);
    preloaded.reload("second");
    preloaded.deploy("hanging");
    let kill_template = |preloaded: &mut Preloaded| {
        let template = preloaded.await_templates(1)[0];
        kill(Pid::from_raw(template), Signal::SIGKILL).unwrap();
    };
    kill_template(&mut preloaded);
    preloaded.pool.program.line("preloaded: hanging");
    preloaded.deploy("broken");
    let (status, text) = while_the_command_waits(&mut preloaded, kill_template);
    assert_eq!(status, 1, "{text}");
    assert!(text.contains("exited with status 25"), "{text}");
    preloaded.assert_serves("second");
    preloaded.reload("third");
    preloaded.assert_serves("third");
    preloaded.stop();
}
