//! The measured programs, and their paths.

use std::path::{Path, PathBuf};
use std::{env, fs};

use clap::ValueEnum;
use serde::Serialize;

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

    /// The name in the table and the plot.
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

    /// The minimal program in its language.
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

    /// The signal for a reload, if it has one.
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

    /// The signal for a graceful stop. php-fpm kills its workers on TERM.
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
}

/// The paths of all programs.
#[derive(Debug)]
pub(crate) struct Places {
    pub(crate) root: PathBuf,
    /// target/release
    pub(crate) products: PathBuf,
    /// The directory of the drop-in, with libfcgi.so.0.
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

/// In Debian the name contains the version. The newest one is used.
fn php_fpm(directory: &Path) -> Option<PathBuf> {
    let entries = fs::read_dir(directory).ok()?.flatten();
    let named = entries.map(|entry| entry.path()).filter(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with("php-fpm")
    });
    named.max()
}
