//! `fcgipm status`: what a manager and its workers are doing, read from their shared memory. No
//! process has to answer, so it works whatever state they are in.

mod files;
mod report;
mod table;

use std::io::Write as _;

use clap::Args;
use report::Report;

use crate::console;
use crate::managers::find;
use crate::managers::target::Target;

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

JSON: one object. Times are in seconds; unknown values are null.
  manager, version, files: [{path, replaced}], uptime, pm, draining, stopping, wanted, max,
  processes, starting, ready, retiring, idle, busy, listen_queue, listeners: [{address, waiting}], reload: {state (none, running, done or failed),
  done, failed, message, age}, forks, deaths, recycled, requests, disconnected, overloaded,
  last_exit,
  workers: [{slot, pid, state, activity, age, since, generation, requests, disconnected, method,
  uri, request_age, last_exit}]; last_exit: {pid, code, signal, text, age}

Exit status:
  0  success
  1  no such process or listener, not a manager, or permission denied
  2  usage error")]
pub(crate) struct Options {
    /// The manager: its pid file, its pid, or its listen address: HOST:PORT, [IPV6]:PORT, :PORT,
    /// /PATH, unix:/PATH or @NAME (abstract)
    #[arg(value_name = "PIDFILE|ADDRESS")]
    target: String,

    /// Print the status as one JSON object
    #[arg(long)]
    json: bool,
}

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
    let target = Target::of(&options.target)?;
    let found = find::manager(&target)?;
    let report = Report::of(&found);
    let text = if options.json {
        let json = serde_json::to_string_pretty(&report);
        json.map_err(|error| format!("JSON: {error}"))? + "\n"
    } else {
        table::of(&report)
    };
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .map_err(|error| format!("standard output: {error}"))
}
