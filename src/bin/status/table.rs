//! The report as text.

use std::fmt::Write as _;

use crate::managers::rates::{Rates, Sample};
use crate::managers::report::{ExitReport, Report};
use crate::managers::text::{age, bytes, duration, percent, quantile, rate};
use crate::terminal::style::{Palette, Style, of_state};

/// Some lines about the pool, and a row for each worker. Rates are those since the earlier sample, or
/// since the start.
pub(super) fn of(report: &Report, earlier: Option<&Sample>, palette: Palette) -> String {
    let mut out = String::new();
    let start = Sample::of_start(report);
    let rates = Sample::of(report).since(earlier.unwrap_or(&start));
    let period = match earlier {
        Some(_) => format!("in the last {}", age(rates.seconds)),
        None => "since the start".to_owned(),
    };
    // Writing to a string cannot fail.
    let _ = pool(report, palette, &mut out);
    let _ = served(report, &rates, &period, &mut out);
    out.push('\n');
    rows(report, &rates, palette, &mut out);
    out
}

fn pool(report: &Report, palette: Palette, out: &mut String) -> std::fmt::Result {
    let pm = if report.pm.is_empty() {
        "static"
    } else {
        &report.pm
    };
    let end = match (report.draining, report.stopping) {
        (true, _) => ", draining",
        (false, true) => ", stopping",
        (false, false) => "",
    };
    writeln!(
        out,
        "manager   pid {}, version {}, up {}, pm {pm}{}",
        report.manager,
        report.version,
        age(report.uptime),
        palette.paint(Style::Warning, end)
    )?;
    writeln!(
        out,
        "workers   {} wanted, {} ready ({} idle, {} busy), {} starting, {} retiring",
        report.wanted, report.ready, report.idle, report.busy, report.starting, report.retiring
    )?;
    for file in &report.files {
        let replaced = if file.replaced {
            ", replaced on disk"
        } else {
            ""
        };
        let replaced = palette.paint(Style::Warning, replaced);
        writeln!(out, "file      {}{replaced}", file.path)?;
    }
    for listener in &report.listeners {
        let waiting = listener.waiting.map_or_else(
            || "listen queue unknown".to_owned(),
            |waiting| format!("{waiting} in the listen queue"),
        );
        writeln!(out, "listener  {}, {waiting}", listener.address)?;
    }
    let reload = &report.reload;
    write!(
        out,
        "reloads   {} done, {} failed",
        reload.done, reload.failed
    )?;
    let style = match reload.state {
        "failed" => Style::Bad,
        "running" => Style::Warning,
        _ => Style::Plain,
    };
    if let Some(since) = reload.age {
        let last = format!("; the last: {} {} ago", reload.state, age(since));
        write!(out, "{}", palette.paint(style, &last))?;
    }
    if !reload.message.is_empty() {
        write!(out, ": {}", reload.message)?;
    }
    writeln!(
        out,
        "\nserved    {} requests; {} forks, {} exits, {} recycled",
        report.requests, report.forks, report.deaths, report.recycled
    )?;
    if report.disconnected > 0 || report.overloaded > 0 {
        writeln!(
            out,
            "not run   {} requests whose clients had disconnected; {} refused after max_queue_age",
            report.disconnected, report.overloaded
        )?;
    }
    if let Some(last) = &report.last_exit {
        writeln!(out, "last exit {}", exit(last))?;
    }
    Ok(())
}

/// How fast requests were served, as far as there were any.
fn served(report: &Report, rates: &Rates, period: &str, out: &mut String) -> std::fmt::Result {
    if report.requests == 0 {
        return Ok(());
    }
    write!(
        out,
        "rate      {} requests/s {period}",
        rate(rates.requests_per_second)
    )?;
    if let Some(failed) = rates.share_of("5xx") {
        write!(out, "; {} with status 5xx", percent(failed))?;
    }
    out.push('\n');
    let (Some(mean), Some(half), Some(most)) =
        (rates.mean(), rates.quantile(0.5), rates.quantile(0.99))
    else {
        return Ok(());
    };
    writeln!(
        out,
        "durations {} on average; 50% {}, 99% {}",
        duration(mean),
        quantile(half),
        quantile(most)
    )?;
    let mut highest = 0.0;
    let mut parts = Vec::new();
    for bucket in rates.buckets() {
        let bound = match bucket.le {
            Some(bound) => format!("<={}", duration(bound)),
            None => format!(">{}", duration(highest)),
        };
        highest = bucket.le.unwrap_or(highest);
        if bucket.count > 0 {
            parts.push(format!("{bound} {}", bucket.count));
        }
    }
    writeln!(out, "histogram {}", parts.join(", "))
}

const COLUMNS: [&str; 9] = [
    "PID",
    "STATE",
    "FOR",
    "AGE",
    "REQUESTS",
    "REQ/S",
    "MEMORY",
    "LAST EXIT OF SLOT",
    "REQUEST",
];
const STATE: usize = 1;

fn rows(report: &Report, rates: &Rates, palette: Palette, out: &mut String) {
    let mut rows = vec![COLUMNS.map(str::to_owned)];
    let unknown = || "?".to_owned();
    for worker in &report.workers {
        let request = match (&worker.method, &worker.uri) {
            (Some(method), Some(uri)) => format!("{method} {uri}"),
            _ => "-".to_owned(),
        };
        rows.push([
            worker.pid.to_string(),
            worker.state.to_owned(),
            worker.since.map_or_else(|| "-".to_owned(), age),
            age(worker.age),
            worker
                .requests
                .map_or_else(unknown, |count| count.to_string()),
            rates.requests_of(worker).map_or_else(unknown, rate),
            worker.memory.map_or_else(unknown, bytes),
            worker
                .last_exit
                .as_ref()
                .map_or_else(|| "-".to_owned(), exit),
            request,
        ]);
    }
    let mut widths = [0; COLUMNS.len()];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    for (number, row) in rows.iter().enumerate() {
        let cells = row.iter().zip(widths).enumerate();
        let line = cells.fold(String::new(), |line, (column, (cell, width))| {
            let style = match column {
                _ if number == 0 => Style::Bold,
                STATE => of_state(cell),
                _ => Style::Plain,
            };
            let is_last = column + 1 == COLUMNS.len();
            let gap = " ".repeat(if is_last {
                0
            } else {
                width - cell.chars().count() + 2
            });
            format!("{line}{}{gap}", palette.paint(style, cell))
        });
        out.push_str(&line);
        out.push('\n');
    }
}

fn exit(exit: &ExitReport) -> String {
    format!("pid {}, {}, {} ago", exit.pid, exit.text, age(exit.age))
}
