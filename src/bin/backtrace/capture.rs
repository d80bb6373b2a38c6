//! What a thread of another process does now, with the registers and the stack.
//!
//! A thread that waits in a system call is only read: /proc/PID/syscall has the registers that count, and
//! the call is not interrupted. Only a thread that runs is stopped, with ptrace(2).

use std::fs;
use std::time::{Duration, Instant};

use super::halt;
use super::memory::Memory;
use super::registers::Registers;

/// How much of a stack is copied.
const STACK_MAX: usize = 256 * 1024;
/// How often a thread is read again that does something else each time.
const ATTEMPTS: usize = 5;

/// A copy of a stack.
#[derive(Debug)]
pub(super) struct Stack {
    pub(super) registers: Registers,
    /// From the stack pointer on.
    pub(super) bytes: Vec<u8>,
}

/// A system call in which a thread waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Call {
    /// `None`: the thread waits for something else, as for a page of memory.
    pub(super) number: Option<i64>,
    pub(super) arguments: [u64; 6],
    registers: Registers,
}

/// What /proc/PID/syscall has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Doing {
    Running,
    Waiting(Call),
}

/// A thread.
#[derive(Debug)]
pub(super) struct Captured<T> {
    pub(super) call: Option<Call>,
    pub(super) stack: Result<Stack, String>,
    /// What the caller read at the same time.
    pub(super) more: Option<T>,
    /// How long the thread was stopped. `None`: it was not.
    pub(super) stopped: Option<Duration>,
}

/// Copies the stack of a thread. `more` reads something else while the thread does not continue.
pub(super) fn capture<T>(
    (pid, tid): (i32, i32),
    memory: &Memory,
    mut more: impl FnMut() -> Option<T>,
) -> Captured<T> {
    let mut captured = Captured {
        call: None,
        stack: Err("it runs".to_owned()),
        more: None,
        stopped: None,
    };
    for _ in 0..ATTEMPTS {
        match doing(pid, tid) {
            Ok(Doing::Running) => {}
            Ok(Doing::Waiting(call)) => {
                let stack = copy(memory, call.registers);
                let beside = more();
                let is_same = doing(pid, tid) == Ok(Doing::Waiting(call));
                captured.call = Some(call);
                captured.stack = Ok(stack);
                captured.more = beside;
                if is_same {
                    return captured;
                }
                continue;
            }
            Err(error) => {
                captured.stack = Err(error);
                return captured;
            }
        }
        let mut result = None;
        let stopped = halt::halted(tid, |registers| {
            result = Some((copy(memory, registers), more()));
        });
        match (stopped, result) {
            (Ok(time), Some((stack, beside))) => {
                captured.call = None;
                captured.stack = Ok(stack);
                captured.more = beside;
                captured.stopped = Some(time);
                return captured;
            }
            // It waits by now.
            (Err(halt::Failure::Interrupted), _) => {}
            (Err(error), _) => {
                captured.stack = Err(error.to_string());
                // Without registers, and it may be inconsistent: still better than nothing.
                captured.more = captured.more.or_else(more);
                return captured;
            }
            (Ok(_), None) => {}
        }
    }
    captured
}

fn copy(memory: &Memory, registers: Registers) -> Stack {
    let bytes = memory.read_up_to(registers.sp, STACK_MAX);
    Stack { registers, bytes }
}

/// What a thread does now.
pub(super) fn doing(pid: i32, tid: i32) -> Result<Doing, String> {
    let path = format!("/proc/{pid}/task/{tid}/syscall");
    let text = fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
    parsed(&text).ok_or_else(|| format!("{path}: unknown contents '{}'", text.escape_debug()))
}

fn parsed(text: &str) -> Option<Doing> {
    let text = text.trim_end();
    if text == "running" {
        return Some(Doing::Running);
    }
    let mut fields = text.split(' ');
    let number: i64 = fields.next()?.parse().ok()?;
    let rest: Option<Vec<u64>> = fields
        .map(|text| u64::from_str_radix(text.trim_start_matches("0x"), 16).ok())
        .collect();
    let (arguments, sp, ip) = match rest?[..] {
        [a, b, c, d, e, f, sp, ip] => ([a, b, c, d, e, f], sp, ip),
        [sp, ip] => ([0; 6], sp, ip),
        _ => return None,
    };
    Some(Doing::Waiting(Call {
        number: (number >= 0).then_some(number),
        arguments,
        registers: Registers { ip, sp, bp: 0 },
    }))
}

/// A limit for all threads together.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limit(Instant);

impl Limit {
    pub(super) fn after(time: Duration) -> Self {
        Self(Instant::now() + time)
    }

    pub(super) fn is_over(self) -> bool {
        Instant::now() >= self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_thread_does_is_read() {
        assert_eq!(parsed("running\n"), Some(Doing::Running));
        let Some(Doing::Waiting(call)) = parsed("0 0x3 0x7f 0x10 0x0 0x0 0x0 0x7ffd 0x55aa\n")
        else {
            panic!("not read");
        };
        assert_eq!((call.number, call.arguments[0]), (Some(0), 3));
        assert_eq!((call.registers.sp, call.registers.ip), (0x7ffd, 0x55aa));
        let Some(Doing::Waiting(fault)) = parsed("-1 0x7ffd 0x55aa\n") else {
            panic!("not read");
        };
        assert_eq!(fault.number, None);
        assert_eq!(parsed("0 0x3\n"), None);
    }
}
