//! `fcgipm backtrace`: what a process is doing now, and where.

mod capture;
mod elf;
mod facts;
mod halt;
mod memory;
mod native;
mod perl;
mod registers;
mod report;
mod request;
mod text;

use std::time::Duration;

use clap::Args;

use crate::console;
use crate::managers::maps::{self, Mapping};
use capture::{Captured, Limit, capture};
use memory::Memory;
use report::{NativeFrame, PerlFrame, Report, Thread};
use request::Worker;

/// More threads are not read, and after this time none is.
const THREADS_MAX: usize = 64;
const TIME_MAX: Duration = Duration::from_secs(1);

/// Print what a process is doing now: its request, its system call and its stack
///
/// For a worker: its request. Then the state of each thread, the system call in which it waits, the
/// stack of Perl code with files and lines (in programs that use the Perl binding with its compiled
/// part), the functions on its stack and, for root, the stack of the kernel. The innermost frame is the
/// first one.
///
/// A thread that waits is not disturbed. One that runs is stopped with ptrace(2), usually for less than
/// a millisecond and never for more than 50. No signal is sent, and no system call is interrupted.
#[derive(Args, Debug)]
#[command(after_help = "\
The user of the process may do this, and root. In a container, root needs the capability SYS_PTRACE
for processes of other users.

Exit status:
  0  printed, possibly without the parts that are not permitted: it says which
  1  not possible: no such process, or it has ended
  2  usage error")]
pub(crate) struct Options {
    /// The process, as in the output of `fcgipm status`
    #[arg(value_name = "PID", value_parser = clap::value_parser!(i32).range(1..))]
    pid: i32,

    /// Print JSON
    #[arg(long, conflicts_with = "line")]
    json: bool,

    /// Print one line, and one more with what is missing, as in the log of slow requests
    #[arg(long)]
    line: bool,
}

/// Prints; returns the exit status.
pub(crate) fn run(options: &Options) -> u8 {
    let pid = options.pid;
    match Report::of(pid) {
        Ok(report) => {
            let text = match (options.json, options.line) {
                (true, _) => serde_json::to_string(&report).unwrap_or_default(),
                (false, true) => report.line(),
                (false, false) => report.text(),
            };
            console::print(text.trim_end());
            0
        }
        Err(reason) => {
            console::error(&format!("fcgipm backtrace: {reason}"));
            1
        }
    }
}

impl Report {
    fn of(pid: i32) -> Result<Self, String> {
        let folder = format!("/proc/{pid}");
        let state =
            facts::State::of(&folder).ok_or_else(|| format!("there is no process {pid}"))?;
        let worker = Worker::of(pid);
        let mut report = Self {
            pid,
            name: state.name.clone(),
            state: state.word(),
            worker: None,
            request_ended: false,
            perl: None,
            threads: Vec::new(),
            threads_omitted: 0,
            notes: Vec::new(),
        };
        if !matches!(state.letter, 'Z' | 'X') {
            report.look(pid);
        }
        let after = facts::State::of(&folder).ok_or_else(|| format!("process {pid} has ended"))?;
        report.state = after.word();
        report.request_ended = match (&worker, Worker::of(pid)) {
            (Some(before), Some(now)) => before.age.is_some() && !now.continues(before),
            (Some(before), None) => before.age.is_some(),
            (None, _) => false,
        };
        report.worker = worker;
        Ok(report)
    }

    fn look(&mut self, pid: i32) {
        let access = Memory::open(pid).and_then(|memory| Ok((memory, maps::of_process(pid)?)));
        match access {
            Ok((memory, maps)) => self.look_inside(pid, &memory, &maps),
            Err(error) => {
                self.notes.push(text::refused(pid, &error));
                for tid in facts::threads(pid).into_iter().take(THREADS_MAX) {
                    self.threads.extend(Thread::without_stack(pid, tid));
                }
            }
        }
    }

    fn look_inside(&mut self, pid: i32, memory: &Memory, maps: &[Mapping]) {
        let mut perl = match perl::find(pid, memory, maps) {
            perl::Found::Readable(perl) => Some(perl),
            perl::Found::Unreadable(why) => {
                self.notes.push(format!("no Perl frames: {why}"));
                None
            }
            perl::Found::NoPerl => None,
        };
        let threads = facts::threads(pid);
        let limit = Limit::after(TIME_MAX);
        // What is attached is detached when this thread ends, whatever happens.
        let all: Vec<_> = std::thread::scope(|scope| {
            let tracer = scope.spawn(|| {
                let looked_at = threads.iter().take(THREADS_MAX);
                let looked_at = looked_at.take_while(|_| !limit.is_over());
                let capture_one = |tid: &i32| {
                    let more = || match (*tid == pid, &mut perl) {
                        (true, Some(perl)) => perl.stack(),
                        _ => None,
                    };
                    (*tid, capture((pid, *tid), memory, more))
                };
                looked_at.map(capture_one).collect()
            });
            tracer.join().unwrap_or_default()
        });
        self.threads_omitted = threads.len().saturating_sub(all.len());
        let mut images = native::Images::new(pid, memory, maps);
        for (tid, captured) in all {
            self.add(pid, tid, captured, &mut images);
        }
        if perl.is_some() && self.perl.is_none() {
            self.notes
                .push("no Perl frames: perl's data could not be read".to_owned());
        }
    }

    fn add(
        &mut self,
        pid: i32,
        tid: i32,
        captured: Captured<perl::Stack>,
        images: &mut native::Images<'_>,
    ) {
        let Some(mut thread) = Thread::without_stack(pid, tid) else {
            return;
        };
        if let Some(stack) = captured.more {
            let frames = stack.frames.into_iter().map(|frame| PerlFrame {
                sub: frame.name,
                file: frame.file,
                line: frame.line,
            });
            self.perl = Some(frames.collect());
            if stack.is_cut {
                let note = format!(
                    "only the innermost {} Perl frames are shown",
                    perl::FRAMES_MAX
                );
                self.notes.push(note);
            }
        }
        thread.system_call = captured.call.map(|call| match call.number {
            Some(number) => facts::call(pid, number, call.arguments[0]),
            None => "no system call: it waits for memory, or is stopped".to_owned(),
        });
        thread.stopped_ms = captured.stopped.map(|time| time.as_secs_f64() * 1000.0);
        match captured.stack {
            Ok(stack) => {
                let frames = native::frames(images, &stack);
                if frames.len() >= native::FRAMES_MAX {
                    let most = native::FRAMES_MAX;
                    let note =
                        format!("thread {tid}: only the innermost {most} native frames are shown");
                    self.notes.push(note);
                }
                thread.native = frames.into_iter().map(NativeFrame::from).collect();
            }
            Err(why) => {
                let why = match facts::tracer(&format!("/proc/{pid}/task/{tid}")) {
                    Some(tracer) => format!("process {tracer} traces it already"),
                    None => why,
                };
                self.notes
                    .push(format!("thread {tid}: no native frames: {why}"));
            }
        }
        self.threads.push(thread);
    }
}

impl Thread {
    /// What anybody may see. `None`: it has ended.
    fn without_stack(pid: i32, tid: i32) -> Option<Self> {
        let folder = format!("/proc/{pid}/task/{tid}");
        let state = facts::State::of(&folder)?;
        Some(Self {
            tid,
            state: state.word(),
            name: state.name,
            system_call: None,
            wait_channel: facts::wait_channel(&folder),
            kernel: facts::kernel_stack(&folder),
            native: Vec::new(),
            stopped_ms: None,
        })
    }
}
