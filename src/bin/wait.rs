//! `fcgipm wait`: until a pool is ready.

use std::time::Duration;

use clap::Args;

use crate::args::values;
use crate::console;
use crate::managers::readiness;
use crate::managers::watch::Deadline;

/// The pause between two checks. The manager may not exist yet, so each one searches for it.
const INTERVAL: Duration = Duration::from_millis(50);

/// Wait until a pool is ready to serve
///
/// As `fcgipm check`, repeated until the pool is ready. The manager, its pid file and its socket need
/// not exist yet.
#[derive(Args, Debug)]
#[command(after_help = "\
Exit status:
  0  ready
  1  timed out; the line has what was missing last
  2  usage error")]
pub(crate) struct Options {
    /// The manager: its pid file, its pid, or its listen address: HOST:PORT, [IPV6]:PORT, :PORT,
    /// /PATH, unix:/PATH or @NAME (abstract)
    #[arg(value_name = "PIDFILE|ADDRESS|PID")]
    target: String,

    /// Maximum time to wait
    #[arg(long, value_name = "TIME", default_value = "60", value_parser = values::seconds)]
    timeout: Duration,
}

/// Waits; returns the exit status.
pub(crate) fn run(options: &Options) -> u8 {
    let deadline = Deadline::after(options.timeout);
    loop {
        match readiness::of(&options.target) {
            Ok(lines) => {
                lines.iter().for_each(|line| console::print(line));
                return 0;
            }
            Err(reasons) if deadline.is_over() => {
                let (limit, reasons) = (deadline.shown(), reasons.join("; "));
                console::error(&format!("fcgipm wait: timed out after {limit}: {reasons}"));
                return 1;
            }
            Err(_) => std::thread::sleep(INTERVAL.min(deadline.left())),
        }
    }
}
