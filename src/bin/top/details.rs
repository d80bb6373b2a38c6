//! The lines about a pool.

use super::pools::{Pool, Running, State};
use crate::managers::report::Report;
use crate::managers::text::{age, duration, percent, quantile, rate};
use crate::terminal::line::Line;
use crate::terminal::style::Style;

/// One line for it, in a list of several.
pub(super) fn summary(number: usize, pool: &Pool) -> Line {
    let mut line = Line::default();
    line.cell(Style::Plain, &number.to_string(), 2, true);
    line.push(Style::Plain, " ");
    line.cell(Style::Bold, &pool.name, 18, false);
    line.push(Style::Plain, " ");
    match &pool.state {
        State::Ended(reason) => line.push(Style::Bad, &format!("ended: {reason}")),
        State::Runs(running) => {
            let report = &running.report;
            let (style, state) = state(running);
            line.cell(style, state, 9, false);
            let high = running.rates.quantile(0.99);
            let rest = format!(
                " busy {}/{}  queue {}  {}/s  p99 {}",
                report.busy,
                report.max,
                queue(report),
                rate(running.rates.requests_per_second),
                high.map_or_else(|| "-".to_owned(), quantile),
            );
            line.push(Style::Plain, &rest);
        }
    }
    line
}

/// All that is known.
pub(super) fn of(pool: &Pool) -> Vec<Line> {
    let running = match &pool.state {
        State::Ended(reason) => {
            let ended = Line::of(Style::Bold, &pool.name).with(Style::Bad, "  ended");
            return vec![ended, Line::of(Style::Plain, reason)];
        }
        State::Runs(running) => running,
    };
    let report = &running.report;
    let (style, word) = state(running);
    let pm = if report.pm.is_empty() {
        "static"
    } else {
        &report.pm
    };
    let title = Line::of(Style::Bold, &pool.name)
        .with(Style::Plain, "  ")
        .with(style, word)
        .with(
            Style::Plain,
            &format!(
                "  manager {}  version {}  up {}  pm {pm}",
                report.manager,
                report.version,
                age(report.uptime)
            ),
        );
    let workers = format!(
        "workers   {} busy, {} idle, {} wanted, {} max; {} starting, {} retiring; queue ",
        report.busy, report.idle, report.wanted, report.max, report.starting, report.retiring,
    );
    let waits = report.listen_queue.is_some_and(|waiting| waiting > 0);
    let queue_style = if waits { Style::Warning } else { Style::Plain };
    let workers = Line::of(Style::Plain, &workers).with(queue_style, &queue(report));
    let mut lines = vec![title, workers, served(running), exits(running)];
    lines.extend(reload(report));
    lines
}

/// One word for what the pool does.
pub(super) fn state(running: &Running) -> (Style, &'static str) {
    let report = &running.report;
    match (report.stopping, report.draining) {
        (true, _) => (Style::Warning, "stopping"),
        (false, true) => (Style::Warning, "draining"),
        (false, false) if report.reload.state == "running" => (Style::Warning, "reloading"),
        (false, false) if running.readiness.is_ok() => (Style::Good, "ready"),
        (false, false) => (Style::Bad, "not ready"),
    }
}

fn queue(report: &Report) -> String {
    let waiting = report.listen_queue;
    waiting.map_or_else(|| "?".to_owned(), |waiting| waiting.to_string())
}

fn served(running: &Running) -> Line {
    let rates = &running.rates;
    let bound = |share| {
        let found = rates.quantile(share);
        found.map_or_else(|| "-".to_owned(), quantile)
    };
    let failed = rates.share_of("5xx");
    let text = format!(
        "requests  {}/s; mean {}, p50 {}, p99 {}; 5xx ",
        rate(rates.requests_per_second),
        rates.mean().map_or_else(|| "-".to_owned(), duration),
        bound(0.5),
        bound(0.99),
    );
    let style = match failed {
        Some(share) if share > 0.0 => Style::Bad,
        _ => Style::Plain,
    };
    Line::of(Style::Plain, &text)
        .with(style, &failed.map_or_else(|| "-".to_owned(), percent))
        .with(
            Style::Plain,
            &format!("; {} in total", report_total(running)),
        )
}

fn report_total(running: &Running) -> u64 {
    running.report.requests
}

/// How many workers exited by which cause, and how many of these since the last reading.
fn exits(running: &Running) -> Line {
    let mut line = Line::of(Style::Plain, "exits    ");
    let new = running.rates.exits();
    let mut is_first = true;
    for (cause, count) in running.report.exits.by_cause() {
        if count == 0 {
            continue;
        }
        line.push(Style::Plain, if is_first { " " } else { ", " });
        is_first = false;
        let style = if cause == "retired" {
            Style::Plain
        } else {
            Style::Warning
        };
        line.push(style, &format!("{count} {cause}"));
        let recent = new.iter().find(|(name, _)| *name == cause);
        if let Some((_, recent)) = recent.filter(|(_, recent)| *recent > 0) {
            line.push(Style::Bold, &format!(" (+{recent})"));
        }
    }
    if is_first {
        line.push(Style::Plain, " none");
    }
    line
}

fn reload(report: &Report) -> Option<Line> {
    let reload = &report.reload;
    let since = reload.age?;
    let style = match reload.state {
        "failed" => Style::Bad,
        "running" => Style::Warning,
        _ => Style::Plain,
    };
    let mut line = Line::of(Style::Plain, "reload    ");
    line.push(style, &format!("{} {} ago", reload.state, age(since)));
    if !reload.message.is_empty() {
        line.push(Style::Plain, &format!(": {}", reload.message));
    }
    Some(line)
}
