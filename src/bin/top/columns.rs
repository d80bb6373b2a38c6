//! The columns of the table of workers: what they show, and how they are sorted.

use std::cmp::Ordering;

use super::pools::Running;
use crate::managers::rates::Rates;
use crate::managers::report::WorkerReport;
use crate::managers::text::{age, bytes, rate};
use crate::terminal::line::Line;
use crate::terminal::style::{Style, of_state};

/// A column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Column {
    Pid,
    State,
    For,
    Age,
    Rate,
    Requests,
    Memory,
    Cpu,
    Request,
}

impl Column {
    pub(super) const ALL: [Self; 9] = [
        Self::Pid,
        Self::State,
        Self::For,
        Self::Age,
        Self::Rate,
        Self::Requests,
        Self::Memory,
        Self::Cpu,
        Self::Request,
    ];

    /// The key that sorts by it.
    pub(super) fn of_key(key: char) -> Option<Self> {
        Self::ALL.into_iter().find(|column| column.key() == key)
    }

    pub(super) const fn key(self) -> char {
        match self {
            Self::Pid => 'P',
            Self::State => 'S',
            Self::For => 'F',
            Self::Age => 'A',
            Self::Rate => 'Q',
            Self::Requests => 'N',
            Self::Memory => 'M',
            Self::Cpu => 'C',
            Self::Request => 'U',
        }
    }

    pub(super) const fn title(self) -> &'static str {
        match self {
            Self::Pid => "PID",
            Self::State => "STATE",
            Self::For => "FOR",
            Self::Age => "REQ AGE",
            Self::Rate => "REQ/S",
            Self::Requests => "REQUESTS",
            Self::Memory => "MEM",
            Self::Cpu => "CPU%",
            Self::Request => "REQUEST",
        }
    }

    /// Its cells; of the last one, all that are left.
    const fn width(self) -> usize {
        match self {
            Self::Pid => 8,
            Self::State => 9,
            Self::For | Self::Age => 7,
            Self::Rate | Self::Memory => 5,
            Self::Requests => 8,
            Self::Cpu => 4,
            Self::Request => usize::MAX,
        }
    }

    const fn is_number(self) -> bool {
        !matches!(self, Self::State | Self::Request)
    }

    /// Whether the highest come first, unless it is reversed.
    pub(super) const fn is_descending(self) -> bool {
        !matches!(self, Self::Pid | Self::State | Self::Request)
    }

    fn text(self, worker: &WorkerReport, rates: &Rates) -> String {
        let unknown = || "?".to_owned();
        let none = || "-".to_owned();
        match self {
            Self::Pid => worker.pid.to_string(),
            Self::State => worker.state.to_owned(),
            Self::For => worker.since.map_or_else(none, age),
            Self::Age => worker.request_age.map_or_else(none, age),
            Self::Rate => rates.requests_of(worker).map_or_else(unknown, rate),
            Self::Requests => worker.requests.map_or_else(unknown, |n| n.to_string()),
            Self::Memory => worker.memory.map_or_else(unknown, bytes),
            Self::Cpu => rates
                .cpu_of(worker)
                .map_or_else(unknown, |share| format!("{:.0}", share * 100.0)),
            Self::Request => match (&worker.method, &worker.uri) {
                (Some(method), Some(uri)) => format!("{method} {uri}"),
                _ => none(),
            },
        }
    }

    fn compare(self, one: &WorkerReport, other: &WorkerReport, rates: &Rates) -> Ordering {
        let number = |value: &dyn Fn(&WorkerReport) -> Option<f64>| {
            let [one, other] = [one, other].map(|worker| value(worker).unwrap_or(-1.0));
            one.total_cmp(&other)
        };
        match self {
            Self::Pid => one.pid.cmp(&other.pid),
            Self::State => one.state.cmp(other.state),
            Self::For => number(&|worker| worker.since),
            Self::Age => number(&|worker| worker.request_age),
            Self::Rate => number(&|worker| rates.requests_of(worker)),
            Self::Requests => one.requests.cmp(&other.requests),
            Self::Memory => one.memory.cmp(&other.memory),
            Self::Cpu => number(&|worker| rates.cpu_of(worker)),
            Self::Request => (&one.method, &one.uri).cmp(&(&other.method, &other.uri)),
        }
    }
}

/// Which workers are shown, and in which order.
#[derive(Clone, Debug)]
pub(super) struct Order {
    pub(super) column: Column,
    pub(super) is_reversed: bool,
    /// In lower case; empty: all.
    pub(super) filter: String,
}

impl Default for Order {
    /// The oldest requests come first.
    fn default() -> Self {
        Self {
            column: Column::Age,
            is_reversed: false,
            filter: String::new(),
        }
    }
}

impl Order {
    pub(super) fn workers<'r>(&self, running: &'r Running) -> Vec<&'r WorkerReport> {
        let all = running.report.workers.iter();
        let mut workers: Vec<_> = all.filter(|worker| self.has(worker)).collect();
        let is_descending = self.column.is_descending() != self.is_reversed;
        workers.sort_by(|one, other| {
            let order = self.column.compare(one, other, &running.rates);
            let order = if is_descending {
                order.reverse()
            } else {
                order
            };
            order.then(one.pid.cmp(&other.pid))
        });
        workers
    }

    fn has(&self, worker: &WorkerReport) -> bool {
        let has = |text: &str| text.to_lowercase().contains(&self.filter);
        let texts = [worker.method.as_deref(), worker.uri.as_deref()];
        self.filter.is_empty()
            || has(&worker.pid.to_string())
            || has(worker.state)
            || texts.into_iter().flatten().any(has)
    }

    /// The next column to the right, or to the left.
    pub(super) fn shift(&mut self, to_right: bool) {
        let all = Column::ALL;
        let place = all.iter().position(|column| *column == self.column);
        let step = if to_right { 1 } else { all.len() - 1 };
        self.column = all[(place.unwrap_or(0) + step) % all.len()];
        self.is_reversed = false;
    }
}

/// The titles. The column that the workers are sorted by is marked.
pub(super) fn head(order: &Order, columns: usize) -> Line {
    row_of(columns, |column| {
        let is_descending = column.is_descending() != order.is_reversed;
        let title = match (column == order.column, is_descending) {
            (false, _) => column.title().to_owned(),
            (true, true) => format!("{}v", column.title()),
            (true, false) => format!("{}^", column.title()),
        };
        (Style::Bold, title)
    })
    .bar(Style::Bold, columns)
}

pub(super) fn row(worker: &WorkerReport, rates: &Rates, columns: usize) -> Line {
    row_of(columns, |column| {
        let style = match column {
            Column::State => of_state(worker.state),
            _ => Style::Plain,
        };
        (style, column.text(worker, rates))
    })
}

fn row_of(columns: usize, cell: impl Fn(Column) -> (Style, String)) -> Line {
    let mut line = Line::default();
    let mut left = columns;
    for column in Column::ALL {
        let (style, text) = cell(column);
        let width = column.width().min(left);
        line.cell(style, &text, width, column.is_number());
        line.push(Style::Plain, " ");
        left = left.saturating_sub(width + 1);
    }
    line
}
