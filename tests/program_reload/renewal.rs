//! What a reload of the program renews, and how the program is found.

use std::os::unix::fs::symlink;
use std::process::Command;

use nix::sys::signal::Signal;

use super::code::{Language, Preloaded, WORKERS, address_text, root};
use super::peer::pool::{Pool, call, followed_by, shell};
use super::peer::program::{
    Program, TRANSPORTS, Transport, compiled, copy_program, folder, product, unused,
};

fn program_is_renewed(language: Language) {
    for transport in TRANSPORTS {
        let mut preloaded = Preloaded::start(language, transport, &[]);
        preloaded.assert_serves("first");
        for word in ["second", "third"] {
            preloaded.reload(word);
            preloaded.assert_serves(word);
            assert_eq!(preloaded.await_templates(1).len(), 1);
        }
        preloaded.stop();
    }
}

#[test]
fn a_c_program_is_started_again_and_the_manager_stays() {
    program_is_renewed(Language::C);
}

#[test]
fn a_perl_program_is_started_again_and_the_manager_stays() {
    program_is_renewed(Language::Perl);
}

#[test]
fn the_program_begins_in_the_directory_and_environment_of_its_first_start() {
    for language in [Language::C, Language::Perl] {
        let mut preloaded = Preloaded::start(language, Transport::Unix, &[]);
        preloaded.reload("second");
        let answer = preloaded.ask();
        // The word was found by the same arguments. The program changes both before it serves.
        assert!(
            answer.text.contains("folder / variable changed leak -"),
            "{answer:?}"
        );
        preloaded.stop();
    }
}

#[test]
fn hup_reloads_the_program_only_if_the_option_says_so() {
    let mut preloaded = Preloaded::start(Language::C, Transport::Unix, &[]);
    preloaded.deploy("second");
    preloaded.pool.program.signal(Signal::SIGHUP);
    preloaded.pool.program.line("reload done");
    preloaded.assert_serves("first");
    preloaded.stop();

    let environment = [("FCGIPM_RELOAD", "program")];
    let mut preloaded = Preloaded::start(Language::C, Transport::Unix, &environment);
    preloaded.deploy("second");
    preloaded.pool.program.signal(Signal::SIGHUP);
    preloaded.pool.program.line("reload done");
    preloaded.assert_serves("second");
    preloaded.stop();
}

#[test]
fn workers_of_the_new_program_are_reloaded_and_resized_as_before() {
    let mut preloaded = Preloaded::start(Language::C, Transport::Unix, &[]);
    preloaded.reload("second");
    preloaded.deploy("third");
    // Only what each worker loads is renewed.
    preloaded.pool.program.signal(Signal::SIGHUP);
    preloaded.pool.program.line("reload done");
    preloaded.assert_serves("second");
    preloaded.pool.program.signal(Signal::SIGTTIN);
    preloaded.pool.program.line(") ready");
    preloaded.stop();
}

#[test]
fn a_relative_path_is_relative_to_the_directory_of_the_first_start() {
    let folder = folder();
    let program = compiled("program_reload/preloaded.c");
    copy_program(&program, &folder.join("program"));
    let change = |command: Command| {
        let mut relative = Command::new("./program");
        relative.current_dir(&folder);
        let there = followed_by(relative, &command);
        without_program(there)
    };
    let mut preloaded = Preloaded::start_by(change, Language::C, Transport::Unix, &[]);
    preloaded.reload("second");
    preloaded.assert_serves("second");
    preloaded.stop();
}

/// The command without its first argument, which is the program that was to be executed.
fn without_program(command: Command) -> Command {
    let mut other = Command::new(command.get_program());
    other.args(command.get_args().skip(1));
    for (name, value) in command.get_envs() {
        other.env(name, value.unwrap());
    }
    if let Some(folder) = command.get_current_dir() {
        other.current_dir(folder);
    }
    other
}

#[test]
fn a_symbolic_link_leads_to_the_new_release() {
    let folder = folder();
    let program = compiled("program_reload/preloaded.c");
    for release in ["one", "two"] {
        std::fs::create_dir(folder.join(release)).unwrap();
        copy_program(&program, &folder.join(release).join("program"));
    }
    let link = folder.join("current");
    symlink("one", &link).unwrap();
    let by_link = link.join("program");
    let change = |command: Command| without_program(followed_by(Command::new(&by_link), &command));
    let mut preloaded = Preloaded::start_by(change, Language::C, Transport::Unix, &[]);
    let other = folder.join("next");
    symlink("two", &other).unwrap();
    std::fs::rename(&other, &link).unwrap();
    preloaded.reload("second");
    let template = preloaded.await_templates(1)[0];
    let executable = std::fs::read_link(format!("/proc/{template}/exe")).unwrap();
    assert_eq!(executable, folder.join("two/program"));
    preloaded.stop();
}

#[test]
fn a_wrapper_and_a_script_on_the_command_line_are_found_again() {
    let change = |command: Command| shell("true", &command);
    let mut preloaded = Preloaded::start_by(change, Language::C, Transport::Unix, &[]);
    preloaded.reload("second");
    preloaded.assert_serves("second");
    preloaded.stop();

    let script = std::fs::read_to_string(root("tests/program_reload/preloaded.fcgi")).unwrap();
    let change = |command: Command| {
        let mut inline = Command::new("perl");
        let mut arguments = command.get_args();
        inline
            .arg(arguments.next().unwrap())
            .arg("-e")
            .arg(&script)
            .arg("--");
        inline.args(arguments.skip(1));
        for (name, value) in command.get_envs() {
            inline.env(name, value.unwrap());
        }
        inline
    };
    let mut preloaded = Preloaded::start_by(change, Language::Perl, Transport::Unix, &[]);
    preloaded.reload("second");
    preloaded.assert_serves("second");
    preloaded.stop();
}

#[test]
fn a_program_that_detaches_from_its_parent_becomes_a_template() {
    let mut preloaded = Preloaded::start(Language::C, Transport::Unix, &[]);
    preloaded.reload("detached");
    preloaded.assert_serves("detached");
    preloaded.reload("second");
    preloaded.assert_serves("second");
    preloaded.stop();
}

/// The new command executes the program in new workers.
#[test]
fn fcgipm_run_is_started_again() {
    let address = unused(Transport::Unix);
    let mut command = Command::new(product("fcgipm"));
    command
        .args(["run", "--workers", "2", "--listen"])
        .arg(address_text(&address))
        .arg("--")
        .arg(product("examples/hello"))
        .arg("fd:0");
    let program = Program::start_opening(command, address);
    let mut pool = Pool::ready(program, folder().join("gate"), WORKERS);
    let before = pool.workers.clone();
    pool.program.signal(Signal::SIGUSR2);
    pool.program.line("reload done");
    let text = pool.program.call(&call("/")).text();
    assert!(text.contains("Hello"), "{text}");
    for pid in before {
        assert!(!text.contains(&format!("worker {pid},")), "{text}");
    }
    pool.program.signal(Signal::SIGTERM);
    assert_eq!(pool.program.wait().code(), Some(0));
}
