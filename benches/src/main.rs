//! `fcgipm-bench`: sends the same requests to fcgipm and to its peers in turn, and measures the cost.
//!
//! | file | content |
//! |---|---|
//! | `scenario` | the requests, case by case |
//! | `bounds` | the required results, as one table, and whether they are met |
//! | `peer`, `launch` | the programs, and how each is started |
//! | `server` | a running peer |
//! | `load` | one round of `fcgipm load` |
//! | `procfs` | CPU time and memory, from /proc |
//! | `count` | system calls by strace, instructions by callgrind |
//! | `run` | the rounds |
//! | `statistics` | medians and ratios |
//! | `results`, `table`, `plot` | the output: JSON, text, SVG |
//!
//! docs/BENCHMARKS.md explains the numbers.

mod bounds;
mod count;
mod launch;
mod load;
mod machine;
mod peer;
mod plot;
mod procfs;
mod results;
mod run;
mod scenario;
mod server;
mod statistics;
mod table;

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use peer::{Peer, Places};
use run::Plan;

/// Measure fcgipm and its peers, and check the bounds
///
/// The exit status is 1 when a bound is missed, 2 when something could not be measured.
#[derive(Debug, Parser)]
#[command(name = "fcgipm-bench")]
struct Options {
    /// Only these scenarios, as NAME or NAME/CASE
    #[arg(long, value_delimiter = ',', value_name = "NAME")]
    scenario: Vec<String>,

    /// Only these peers
    #[arg(long, value_delimiter = ',', value_name = "NAME")]
    peers: Vec<Peer>,

    /// Rounds of a case with a bound; others have half as many, and at least three
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,

    /// Length of a round of a case with a bound; others take two fifths of it
    #[arg(long, default_value_t = 1.0, value_parser = seconds)]
    seconds: f64,

    /// Do not count system calls and instructions
    #[arg(long)]
    no_counts: bool,

    /// Directory for results.json and benchmark.svg
    #[arg(long, default_value = "bench", value_name = "DIRECTORY")]
    out: PathBuf,

    /// Second file for the plot, if everything was measured
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,

    /// The repository
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/.."), value_name = "DIRECTORY")]
    root: PathBuf,

    /// Directory of the build [default: that of this program]
    #[arg(long, value_name = "DIRECTORY")]
    products: Option<PathBuf>,

    /// List the scenarios and their cases, and measure nothing
    #[arg(long)]
    list: bool,
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if (0.05..=600.0).contains(&value) => Ok(value),
        _ => Err("not within 0.05..600".to_owned()),
    }
}

fn main() -> ExitCode {
    match measure(&Options::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(reason) => {
            eprintln!("fcgipm-bench: {reason}");
            ExitCode::from(2)
        }
    }
}

/// Whether every bound that was measured is met.
fn measure(options: &Options) -> Result<bool, String> {
    let cases = scenario::select(&options.scenario)?;
    if options.list {
        for case in &cases {
            println!("{}: {}", case.id(), case.describe());
        }
        return Ok(true);
    }
    let places = Places::new(&options.root, options.products.as_deref())?;
    let plan = Plan {
        rounds: options.rounds as usize,
        seconds: options.seconds,
        peers: options.peers.clone(),
        counts: !options.no_counts,
    };
    let results = run::all(&cases, &plan, &places)?;

    let failed = |what: &PathBuf, error: std::io::Error| format!("{}: {error}", what.display());
    fs::create_dir_all(&options.out).map_err(|error| failed(&options.out, error))?;
    let file = options.out.join("results.json");
    let json = serde_json::to_string_pretty(&results).map_err(|error| error.to_string())?;
    fs::write(&file, json + "\n").map_err(|error| failed(&file, error))?;
    let drawing = plot::draw(&results)?;
    let file = options.out.join("benchmark.svg");
    fs::write(&file, &drawing).map_err(|error| failed(&file, error))?;
    if let Some(file) = options
        .svg
        .as_ref()
        .filter(|_| options.scenario.is_empty() && options.peers.is_empty())
    {
        fs::write(file, &drawing).map_err(|error| failed(file, error))?;
    }
    print!("{}", table::ending(&results));
    Ok(results.bounds.iter().all(|bound| bound.met)
        && results.budgets.iter().all(|outlay| outlay.met))
}
