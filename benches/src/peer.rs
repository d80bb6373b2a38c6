//! Who is measured, and how each is started.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use clap::ValueEnum;
use serde::Serialize;

use crate::scenario::Case;

/// The programs. Those of one language do the same work for the same request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Peer {
    /// accept4, recv, send, close
    Floor,
    /// accept, sysread, syswrite, close in Perl
    FloorPerl,
    /// fcgx.c on libfcgi
    Libfcgi,
    /// The same binary on fcgipm's libfcgi.so.0
    Dropin,
    /// native.c on fcgipm.h
    Fcgipm,
    /// perl.pl on FCGI and FCGI::ProcManager, %ENV
    FcgiEnv,
    /// The same script on FCGIPM::Compat
    CompatEnv,
    /// perl.pl on FCGI and FCGI::ProcManager, a plain hash
    FcgiHash,
    /// The same script on FCGIPM::Compat
    CompatHash,
    /// php.php on php-fpm
    PhpFpm,
}

impl Peer {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Floor => "floor",
            Self::FloorPerl => "floor-perl",
            Self::Libfcgi => "libfcgi",
            Self::Dropin => "dropin",
            Self::Fcgipm => "fcgipm",
            Self::FcgiEnv => "fcgi-env",
            Self::CompatEnv => "compat-env",
            Self::FcgiHash => "fcgi-hash",
            Self::CompatHash => "compat-hash",
            Self::PhpFpm => "php-fpm",
        }
    }

    /// What the table and the plot call it.
    pub(crate) const fn title(self) -> &'static str {
        match self {
            Self::Floor => "floor: a bare loop in C",
            Self::FloorPerl => "floor: a bare loop in Perl",
            Self::Libfcgi => "C: libfcgi",
            Self::Dropin => "C: the same binary on the drop-in",
            Self::Fcgipm => "C: fcgipm.h",
            Self::FcgiEnv => "Perl: FCGI + ProcManager, %ENV",
            Self::CompatEnv => "Perl: FCGIPM::Compat, %ENV",
            Self::FcgiHash => "Perl: FCGI + ProcManager, hash",
            Self::CompatHash => "Perl: FCGIPM::Compat, hash",
            Self::PhpFpm => "PHP: php-fpm",
        }
    }

    /// The least that there is in its language.
    pub(crate) const fn floor(self) -> Self {
        match self {
            Self::Floor | Self::Libfcgi | Self::Dropin | Self::Fcgipm | Self::PhpFpm => Self::Floor,
            Self::FloorPerl
            | Self::FcgiEnv
            | Self::CompatEnv
            | Self::FcgiHash
            | Self::CompatHash => Self::FloorPerl,
        }
    }

    /// The signal by which it is reloaded, if it can be.
    pub(crate) const fn reload_signal(self) -> Option<nix::sys::signal::Signal> {
        use nix::sys::signal::Signal::{SIGHUP, SIGUSR2};
        match self {
            Self::Floor | Self::FloorPerl | Self::Libfcgi | Self::Dropin => None,
            Self::Fcgipm | Self::FcgiEnv | Self::CompatEnv | Self::FcgiHash | Self::CompatHash => {
                Some(SIGHUP)
            }
            Self::PhpFpm => Some(SIGUSR2),
        }
    }

    /// The signal by which it stops gently. php-fpm kills its workers on TERM.
    pub(crate) const fn stop_signal(self) -> nix::sys::signal::Signal {
        use nix::sys::signal::Signal::{SIGQUIT, SIGTERM};
        match self {
            Self::PhpFpm => SIGQUIT,
            Self::Floor
            | Self::FloorPerl
            | Self::Libfcgi
            | Self::Dropin
            | Self::Fcgipm
            | Self::FcgiEnv
            | Self::CompatEnv
            | Self::FcgiHash
            | Self::CompatHash => SIGTERM,
        }
    }

    /// How it is started for a case, listening on a socket in a directory of its own.
    pub(crate) fn command(
        self,
        places: &Places,
        case: &Case,
        workers: usize,
        socket: &Path,
    ) -> Result<Command, String> {
        let workers = workers.to_string();
        let programs = places.root.join("benches/programs");
        let mut command = match self {
            Self::Floor | Self::FloorPerl => {
                let mut command = if self == Self::Floor {
                    Command::new(places.products.join("bench/floor"))
                } else {
                    let mut command = Command::new("/usr/bin/perl");
                    command.arg(programs.join("floor.pl"));
                    command
                };
                let way = if case.keep { "kept" } else { "closed" };
                command.arg(socket).args([
                    &workers,
                    way,
                    &case.floor.filler.to_string(),
                    &case.floor.text,
                ]);
                command
            }
            Self::Libfcgi | Self::Dropin => {
                let mut command = Command::new(places.products.join("bench/fcgx"));
                command.arg(socket).arg(&workers);
                if self == Self::Dropin {
                    command.env("LD_LIBRARY_PATH", &places.dropin);
                }
                command
            }
            Self::Fcgipm => {
                let mut command = Command::new(places.products.join("bench/native"));
                command.arg(socket).arg(&workers);
                command
            }
            Self::FcgiEnv | Self::CompatEnv | Self::FcgiHash | Self::CompatHash => {
                let mut command = Command::new("/usr/bin/perl");
                let is_env = matches!(self, Self::FcgiEnv | Self::CompatEnv);
                command
                    .arg(programs.join("perl.pl"))
                    .arg(socket)
                    .arg(&workers)
                    .arg(if is_env { "env" } else { "hash" });
                if matches!(self, Self::CompatEnv | Self::CompatHash) {
                    command
                        .env("PERL5LIB", places.root.join("bindings/perl/lib"))
                        .env("PERL5OPT", "-MFCGIPM::Compat")
                        .env("FCGIPM_LIB", places.products.join("libfcgipm.so"));
                }
                command
            }
            Self::PhpFpm => {
                let configuration = socket.with_extension("conf");
                let text = format!(
                    "[global]\nerror_log = {log}\ndaemonize = no\n[bench]\nuser = root\nlisten = {socket}\nlisten.backlog = 1024\n\
                     pm = static\npm.max_children = {workers}\n",
                    log = socket.with_extension("php-log").display(),
                    socket = socket.display(),
                );
                fs::write(&configuration, text)
                    .map_err(|error| format!("{}: {error}", configuration.display()))?;
                let mut command = Command::new(&places.php_fpm);
                command
                    .args(["--nodaemonize", "--allow-to-run-as-root", "--fpm-config"])
                    .arg(configuration);
                command
            }
        };
        command
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("LC_ALL", "C");
        Ok(command)
    }
}

/// Where things are.
#[derive(Debug)]
pub(crate) struct Places {
    pub(crate) root: PathBuf,
    /// target/release
    pub(crate) products: PathBuf,
    /// Where the drop-in's libfcgi.so.0 is.
    pub(crate) dropin: PathBuf,
    pub(crate) php_fpm: PathBuf,
}

impl Places {
    pub(crate) fn new(root: &Path, products: Option<&Path>) -> Result<Self, String> {
        let products = match products {
            Some(products) => products.to_owned(),
            None => {
                let own = env::current_exe().map_err(|error| format!("own program: {error}"))?;
                own.parent().unwrap_or(Path::new(".")).to_owned()
            }
        };
        let full = |path: &Path| {
            path.canonicalize()
                .map_err(|error| format!("{}: {error}", path.display()))
        };
        let products = full(&products)?;
        Ok(Self {
            root: full(root)?,
            dropin: products.with_file_name("dropin"),
            products,
            php_fpm: php_fpm(Path::new("/usr/sbin")).unwrap_or_else(|| PathBuf::from("php-fpm")),
        })
    }
}

/// Debian has the version in the name; the newest wins.
fn php_fpm(directory: &Path) -> Option<PathBuf> {
    let entries = fs::read_dir(directory).ok()?.flatten();
    let named = entries.map(|entry| entry.path()).filter(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with("php-fpm")
    });
    named.max()
}
