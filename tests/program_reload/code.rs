//! A program whose "code" is a word in a file that it reads before its manager starts.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use nix::sys::signal::Signal;

use super::peer::connection::{Address, LIMIT};
use super::peer::pool::{Pool, call};
use super::peer::program::{Program, Transport, compiled, folder, product, unused};

pub(crate) const WORKERS: usize = 2;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Language {
    C,
    Perl,
}

/// The program, under its manager.
pub(crate) struct Preloaded {
    pub(crate) pool: Pool,
    file: PathBuf,
}

/// What a worker says of itself.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) word: String,
    pub(crate) worker: i32,
    pub(crate) parent: i32,
    /// Requests that its memory had seen before.
    pub(crate) served: u32,
    pub(crate) text: String,
}

pub(crate) fn root(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

pub(crate) fn address_text(address: &Address) -> String {
    match address {
        Address::Unix(path) => path.display().to_string(),
        Address::Tcp(address) => address.to_string(),
    }
}

/// Makes a word the "code" of the program.
pub(crate) fn deploy(file: &Path, word: &str) {
    let new = file.with_extension("new");
    fs::write(&new, format!("{word}\n")).unwrap();
    fs::rename(new, file).unwrap();
}

/// The program, with its "code" in this file.
pub(crate) fn command(language: Language, file: &Path, address: &Address) -> Command {
    let mut command = match language {
        Language::C => Command::new(compiled("program_reload/preloaded.c")),
        Language::Perl => {
            product("libfcgipm.so");
            let mut command = Command::new("perl");
            command
                .arg(format!("-I{}", root("bindings/perl/lib").display()))
                .arg(root("tests/program_reload/preloaded.fcgi"));
            command
        }
    };
    command
        .arg(file)
        .arg(address_text(address))
        .env("FCGIPM_N_PROCESSES", WORKERS.to_string())
        .env("PRELOADED_VARIABLE", "original");
    command
}

impl Preloaded {
    pub(crate) fn start(
        language: Language,
        transport: Transport,
        environment: &[(&str, &str)],
    ) -> Self {
        Self::start_by(|command| command, language, transport, environment)
    }

    /// The same, with another number of workers at the start.
    pub(crate) fn start_with(
        workers: usize,
        language: Language,
        transport: Transport,
        environment: &[(&str, &str)],
    ) -> Self {
        Self::started(|command| command, workers, language, transport, environment)
    }

    /// Starts the program by another command that executes it.
    pub(crate) fn start_by(
        change: impl FnOnce(Command) -> Command,
        language: Language,
        transport: Transport,
        environment: &[(&str, &str)],
    ) -> Self {
        Self::started(change, WORKERS, language, transport, environment)
    }

    fn started(
        change: impl FnOnce(Command) -> Command,
        workers: usize,
        language: Language,
        transport: Transport,
        environment: &[(&str, &str)],
    ) -> Self {
        let file = folder().join("word");
        deploy(&file, "first");
        let address = unused(transport);
        let mut command = command(language, &file, &address);
        command.envs(environment.iter().copied());
        let program = Program::start_opening(change(command), address);
        let pool = match language {
            Language::C => Pool::ready(program, folder().join("gate"), workers),
            Language::Perl => perl_pool(program, workers),
        };
        Self { pool, file }
    }

    /// Deploys another word.
    pub(crate) fn deploy(&self, word: &str) {
        deploy(&self.file, word);
    }

    /// Deploys a word, and waits until it is reloaded.
    pub(crate) fn reload(&mut self, word: &str) {
        self.deploy(word);
        self.pool.program.signal(Signal::SIGUSR2);
        self.pool.program.line("reload done");
    }

    /// Deploys a word, and returns why it is not loaded.
    pub(crate) fn failed_reload(&mut self, word: &str) -> String {
        self.deploy(word);
        self.pool.program.signal(Signal::SIGUSR2);
        self.pool.program.line("reload failed")
    }

    pub(crate) fn ask(&self) -> Answer {
        let text = self.pool.program.call(&call("/")).text();
        let (_, body) = text
            .split_once("\r\n\r\n")
            .unwrap_or_else(|| panic!("{text}"));
        let words: Vec<_> = body.split_whitespace().collect();
        Answer {
            word: words[0].to_owned(),
            worker: words[2].parse().unwrap(),
            parent: words[4].parse().unwrap(),
            served: words[12].parse().unwrap(),
            text: body.to_owned(),
        }
    }

    /// All answers have this word, and come from children of the manager.
    pub(crate) fn assert_serves(&self, word: &str) {
        for _ in 0..10 {
            let answer = self.ask();
            assert_eq!(
                (answer.word.as_str(), answer.parent),
                (word, self.pool.program.pid()),
                "{answer:?}"
            );
        }
    }

    /// The templates: children of the manager that are not its workers, nor its guardian.
    pub(crate) fn templates(&mut self) -> Vec<i32> {
        let lines = self.pool.program.lines().iter();
        let started = lines.filter_map(|line| {
            let (_, rest) = line.split_once("template (pid ")?;
            let (pid, rest) = rest.split_once(')')?;
            rest.starts_with(" started").then(|| pid.parse().unwrap())
        });
        started.filter(|pid| exists(*pid)).collect()
    }

    /// Waits until there are this many templates.
    pub(crate) fn await_templates(&mut self, count: usize) -> Vec<i32> {
        let until = Instant::now() + LIMIT;
        loop {
            let templates = self.templates();
            if templates.len() == count {
                return templates;
            }
            assert!(Instant::now() < until, "{templates:?}, not {count}");
            std::thread::yield_now();
        }
    }

    pub(crate) fn stop(mut self) {
        let templates = self.templates();
        self.pool.program.signal(Signal::SIGTERM);
        let status = self.pool.program.wait();
        assert_eq!(status.code(), Some(0), "{:#?}", self.pool.program.lines());
        for pid in templates {
            assert!(!exists(pid), "template {pid} still exists");
        }
    }
}

/// Whether a process exists, and is not a zombie.
pub(crate) fn exists(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit_once(") ").map(|(_, fields)| &fields[..1]);
    state.is_some_and(|state| state != "Z" && state != "X")
}

fn perl_pool(mut program: Program, workers: usize) -> Pool {
    let mut initialized = 0;
    while initialized < workers {
        let line = program.line("server (pid ");
        initialized += usize::from(line.contains("initialized"));
    }
    Pool {
        program,
        workers: Vec::new(),
        gate: folder().join("gate"),
    }
}
