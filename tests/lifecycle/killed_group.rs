//! The whole process group of the manager is killed soon after the start. Each worker leads its own
//! group. The guardian must be in its own group before a worker relies on it.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill, killpg};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{Pid, getpgid};

use super::orphans::{adopt_orphans, spin};
use super::peer::connection::LIMIT;
use super::peer::pool::followed_by;
use super::peer::program::{Program, TRANSPORTS, ended_within, product, unused};
use super::{A_SECOND, Pool, call, command};

const WORKERS: usize = 2;
const ROUNDS: u32 = 30;

/// The kills are spread over this time after all workers are ready.
const EARLY: Duration = Duration::from_millis(20);

#[derive(Clone, Copy, Debug)]
enum Host {
    /// The C example, with the option.
    Example,
    /// `fcgipm run`, which sets it.
    Run,
}

#[derive(Clone, Copy, Debug)]
enum Moment {
    /// This time after all workers are ready, without a request.
    Idle(Duration),
    /// The same, with requests until then.
    Asked(Duration),
    /// The guardian is stopped as soon as it exists, and the workers have served requests after
    /// that.
    GuardianIsNew,
}

/// A pool whose processes have its gate in their environment. None of them outlives the test.
struct Grouped {
    pool: Pool,
}

impl Grouped {
    /// Does not wait for the workers.
    fn start(host: Host, round: u32) -> Self {
        let environment = [("FCGIPM_PROCESS_GROUP", "1")];
        let (mut command, gate) = command(WORKERS, &environment);
        let transport = TRANSPORTS[round as usize % 2];
        let program = match host {
            Host::Example => Program::start(command, transport),
            Host::Run => {
                let address = unused(transport);
                let mut run = Command::new(product("fcgipm"));
                run.args(["run", "--no-preload", "--listen", &address.text(), "--"]);
                command = followed_by(run, &command);
                command.env_remove("FCGIPM_PROCESS_GROUP");
                Program::start_opening(command, address)
            }
        };
        Self {
            pool: Pool {
                program,
                workers: Vec::new(),
                gate,
            },
        }
    }

    fn wait_until_ready(&mut self) {
        for _ in 0..WORKERS {
            let ready = self.pool.next_ready();
            self.pool.workers.push(ready);
        }
    }

    fn ask(&self) {
        // On a new connection: a worker with idle connections notices the manager's death anyway.
        let text = self.pool.program.call(&call("/")).text();
        assert!(text.contains("Hello from worker"), "{text}");
    }

    /// Its running processes, including orphans.
    fn processes(&self) -> Vec<i32> {
        let mark = self.pool.gate.to_str().unwrap().as_bytes();
        let numbered = fs::read_dir("/proc").unwrap().flatten();
        let pids = numbered.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        pids.filter(|pid: &i32| {
            // A process that has exited has no environment.
            let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            environment.windows(mark.len()).any(|part| part == mark)
        })
        .collect()
    }

    /// Waits for the guardian, the only child without an exit signal (proc(5), field 38).
    fn newborn_guardian(&self) -> Pid {
        let manager = self.pool.program.pid();
        let until = Instant::now() + LIMIT;
        loop {
            let children = fs::read_to_string(format!("/proc/{manager}/task/{manager}/children"));
            let children = children.unwrap();
            let mut pids = children.split_ascii_whitespace();
            let found = pids.find(|pid| {
                let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
                let fields = stat.rsplit_once(") ").map(|(_, behind)| behind.split(' '));
                fields.and_then(|mut fields| fields.nth(38 - 3)) == Some("0")
            });
            if let Some(pid) = found {
                return Pid::from_raw(pid.parse().unwrap());
            }
            assert!(Instant::now() < until, "{manager} has no guardian");
        }
    }
}

impl Drop for Grouped {
    fn drop(&mut self) {
        for pid in self.processes() {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
    }
}

fn assert_none_remains(host: Host, round: u32, moment: Moment) {
    let what = format!("{host:?}, round {round}, {moment:?}");
    let mut grouped = Grouped::start(host, round);
    let stopped = matches!(moment, Moment::GuardianIsNew).then(|| grouped.newborn_guardian());
    if let Some(guardian) = stopped {
        kill(guardian, Signal::SIGSTOP).unwrap();
    }
    grouped.wait_until_ready();
    let ready = Instant::now();
    let manager = Pid::from_raw(grouped.pool.program.pid());
    for worker in &grouped.pool.workers {
        let worker = Pid::from_raw(*worker);
        assert_eq!(getpgid(Some(worker)), Ok(worker), "{what}");
    }
    match moment {
        // The pause is the scenario.
        Moment::Idle(pause) => spin(pause),
        Moment::Asked(pause) => {
            grouped.ask();
            while ready.elapsed() < pause {
                grouped.ask();
            }
        }
        // With its next request, a worker notices that it has a guardian.
        Moment::GuardianIsNew => (0..2 * WORKERS).for_each(|_| grouped.ask()),
    }
    killpg(manager, Signal::SIGKILL).unwrap();
    if let Some(guardian) = stopped {
        // It may have been in the group.
        let _ = kill(guardian, Signal::SIGCONT);
    }
    let since = Instant::now();
    grouped.pool.program.wait();
    for pid in grouped.processes() {
        let left = A_SECOND.saturating_sub(since.elapsed());
        let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        assert!(
            ended_within(pid, left),
            "{what}: {pid} ({name:?}) has not ended"
        );
    }
    let left = grouped.processes();
    assert!(left.is_empty(), "{what}: {left:?}");
    for worker in &grouped.pool.workers {
        let worker = Pid::from_raw(*worker);
        let ended = waitpid(worker, None);
        assert_eq!(ended, Ok(WaitStatus::Exited(worker, 0)), "{what}");
    }
}

fn assert_none_remains_of(host: Host) {
    adopt_orphans();
    for round in 0..ROUNDS {
        let pause = EARLY * round / ROUNDS;
        let moment = match round % 3 {
            0 => Moment::Idle(pause),
            1 => Moment::Asked(pause),
            _ => Moment::GuardianIsNew,
        };
        assert_none_remains(host, round, moment);
    }
}

#[test]
fn no_process_remains_after_a_host_is_killed_with_its_group() {
    assert_none_remains_of(Host::Example);
}

#[test]
fn no_process_remains_after_fcgipm_run_is_killed_with_its_group() {
    assert_none_remains_of(Host::Run);
}
