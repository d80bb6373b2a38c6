//! What keys do to a pool: they run other subcommands.

use std::process::Stdio;

use tokio::process::Command;

/// A subcommand to run for a manager or a worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Reload { manager: i32, program: bool },
    Resize { manager: i32, to: u64 },
    Backtrace { worker: i32 },
}

/// What it printed.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) action: Action,
    pub(super) is_success: bool,
    pub(super) lines: Vec<String>,
}

/// More lines are not shown.
const LINES_MAX: usize = 2_000;

impl Action {
    /// As on the command line.
    pub(super) fn shown(&self) -> String {
        format!("fcgipm {}", self.arguments().join(" "))
    }

    fn arguments(&self) -> Vec<String> {
        let (name, pid, more) = match self {
            Self::Reload { manager, program } => {
                ("reload", manager, program.then(|| "--program".to_owned()))
            }
            Self::Resize { manager, to } => ("resize", manager, Some(to.to_string())),
            Self::Backtrace { worker } => ("backtrace", worker, None),
        };
        let words = [name.to_owned(), pid.to_string()];
        words.into_iter().chain(more).collect()
    }

    /// Runs it to its end. It ends with this process.
    pub(super) async fn run(self) -> Outcome {
        // The same command, even if its file was replaced.
        let output = Command::new("/proc/self/exe")
            .arg0("fcgipm")
            .args(self.arguments())
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output()
            .await;
        let (is_success, lines) = match output {
            Ok(output) => {
                let both = [output.stdout, output.stderr].concat();
                let text = String::from_utf8_lossy(&both).replace('\t', "    ");
                let lines = text.lines().take(LINES_MAX).map(str::to_owned);
                (output.status.success(), lines.collect())
            }
            Err(error) => (false, vec![format!("cannot run {}: {error}", self.shown())]),
        };
        Outcome {
            action: self,
            is_success,
            lines,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn actions_are_subcommands() {
        let shown = |action: Action| action.shown();
        let (manager, worker) = (7, 8);
        let program = true;
        assert_eq!(
            shown(Action::Reload { manager, program }),
            "fcgipm reload 7 --program"
        );
        assert_eq!(
            shown(Action::Resize { manager, to: 3 }),
            "fcgipm resize 7 3"
        );
        assert_eq!(shown(Action::Backtrace { worker }), "fcgipm backtrace 8");
    }
}
