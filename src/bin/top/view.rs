//! What is shown of the pools, and what keys change of it.

use std::time::{Duration, Instant};

use super::action::{Action, Outcome};
use super::columns::{Column, Order};
use super::pools::{Pool, Running};
use crate::terminal::keys::Key;
use crate::terminal::style::Style;

/// The state of the display.
#[derive(Debug)]
pub(super) struct View {
    pub(super) pools: Vec<Pool>,
    /// When they were read.
    pub(super) read_at: Instant,
    pub(super) interval: Duration,
    /// The name of the pool whose workers are shown.
    pub(super) pool: String,
    pub(super) order: Order,
    /// The pid of the selected worker.
    pub(super) worker: Option<i32>,
    /// The first worker on the screen.
    pub(super) first: usize,
    /// How many workers the screen has room for.
    pub(super) room: usize,
    pub(super) is_paused: bool,
    pub(super) mode: Mode,
    /// The actions that run.
    pub(super) running: Vec<Action>,
    pub(super) message: Option<(Style, String)>,
}

/// What keys are for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Table,
    Help,
    /// The filter is typed.
    Filter,
    /// A question, before this is done.
    Ask(String, Action),
    /// The output of an action, from a line on.
    Output(String, Vec<String>, usize),
}

/// What a key asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    None,
    Quit,
    /// Gives the terminal to the shell.
    Suspend,
    /// Draws all of it.
    Redraw,
    Run(Action),
}

/// How many actions run at a time.
const ACTIONS_MAX: usize = 8;
/// A message that fits any screen.
const LINE_MAX: usize = 78;
/// The maximum length of a filter.
const FILTER_MAX: usize = 64;

impl View {
    pub(super) fn new(interval: Duration) -> Self {
        Self {
            pools: Vec::new(),
            read_at: Instant::now(),
            interval,
            pool: String::new(),
            order: Order::default(),
            worker: None,
            first: 0,
            room: 1,
            is_paused: false,
            mode: Mode::Table,
            running: Vec::new(),
            message: None,
        }
    }

    pub(super) fn read(&mut self, pools: Vec<Pool>) {
        self.pools = pools;
        self.read_at = Instant::now();
    }

    /// The place of the selected pool, or of the first one.
    pub(super) fn place(&self) -> usize {
        let place = self.pools.iter().position(|pool| pool.name == self.pool);
        place.unwrap_or(0)
    }

    pub(super) fn selected(&self) -> Option<&Pool> {
        self.pools.get(self.place())
    }

    fn selected_running(&self) -> Option<&Running> {
        self.selected()?.running()
    }

    pub(super) fn press(&mut self, key: Key) -> Effect {
        match key {
            Key::Control('c') => return Effect::Quit,
            Key::Control('z') => return Effect::Suspend,
            Key::Control('l') => return Effect::Redraw,
            _ => {}
        }
        match std::mem::replace(&mut self.mode, Mode::Table) {
            Mode::Table => return self.press_in_table(key),
            Mode::Help => {
                if key == Key::Char('q') {
                    return Effect::Quit;
                }
            }
            Mode::Filter => self.press_in_filter(key),
            Mode::Ask(_, action) => {
                if matches!(key, Key::Char('y' | 'Y')) {
                    return self.begin(action);
                }
                self.message = Some((Style::Plain, "nothing was done".to_owned()));
            }
            Mode::Output(title, lines, first) => {
                let page = self.room.max(1);
                let first = match key {
                    Key::Escape | Key::Enter | Key::Char('q' | 'b') => return Effect::None,
                    Key::Up | Key::Char('k') => first.saturating_sub(1),
                    Key::Down | Key::Char('j') => first + 1,
                    Key::PageUp => first.saturating_sub(page),
                    Key::PageDown | Key::Char(' ') => first + page,
                    Key::Home => 0,
                    Key::End => lines.len(),
                    _ => first,
                };
                let first = first.min(lines.len().saturating_sub(1));
                self.mode = Mode::Output(title, lines, first);
            }
        }
        Effect::None
    }

    fn press_in_table(&mut self, key: Key) -> Effect {
        self.message = None;
        match key {
            Key::Char('q') => return Effect::Quit,
            Key::Char('?' | 'h') => self.mode = Mode::Help,
            Key::Char('/') => self.mode = Mode::Filter,
            Key::Escape => self.order.filter.clear(),
            Key::Char(' ') => self.is_paused = !self.is_paused,
            Key::Tab => self.select_pool(self.place() + 1),
            Key::BackTab => self.select_pool(self.place() + self.pools.len().saturating_sub(1)),
            Key::Char(digit @ '1'..='9') => {
                let place = digit.to_digit(10).unwrap_or(1) as usize - 1;
                if place < self.pools.len() {
                    self.select_pool(place);
                }
            }
            Key::Char('<') => self.order.shift(false),
            Key::Char('>') => self.order.shift(true),
            Key::Char('i') => self.order.is_reversed = !self.order.is_reversed,
            Key::Up | Key::Char('k') => self.move_by(-1),
            Key::Down | Key::Char('j') => self.move_by(1),
            Key::PageUp => self.move_by(-(self.room as isize)),
            Key::PageDown => self.move_by(self.room as isize),
            Key::Home => self.move_by(isize::MIN),
            Key::End => self.move_by(isize::MAX),
            Key::Char('r') => self.ask_for_reload(false),
            Key::Char('R') => self.ask_for_reload(true),
            Key::Char('+') => self.ask_for_size(1),
            Key::Char('-') => self.ask_for_size(-1),
            Key::Char('b') => return self.backtrace(),
            Key::Char(letter) => {
                if let Some(column) = Column::of_key(letter) {
                    self.order.is_reversed = self.order.column == column && !self.order.is_reversed;
                    self.order.column = column;
                }
            }
            Key::Enter | Key::Backspace | Key::Control(_) => {}
        }
        Effect::None
    }

    fn press_in_filter(&mut self, key: Key) {
        self.mode = Mode::Filter;
        let filter = &mut self.order.filter;
        match key {
            Key::Enter => self.mode = Mode::Table,
            Key::Escape => {
                filter.clear();
                self.mode = Mode::Table;
            }
            Key::Backspace => drop(filter.pop()),
            Key::Control('u') => filter.clear(),
            Key::Char(letter) if filter.len() < FILTER_MAX => filter.extend(letter.to_lowercase()),
            _ => {}
        }
    }

    fn select_pool(&mut self, place: usize) {
        let place = place.checked_rem(self.pools.len()).unwrap_or(0);
        if let Some(pool) = self.pools.get(place) {
            self.pool = pool.name.clone();
            self.worker = None;
            self.first = 0;
        }
    }

    /// Selects another worker, in the order of the table.
    fn move_by(&mut self, step: isize) {
        let Some(running) = self.selected_running() else {
            return;
        };
        let workers = self.order.workers(running);
        let now = self
            .worker
            .and_then(|pid| workers.iter().position(|worker| worker.pid == pid));
        // The first key selects the first one on the screen.
        let place = match now {
            None if step.unsigned_abs() == 1 => self.first,
            None => 0_usize.saturating_add_signed(step),
            Some(place) => place.saturating_add_signed(step),
        };
        let last = workers.len().saturating_sub(1);
        self.worker = workers.get(place.min(last)).map(|worker| worker.pid);
    }

    fn refuse(&mut self, reason: &str) {
        self.message = Some((Style::Bad, reason.to_owned()));
    }

    fn ask_for_reload(&mut self, program: bool) {
        let Some(manager) = self.manager() else {
            return;
        };
        let what = if program {
            "Start the program again and reload"
        } else {
            "Reload"
        };
        let question = format!("{what} {} (manager {manager})?", self.pool_shown());
        self.mode = Mode::Ask(question, Action::Reload { manager, program });
    }

    fn ask_for_size(&mut self, step: i64) {
        let Some(manager) = self.manager() else {
            return;
        };
        let now = self.selected_running().map_or(0, |r| r.report.max);
        let Some(to) = now.checked_add_signed(step).filter(|to| *to > 0) else {
            self.refuse("a pool has at least one worker");
            return;
        };
        let word = if step > 0 { "Grow" } else { "Shrink" };
        let question = format!(
            "{word} {} (manager {manager}) from {now} to {to} workers?",
            self.pool_shown()
        );
        self.mode = Mode::Ask(question, Action::Resize { manager, to });
    }

    fn backtrace(&mut self) -> Effect {
        match self.worker {
            Some(worker) => self.begin(Action::Backtrace { worker }),
            None => {
                self.refuse("select a worker first, with the arrow keys");
                Effect::None
            }
        }
    }

    fn pool_shown(&self) -> &str {
        self.selected().map_or("", |pool| &pool.name)
    }

    /// The pid of the manager of the selected pool.
    fn manager(&mut self) -> Option<i32> {
        let manager = self.selected_running().map(|r| r.report.manager);
        if manager.is_none() {
            self.refuse("this pool has ended");
        }
        manager
    }

    fn begin(&mut self, action: Action) -> Effect {
        if self.running.len() >= ACTIONS_MAX || self.running.contains(&action) {
            let reason = format!("not started, others are still running: {}", action.shown());
            self.refuse(&reason);
            return Effect::None;
        }
        self.running.push(action.clone());
        Effect::Run(action)
    }

    /// An action has ended. What is more than a line gets the screen.
    pub(super) fn done(&mut self, outcome: Outcome) {
        let Outcome {
            action,
            is_success,
            lines,
        } = outcome;
        if let Some(place) = self.running.iter().position(|one| *one == action) {
            self.running.remove(place);
        }
        let style = if is_success { Style::Good } else { Style::Bad };
        let text = match (lines.first(), is_success) {
            (Some(line), true) => format!("{}: {line}", action.shown()),
            (Some(line), false) => line.clone(),
            (None, true) => format!("{}: done", action.shown()),
            (None, false) => format!("{}: failed", action.shown()),
        };
        // Where it may be cut, it gets the screen, too.
        let is_long = lines.len() > 1 || text.len() > LINE_MAX;
        self.message = Some((style, text));
        let is_shown = is_success && matches!(action, Action::Backtrace { .. });
        if (is_shown || is_long) && self.mode == Mode::Table {
            self.mode = Mode::Output(action.shown(), lines, 0);
        }
    }
}
