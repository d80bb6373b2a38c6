//! `fcgipm run`: a manager for any program that accepts FastCGI on descriptor 0.
//!
//! One pool is managed by this process itself ([`pool`]). Several ([`config`]) have a manager each, which
//! is this command again, under a process that passes signals on ([`family`]).
//!
//! A manager forks, so none of this may run beside another thread.

mod check;
mod config;
mod dropin;
mod environment;
mod family;
mod pool;
mod pool_table;
mod requirements;
mod table;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Args;
use environment::Changes;
use pool::Pool;
use table::TableOptions;

use crate::console;

/// Run a FastCGI program in a pool of workers
///
/// Opens the listening socket and starts the program so many times with it as descriptor 0. TERM stops
/// the pool gently, HUP replaces every worker; a worker that ends is replaced. Programs that use libfcgi
/// or libfcgipm lose no request meanwhile; what holds for others is in docs/PROGRAMS.md.
#[derive(Args, Debug)]
#[command(after_help = "\
The environment wins over the options of the manager: FCGIPM_MAX_REQUESTS=500 over --max-requests.

Programs that are linked with libfcgi get this project's libfcgi.so.0 by LD_PRELOAD, from where
FCGIPM_DROPIN says, or from beside this command; an empty FCGIPM_DROPIN says from nowhere.

The file of --config is TOML, with one table for each pool:

  [[pool]]
  name = \"shop\"
  listen = \"/run/shop.sock\"
  workers = 4
  command = [\"/usr/lib/cgi-bin/shop.fcgi\", \"--fast\"]
  max_requests = 500            # and every other option of the manager
  preload = false               # clear_env = true, unset = [\"NAME\"], backlog = 100
  env = { LANG = \"C.UTF-8\" }

Exit status:
  0    stopped, as it was asked to
  1    it could not start; of several pools, one did not end well
  2    bad usage, or a mistake in the file: nothing was started; so are mistakes that --check finds
  126  the program cannot be executed
  127  the program, or the interpreter or loader that it names, does not exist")]
pub(crate) struct Options {
    /// Where to listen: HOST:PORT, [IPV6]:PORT, :PORT, /PATH, unix:/PATH, @NAME (abstract) or fd:N
    #[arg(long, value_name = "ADDRESS", required_unless_present = "config")]
    listen: Option<String>,

    /// The program and its arguments
    #[arg(
        last = true,
        value_name = "PROGRAM",
        required_unless_present = "config"
    )]
    command: Vec<OsString>,

    /// Connections that may wait to be accepted
    #[arg(long, value_name = "N", default_value_t = fcgipm::server::listen::DEFAULT_BACKLOG)]
    backlog: i32,

    /// Do not preload this project's libfcgi.so.0
    #[arg(long)]
    no_preload: bool,

    /// Start the program with nothing of this command's environment
    #[arg(long)]
    clear_env: bool,

    /// Set a variable of the program's environment
    #[arg(long = "env", value_name = "NAME=VALUE")]
    set: Vec<String>,

    /// Take a variable out of the program's environment
    #[arg(long, value_name = "NAME")]
    unset: Vec<String>,

    /// Run the pools of a TOML file
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with_all = ["listen", "command", "backlog", "no_preload", "clear_env", "set", "unset"]
    )]
    config: Option<PathBuf>,

    /// With --config: this pool alone
    #[arg(long, value_name = "NAME", requires = "config")]
    pool: Option<String>,

    /// The process that passes signals on, and whose death ends the pool
    #[arg(long, hide = true, requires = "pool")]
    under: Option<i32>,

    /// Report all mistakes in the options or in the file, and start nothing
    #[arg(long)]
    check: bool,

    #[command(flatten)]
    table: TableOptions,
}

/// Runs to the end of every pool; returns the exit status.
pub(crate) fn run(options: Options) -> u8 {
    match options.config {
        Some(_) => run_file(&options),
        // clap forgives it, because --config would contradict --listen.
        None if options.pool.is_some() => misused("--pool is for a file: --config FILE"),
        None => {
            let checks = options.check;
            match Pool::of_command_line(options) {
                Ok(pool) if checks => checked(&[pool]),
                Ok(pool) => match requirements::plain_name(&pool.listen) {
                    Some(mistake) => misused(&mistake),
                    None => pool.run(),
                },
                Err(mistakes) => all_misused(&mistakes),
            }
        }
    }
}

/// Reports what is wrong with these pools.
fn checked(pools: &[Pool]) -> u8 {
    let mistakes = check::mistakes(pools);
    if mistakes.is_empty() {
        return 0;
    }
    all_misused(&mistakes)
}

fn run_file(options: &Options) -> u8 {
    let Some(path) = &options.config else {
        return misused("no file");
    };
    if let Some(given) = options.table.names().next() {
        return misused(&format!(
            "--{given} is not for --config: it belongs into the tables of the file"
        ));
    }
    let pools = match config::read(path) {
        Ok(pools) => pools,
        Err(mistakes) => return all_misused(&mistakes),
    };
    let Some(name) = &options.pool else {
        let status = checked(&pools);
        if status != 0 || options.check {
            return status;
        }
        return family::run(path, &pools);
    };
    match pools.into_iter().find(|pool| pool.is_named(name)) {
        Some(pool) if options.check => checked(&[pool]),
        Some(pool) => {
            if let Some(mistake) = requirements::plain_name(&pool.listen) {
                return misused(&format!("pool '{name}': {mistake}"));
            }
            if let Some(parent) = options.under {
                family::join(parent);
            }
            pool.run()
        }
        None => misused(&format!("{}: no pool '{name}'", path.display())),
    }
}

fn all_misused(mistakes: &[String]) -> u8 {
    mistakes.iter().for_each(|mistake| {
        misused(mistake);
    });
    2
}

fn misused(reason: &str) -> u8 {
    console::error(&format!("fcgipm run: {reason}"));
    2
}

impl Pool {
    fn of_command_line(options: Options) -> Result<Self, Vec<String>> {
        let (table, mut mistakes) = options.table.parse();
        let mut set = Vec::new();
        for text in &options.set {
            match environment::assignment(text) {
                Ok(assignment) => set.push(assignment),
                Err(mistake) => mistakes.push(mistake),
            }
        }
        if !mistakes.is_empty() {
            return Err(mistakes);
        }
        Ok(Self {
            name: None,
            listen: options.listen.unwrap_or_default(),
            backlog: options.backlog,
            command: options.command,
            options: table,
            changes: Changes {
                clear: options.clear_env,
                unset: options.unset,
                set,
                preload: !options.no_preload,
            },
        })
    }
}
