//! A backtrace as text for people.

use std::fmt::Write as _;
use std::io;

use super::report::{NativeFrame, PerlFrame, Report, Thread};

/// Of each kind in one line.
const FRAMES_MAX: usize = 12;
/// The maximum length of that line.
const LINE_MAX: usize = 3_000;

impl Report {
    /// In one line, for a log. What is missing is another one.
    pub(super) fn line(&self) -> String {
        let mut text = String::new();
        let mut add = |name: &str, parts: Vec<String>| {
            if !parts.is_empty() {
                let shown = parts.len().min(FRAMES_MAX);
                let more = if shown < parts.len() { " <- ..." } else { "" };
                let _ = write!(text, "; {name}: {}{more}", parts[..shown].join(" <- "));
            }
        };
        let perl = self.perl.iter().flatten();
        add("Perl", perl.map(|frame| frame.text()).collect());
        if let Some(thread) = self.threads.first() {
            let native = thread.native.iter();
            add("native", native.map(NativeFrame::text).collect());
            // Without the others, it is the only trace.
            let kernel = thread.kernel.iter().filter(|_| thread.native.is_empty());
            add("kernel", kernel.cloned().collect());
        }
        let state = match self.threads.first() {
            Some(thread) => thread.state_text(),
            None => self.state.to_owned(),
        };
        let ended = match self.request_ended {
            true => "; its request ended meanwhile, and this may be of another one",
            false => "",
        };
        let mut line = format!("{state}{ended}{text}");
        if line.len() > LINE_MAX {
            let end = (0..=LINE_MAX).rfind(|end| line.is_char_boundary(*end));
            line.truncate(end.unwrap_or(0));
            line.push_str("...");
        }
        line.push('\n');
        if !self.notes.is_empty() {
            line.push_str(&self.notes.join("; "));
            line.push('\n');
        }
        line
    }

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
                let _ = writeln!(text, "  {}", frame.text());
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
        text.push_str(&self.state_text());
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

impl Thread {
    fn state_text(&self) -> String {
        let mut text = self.state.to_owned();
        if let Some(call) = &self.system_call {
            let _ = write!(text, " in {call}");
        }
        if let Some(channel) = &self.wait_channel {
            let _ = write!(text, ", kernel function {channel}");
        }
        text
    }
}

impl PerlFrame {
    fn text(&self) -> String {
        format!("{} at {} line {}", self.sub, self.file, self.line)
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
