//! Counts of system calls and instructions, in separate runs. Each is the difference between 2N and
//! N requests, so constant costs cancel out.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::launch;
use crate::load::{self, Length};
use crate::peer::{Peer, Places};
use crate::results::Syscalls;
use crate::scenario::Case;
use crate::server::Server;

/// System calls per request.
pub(crate) fn syscalls(
    places: &Places,
    case: &Case,
    peer: Peer,
    directory: &Path,
    requests: u32,
) -> Result<Syscalls, String> {
    // Some peers miss a SIGTERM.
    let traced = |requests| {
        let once = || traced(places, case, peer, directory, requests);
        once().or_else(|_| once())
    };
    let once = traced(requests)?;
    let twice = traced(2 * requests)?;
    Ok(difference(&once, &twice, requests))
}

fn difference(
    once: &BTreeMap<String, u64>,
    twice: &BTreeMap<String, u64>,
    requests: u32,
) -> Syscalls {
    let mut by_name = BTreeMap::new();
    for (name, &count) in twice {
        let more = count as f64 - once.get(name).copied().unwrap_or(0) as f64;
        let each = more / f64::from(requests);
        // Without calls that do not depend on requests, such as a manager's polls of its workers.
        if each >= 0.005 {
            by_name.insert(name.clone(), each);
        }
    }
    Syscalls {
        all: by_name.values().sum(),
        by_name,
    }
}

/// The counts from start to exit: attaching to a waiting server would interrupt its call.
fn traced(
    places: &Places,
    case: &Case,
    peer: Peer,
    directory: &Path,
    requests: u32,
) -> Result<BTreeMap<String, u64>, String> {
    let directory = fresh(directory, "strace")?;
    let (socket, file) = (directory.join("socket"), directory.join("counts"));
    let mut command = Command::new("strace");
    command
        .args(["-f", "-c", "-U", "calls,name", "-o"])
        .arg(&file);
    wrap(
        &mut command,
        &launch::command(peer, places, case, case.workers, &socket)?,
    );
    // Under strace all requests are slow, and the check for disconnected clients follows slow ones.
    command.env("FCGIPM_SKIP_DISCONNECTED", "no");
    let mut server = Server::start_below(command, 1, &socket, case.workers)?;
    server.stop_signal = peer.stop_signal();
    load::round(
        places,
        case,
        &server,
        &directory,
        Length::Requests(requests),
    )?;
    server.stop();
    let text = fs::read_to_string(&file).map_err(|error| format!("{}: {error}", file.display()))?;
    let found = calls(&text);
    if found.is_empty() {
        return Err("strace has no counts: the server did not stop".to_owned());
    }
    Ok(found)
}

/// An empty directory.
fn fresh(directory: &Path, name: &str) -> Result<PathBuf, String> {
    let directory = directory.join(name);
    let _ = fs::remove_dir_all(&directory);
    fs::create_dir_all(&directory).map_err(|error| format!("{}: {error}", directory.display()))?;
    Ok(directory)
}

/// Appends a command to one that starts it.
fn wrap(command: &mut Command, plain: &Command) {
    command.arg(plain.get_program()).args(plain.get_args());
    for (name, value) in plain.get_envs() {
        if let Some(value) = value {
            command.env(name, value);
        }
    }
}

/// The lines of `strace -c -U calls,name`.
fn calls(text: &str) -> BTreeMap<String, u64> {
    let mut found = BTreeMap::new();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        let count = words.next().and_then(|count| count.parse().ok());
        if let (Some(count), Some(name), None) = (count, words.next(), words.next()) {
            if name != "total" {
                found.insert(name.to_owned(), count);
            }
        }
    }
    found
}

/// Instructions outside the kernel per request, of a server with one worker and one client.
pub(crate) fn instructions(
    places: &Places,
    case: &Case,
    peer: Peer,
    directory: &Path,
    requests: u32,
) -> Result<f64, String> {
    // Valgrind is slow, and its counts hardly vary.
    let requests = requests.div_ceil(4);
    let once = counted(places, case, peer, directory, requests)?;
    let twice = counted(places, case, peer, directory, 2 * requests)?;
    Ok((twice as f64 - once as f64) / f64::from(requests))
}

fn counted(
    places: &Places,
    case: &Case,
    peer: Peer,
    directory: &Path,
    requests: u32,
) -> Result<u64, String> {
    let case = Case {
        clients: 1,
        workers: 1,
        ..case.clone()
    };
    let directory = fresh(directory, "callgrind")?;
    let socket = directory.join("socket");
    let mut command = Command::new("valgrind");
    command.arg("--tool=callgrind").arg(format!(
        "--callgrind-out-file={}/out.%p",
        directory.display()
    ));
    wrap(
        &mut command,
        &launch::command(peer, places, &case, 1, &socket)?,
    );
    let mut server = Server::start(command, &socket, 1)?;
    server.stop_signal = peer.stop_signal();
    load::round(
        places,
        &case,
        &server,
        &directory,
        Length::Requests(requests),
    )?;
    server.stop();
    let mut sum = 0;
    for entry in fs::read_dir(&directory)
        .map_err(|error| error.to_string())?
        .flatten()
    {
        if entry.file_name().to_string_lossy().starts_with("out.") {
            sum += totals(&fs::read_to_string(entry.path()).unwrap_or_default());
        }
    }
    if sum == 0 {
        Err("callgrind has no counts".to_owned())
    } else {
        Ok(sum)
    }
}

/// The sum of the totals of all dumps in a file of callgrind.
fn totals(text: &str) -> u64 {
    let lines = text
        .lines()
        .filter_map(|line| line.strip_prefix("totals: "));
    lines
        .filter_map(|number| number.trim().parse::<u64>().ok())
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_strace_is_parsed() {
        let text = "    calls syscall\n--------- ----------------\n      401 accept4\n      400 close\n--------- ----------------\n      801 total\n";
        let found = calls(text);
        assert_eq!(found.len(), 2);
        assert_eq!(found["accept4"], 401);
    }

    #[test]
    fn constant_costs_cancel_out() {
        let table = |accept, poll| {
            BTreeMap::from([("accept4".to_owned(), accept), ("poll".to_owned(), poll)])
        };
        let found = difference(&table(402, 7), &table(802, 8), 400);
        assert_eq!(found.all, 1.0);
        assert_eq!(found.by_name, BTreeMap::from([("accept4".to_owned(), 1.0)]));
    }

    #[test]
    fn totals_of_all_dumps_are_added() {
        assert_eq!(totals("events: Ir\nfn=(1)\n3 4\ntotals: 1200\n"), 1200);
        assert_eq!(totals("totals: 1\ntotals: 2\n"), 3);
        assert_eq!(totals(""), 0);
    }
}
