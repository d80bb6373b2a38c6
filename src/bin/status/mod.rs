//! `fcgipm status`: what a manager and its workers are doing, from the memory that they share. Nobody
//! is asked, so it answers whatever state they are in.

mod find;
mod report;
mod sockets;
mod table;
mod target;

use std::io::Write as _;

use clap::Args;
use report::Report;
use target::Target;

use crate::console::log;

/// Show what a manager and its workers are doing
///
/// Nobody is asked: it answers also when the manager and all its workers are stopped. It needs the
/// right to look into the manager's process: its user's, or root's.
#[derive(Args, Debug)]
#[command(after_help = "\
State of a worker:
  starting   has not entered its first Accept
  idle       waits for a request
  reading    has a connection, and waits for the parameters
  busy       runs the application for a request
  finishing  has finished a request, and has not come back for the next
  silent     runs, and says nothing of itself: a program that does not use this library
  leaving    leaves, because somebody else than the manager told it to
  retiring   was told to leave by the manager
  gone       was killed, and is about to be reaped
  unknown    says nothing that can be understood

JSON, one object; times in seconds, null where nothing is known:
  manager, uptime, pm, stopping, wanted, processes, starting, ready, retiring, idle, busy,
  accept_queue, listeners: [{address, waiting}], reload: {state (none, running, done or failed),
  done, failed, message, age}, forks, deaths, recycled, requests, hung_up, overloaded,
  last_exit,
  workers: [{slot, pid, state, activity, age, since, generation, requests, hung_up, method,
  uri, request_age, last_exit}]; last_exit: {pid, code, signal, text, age}

Exit status:
  0  it was shown
  1  no such process or listener, not a manager, no permission
  2  bad usage")]
pub(crate) struct Options {
    /// The manager: its pid file, its pid, or where it listens: HOST:PORT, [IPV6]:PORT, :PORT,
    /// /PATH, unix:/PATH or @NAME (abstract)
    #[arg(value_name = "PIDFILE|ADDRESS")]
    target: String,

    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Shows it; returns the exit status.
pub(crate) fn run(options: &Options) -> u8 {
    match shown(options) {
        Ok(()) => 0,
        Err(reason) => {
            log(&format!("fcgipm status: {reason}"));
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
