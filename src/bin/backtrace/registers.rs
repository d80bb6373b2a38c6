//! Where a thread is.

#[cfg(target_arch = "x86_64")]
use std::fs;

#[cfg(target_arch = "x86_64")]
use nix::errno::Errno;
#[cfg(target_arch = "x86_64")]
use nix::sys::ptrace;
use nix::unistd::Pid;

/// The registers that a walk over the stack begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Registers {
    pub(super) ip: u64,
    pub(super) sp: u64,
    /// 0: unknown.
    pub(super) bp: u64,
}

/// Those of a thread that ptrace(2) has stopped. `None`: not supported for this processor.
#[cfg(target_arch = "x86_64")]
pub(super) fn of(thread: Pid) -> nix::Result<Option<Registers>> {
    let all = ptrace::getregs(thread)?;
    Ok(Some(Registers {
        ip: all.rip,
        sp: all.rsp,
        bp: all.rbp,
    }))
}

#[cfg(not(target_arch = "x86_64"))]
pub(super) fn of(_: Pid) -> nix::Result<Option<Registers>> {
    Ok(None)
}

/// The kernel restarts most system calls that a stop has interrupted. Some, as epoll_wait(2), fail with
/// EINTR instead, which a program without signal handlers may not expect. They are restarted here. True:
/// it was one of them.
#[cfg(target_arch = "x86_64")]
pub(super) fn restart_call(thread: Pid) -> nix::Result<bool> {
    /// The selector of 64-bit code.
    const CODE_64: u64 = 0x33;
    /// The length of the instruction `syscall`.
    const SYSCALL: u64 = 2;
    let all = ptrace::getregs(thread)?;
    let is_in_call = all.orig_rax as i64 >= 0;
    let interrupted = all.rax as i64 == -i64::from(Errno::EINTR as i32);
    let is_one = is_in_call && interrupted && all.cs == CODE_64 && !has_signal(thread);
    if is_one {
        let mut again = all;
        again.rax = all.orig_rax;
        again.orig_rax = u64::MAX;
        again.rip = all.rip.wrapping_sub(SYSCALL);
        ptrace::setregs(thread, again)?;
    }
    Ok(is_one)
}

#[cfg(not(target_arch = "x86_64"))]
pub(super) fn restart_call(_: Pid) -> nix::Result<bool> {
    Ok(false)
}

/// Whether a signal waits for the thread, which ends the system call anyway.
#[cfg(target_arch = "x86_64")]
fn has_signal(thread: Pid) -> bool {
    let status = fs::read_to_string(format!("/proc/{thread}/status")).unwrap_or_default();
    let mask = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|text| u64::from_str_radix(text.trim(), 16).ok())
    };
    match (mask("SigPnd:"), mask("ShdPnd:"), mask("SigBlk:")) {
        (Some(own), Some(shared), Some(blocked)) => (own | shared) & !blocked != 0,
        _ => true,
    }
}
