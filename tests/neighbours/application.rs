//! The applications: the C example and the Perl daemon as they are shipped, and unchanged Perl
//! programs for FCGI.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use nix::sys::signal::Signal;

use crate::content;
use crate::place::Address;
use crate::process::Process;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Language {
    C,
    Perl,
    Unchanged(Program),
}

/// Perl programs for FCGI, which run under PERL5OPT=-MFCGIPM::Compat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Program {
    /// On FCGI and FCGI::ProcManager. It sets the address and the number of workers itself.
    Daemon,
    CgiFast,
    Plack,
    Catalyst,
}

/// A manager and its workers.
pub(crate) struct Application {
    pub(crate) language: Language,
    pub(crate) address: Address,
    process: Process,
}

impl Application {
    pub(crate) fn start(language: Language, address: Address, folder: &Path) -> Self {
        let listen = match &address {
            Address::Tcp(port) => format!("localhost:{}", port.number),
            Address::Unix(path) => format!("unix:{}", path.display()),
        };
        let (mut command, workers) = match language {
            Language::C => (
                Process::command(product("target/release/examples/hello")),
                2,
            ),
            Language::Perl => {
                product("target/release/libfcgipm.so");
                let mut command = Process::command("perl");
                command
                    .arg(format!("-I{}", root("bindings/perl/lib").display()))
                    .arg(root("bindings/perl/examples/daemon.fcgi"));
                (command, 2)
            }
            Language::Unchanged(program) => {
                product("target/release/libfcgipm.so");
                (program.command(folder, &address), 5)
            }
        };
        for (name, _) in env::vars_os() {
            if name.to_string_lossy().starts_with("FCGI") {
                command.env_remove(name);
            }
        }
        command
            .env("FCGI_SOCKET_PATH", listen)
            .env("FCGIPM_LISTEN_MODE", "0666");
        match language {
            // These do not set the number of workers themselves.
            Language::C | Language::Perl | Language::Unchanged(Program::CgiFast) => {
                command.env("FCGIPM_N_PROCESSES", workers.to_string());
            }
            Language::Unchanged(Program::Daemon | Program::Plack | Program::Catalyst) => {}
        }
        let process = Process::start("the application", &mut command);
        process.wait_for_lines(workers, "started");
        Self {
            language,
            address,
            process,
        }
    }

    /// Reloads for the `nth` time, and waits until the reload is done.
    pub(crate) fn reload(&self, nth: usize) {
        self.process.signal(Signal::SIGHUP);
        self.process.wait_for_lines(nth, "reload done");
    }

    /// Stops it, and fails if it has logged anything unexpected.
    pub(crate) fn stop(&mut self, harmless: &[&str]) {
        self.process.stop(Signal::SIGTERM);
        let lines = self.process.lines();
        let complaints: Vec<&String> = lines
            .iter()
            .filter(|line| !is_lifecycle(line) && !harmless.iter().any(|text| line.contains(text)))
            .collect();
        assert!(complaints.is_empty(), "{complaints:#?}");
    }

    /// The number of workers that have exited so far.
    pub(crate) fn exited_workers(&self) -> usize {
        let lines = self.process.lines();
        let exited = lines.iter().filter(|line| line.contains("exited with"));
        exited.count()
    }

    /// The answer of `/hash` to [`content::body`].
    pub(crate) fn hash_of_body(&self, size: usize) -> String {
        match self.language {
            Language::C => format!("{size} {}\n", content::fnv1a(size)),
            Language::Perl | Language::Unchanged(_) => {
                format!("{} {size}\n", content::sha256(size))
            }
        }
    }

    /// The answer of `/bytes`.
    pub(crate) fn bytes(&self, size: usize) -> Vec<u8> {
        let pattern: &[u8] = match self.language {
            Language::C => b"x",
            Language::Perl | Language::Unchanged(_) => b"0123456789abcdef",
        };
        let mut bytes = pattern.repeat(size.div_ceil(pattern.len()));
        bytes.truncate(size);
        bytes
    }

    /// The numbers of the headers in the answer of `/headers`.
    pub(crate) fn header_numbers(&self, count: usize) -> std::ops::Range<usize> {
        match self.language {
            Language::C => 0..count,
            Language::Perl | Language::Unchanged(_) => 1..count + 1,
        }
    }

    /// A page that writes a line to the error stream, and that line.
    pub(crate) fn error_page(&self) -> (&'static str, &'static str) {
        match self.language {
            Language::C => ("/stderr", "a line for the error log"),
            Language::Perl | Language::Unchanged(_) => {
                ("/stderr?msg=logged-by-Perl", "logged-by-Perl")
            }
        }
    }

    /// A method and a page that do not read the body. (CGI.pm reads the body of any POST.)
    pub(crate) fn bodyless_page(&self) -> (&'static str, &'static str) {
        match self.language {
            Language::C => ("POST", "/"),
            Language::Perl | Language::Unchanged(_) => ("DELETE", "/"),
        }
    }
}

impl Program {
    fn command(self, folder: &Path, address: &Address) -> Command {
        let text = |name: &str| root("tests/neighbours/programs").join(name);
        let listen = match address {
            Address::Tcp(port) => format!(":{}", port.number),
            Address::Unix(path) => path.display().to_string(),
        };
        let mut command = Process::command("perl");
        match self {
            Self::Daemon => {
                // Unchanged except for the address.
                let daemon = fs::read_to_string(text("daemon.pl")).unwrap();
                assert!(daemon.contains("':9005'"));
                let file = folder.join("daemon.pl");
                fs::write(&file, daemon.replace("':9005'", &format!("'{listen}'"))).unwrap();
                command.arg(file);
            }
            Self::CgiFast => {
                command.arg(text("fast.pl"));
            }
            Self::Plack => {
                command
                    .args(["/usr/bin/plackup", "-E", "production", "-s", "FCGI"])
                    .args(["--listen", &listen, "--nproc", "5"])
                    .arg(text("application.psgi"));
            }
            Self::Catalyst => {
                command
                    .arg(text("catalyst.pl"))
                    .args(["--listen", &listen, "--nproc", "5"]);
            }
        }
        let folders = ["bindings/perl/lib", "bindings/perl/examples/lib"];
        command
            .env("PERL5OPT", "-MFCGIPM::Compat")
            .env("PERL5LIB", env::join_paths(folders.map(root)).unwrap());
        command
    }
}

fn is_lifecycle(line: &str) -> bool {
    let ours = line.starts_with("fcgipm: manager (pid ") || line.starts_with("FastCGI: ");
    let usual = [
        // On a busy machine.
        "workers busy, ",
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
    ours && usual.iter().any(|text| line.contains(text))
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
