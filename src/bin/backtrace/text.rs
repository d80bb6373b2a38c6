//! A backtrace as text for people.

use std::fmt::Write as _;
use std::io;

use super::report::{NativeFrame, Report, Thread};

impl Report {
    /// For people, in lines that fit 80 columns unless a name is longer.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        let _ = writeln!(text, "process {} ({}): {}", self.pid, self.name, self.state);
        if let Some(worker) = &self.worker {
            let _ = writeln!(
                text,
                "worker of manager {}: {}",
                worker.manager, worker.state
            );
            if let Some(age) = worker.age {
                let method = worker.method.as_deref().unwrap_or("?");
                let uri = worker.uri.as_deref().unwrap_or("?");
                let _ = write!(text, "request: {method} {uri}, for {age:.3} s");
                for (name, id) in [("request", &worker.request_id), ("trace", &worker.trace_id)] {
                    if let Some(id) = id {
                        let _ = write!(text, ", {name} id {id}");
                    }
                }
                text.push('\n');
            }
        }
        if self.request_ended {
            text.push_str("That request ended meanwhile: what follows may be of another one.\n");
        }
        if let Some(frames) = &self.perl {
            text.push_str("Perl:\n");
            for frame in frames {
                let _ = writeln!(
                    text,
                    "  {} at {} line {}",
                    frame.sub, frame.file, frame.line
                );
            }
        }
        for thread in &self.threads {
            thread.write(&mut text, self.threads.len() == 1);
        }
        if self.threads_omitted > 0 {
            let _ = writeln!(text, "{} more threads are not shown", self.threads_omitted);
        }
        for note in &self.notes {
            let _ = writeln!(text, "note: {note}");
        }
        text
    }
}

impl Thread {
    fn write(&self, text: &mut String, is_only: bool) {
        if is_only {
            text.push_str("Thread: ");
        } else {
            let _ = write!(text, "Thread {} ({}): ", self.tid, self.name);
        }
        text.push_str(self.state);
        if let Some(call) = &self.system_call {
            let _ = write!(text, " in {call}");
        }
        if let Some(channel) = &self.wait_channel {
            let _ = write!(text, ", kernel function {channel}");
        }
        text.push('\n');
        for frame in &self.native {
            let _ = writeln!(text, "  {}", frame.text());
        }
        if !self.kernel.is_empty() {
            text.push_str("  Kernel:\n");
            for line in &self.kernel {
                let _ = writeln!(text, "    {line}");
            }
        }
    }
}

impl NativeFrame {
    pub(super) fn text(&self) -> String {
        let mut text = match &self.function {
            Some(function) => function.clone(),
            None => format!("{:#x}", self.address),
        };
        match (&self.file, self.line) {
            (Some(file), Some(line)) => {
                let _ = write!(text, " at {file} line {line}");
            }
            _ if !self.image.is_empty() => {
                let _ = write!(text, " in {}", self.image);
            }
            _ => {}
        }
        text
    }
}

/// Why a process cannot be read, and what would permit it.
pub(super) fn refused(pid: i32, error: &io::Error) -> String {
    format!(
        "no stacks: process {pid} may not be inspected: {error}. Permitted are the user of the process \
         (unless it has changed its user or made itself undumpable), and root with the capability \
         SYS_PTRACE"
    )
}
