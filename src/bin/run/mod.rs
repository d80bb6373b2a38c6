//! `fcgipm run`: a manager for any program that accepts FastCGI on descriptor 0.
//!
//! For one pool, this process is the manager ([`pool`]). For several ([`config`]), it starts itself
//! once for each pool and forwards signals ([`family`]).
//!
//! A manager forks, so the process must have a single thread.

mod check;
mod config;
mod dropin;
mod environment;
mod family;
mod member;
mod pool;
mod pool_table;
mod relay;
mod requirements;
mod table;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Args;
use environment::Changes;
use fcgipm::manager;
use pool::Pool;
use table::TableOptions;

use crate::console;

/// Run a FastCGI program in a pool of workers
///
/// Opens the listening socket and starts N copies of the program with it as descriptor 0. TERM
/// stops the pool gracefully, HUP reloads it: every worker is replaced. With --config, HUP also reads
/// the file again, and starts, stops and changes pools as it says. A worker that exits is
/// replaced. Programs that use libfcgi or libfcgipm lose no request in any of this. For other
/// programs, see docs/PROGRAMS.md.
#[derive(Args, Debug)]
#[command(after_help = "\
Environment variables override the manager options: FCGIPM_MAX_REQUESTS overrides --max-requests.

For programs that are linked with libfcgi, the libfcgi.so.0 of this project is preloaded
(LD_PRELOAD). FCGIPM_DROPIN is its path; by default it is looked up beside this command. An empty
FCGIPM_DROPIN disables preloading.

The file of --config is TOML, with a table for each pool:

  [[pool]]
  name = \"shop\"
  listen = \"/run/shop.sock\"
  workers = 4
  command = [\"/usr/lib/cgi-bin/shop.fcgi\", \"--fast\"]
  max_requests = 500            # and all other manager options
  preload = false               # clear_env = true, unset = [\"NAME\"], backlog = 100
  env = { LANG = \"C.UTF-8\" }

Exit status:
  0    stopped on request; with --check: no mistakes
  1    could not start, or one of several pools failed
  2    usage error or mistake in the file: nothing was started; with --check: mistakes found
  126  the program cannot be executed
  127  the program, or the interpreter or loader that it names, does not exist")]
pub(crate) struct Options {
    /// Listen address: HOST:PORT, [IPV6]:PORT, :PORT, /PATH, unix:/PATH, @NAME (abstract) or fd:N
    #[arg(long, value_name = "ADDRESS", required_unless_present = "config")]
    listen: Option<String>,

    /// The program and its arguments
    #[arg(
        last = true,
        value_name = "PROGRAM",
        required_unless_present = "config"
    )]
    command: Vec<OsString>,

    /// Length of the listen queue
    #[arg(long, value_name = "N", default_value_t = fcgipm::server::listen::DEFAULT_BACKLOG)]
    backlog: i32,

    /// Do not preload the libfcgi.so.0 of this project
    #[arg(long)]
    no_preload: bool,

    /// Start the program with an empty environment
    #[arg(long)]
    clear_env: bool,

    /// Set a variable in the environment of the program (repeatable)
    #[arg(long = "env", value_name = "NAME=VALUE")]
    set: Vec<String>,

    /// Remove a variable from the environment of the program (repeatable)
    #[arg(long, value_name = "NAME")]
    unset: Vec<String>,

    /// Run the pools of a TOML file
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with_all = ["listen", "command", "backlog", "no_preload", "clear_env", "set", "unset"]
    )]
    config: Option<PathBuf>,

    /// With --config: run only this pool
    #[arg(long, value_name = "NAME", requires = "config")]
    pool: Option<String>,

    /// The parent process, which forwards signals; its death stops the pool
    #[arg(long, hide = true, requires = "pool")]
    under: Option<i32>,

    /// A listening socket that the parent process passes
    #[arg(long, hide = true, requires = "under", value_name = "N")]
    socket: Vec<i32>,

    /// Report all mistakes in the options or the file, and start nothing
    #[arg(long)]
    check: bool,

    #[command(flatten)]
    table: TableOptions,
}

/// Runs until all pools have stopped; returns the exit status.
pub(crate) fn run(options: Options) -> u8 {
    match options.config {
        Some(_) => run_file(&options),
        // clap does not check this, because --config conflicts with --listen.
        None if options.pool.is_some() => misused("--pool requires --config FILE"),
        None => {
            let checks = options.check;
            match Pool::of_command_line(options) {
                Ok(pool) if checks => checked(&[pool]),
                Ok(pool) => match requirements::plain_name(&pool.address()) {
                    Some(mistake) => misused(&mistake),
                    None => pool.run(),
                },
                Err(mistakes) => all_misused(&mistakes),
            }
        }
    }
}

/// Reports the mistakes in these pools.
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
            "--{given} cannot be used with --config: set it in the tables of the file"
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
        return family::run(path, pools);
    };
    match pools.into_iter().find(|pool| pool.is_named(name)) {
        Some(pool) if options.check => checked(&[pool]),
        Some(pool) => {
            if let Some(mistake) = requirements::plain_name(&pool.address()) {
                return misused(&format!("pool '{name}': {mistake}"));
            }
            // The manager that has started a template belongs to the parent.
            if let Some(parent) = options.under.filter(|_| !manager::is_template()) {
                family::join(parent, options.socket.clone());
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
