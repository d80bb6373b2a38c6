//! Managers under system call filters (seccomp(2)), as in containers and with systemd.

use std::os::unix::process::CommandExt as _;

use nix::sys::signal::Signal;

use super::peer::pool::{Pool, call, command};
use super::peer::program::{Program, TRANSPORTS};

pub(super) const fn statement(code: u32, jump_true: u8, k: u32) -> libc::sock_filter {
    libc::sock_filter {
        code: code as u16,
        jt: jump_true,
        jf: (jump_true == 0 && code & 7 == libc::BPF_JMP) as u8,
        k,
    }
}

pub(super) const LOAD: u32 = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
pub(super) const IS_EQUAL: u32 = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
pub(super) const RETURN: u32 = libc::BPF_RET | libc::BPF_K;

/// Runs a command under a filter.
pub(super) fn install(command: &mut std::process::Command, mut program: Vec<libc::sock_filter>) {
    let filter = move || {
        let program = libc::sock_fprog {
            len: program.len() as u16,
            filter: program.as_mut_ptr(),
        };
        // SAFETY: the program is live, and has the stated length.
        let result = unsafe {
            libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
                | libc::prctl(
                    libc::PR_SET_SECCOMP,
                    libc::SECCOMP_MODE_FILTER,
                    &raw const program,
                )
        };
        if result == 0 {
            Ok(())
        } else {
            Err(std::io::Error::last_os_error())
        }
    };
    // SAFETY: it only makes system calls.
    unsafe { command.pre_exec(filter) };
}

/// Refuses these system calls, or kills the process that makes them.
pub(super) fn forbid(command: &mut std::process::Command, calls: &[libc::c_long], action: u32) {
    let mut program = vec![statement(LOAD, 0, 0)];
    for number in calls {
        program.push(statement(IS_EQUAL, 0, *number as u32));
        program.push(statement(RETURN, 0, action));
    }
    program.push(statement(RETURN, 0, libc::SECCOMP_RET_ALLOW));
    install(command, program);
}

/// A worker is killed for its request, and a reload follows.
fn assert_still_serves(mut pool: Pool) {
    let mut stubborn = pool.program.connect();
    stubborn.send(&call("/stubborn").bytes());
    pool.program.line("killing worker");
    assert!(stubborn.response().text().contains("504"));
    stubborn.assert_closed();
    let _ = pool.next_ready();
    assert!(pool.program.call(&call("/")).text().contains("Hello"));
    pool.program.signal(Signal::SIGHUP);
    pool.program.line("reload done");
    pool.program.signal(Signal::SIGTERM);
    assert_eq!(pool.program.wait().code(), Some(0));
}

#[test]
fn a_manager_works_under_a_filter_that_refuses_or_kills() {
    const KILL: u32 = libc::SECCOMP_RET_KILL_PROCESS;
    const REFUSE: u32 = libc::SECCOMP_RET_ERRNO | libc::EPERM as u32;
    const ALONE: &[libc::c_long] = &[libc::SYS_pidfd_getfd];
    const ALL: &[libc::c_long] = &[
        libc::SYS_pidfd_open,
        libc::SYS_pidfd_send_signal,
        libc::SYS_pidfd_getfd,
        libc::SYS_memfd_create,
    ];
    let limits = [
        ("FCGIPM_REQUEST_TIMEOUT", "0.2"),
        ("FCGIPM_REQUEST_TIMEOUT_GRACE", "0.1"),
    ];
    for transport in TRANSPORTS {
        for action in [KILL, REFUSE] {
            for calls in [ALONE, ALL] {
                let (mut command, gate) = command(1, &limits);
                forbid(&mut command, calls, action);
                let mut pool = Pool::ready(Program::start(command, transport), gate, 1);
                let lines = pool.program.lines();
                let logs = |name: &str| lines.iter().any(|line| line.contains(name));
                assert!(logs("refuses pidfd_getfd(2)"), "{lines:#?}");
                assert_eq!(logs("refuses memfd_create(2)"), calls.len() > 1);
                assert_still_serves(pool);
            }
        }
    }
}
