//! `fcgipm top`: what pools and their workers do, live in a terminal. Everything is read from shared
//! memory, as `fcgipm status` does.

mod action;
mod columns;
mod details;
mod frame;
mod live;
mod pools;
mod suspend;
mod view;

use std::io::{self, IsTerminal as _, Write as _};
use std::time::Duration;

use clap::Args;

use crate::args::values;
use crate::console;
use crate::terminal::style::Palette;
use pools::{Source, State};
use view::View;

/// A shorter interval costs more than it shows.
const INTERVAL_MIN: Duration = Duration::from_millis(100);

/// Show what pools and their workers do, live in a terminal
///
/// Reads shared memory, as `fcgipm status` does, so it works even when the manager and all workers are
/// stopped. Requires permission to inspect the manager's process: run it as the manager's user or as
/// root. A pool that ends stays on the screen, and is found again after a restart if it was named by
/// its pid file or its listen address.
#[derive(Args, Debug)]
#[command(after_help = "\
Keys:
  up, down, j, k   select a worker; PgUp, PgDn, Home and End scroll
  tab, 1 to 9      choose the pool
  /                filter by pid, state, method or URI; Esc shows all workers again
  < >              sort by the column to the left or to the right; i reverses the order
  P S F A Q N M C U  sort by pid, state, time in the state, age of the request, requests per second,
                   requests, memory, processor time or request
  space            pause
  r, R             reload the pool, or its program as well: `fcgipm reload`
  + -              one worker more or less: `fcgipm resize`
  b                backtrace of the selected worker: `fcgipm backtrace`
  ?                help
  q, Ctrl-C        quit; Ctrl-Z suspends

r, R, + and - ask first. Rates, durations and CPU% are those since the previous reading; durations are
known as the bounds of a histogram.

For `fcgipm run` with several pools, the pid of its first process shows all of them.

NO_COLOR in the environment: no colours. Characters that are not ASCII are escaped unless the locale
(LC_ALL, LC_CTYPE, LANG) has UTF-8.

Exit status:
  0  success
  1  with --once: no pool could be read
  2  usage error, or standard input and output are not a terminal")]
pub(crate) struct Options {
    /// The managers: pid files, pids, or listen addresses: HOST:PORT, [IPV6]:PORT, :PORT, /PATH,
    /// unix:/PATH or @NAME (abstract)
    #[arg(value_name = "PIDFILE|PID|ADDRESS", required = true)]
    targets: Vec<String>,

    /// Time between two readings
    #[arg(long, value_name = "SECONDS", default_value = "2", value_parser = interval)]
    interval: Duration,

    /// Print one frame as text after an interval, and exit
    ///
    /// Needs no terminal. Its width is COLUMNS in the environment, or 80.
    #[arg(long)]
    once: bool,
}

fn interval(text: &str) -> Result<Duration, String> {
    let interval = values::seconds(text)?;
    if interval < INTERVAL_MIN {
        return Err("out of range: must be at least 0.1 s".into());
    }
    Ok(interval)
}

/// Shows the pools; returns the exit status.
pub(crate) async fn run(options: Options) -> u8 {
    let source = Source::of(&options.targets);
    let view = View::new(options.interval);
    let result = if options.once {
        once(source, view).await
    } else if !(io::stdin().is_terminal() && io::stdout().is_terminal()) {
        console::error("fcgipm top: standard input and output are not a terminal: use --once");
        return 2;
    } else if std::env::var_os("TERM").is_none_or(|name| name.is_empty() || name == "dumb") {
        console::error("fcgipm top: TERM names no terminal that can be drawn on: use --once");
        return 2;
    } else {
        live::run(source, view, Palette::of_environment(Palette::Attributes)).await
    };
    match result {
        Ok(()) => 0,
        Err(reason) => {
            console::error(&format!("fcgipm top: {reason}"));
            1
        }
    }
}

/// Prints one frame.
async fn once(mut source: Source, mut view: View) -> Result<(), String> {
    // The rates are those of the interval.
    source.read();
    tokio::time::sleep(view.interval).await;
    view.read(source.read());
    let columns = std::env::var("COLUMNS").ok();
    let columns = columns
        .and_then(|text| text.parse().ok())
        .filter(|columns| (20..=10_000).contains(columns))
        .unwrap_or(80);
    let lines = frame::of_all(&view, columns);
    let lines = lines.iter().map(|line| {
        let text = line.painted(Palette::None, columns);
        text.trim_end().to_owned() + "\n"
    });
    let text: String = lines.collect();
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .map_err(|error| format!("standard output: {error}"))?;
    let ended = view.pools.iter().map(|pool| match &pool.state {
        State::Runs(_) => None,
        State::Ended(reason) => Some(reason.clone()),
    });
    match ended.collect::<Option<Vec<_>>>() {
        Some(reasons) => Err(reasons.join("; ")),
        None => Ok(()),
    }
}
