//! `fcgipm status`: what a manager and its workers are doing, read from their shared memory. No
//! process has to answer, so it works whatever state they are in.

mod table;
mod watching;

use std::collections::BTreeMap;
use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use clap::{Args, ValueEnum};
use serde_json::json;

use crate::args::values;
use crate::console;
use crate::managers::group::Group;
use crate::managers::rates::Sample;
use crate::managers::report::Report;
use crate::terminal::style::Palette;

/// Show what a manager and its workers are doing
///
/// Reads shared memory, so it works even when the manager and all workers are stopped. Requires
/// permission to inspect the manager's process: run it as the manager's user or as root.
#[derive(Args, Debug)]
#[command(after_help = "\
Worker states:
  starting   has not called Accept yet
  idle       waits for a request
  reading    has accepted a connection and waits for the parameters
  busy       runs the application for a request
  finishing  has finished a request and has not called Accept again yet
  silent     runs, but does not report its state: a program that does not use this library
  exiting    is about to exit, at the request of another process than the manager
  retiring   was asked to exit by the manager
  killed     was killed by the manager and has not been reaped yet
  unknown    its state cannot be read

Files: the program of the manager, those of its workers, and the libraries of this project that they
use. `replaced` means that the file on disk is another one by now, so a reload or a restart is due.

Rates, durations and REQ/S are averages since the start of the manager or of the worker; with --watch,
from the second frame on, of the time since the previous one. Durations are known as the bounds of a
histogram: `99% <=25ms` means that 99 of 100 requests took at most 25 ms.

For `fcgipm run` with several pools, the pid of its first process shows all of them.

JSON: one object; for several pools it has the key `pools`, with an object for each name. Times are in seconds; unknown values are null.
  manager, version, files: [{path, replaced}], uptime, pm, draining, stopping, wanted, max,
  processes, starting, ready, retiring, idle, busy, listen_queue, listeners: [{address, waiting}], reload: {state (none, running, done or failed),
  done, failed, message, age}, forks, deaths, recycled, requests, disconnected, overloaded, slow,
  timed_out, saturated, aborted, received, sent (bytes), responses: {other, 2xx, 3xx, 4xx, 5xx},
  durations: {sum, buckets: [{le (the upper bound, null: none), count (of this bucket alone)}]},
  queue_waits (the same, with request_start_param),
  exits: {retired, exited, failed, signal, start_timeout, die_timeout, request_timeout, unknown},
  last_exit,
  workers: [{slot, pid, state, activity, age, since, generation, requests, disconnected, method,
  uri, request_id, trace_id (both with slow_request or request_timeout), request_age, memory (resident, bytes), cpu (seconds), last_exit}]; last_exit: {pid, code, signal, text, age}

Exit status:
  0  success
  1  no such process or listener, not a manager, or permission denied
  2  usage error")]
pub(crate) struct Options {
    /// The manager: its pid file, its pid, or its listen address: HOST:PORT, [IPV6]:PORT, :PORT,
    /// /PATH, unix:/PATH or @NAME (abstract)
    #[arg(value_name = "PIDFILE|ADDRESS")]
    target: String,

    /// Print the status as one JSON object; with --watch, one in each line
    #[arg(long)]
    json: bool,

    /// Print the status again and again, every 2 seconds or at this interval
    ///
    /// A terminal is redrawn. Elsewhere, frames are separated by an empty line.
    #[arg(
        long, value_name = "SECONDS", num_args = 0..=1, require_equals = true,
        default_missing_value = "2", value_parser = values::seconds
    )]
    watch: Option<Duration>,

    /// When to use colours
    ///
    /// auto: on a terminal, unless NO_COLOR is set.
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    color: Colours,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Colours {
    Auto,
    Always,
    Never,
}

/// The readings of all pools of the last frame, by name.
type Samples = BTreeMap<Option<String>, Sample>;

/// Prints the status; returns the exit status.
pub(crate) fn run(options: &Options) -> u8 {
    match shown(options) {
        Ok(()) => 0,
        Err(reason) => {
            console::error(&format!("fcgipm status: {reason}"));
            1
        }
    }
}

fn shown(options: &Options) -> Result<(), String> {
    let palette = match options.color {
        Colours::Always => Palette::Colours,
        Colours::Auto if std::io::stdout().is_terminal() => Palette::of_environment(Palette::None),
        Colours::Auto | Colours::Never => Palette::None,
    };
    let mut samples = Samples::new();
    if let Some(interval) = options.watch {
        return watching::watch(interval, options.json, || {
            frame(options, palette, &mut samples)
        });
    }
    let text = frame(options, palette, &mut samples)?;
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .map_err(|error| format!("standard output: {error}"))
}

/// The status now.
fn frame(options: &Options, palette: Palette, samples: &mut Samples) -> Result<String, String> {
    let group = Group::of(&options.target)?;
    let reports: Vec<_> = group
        .members
        .iter()
        .map(|member| (member.pool.as_deref(), Report::of(&member.found)))
        .collect();
    if options.json {
        let is_one_line = options.watch.is_some();
        let json = match &reports[..] {
            [(None, report)] => in_json(report, is_one_line),
            several => in_json(&json!({ "pools": by_name(several) }), is_one_line),
        };
        return json.map(|text| text + "\n");
    }
    let before = std::mem::take(samples);
    let mut tables = Vec::new();
    for (pool, report) in &reports {
        let name = pool.map(str::to_owned);
        let earlier = before.get(&name);
        let mut sample = Sample::of(report);
        if let Some(earlier) = earlier {
            sample.raise_to(earlier);
        }
        tables.push(titled(*pool, &table::of(report, earlier, palette)));
        samples.insert(name, sample);
    }
    Ok(tables.join("\n"))
}

fn in_json(value: &impl serde::Serialize, is_one_line: bool) -> Result<String, String> {
    let text = if is_one_line {
        serde_json::to_string(value)
    } else {
        serde_json::to_string_pretty(value)
    };
    text.map_err(|error| format!("JSON: {error}"))
}

/// The reports of several pools, by their names.
fn by_name<'r>(reports: &'r [(Option<&'r str>, Report)]) -> BTreeMap<&'r str, &'r Report> {
    let named = reports.iter();
    named
        .map(|(pool, report)| (pool.unwrap_or_default(), report))
        .collect()
}

/// The table of a manager; of one among several with the name of its pool.
fn titled(pool: Option<&str>, table: &str) -> String {
    match pool {
        Some(pool) => format!("pool      {pool}\n{table}"),
        None => table.to_owned(),
    }
}
