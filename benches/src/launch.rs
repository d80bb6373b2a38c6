//! The commands that start the peers.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::peer::{Peer, Places};
use crate::scenario::Case;

/// The command that starts a peer for a case, on a socket in its own directory.
pub(crate) fn command(
    peer: Peer,
    places: &Places,
    case: &Case,
    workers: usize,
    socket: &Path,
) -> Result<Command, String> {
    let workers = workers.to_string();
    let programs = places.root.join("benches/programs");
    let mut command = match peer {
        Peer::Floor | Peer::FloorPerl => {
            let mut command = if peer == Peer::Floor {
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
        Peer::Libfcgi | Peer::Dropin => {
            let mut command = Command::new(places.products.join("bench/fcgx"));
            command.arg(socket).arg(&workers);
            if peer == Peer::Dropin {
                command.env("LD_LIBRARY_PATH", &places.dropin);
            }
            command
        }
        Peer::Fcgipm => {
            let mut command = Command::new(places.products.join("bench/native"));
            command.arg(socket).arg(&workers);
            command
        }
        Peer::FcgiEnv | Peer::CompatEnv | Peer::FcgiHash | Peer::CompatHash => {
            let mut command = Command::new("/usr/bin/perl");
            let is_env = matches!(peer, Peer::FcgiEnv | Peer::CompatEnv);
            command
                .arg(programs.join("perl.pl"))
                .arg(socket)
                .arg(&workers)
                .arg(if is_env { "env" } else { "hash" });
            if matches!(peer, Peer::CompatEnv | Peer::CompatHash) {
                command
                    .env("PERL5LIB", places.root.join("bindings/perl/lib"))
                    .env("PERL5OPT", "-MFCGIPM::Compat")
                    .env("FCGIPM_LIB", places.products.join("libfcgipm.so"));
            }
            command
        }
        Peer::PhpFpm => {
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
