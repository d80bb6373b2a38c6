//! The lines of the screen.

use std::time::SystemTime;

use super::columns::{self, Column};
use super::details;
use super::view::{Mode, View};
use crate::managers::text::{age, utc};
use crate::terminal::line::Line;
use crate::terminal::style::Style;

const HELP: &[&str] = &[
    "up, down, j, k         select a worker      PgUp, PgDn, Home, End  scroll",
    "tab, shift-tab, 1-9    choose the pool      space  pause",
    "/  filter by pid, state, method or URI      Esc    show all workers again",
    "",
    "< >  sort by the column to the left or right      i  reverse the order",
    "P S F A Q N M C U  sort by pid, state, time in state, age of the request,",
    "     requests/s, requests, memory, CPU, request; again: reverse",
    "",
    "r    reload the pool                        R  reload --program",
    "+ -  one worker more or less                   Each asks first.",
    "b    backtrace of the selected worker",
    "",
    "q, Ctrl-C  quit      Ctrl-Z  suspend      Ctrl-L  draw the screen again",
    "",
    "Rates, durations and CPU% are those since the previous reading. FOR: time in",
    "this state. REQ AGE: how long the request runs. MEM: resident memory.",
    "Any key returns to the table.",
];

/// All of it. It also brings the selected worker onto the screen.
pub(super) fn lines(view: &mut View, (columns, rows): (usize, usize)) -> Vec<Line> {
    let mut lines = vec![title(view, columns)];
    let last = rows.saturating_sub(1);
    match &view.mode {
        Mode::Help => lines.extend(HELP.iter().map(|text| Line::of(Style::Plain, text))),
        Mode::Output(title, output, first) => {
            let shown = output.iter().skip(*first);
            lines.push(Line::of(Style::Bold, title));
            lines.extend(shown.flat_map(|text| Line::of(Style::Plain, text).wrapped(columns)));
            view.room = last.saturating_sub(2).max(1);
        }
        Mode::Table | Mode::Filter | Mode::Ask(..) => table(view, &mut lines, (columns, last)),
    }
    lines.truncate(last);
    lines.resize(last, Line::default());
    lines.push(bottom(view));
    lines
}

/// Every pool with all its workers, for a reader that is not a terminal.
pub(super) fn of_all(view: &View, columns: usize) -> Vec<Line> {
    let mut lines = vec![Line::of(Style::Plain, &heading(view))];
    for pool in &view.pools {
        lines.push(Line::default());
        lines.extend(details::of(pool));
        if let Some(running) = pool.running() {
            lines.push(columns::head(&view.order, columns));
            let workers = view.order.workers(running);
            let rows = workers
                .iter()
                .map(|worker| columns::row(worker, &running.rates, columns));
            lines.extend(rows);
        }
    }
    lines
}

fn heading(view: &View) -> String {
    let pools = match view.pools.len() {
        1 => "1 pool".to_owned(),
        more => format!("{more} pools"),
    };
    let every = view.interval.as_secs_f64();
    let time = utc(SystemTime::now());
    format!("fcgipm top  {pools}  every {every}s  {time}")
}

fn title(view: &View, columns: usize) -> Line {
    let mut text = heading(view);
    if view.is_paused {
        text.push_str("  PAUSED");
    }
    let late = view.read_at.elapsed();
    if view.is_paused || late > view.interval * 2 + std::time::Duration::from_secs(1) {
        text.push_str(&format!("  read {} ago", age(late.as_secs_f64())));
    }
    Line::of(Style::Plain, &text).bar(Style::Reverse, columns)
}

/// The pools, and the workers of the selected one.
fn table(view: &mut View, lines: &mut Vec<Line>, (columns, last): (usize, usize)) {
    let place = view.place();
    if view.pools.len() > 1 {
        let most = (last / 4).clamp(1, 10);
        let first = (place + 1).saturating_sub(most);
        let listed = view.pools.iter().enumerate().skip(first).take(most);
        lines.extend(listed.map(|(number, pool)| {
            let line = details::summary(number + 1, pool);
            if number == place {
                line.bar(Style::Reverse, columns)
            } else {
                line
            }
        }));
    }
    let Some(pool) = view.pools.get(place) else {
        lines.push(Line::of(Style::Plain, "reading ..."));
        return;
    };
    lines.extend(details::of(pool));
    let Some(running) = pool.running() else {
        return;
    };
    lines.push(columns::head(&view.order, columns));
    let workers = view.order.workers(running);
    view.room = last.saturating_sub(lines.len()).max(1);
    let selected = view
        .worker
        .and_then(|pid| workers.iter().position(|worker| worker.pid == pid));
    if let Some(selected) = selected {
        let lowest = (selected + 1).saturating_sub(view.room);
        view.first = view.first.clamp(lowest, selected.max(lowest));
    }
    let highest = workers.len().saturating_sub(view.room);
    view.first = view.first.min(highest);
    let shown = workers.iter().enumerate().skip(view.first).take(view.room);
    lines.extend(shown.map(|(place, worker)| {
        let row = columns::row(worker, &running.rates, columns);
        if Some(place) == selected {
            row.bar(Style::Reverse, columns)
        } else {
            row
        }
    }));
    if workers.is_empty() {
        let text = if view.order.filter.is_empty() {
            "no workers"
        } else {
            "no worker matches the filter"
        };
        lines.push(Line::of(Style::Plain, text));
    }
}

fn bottom(view: &View) -> Line {
    match &view.mode {
        Mode::Ask(question, _) => Line::of(Style::Bold, &format!("{question} y/N")),
        Mode::Filter => Line::of(Style::Bold, "filter: /")
            .with(Style::Plain, &view.order.filter)
            .with(Style::Reverse, " "),
        Mode::Help => Line::of(Style::Plain, "any key returns"),
        Mode::Output(..) => Line::of(Style::Plain, "Esc returns, arrow keys and PgDn scroll"),
        Mode::Table => match (&view.message, view.running.first()) {
            (Some((style, text)), _) => Line::of(*style, text),
            (None, Some(action)) => {
                Line::of(Style::Warning, &format!("running: {}", action.shown()))
            }
            (None, None) => hints(view),
        },
    }
}

fn hints(view: &View) -> Line {
    let mut line = Line::default();
    let all = view.selected().and_then(|pool| pool.running());
    if let Some(running) = all {
        let all = running.report.workers.len();
        let some = view.order.workers(running).len();
        let last = some.min(view.first + view.room);
        let filter = &view.order.filter;
        let text = if filter.is_empty() {
            format!("workers {}-{last} of {all}", some.min(view.first + 1))
        } else {
            format!("{some} of {all} workers match '{filter}'")
        };
        line.push(Style::Plain, &text);
        let order = if view.order.is_reversed {
            ", reversed"
        } else {
            ""
        };
        let column: Column = view.order.column;
        line.push(Style::Plain, &format!("; by {}{order}; ", column.title()));
    }
    line.push(Style::Plain, "? help, q quit");
    line
}
