//! A template writes to standard error, and nobody reads what the manager's standard error leads to.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::process::{Command, Stdio};

use nix::sys::signal::Signal;

use super::code::{Language, address_text, command, deploy, exists};
use super::peer::pool::{call, shell};
use super::peer::program::{Program, Transport, folder, product, unused};
use super::peer::sleeps::assert_sleeps;

/// The lines that the program writes with the word `verbose`.
const LINES: usize = 20_000;

/// A process that a manager has started as a template, if there is one.
fn template_of(manager: i32) -> Option<i32> {
    let children = format!("/proc/{manager}/task/{manager}/children");
    let children = std::fs::read_to_string(children).unwrap();
    let pids = children
        .split_ascii_whitespace()
        .filter_map(|pid| pid.parse().ok());
    let is_template = |pid: &i32| {
        let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        let variables = String::from_utf8_lossy(&environment);
        exists(*pid) && variables.contains("FCGIPM_TEMPLATE=")
    };
    pids.into_iter().find(is_template)
}

/// A log line of the manager may be anywhere, because it forwards bytes.
fn without_log_lines(text: &str) -> String {
    let mut parts = text.split("fcgipm: ");
    let first = parts.next().unwrap_or_default();
    let rest = parts.filter_map(|part| Some(part.split_once('\n')?.1));
    std::iter::once(first).chain(rest).collect()
}

#[test]
fn a_manager_pauses_while_standard_error_accepts_nothing_and_forwards_everything_later() {
    let folder = folder();
    let (word, pipe) = (folder.join("word"), folder.join("errors"));
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
    // Open for both, so that opening it does not wait.
    let mut options = File::options();
    options.read(true).write(true);
    let errors = options.custom_flags(libc::O_NONBLOCK).open(&pipe).unwrap();
    while (&errors).write(&[b'\n'; 4096]).is_ok() {}
    deploy(&word, "first");
    let address = unused(Transport::Unix);
    let script = format!("exec 2>{}", pipe.display());
    let command = shell(&script, &command(Language::C, &word, &address));
    let mut program = Program::start_opening(command, address);
    let fcgipm = |arguments: &[&str]| {
        let mut command = Command::new(product("fcgipm"));
        command
            .args(arguments)
            .arg(address_text(&program.address))
            .stdout(Stdio::null());
        command.spawn().unwrap()
    };
    assert!(fcgipm(&["wait"]).wait().unwrap().success());

    deploy(&word, "verbose");
    let mut reload = fcgipm(&["reload", "--program"]);
    while template_of(program.pid()).is_none() {
        assert!(reload.try_wait().unwrap().is_none());
        std::thread::yield_now();
    }
    assert_sleeps(program.pid(), 20, || ());

    let mut reader = File::open(&pipe).unwrap();
    drop(errors);
    let written = std::thread::spawn(move || {
        let mut text = String::new();
        reader.read_to_string(&mut text).map(|_| text)
    });
    assert!(reload.wait().unwrap().success());
    let answer = program.call(&call("/")).text();
    assert!(answer.contains("verbose worker"), "{answer}");
    program.signal(Signal::SIGTERM);
    assert_eq!(program.wait().code(), Some(0));
    let written = without_log_lines(&written.join().unwrap().unwrap());
    let lines = (0..LINES).map(|number| format!("preloaded: verbose {number}\n"));
    assert!(written.trim_start() == lines.collect::<String>());
    std::fs::remove_dir_all(folder).unwrap();
}
