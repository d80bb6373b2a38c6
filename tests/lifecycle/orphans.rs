//! The manager is killed at any moment: no process remains, and no accepted request is lost.

use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid, waitpid};
use nix::unistd::Pid;

use super::peer::connection::{Connection, LIMIT};
use super::peer::program::{Program, TRANSPORTS, compiled, cpu_pressure, ended_within, unused};
use super::{A_SECOND, Pool, answered, ask_keep_alive, call, command};

/// Makes this process the parent of the orphans of a killed manager, so that it can wait for them.
pub(super) fn adopt_orphans() {
    nix::sys::prctl::set_child_subreaper(true).unwrap();
}

/// The processes of a group that have not ended.
fn members(group: i32) -> Vec<i32> {
    let numbered = std::fs::read_dir("/proc").unwrap().flatten();
    let pids = numbered.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid: &i32| {
        // "pid (name) state parent group ...". A process that has exited meanwhile has no file.
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let fields: Vec<_> = stat
            .rsplit_once(')')
            .map(|(_, behind)| behind.split_ascii_whitespace().collect())
            .unwrap_or_default();
        matches!(fields[..], [state, _, of, ..] if state != "Z" && of.parse() == Ok(group))
    })
    .collect()
}

/// A process, also one that has exited and was not reaped, for messages.
fn named(pid: i32) -> String {
    let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    format!("{pid} ({})", name.trim_end())
}

/// Within a second, but for the time in which processes of this machine waited for a CPU.
struct Deadline {
    begin: Instant,
    pressure: f64,
}

impl Deadline {
    fn begin() -> Self {
        Self {
            begin: Instant::now(),
            pressure: cpu_pressure(),
        }
    }

    fn left(&self) -> Duration {
        let waited = Duration::from_secs_f64((cpu_pressure() - self.pressure).max(0.0));
        (A_SECOND + waited)
            .min(LIMIT)
            .saturating_sub(self.begin.elapsed())
    }

    /// Waits for the end of a process. False: the time is over.
    fn awaits(&self, pid: i32) -> bool {
        while !ended_within(pid, self.left()) {
            if self.left().is_zero() {
                return false;
            }
        }
        true
    }
}

/// Reaps the group of a killed manager. All must exit in time, and on their own unless they were
/// still starting.
fn assert_exited(group: i32, deadline: &Deadline, may_start: bool, what: &str) {
    let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
    loop {
        let exited = waitid(Id::PGid(Pid::from_raw(group)), flags);
        match exited {
            Err(Errno::ECHILD) => return,
            Ok(WaitStatus::StillAlive) => {
                for pid in members(group) {
                    assert!(deadline.awaits(pid), "{what}: {} still runs", named(pid));
                }
                continue;
            }
            Ok(WaitStatus::Exited(pid, status)) => {
                assert_eq!(status, 0, "{what}: {}", named(pid.as_raw()));
            }
            Ok(WaitStatus::Signaled(_, Signal::SIGKILL, _)) if may_start => {}
            Ok(WaitStatus::Signaled(pid, ..)) => {
                panic!("{what}: {}: {exited:?}", named(pid.as_raw()))
            }
            other => panic!("{what}: {other:?}"),
        }
        waitpid(exited.unwrap().pid(), None).unwrap();
    }
}

pub(super) fn spin(duration: Duration) {
    let until = Instant::now() + duration;
    while Instant::now() < until {
        std::hint::spin_loop();
    }
}

#[derive(Clone, Copy, Debug)]
enum During {
    Start,
    Reload,
    Stop,
}

#[test]
fn no_process_remains_after_a_manager_is_killed_at_any_moment() {
    const ROUNDS: u64 = 70;
    adopt_orphans();
    let mut left = 0;
    for during in [During::Start, During::Reload, During::Stop] {
        for round in 0..ROUNDS {
            let transport = TRANSPORTS[round as usize % 2];
            // Spread over the time of a start, a reload or a stop.
            let pause = Duration::from_micros(round * round * 10 % 25_000);
            let what = format!("{during:?} {transport:?}, killed after {pause:?}");
            let (mut pool, mut paused) = match during {
                During::Start => {
                    let (command, gate) = command(4, &[]);
                    let program = Program::start(command, transport);
                    let workers = Vec::new();
                    let pool = Pool {
                        program,
                        workers,
                        gate,
                    };
                    (pool, None)
                }
                During::Reload | During::Stop => {
                    let pool = Pool::start(transport, 4, &[]);
                    let busy = round % 3 == 0;
                    let paused = busy.then(|| pool.paused(round % 2 == 0));
                    (pool, paused)
                }
            };
            let gate = paused.as_ref().map(|_| pool.gate());
            let mut kept = None;
            match during {
                During::Start => {
                    // After this line it starts its workers.
                    pool.program.line("manag");
                }
                During::Reload | During::Stop if round % 4 == 1 => {
                    let mut connection = pool.program.connect();
                    ask_keep_alive(&mut connection).unwrap();
                    kept = Some(connection);
                }
                During::Reload | During::Stop => {}
            }
            match during {
                During::Start => {}
                During::Reload => pool.program.signal(Signal::SIGHUP),
                During::Stop => pool.program.signal(Signal::SIGTERM),
            }
            spin(pause);
            let group = pool.program.pid();
            pool.program.signal(Signal::SIGKILL);
            let mut deadline = Deadline::begin();
            pool.program.wait();
            left += members(group).len();
            if let Some(paused) = &mut paused {
                // All exit but the busy one.
                loop {
                    let running = members(group);
                    if running.len() <= 1 {
                        break;
                    }
                    let names: Vec<_> = running.into_iter().map(named).collect();
                    assert!(!deadline.left().is_zero(), "{what}: {names:?} still run");
                    std::thread::yield_now();
                }
                drop(gate);
                deadline = Deadline::begin();
                let answer = paused.response().text();
                assert!(answer.contains("waited"), "{what}: {answer}");
            }
            drop(kept);
            let may_start = !matches!(during, During::Stop);
            assert_exited(group, &deadline, may_start, &what);
        }
    }
    println!(
        "measured: {} managers killed, {left} orphans, which all exited",
        3 * ROUNDS
    );
}

#[test]
fn an_orphan_answers_the_queue_but_not_an_endless_stream_of_new_connections() {
    for transport in TRANSPORTS {
        let address = unused(transport);
        let mut pool = Pool::start_opening(&address, 1, &[]);
        let mut paused = pool.paused(false);
        let gate = pool.gate();
        let mut waiting: Vec<_> = (0..20).map(|_| address.connect()).collect();
        for connection in &mut waiting {
            connection.send(&call("/").bytes());
        }
        pool.program.signal(Signal::SIGKILL);
        pool.program.wait();
        drop(gate);
        assert!(paused.response().text().contains("waited"));
        waiting
            .iter_mut()
            .for_each(|connection: &mut Connection| answered(connection).unwrap());
        assert!(ended_within(pool.workers[0], A_SECOND));
        address.remove();
    }
    for transport in TRANSPORTS {
        let mut pool = Pool::start(transport, 1, &[]);
        let address = pool.program.address.clone();
        let (answered_one, first_answer) = std::sync::mpsc::channel();
        let feeder = std::thread::spawn(move || {
            while let Ok(mut connection) = address.try_connect() {
                if connection.try_send(&call("/").bytes()).is_err()
                    || answered(&mut connection).is_err()
                {
                    return;
                }
                let _ = answered_one.send(());
            }
        });
        first_answer.recv().unwrap();
        pool.program.signal(Signal::SIGKILL);
        pool.program.wait();
        assert!(ended_within(pool.workers[0], A_SECOND), "it still runs");
        feeder.join().unwrap();
    }
}

/// It has accepted nothing, and there is no manager to enforce start_timeout.
#[test]
fn a_worker_that_hangs_in_its_start_exits_with_its_manager() {
    adopt_orphans();
    let start = [("HELLO_START", "echo it hangs >&2; exec sleep 60")];
    let (command, _gate) = command(1, &start);
    let mut program = Program::start(command, TRANSPORTS[0]);
    let line = program.line(") started");
    let worker = line.split_once("worker (pid ").unwrap().1;
    let worker: i32 = worker.split_once(')').unwrap().0.parse().unwrap();
    program.line("it hangs");
    let group = program.pid();
    program.signal(Signal::SIGKILL);
    program.wait();
    assert!(ended_within(worker, A_SECOND));
    // The program that it started still runs.
    for pid in members(group) {
        kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
    }
    while waitpid(Pid::from_raw(-group), None).is_ok() {}
}

#[test]
fn a_worker_whose_application_ignores_or_blocks_signals_still_obeys_its_manager() {
    for way in ["ignore", "block"] {
        let start = || {
            let mut command = std::process::Command::new(compiled("lifecycle/blocked_signals.c"));
            command.arg(way).env("FCGIPM_N_PROCESSES", "2");
            let mut program = Program::start(command, TRANSPORTS[0]);
            let mut pids = Vec::new();
            for _ in 0..2 {
                let line = program.line(") ready");
                let (_, pid) = line.split_once("worker (pid ").unwrap();
                pids.push(pid.split_once(')').unwrap().0.parse().unwrap());
            }
            (program, pids)
        };
        let (mut stopped, _) = start();
        let since = Instant::now();
        stopped.signal(Signal::SIGTERM);
        assert!(stopped.wait().success(), "{way}");
        assert!(since.elapsed() < A_SECOND, "{way}: {:?}", since.elapsed());
        let (mut killed, workers): (_, Vec<i32>) = start();
        killed.signal(Signal::SIGKILL);
        killed.wait();
        for worker in workers {
            assert!(ended_within(worker, A_SECOND), "{way}");
        }
    }
}

/// A signal that arrives while the worker is stopped is not enough.
#[test]
fn a_worker_stopped_during_its_managers_death_exits_when_it_continues() {
    for watched in [false, true] {
        let mut pool = Pool::start(TRANSPORTS[0], 1, &[]);
        if watched {
            ask_keep_alive(&mut pool.program.connect()).unwrap();
        }
        let worker = Pid::from_raw(pool.workers[0]);
        kill(worker, Signal::SIGSTOP).unwrap();
        pool.program.signal(Signal::SIGKILL);
        pool.program.wait();
        kill(worker, Signal::SIGCONT).unwrap();
        assert!(ended_within(worker.as_raw(), A_SECOND), "watched {watched}");
    }
}
