//! The report as text.

use std::fmt::Write as _;

use crate::managers::report::{ExitReport, Report};

/// Some lines about the pool, and a row for each worker.
pub(super) fn of(report: &Report) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = pool(report, &mut out);
    out.push('\n');
    rows(report, &mut out);
    out
}

fn pool(report: &Report, out: &mut String) -> std::fmt::Result {
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
        "manager   pid {}, version {}, up {}, pm {pm}{end}",
        report.manager,
        report.version,
        age(report.uptime)
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
    if let Some(since) = reload.age {
        write!(out, "; the last: {} {} ago", reload.state, age(since))?;
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

fn rows(report: &Report, out: &mut String) {
    let head = [
        "PID",
        "STATE",
        "FOR",
        "AGE",
        "REQUESTS",
        "LAST EXIT OF SLOT",
        "REQUEST",
    ];
    let mut rows = vec![head.map(str::to_owned)];
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
            worker
                .last_exit
                .as_ref()
                .map_or_else(|| "-".to_owned(), exit),
            request,
        ]);
    }
    let mut widths = [0; 7];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    for row in &rows {
        let cells = row.iter().zip(widths);
        let line = cells.fold(String::new(), |line, (cell, width)| {
            format!("{line}{cell:<width$}  ")
        });
        out.push_str(line.trim_end());
        out.push('\n');
    }
}

fn exit(exit: &ExitReport) -> String {
    format!("pid {}, {}, {} ago", exit.pid, exit.text, age(exit.age))
}

/// An age in at most two units.
fn age(seconds: f64) -> String {
    let whole = seconds as u64;
    match whole {
        0..10 => format!("{seconds:.1}s"),
        10..60 => format!("{whole}s"),
        60..3_600 => format!("{}m{:02}s", whole / 60, whole % 60),
        3_600..86_400 => format!("{}h{:02}m", whole / 3_600, whole / 60 % 60),
        86_400.. => format!("{}d{:02}h", whole / 86_400, whole / 3_600 % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::age;

    #[test]
    fn ages_have_two_units_at_most() {
        let ages: Vec<_> = [0.04, 9.96, 59.9, 61.0, 3_661.0, 90_000.0]
            .map(age)
            .to_vec();
        assert_eq!(ages, ["0.0s", "10.0s", "59s", "1m01s", "1h01m", "1d01h"]);
    }
}
