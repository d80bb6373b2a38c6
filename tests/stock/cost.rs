//! System calls per request of a program on libfcgi, counted by strace.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use nix::sys::signal::Signal;

use crate::peer::connection::Connection;
use crate::peer::records::{Request, STDIN, request, stream};
use crate::place;
use crate::side::{Side, built};

const REQUESTS: usize = 50;

fn small() -> Request {
    request("/small").param("REQUEST_METHOD", "GET")
}

/// The calls that serve all requests, which wait in the queue until the first one is finished.
fn calls(side: Side, flags: &[&str]) -> Vec<String> {
    let folder = place::folder();
    let trace = folder.path().join("trace");
    let mut command = Command::new("strace");
    // The tracer is a grandchild, so the child is the program itself.
    command.args(["-D", "-f", "-qq", "-o"]).arg(&trace);
    command.arg(built("small.c", flags));
    // The check follows long requests, and under strace all are long.
    command.env("FCGIPM_SKIP_DISCONNECTED", "no");
    let mut program = side.start(command, &folder.path().join("socket"));
    // The input of the first request does not end yet.
    let request = small();
    let mut first = program.connect();
    first.send(&request.head());
    let queued: Vec<Connection> = (0..REQUESTS)
        .map(|_| {
            let mut connection = program.connect();
            connection.send(&small().bytes());
            connection
        })
        .collect();
    first.send(&stream(STDIN, request.id, b""));
    first.response();
    // libfcgi waits until the connection is closed.
    drop(first);
    for mut connection in queued {
        assert_eq!(
            connection.response().text(),
            "Content-Type: text/plain\r\n\r\nGET\n"
        );
        connection.assert_closed();
    }
    program.signal(Signal::SIGKILL);
    program.wait();
    // The tracer has the same standard error, which ends when the tracer exits.
    program.all_lines();
    let text = fs::read_to_string(trace).unwrap();
    // The name of a call that the kill prevented is ????.
    let names = text.lines().filter_map(|line| {
        let rest = line.split_once(' ')?.1.trim_start();
        (!rest.starts_with(['<', '-', '+', '?']))
            .then(|| rest.split('(').next().unwrap().to_owned())
    });
    let names: Vec<_> = names.collect();
    let accepts = names
        .iter()
        .enumerate()
        .filter(|(_, name)| name.starts_with("accept"));
    let accepts: Vec<_> = accepts.map(|(position, _)| position).collect();
    // From the second accept on. After the last request there may be another one.
    let end = accepts.get(1 + REQUESTS).copied().unwrap_or(names.len());
    names[accepts[1]..end].to_vec()
}

fn count(calls: &[String]) -> BTreeMap<&str, usize> {
    let mut counts = BTreeMap::new();
    for call in calls {
        *counts.entry(call.as_str()).or_insert(0) += 1;
    }
    counts
}

pub(crate) fn a_small_request_on_a_new_connection_costs_four_system_calls() {
    for (name, flags) in [("FCGX_Accept_r", &[][..]), ("FCGI_Accept", &["-DSTDIO"])] {
        let stock = calls(Side::Stock, flags);
        let ours = calls(Side::DropIn, flags);
        let each = ["accept4", "recvfrom", "sendto", "close"];
        assert!(
            ours.chunks(4).all(|request| request == each),
            "{name}: {:?}",
            count(&ours)
        );
        assert_eq!(ours.len(), 4 * REQUESTS);
        println!(
            "measured: {name}, a small request: {:.1} system calls on libfcgi, {:.1} on the drop-in",
            stock.len() as f64 / REQUESTS as f64,
            ours.len() as f64 / REQUESTS as f64
        );
    }
}
