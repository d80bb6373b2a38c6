//! The loop of the display. It waits for keys, signals, readings, actions and the terminal, and for none
//! of them alone: reading /proc and writing to the terminal are done by other threads.

use std::io;
use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::action::Outcome;
use super::frame;
use super::pools::{Pool, Source};
use super::suspend;
use super::view::{Effect, View};
use crate::terminal::keys::{Key, Keys};
use crate::terminal::screen::{self, Screen};
use crate::terminal::size;
use crate::terminal::style::Palette;

/// The time after which ESC is a key, and not the begin of another one.
const ESCAPE: Duration = Duration::from_millis(50);
/// How long the terminal may take to show the last output.
const LEAVE: Duration = Duration::from_secs(1);

struct Live {
    view: View,
    screen: Screen,
    keys: Keys,
    /// Where actions report.
    outcomes: mpsc::UnboundedSender<Outcome>,
    is_due: bool,
    writing: Option<JoinHandle<io::Result<()>>>,
}

enum Next {
    Goes,
    Ends,
}

/// Shows the pools until a key or a signal ends it.
pub(super) async fn run(source: Source, view: View, palette: Palette) -> Result<(), String> {
    let failed = |error: io::Error| format!("terminal: {error}");
    let mut signals = Signals::new().map_err(|error| format!("signals: {error}"))?;
    let (outcomes, results) = mpsc::unbounded_channel();
    let mut live = Live {
        view,
        screen: Screen::enter(palette).map_err(failed)?,
        keys: Keys::default(),
        outcomes,
        is_due: true,
        writing: None,
    };
    let result = live.run(source, results, &mut signals).await;
    screen::leave_within(LEAVE);
    result
}

impl Live {
    async fn run(
        &mut self,
        source: Source,
        mut results: mpsc::UnboundedReceiver<Outcome>,
        signals: &mut Signals,
    ) -> Result<(), String> {
        let mut input = tokio::io::stdin();
        let mut bytes = [0; 1_024];
        let mut idle = Some(source);
        let mut reading: Option<JoinHandle<(Source, Vec<Pool>)>> = None;
        let mut ticks = interval(self.view.interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            self.draw();
            tokio::select! {
                length = input.read(&mut bytes) => {
                    let length = length.map_err(|error| format!("standard input: {error}"))?;
                    if length == 0 {
                        return Ok(());
                    }
                    let read = bytes.get(..length).unwrap_or_default();
                    for key in self.keys.push(read) {
                        if matches!(self.press(key)?, Next::Ends) {
                            return Ok(());
                        }
                    }
                }
                () = sleep(ESCAPE), if self.keys.is_incomplete() => {
                    if let Some(key) = self.keys.give_up() {
                        self.press(key)?;
                    }
                }
                _ = ticks.tick(), if !self.view.is_paused => {
                    // One that takes long is waited for, and the title shows its age.
                    if let Some(mut source) = idle.take() {
                        reading = Some(spawn_blocking(move || {
                            let pools = source.read();
                            (source, pools)
                        }));
                    }
                    self.is_due = true;
                }
                read = end_of(&mut reading) => {
                    let (source, pools) = read.map_err(|error| format!("reading: {error}"))?;
                    idle = Some(source);
                    self.view.read(pools);
                    self.is_due = true;
                }
                Some(outcome) = results.recv() => {
                    self.view.done(outcome);
                    self.is_due = true;
                }
                written = end_of(&mut self.writing) => {
                    written
                        .map_err(io::Error::from)
                        .and_then(|written| written)
                        .map_err(|error| format!("standard output: {error}"))?;
                }
                _ = signals.size.recv() => self.is_due = true,
                _ = signals.continued.recv() => self.again()?,
                _ = signals.stop.recv() => {
                    self.suspend().await?;
                    ticks.reset_immediately();
                }
                () = signals.end.any() => return Ok(()),
            }
        }
    }

    /// Draws what changed, if the terminal has taken what was drawn before.
    fn draw(&mut self) {
        if !self.is_due || self.writing.is_some() {
            return;
        }
        self.is_due = false;
        let size = size::of_stdout();
        let lines = frame::lines(&mut self.view, size);
        let text = self.screen.change(&lines, size);
        if !text.is_empty() {
            self.writing = Some(spawn_blocking(move || screen::write(&text)));
        }
    }

    fn press(&mut self, key: Key) -> Result<Next, String> {
        self.is_due = true;
        match self.view.press(key) {
            Effect::None => {}
            Effect::Quit => return Ok(Next::Ends),
            Effect::Suspend if suspend::is_possible() => suspend::stop_group(),
            // No shell would continue it.
            Effect::Suspend => {}
            Effect::Redraw => self.again()?,
            Effect::Run(action) => {
                let outcomes = self.outcomes.clone();
                tokio::spawn(async move {
                    // Nobody receives it after the end.
                    let _ = outcomes.send(action.run().await);
                });
            }
        }
        Ok(Next::Goes)
    }

    /// The terminal may show something else.
    fn again(&mut self) -> Result<(), String> {
        self.is_due = true;
        let entered = self.screen.again();
        entered.map_err(|error| format!("terminal: {error}"))
    }

    async fn suspend(&mut self) -> Result<(), String> {
        if let Some(writing) = self.writing.take() {
            let _ = tokio::time::timeout(LEAVE, writing).await;
        }
        screen::leave_within(LEAVE);
        suspend::stop();
        self.again()
    }
}

/// Waits for the end of a task, if there is one, and takes it.
async fn end_of<T>(task: &mut Option<JoinHandle<T>>) -> Result<T, tokio::task::JoinError> {
    match task {
        Some(running) => {
            let result = running.await;
            *task = None;
            result
        }
        None => std::future::pending().await,
    }
}

struct Signals {
    end: Ends,
    stop: Signal,
    continued: Signal,
    size: Signal,
}

/// Those that end it.
struct Ends {
    interrupt: Signal,
    terminate: Signal,
    closed: Signal,
    quit: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            end: Ends {
                interrupt: signal(SignalKind::interrupt())?,
                terminate: signal(SignalKind::terminate())?,
                closed: signal(SignalKind::from_raw(nix::libc::SIGHUP))?,
                quit: signal(SignalKind::quit())?,
            },
            stop: signal(SignalKind::from_raw(nix::libc::SIGTSTP))?,
            continued: signal(SignalKind::from_raw(nix::libc::SIGCONT))?,
            size: signal(SignalKind::window_change())?,
        })
    }
}

impl Ends {
    async fn any(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = self.closed.recv() => {}
            _ = self.quit.recv() => {}
        }
    }
}
