//! `fcgipm check`: whether a pool is ready.

use clap::Args;

use crate::console;
use crate::managers::readiness;

/// Check whether a pool is ready to serve
///
/// Ready means that at least one worker is ready and the pool is neither stopping nor draining. With
/// pm=ondemand, a pool that needs no worker at the moment is ready, too. Prints one line, for each of
/// several pools. Sends no request and no signal: it reads shared memory.
#[derive(Args, Debug)]
#[command(after_help = "\
Exit status:
  0  ready
  1  not ready, no such manager, or permission denied
  2  usage error")]
pub(crate) struct Options {
    /// The manager: its pid file, its pid, or its listen address: HOST:PORT, [IPV6]:PORT, :PORT,
    /// /PATH, unix:/PATH or @NAME (abstract)
    #[arg(value_name = "PIDFILE|ADDRESS|PID")]
    target: String,
}

/// Prints the result; returns the exit status.
pub(crate) fn run(options: &Options) -> u8 {
    match readiness::of(&options.target) {
        Ok(lines) => {
            lines.iter().for_each(|line| console::print(line));
            0
        }
        Err(reasons) => {
            for reason in reasons {
                console::error(&format!("fcgipm check: {reason}"));
            }
            1
        }
    }
}
