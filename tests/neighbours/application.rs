//! The applications: the C example and the Perl daemon, as they are built and shipped.

use std::path::{Path, PathBuf};

use nix::sys::signal::Signal;

use crate::content;
use crate::place::Address;
use crate::process::Process;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Language {
    C,
    Perl,
}

/// A manager with two workers.
pub(crate) struct Application {
    pub(crate) language: Language,
    pub(crate) address: Address,
    process: Process,
}

impl Application {
    pub(crate) fn start(language: Language, address: Address) -> Self {
        let mut command = match language {
            Language::C => Process::command(product("target/release/examples/hello")),
            Language::Perl => {
                product("target/release/libfcgipm.so");
                let mut command = Process::command("perl");
                command
                    .arg(format!("-I{}", root("bindings/perl/lib").display()))
                    .arg(root("bindings/perl/examples/daemon.fcgi"));
                command
            }
        };
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("FCGI") {
                command.env_remove(name);
            }
        }
        let listen = match &address {
            Address::Tcp(port) => format!("localhost:{}", port.number),
            Address::Unix(path) => format!("unix:{}", path.display()),
        };
        command
            .env("FCGI_SOCKET_PATH", listen)
            .env("FCGIPM_N_PROCESSES", "2")
            .env("FCGIPM_LISTEN_MODE", "0666");
        let process = Process::start("the application", &mut command);
        process.wait_for_lines(2, "started");
        Self {
            language,
            address,
            process,
        }
    }

    /// Has all workers replaced, for the `nth` time, and waits until they are.
    pub(crate) fn reload(&self, nth: usize) {
        self.process.signal(Signal::SIGHUP);
        self.process.wait_for_lines(nth, "reload done");
    }

    /// Stops it, and fails if it had anything to complain about.
    pub(crate) fn stop(&mut self, harmless: &[&str]) {
        self.process.stop(Signal::SIGTERM);
        let lines = self.process.lines();
        let complaints: Vec<&String> = lines
            .iter()
            .filter(|line| !is_lifecycle(line) && !harmless.iter().any(|text| line.contains(text)))
            .collect();
        assert!(complaints.is_empty(), "{complaints:#?}");
    }

    /// How many workers have ended so far.
    pub(crate) fn workers_gone(&self) -> usize {
        let lines = self.process.lines();
        let gone = lines.iter().filter(|line| line.contains("exited with"));
        gone.count()
    }

    /// What `/hash` answers to [`content::body`].
    pub(crate) fn hash_of_body(&self, size: usize) -> String {
        match self.language {
            Language::C => format!("{size} {}\n", content::fnv1a(size)),
            Language::Perl => format!("{} {size}\n", content::sha256(size)),
        }
    }

    /// What `/bytes` answers.
    pub(crate) fn bytes(&self, size: usize) -> Vec<u8> {
        let pattern: &[u8] = match self.language {
            Language::C => b"x",
            Language::Perl => b"0123456789abcdef",
        };
        let mut bytes = pattern.repeat(size.div_ceil(pattern.len()));
        bytes.truncate(size);
        bytes
    }

    /// The numbers of the headers that `/headers` answers with.
    pub(crate) fn header_numbers(&self, count: usize) -> std::ops::Range<usize> {
        match self.language {
            Language::C => 0..count,
            Language::Perl => 1..count + 1,
        }
    }

    /// A page that writes a line to the error stream, and that line.
    pub(crate) fn error_page(&self) -> (&'static str, &'static str) {
        match self.language {
            Language::C => ("/stderr", "a line for the error log"),
            Language::Perl => ("/stderr?msg=said-by-Perl", "said-by-Perl"),
        }
    }

    /// A method and a page that has no use for a body. (CGI.pm takes the body of any POST.)
    pub(crate) fn bodyless_page(&self) -> (&'static str, &'static str) {
        match self.language {
            Language::C => ("POST", "/"),
            Language::Perl => ("DELETE", "/"),
        }
    }
}

fn is_lifecycle(line: &str) -> bool {
    let ours = line.starts_with("fcgipm: manager (pid ") || line.starts_with("FastCGI: ");
    let news = [
        "managing 2 workers",
        "initialized",
        "started",
        "ready",
        "received signal",
        "received SIG",
        "reload begun",
        "reload done",
        "exited with status 0",
        "stopping ",
        "sending TERM to PIDs",
        "stopped",
        "safe exit",
        "=2 overrides n_processes=5",
    ];
    ours && news.iter().any(|text| line.contains(text))
}

fn root(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn product(path: &str) -> PathBuf {
    let product = root(path);
    assert!(
        product.exists(),
        "{} is missing: run make build",
        product.display()
    );
    product
}
