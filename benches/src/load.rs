//! One round of `fcgipm load`, and the CPU time of the server.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::peer::Places;
use crate::procfs;
use crate::results::Round;
use crate::scenario::{Body, Case, DISPENSABLE};
use crate::server::Server;

/// The pause between two reloads.
const RELOAD_PAUSE: Duration = Duration::from_millis(500);

/// The pause between the two segments of a request during reloads, in milliseconds.
const SPLIT: &str = "3";

/// Fewer parameters than a web server sends, so some are left out.
const FEW: u32 = 10;

/// The duration, or the number of requests.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Length {
    Seconds(f64),
    Requests(u32),
}

/// One round.
pub(crate) fn round(
    places: &Places,
    case: &Case,
    server: &Server,
    directory: &Path,
    length: Length,
) -> Result<Round, String> {
    let command = command(places, case, server, directory, length)?;
    let (begun, busy, before, own) = (
        Instant::now(),
        procfs::busy_ticks(),
        server.spent(),
        children()?,
    );
    let load = Running::spawn(command)?;
    let reloads = if case.reload {
        reload(server, length)?
    } else {
        0
    };
    let report = load.finish()?;
    let wall = begun.elapsed().as_secs_f64();
    let spent = server.spent() - before;
    let generator = children()?.saturating_sub(own);
    let busy = procfs::busy_ticks().saturating_sub(busy) as f64 / 100.0;

    let number = |path: &str| report.pointer(path).and_then(Value::as_f64);
    let requests =
        number("/requests").ok_or("fcgipm load has not reported its number of requests")?;
    let per_request = |nanoseconds: f64| nanoseconds / 1e3 / requests.max(1.0);
    let microseconds = |path| number(path).unwrap_or(0.0) * 1e6;
    let own_share = (spent.nanoseconds as f64 / 1e9) + generator.as_secs_f64();
    let processors = std::thread::available_parallelism().map_or(1, usize::from) as f64;
    Ok(Round {
        requests: requests as u64,
        lost: number("/lost").unwrap_or(0.0) as u64,
        rate: number("/rate").unwrap_or(0.0),
        cpu_us: per_request(spent.nanoseconds as f64),
        user_us: per_request(spent.nanoseconds as f64 * spent.user_share()),
        load_us: per_request(generator.as_nanos() as f64),
        p50_us: microseconds("/latency/p50"),
        p99_us: microseconds("/latency/p99"),
        p999_us: microseconds("/latency/p99_9"),
        silence_us: microseconds("/longest_silence/length"),
        reloads,
        foreign: ((busy - own_share) / (wall * processors)).max(0.0),
    })
}

/// The reason why a peer does not answer correctly, if it does not.
pub(crate) fn check(
    places: &Places,
    case: &Case,
    server: &Server,
    directory: &Path,
) -> Result<(), String> {
    let requests = case.clients.max(16);
    let mut command = command(places, case, server, directory, Length::Requests(requests))?;
    command.args(["--timeout", "20"]);
    let report = Running::spawn(command)?.finish()?;
    match report.pointer("/lost").and_then(Value::as_u64) {
        Some(0) => Ok(()),
        _ => Err(format!("wrong answers: {}", report["first_losses"])),
    }
}

fn command(
    places: &Places,
    case: &Case,
    server: &Server,
    directory: &Path,
    length: Length,
) -> Result<Command, String> {
    let mut command = Command::new(places.products.join("fcgipm"));
    command.arg("load").arg(&server.socket).args([
        "--json",
        "--uri",
        &case.uri,
        "--expect",
        &case.expected,
    ]);
    command.args(["--params", &case.parameters.to_string()]);
    let script = places.root.join("benches/programs/php.php");
    command
        .arg("--param")
        .arg(format!("SCRIPT_FILENAME={}", script.display()));
    if case.parameters <= FEW {
        DISPENSABLE.iter().for_each(|name| {
            command.args(["--without", name]);
        });
    }
    match length {
        Length::Seconds(seconds) => command.args([
            "--clients",
            &case.clients.to_string(),
            "--time",
            &seconds.to_string(),
        ]),
        Length::Requests(requests) => {
            let clients = case.clients.min(requests);
            command.args([
                "--clients",
                &clients.to_string(),
                "--requests",
                &requests.to_string(),
            ])
        }
    };
    match case.body {
        Body::None => {}
        Body::Bytes(size) => {
            command.args(["--body", &size.to_string()]);
        }
        Body::Lines => {
            let file = directory.join("lines");
            if !file.exists() {
                std::fs::write(&file, Body::lines())
                    .map_err(|error| format!("{}: {error}", file.display()))?;
            }
            command.arg("--body-file").arg(file);
        }
    }
    if case.keep {
        command.arg("--keep");
    }
    if case.reload {
        command.args(["--split", SPLIT]);
    }
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    Ok(command)
}

/// Reloads until shortly before the end of the round.
fn reload(server: &Server, length: Length) -> Result<u32, String> {
    let (Length::Seconds(seconds), Some(signal)) = (length, server.reload_signal) else {
        return Ok(0);
    };
    let until = Instant::now() + Duration::from_secs_f64(seconds);
    let mut reloads = 0;
    while Instant::now() + RELOAD_PAUSE < until {
        sleep(RELOAD_PAUSE);
        server.signal(signal)?;
        reloads += 1;
    }
    Ok(reloads)
}

/// The load generator, which is killed when this is dropped.
struct Running(Option<Child>);

impl Running {
    fn spawn(mut command: Command) -> Result<Self, String> {
        let child = command
            .spawn()
            .map_err(|error| format!("fcgipm load: {error}"))?;
        Ok(Self(Some(child)))
    }

    fn finish(mut self) -> Result<Value, String> {
        let child = self.0.take().ok_or("fcgipm load has exited")?;
        let output = child
            .wait_with_output()
            .map_err(|error| format!("fcgipm load: {error}"))?;
        serde_json::from_slice(&output.stdout)
            .map_err(|_| String::from_utf8_lossy(&output.stderr).trim().to_owned())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// CPU time of the children that this process has reaped.
fn children() -> Result<Duration, String> {
    use nix::sys::resource::{UsageWho, getrusage};
    let usage =
        getrusage(UsageWho::RUSAGE_CHILDREN).map_err(|errno| format!("getrusage: {errno}"))?;
    let of = |time: nix::sys::time::TimeVal| {
        Duration::from_micros(
            u64::try_from(nix::sys::time::TimeValLike::num_microseconds(&time)).unwrap_or(0),
        )
    };
    Ok(of(usage.user_time()) + of(usage.system_time()))
}
