//! The manager with real processes.
//!
//! Each test starts this same program as a host: a process with one thread that runs a manager and
//! prints one line per event. Its workers do by hand what Accept does. What a worker does comes from
//! a file, so a test can deploy other code. Nothing here sleeps: tests wait for lines.

use std::collections::HashSet;
use std::fs;
use std::io::{Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use fcgipm::manager::{self, EventKind, Manager};
use fcgipm::options::Options;
use fcgipm::worker::{self, LoopStatus, Order};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

#[macro_use]
#[path = "peer/in_turn.rs"]
mod in_turn;

const PATIENCE: Duration = Duration::from_secs(30);

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().is_some_and(|first| first == "host") {
        std::process::exit(host(&arguments[1..]));
    }
    in_turn::run(TESTS);
}

tests! {
    without_processes_the_caller_is_the_worker
    a_process_with_threads_is_refused
    workers_start_become_ready_and_stop
    handlers_and_the_mask_are_put_back
    no_signals_leaves_them_to_the_host
    hup_replaces_each_worker_by_a_ready_one_first
    a_broken_reload_takes_nothing_down
    a_new_worker_that_hangs_ends_the_reload
    a_killed_worker_is_replaced_at_once
    a_crash_loop_is_held_up_and_term_is_not
    a_worker_that_does_not_leave_is_killed_in_time
    ttin_and_ttou_change_the_size
    a_second_manager_is_refused_by_the_pid_of_the_first
    a_stale_pid_file_is_replaced
    a_file_that_holds_no_pid_is_left_alone
    workers_leave_when_the_manager_is_killed
    idle_workers_look_when_something_was_handed_over
    garbage_in_a_page_changes_nothing
    two_hundred_workers_start_and_stop
    two_hundred_workers_with_few_descriptors
}

// ---------------------------------------------------------------------------------------------
// The host

fn host(settings: &[String]) -> i32 {
    let mut options = Options::new();
    options.set("log", "none").unwrap();
    for setting in settings {
        let (name, value) = setting.split_once('=').unwrap();
        match name {
            "thread" => drop(std::thread::spawn(|| {
                loop {
                    std::thread::park();
                }
            })),
            "nofile" => {
                let limit = value.parse().unwrap();
                nix::sys::resource::setrlimit(
                    nix::sys::resource::Resource::RLIMIT_NOFILE,
                    limit,
                    limit,
                )
                .unwrap();
            }
            "term_when_ready" | "after" => {}
            _ => options.set(name, value).unwrap(),
        }
    }
    let has = |wanted: &str| settings.iter().any(|s| s == wanted);
    let before = dispositions();
    let mut manager = Manager::new(&options).unwrap();
    let code = loop {
        let event = match manager.next() {
            Ok(event) => event,
            Err(error) => {
                say(&format!("Error {} 0 {error}", error.code().number()));
                break 1;
            }
        };
        say(&format!(
            "{:?} {} {} {}",
            event.kind, event.pid, event.status, event.message
        ));
        match event.kind {
            EventKind::InWorker if has("n_processes=0") => break 0,
            EventKind::InWorker => worker(manager),
            EventKind::Stopped => break 0,
            EventKind::WorkerReady if has("term_when_ready=1") => manager::signal(libc::SIGTERM),
            _ => {}
        }
    };
    if has("after=1") {
        say(&format!("Same {} 0 -", i32::from(dispositions() == before)));
    }
    code
}

/// The signals that are caught, ignored and blocked.
fn dispositions() -> Vec<String> {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let lines = status.lines().filter(|line| {
        line.starts_with("SigCgt") || line.starts_with("SigIgn") || line.starts_with("SigBlk")
    });
    lines.map(str::to_owned).collect()
}

/// One line, one write.
fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    out.write_all(format!("{line}\n").as_bytes()).unwrap();
    out.flush().unwrap();
}

fn worker(mut manager: Manager) -> ! {
    let error = manager.next().unwrap_err();
    assert_eq!(error.code().number(), -3, "{error}");
    drop(manager);
    let code = fs::read_to_string(std::env::var("CODE").unwrap()).unwrap();
    let link_to_manager = worker::current().unwrap();
    let mut report = LoopStatus::default();
    let enter = |report: &mut LoopStatus| {
        report.idle();
        nix::unistd::write(&link_to_manager.wake, &[0]).unwrap();
    };
    match code.split_once(' ').unwrap_or((&code, "")) {
        ("exit", status) => std::process::exit(status.parse().unwrap()),
        ("hang", _) => wait_for_life(None),
        ("stubborn", _) => {
            enter(&mut report);
            report.busy(b"GET", b"/", 0, 1);
            wait_for_life(None);
        }
        ("garbage", _) => {
            enter(&mut report);
            while !fs::exists(std::env::var("CODE").unwrap() + ".go").unwrap() {}
            // Everything that a worker can write to, again and again.
            let page: *const _ = link_to_manager.page;
            let words = page.cast::<std::sync::atomic::AtomicU32>().cast_mut();
            let mut random = 0x9e37_79b9_u32;
            while nix::unistd::getppid().as_raw() == link_to_manager.pid {
                for word in 128..4096 {
                    random ^= random << 13;
                    random ^= random >> 17;
                    random ^= random << 5;
                    // SAFETY: inside the worker's own page, by atomic stores.
                    unsafe { &*words.add(word) }
                        .store(random, std::sync::atomic::Ordering::Relaxed);
                }
                if link_to_manager.page.order() != Order::Serve {
                    std::process::exit(0);
                }
                let _ = nix::unistd::write(&link_to_manager.wake, &[0]);
            }
        }
        _ => {
            enter(&mut report);
            wait_for_life(Some(link_to_manager.page));
            if code == "handover" {
                nix::unistd::write(&link_to_manager.handover.0, b"x").unwrap();
                report.leaving();
                nix::unistd::write(&link_to_manager.wake, &[0]).unwrap();
            }
        }
    }
    std::process::exit(0)
}

/// Waits for the end of the manager, or for the order to leave.
fn wait_for_life(page: Option<&worker::Page>) {
    let link_to_manager = worker::current().unwrap();
    loop {
        if page.is_some_and(|page| page.order() != Order::Serve) {
            return;
        }
        if nix::unistd::read(&link_to_manager.handover.1, &mut [0]) == Ok(1) {
            say(&format!("Taken {} 0 -", std::process::id()));
        }
        let mut life = [PollFd::new(link_to_manager.life.as_fd(), PollFlags::POLLIN)];
        if poll(&mut life, PollTimeout::NONE).is_ok() {
            return;
        }
    }
}

// ---------------------------------------------------------------------------------------------
// The tests' side

struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let template = std::env::temp_dir().join("fcgipm-manager-XXXXXX");
        let this = Self(nix::unistd::mkdtemp(&template).unwrap());
        this.deploy("serve");
        this
    }

    /// What workers do that start from now on.
    fn deploy(&self, code: &str) {
        fs::write(self.0.join("next"), code).unwrap();
        fs::rename(self.0.join("next"), self.0.join("code")).unwrap();
    }

    fn pid_file(&self) -> String {
        self.0.join("pid").to_str().unwrap().to_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[derive(Clone, Debug)]
struct Line {
    kind: String,
    pid: i32,
    status: i32,
    message: String,
}

struct Host {
    process: Child,
    output: ChildStdout,
    buffer: Vec<u8>,
    seen: Vec<Line>,
}

impl Host {
    fn start(folder: &Folder, settings: &[&str]) -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .arg("host")
            .args(settings)
            .env("CODE", folder.0.join("code"))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = process.stdout.take().unwrap();
        Self {
            process,
            output,
            buffer: Vec::new(),
            seen: Vec::new(),
        }
    }

    fn pid(&self) -> i32 {
        i32::try_from(self.process.id()).unwrap()
    }

    fn send(&self, signal: Signal) {
        kill(Pid::from_raw(self.pid()), signal).unwrap();
    }

    /// The next line that is not a worker's own.
    fn line(&mut self) -> Option<Line> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let text: Vec<u8> = self.buffer.drain(..=end).collect();
                let text = String::from_utf8(text).unwrap();
                let mut words = text.trim_end().splitn(4, ' ');
                let line = Line {
                    kind: words.next().unwrap().to_owned(),
                    pid: words.next().unwrap().parse().unwrap(),
                    status: words.next().unwrap().parse().unwrap(),
                    message: words.next().unwrap_or("").to_owned(),
                };
                if line.kind == "InWorker" {
                    continue;
                }
                self.seen.push(line.clone());
                return Some(line);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            let mut polled = [PollFd::new(self.output.as_fd(), PollFlags::POLLIN)];
            let timeout = PollTimeout::try_from(i32::try_from(left.as_millis()).unwrap()).unwrap();
            assert!(
                poll(&mut polled, timeout).unwrap() > 0,
                "nothing more came; so far: {:#?}",
                self.seen
            );
            let mut bytes = [0; 4096];
            match self.output.read(&mut bytes).unwrap() {
                0 => return None,
                length => self.buffer.extend_from_slice(&bytes[..length]),
            }
        }
    }

    fn until(&mut self, wanted: impl Fn(&Line) -> bool) -> Line {
        loop {
            match self.line() {
                Some(line) if wanted(&line) => return line,
                Some(_) => {}
                None => panic!("the host ended; it said: {:#?}", self.seen),
            }
        }
    }

    fn until_kind(&mut self, kind: &str) -> Line {
        self.until(|line| line.kind == kind)
    }

    fn until_ready(&mut self, count: usize) -> HashSet<i32> {
        (0..count)
            .map(|_| self.until_kind("WorkerReady").pid)
            .collect()
    }

    /// Reads to the end, and returns the exit status.
    fn end(&mut self) -> i32 {
        while self.line().is_some() {}
        self.process.wait().unwrap().code().unwrap()
    }

    fn stop(mut self) {
        self.send(Signal::SIGTERM);
        self.until_kind("Stopped");
        assert_eq!(self.end(), 0);
    }

    fn count(&self, kind: &str) -> usize {
        self.seen.iter().filter(|line| line.kind == kind).count()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // A failed test leaves nothing behind: the workers see the end of the life pipe.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn without_processes_the_caller_is_the_worker() {
    let folder = Folder::new();
    let mut host = Host::start(&folder, &["n_processes=0", "after=1"]);
    let same = host.until_kind("Same");
    assert_eq!(same.pid, 1, "handlers were touched");
    assert_eq!(host.end(), 0);
}

fn a_process_with_threads_is_refused() {
    let folder = Folder::new();
    let mut host = Host::start(&folder, &["n_processes=2", "thread=1"]);
    let error = host.line().unwrap();
    assert_eq!((error.kind.as_str(), error.pid), ("Error", -21));
    assert!(error.message.contains("2 threads"), "{}", error.message);
}

fn workers_start_become_ready_and_stop() {
    let folder = Folder::new();
    let pid_file = folder.pid_file();
    let mut host = Host::start(
        &folder,
        &[
            "n_processes=3",
            &format!("pid_fname={pid_file}"),
            "pm_title=pool-of-tests",
        ],
    );
    assert_eq!(host.line().unwrap().kind, "Managing");
    assert_eq!(
        fs::read_to_string(&pid_file).unwrap(),
        format!("{}\n", host.pid())
    );
    let ready = host.until_ready(3);
    assert_eq!(ready.len(), 3);
    let worker = ready.iter().next().unwrap();
    let title = fs::read(format!("/proc/{worker}/cmdline")).unwrap();
    assert!(title.starts_with(b"pool-of-tests worker\0"), "{title:?}");
    let title = fs::read(format!("/proc/{}/cmdline", host.pid())).unwrap();
    assert!(title.starts_with(b"pool-of-tests\0"), "{title:?}");
    host.send(Signal::SIGTERM);
    assert_eq!(host.until_kind("Signal").status, libc::SIGTERM);
    host.until_kind("Stopping");
    for _ in 0..3 {
        let exited = host.until_kind("WorkerExited");
        assert!(ready.contains(&exited.pid));
        assert_eq!(exited.status, 0);
        assert_eq!(
            exited.message,
            format!("worker (pid {}) exited with status 0", exited.pid)
        );
    }
    host.until_kind("Stopped");
    assert_eq!(host.end(), 0);
    assert!(!fs::exists(pid_file).unwrap());
}

fn handlers_and_the_mask_are_put_back() {
    let folder = Folder::new();
    let mut host = Host::start(&folder, &["n_processes=2", "after=1"]);
    host.until_ready(2);
    host.send(Signal::SIGINT);
    assert_eq!(host.until_kind("Same").pid, 1);
    assert_eq!(host.end(), 0);
}

fn no_signals_leaves_them_to_the_host() {
    let folder = Folder::new();
    let mut host = Host::start(
        &folder,
        &[
            "n_processes=1",
            "no_signals=1",
            "term_when_ready=1",
            "nofile=40",
        ],
    );
    host.until_kind("Stopped");
    assert_eq!(host.end(), 0);
}

fn hup_replaces_each_worker_by_a_ready_one_first() {
    let folder = Folder::new();
    let mut host = Host::start(&folder, &["n_processes=4"]);
    let old = host.until_ready(4);
    host.send(Signal::SIGHUP);
    let mut ready = old.clone();
    loop {
        let line = host.line().unwrap();
        match line.kind.as_str() {
            "WorkerReady" => assert!(ready.insert(line.pid)),
            "WorkerExited" => {
                assert!(ready.remove(&line.pid));
                assert_eq!(line.status, 0);
                assert!(ready.len() >= 4, "capacity dipped: {:#?}", host.seen);
            }
            "ReloadDone" => break,
            _ => {}
        }
    }
    while ready.len() > 4 {
        ready.remove(&host.until_kind("WorkerExited").pid);
    }
    assert!(ready.is_disjoint(&old));
    host.stop();
}

fn a_broken_reload_takes_nothing_down() {
    let folder = Folder::new();
    let mut host = Host::start(&folder, &["n_processes=3"]);
    let old = host.until_ready(3);
    folder.deploy("exit 255");
    host.send(Signal::SIGHUP);
    let failed = host.until_kind("ReloadFailed");
    assert_eq!(
        failed.message,
        format!(
            "reload failed, the old workers continue: worker (pid {}) exited with status 255 before it was ready",
            failed.pid
        )
    );
    let gone: Vec<_> = host
        .seen
        .iter()
        .filter(|line| line.kind == "WorkerExited")
        .map(|line| line.pid)
        .collect();
    assert!(
        gone.iter().all(|pid| !old.contains(pid)),
        "{:#?}",
        host.seen
    );
    folder.deploy("serve");
    host.send(Signal::SIGHUP);
    let new = host.until_ready(3);
    host.until_kind("ReloadDone");
    assert!(new.is_disjoint(&old));
    host.stop();
}

fn a_new_worker_that_hangs_ends_the_reload() {
    let folder = Folder::new();
    let mut host = Host::start(
        &folder,
        &["n_processes=2", "start_timeout=0.3", "die_timeout=5"],
    );
    let old = host.until_ready(2);
    folder.deploy("hang");
    host.send(Signal::SIGHUP);
    let failed = host.until_kind("ReloadFailed");
    assert!(
        failed
            .message
            .ends_with("was not ready within start_timeout = 300ms"),
        "{}",
        failed.message
    );
    let exited = host.until_kind("WorkerExited");
    assert!(!old.contains(&exited.pid));
    assert_eq!(
        exited.message,
        format!("worker (pid {}) killed by SIGKILL", exited.pid)
    );
    host.stop();
}

fn a_killed_worker_is_replaced_at_once() {
    let folder = Folder::new();
    let mut host = Host::start(&folder, &["n_processes=2"]);
    let old = host.until_ready(2);
    let victim = *old.iter().next().unwrap();
    kill(Pid::from_raw(victim), Signal::SIGKILL).unwrap();
    let exited = host.until_kind("WorkerExited");
    assert_eq!((exited.pid, exited.status), (victim, libc::SIGKILL));
    assert!(!old.contains(&host.until_kind("WorkerReady").pid));
    host.stop();
}

fn a_crash_loop_is_held_up_and_term_is_not() {
    let folder = Folder::new();
    folder.deploy("exit 1");
    let mut host = Host::start(&folder, &["n_processes=2"]);
    let began = Instant::now();
    host.until(|line| line.message.starts_with("workers die soon"));
    let elapsed = began.elapsed();
    // All ten of the first ten seconds were made, unless the machine took so long to make them.
    if elapsed < Duration::from_secs(5) {
        assert_eq!(host.count("WorkerStarted"), 10, "{:#?}", host.seen);
    }
    let asked = Instant::now();
    host.send(Signal::SIGTERM);
    host.until_kind("Stopped");
    assert!(asked.elapsed() < Duration::from_millis(100));
    assert_eq!(host.count("WorkerStarted"), host.count("WorkerExited"));
    assert_eq!(host.end(), 0);
}

fn a_worker_that_does_not_leave_is_killed_in_time() {
    let folder = Folder::new();
    folder.deploy("stubborn");
    let mut host = Host::start(&folder, &["n_processes=1", "die_timeout=0.2"]);
    host.until_ready(1);
    host.send(Signal::SIGTERM);
    let killing = host.until_kind("Killing");
    assert!(
        killing
            .message
            .contains("did not exit within die_timeout = 200ms")
    );
    assert_eq!(host.until_kind("WorkerExited").status, libc::SIGKILL);
    host.until_kind("Stopped");
    assert_eq!(host.end(), 0);
}

fn ttin_and_ttou_change_the_size() {
    let folder = Folder::new();
    let mut host = Host::start(&folder, &["n_processes=1"]);
    let first = host.until_ready(1);
    host.send(Signal::SIGTTOU);
    host.until_kind("Signal");
    host.send(Signal::SIGTTIN);
    host.until(|line| line.message == "number of workers set to 2");
    let second = host.until_ready(1);
    host.send(Signal::SIGTTOU);
    host.until(|line| line.message == "number of workers set to 1");
    let gone = host.until_kind("WorkerExited").pid;
    assert!(first.contains(&gone) || second.contains(&gone));
    host.stop();
}

fn a_second_manager_is_refused_by_the_pid_of_the_first() {
    let folder = Folder::new();
    let pid_fname = format!("pid_fname={}", folder.pid_file());
    let mut host = Host::start(&folder, &["n_processes=1", &pid_fname]);
    host.until_ready(1);
    let mut second = Host::start(&folder, &["n_processes=1", &pid_fname]);
    let error = second.line().unwrap();
    assert_eq!((error.kind.as_str(), error.pid), ("Error", -20));
    let wanted = format!("(pid {})", host.pid());
    assert!(error.message.contains(&wanted), "{}", error.message);
    assert_eq!(second.end(), 1);
    assert!(fs::exists(folder.pid_file()).unwrap());
    host.stop();
}

fn a_stale_pid_file_is_replaced() {
    let folder = Folder::new();
    let mut gone = Command::new("true").spawn().unwrap();
    gone.wait().unwrap();
    // A process that is gone, live ones of another program and of this one with other arguments, and one that was
    // killed.
    let other = std::process::id().to_string();
    for stale in [
        gone.id().to_string(),
        "1\n".to_owned(),
        other,
        String::new(),
    ] {
        fs::write(folder.pid_file(), stale).unwrap();
        let mut host = Host::start(
            &folder,
            &["n_processes=1", &format!("pid_fname={}", folder.pid_file())],
        );
        host.until_ready(1);
        let content = fs::read_to_string(folder.pid_file()).unwrap();
        assert_eq!(content, format!("{}\n", host.pid()));
        host.send(Signal::SIGKILL);
        while host.line().is_some() {}
    }
    let mut host = Host::start(
        &folder,
        &["n_processes=1", &format!("pid_fname={}", folder.pid_file())],
    );
    host.until_ready(1);
    host.stop();
    assert!(!fs::exists(folder.pid_file()).unwrap());
}

fn a_file_that_holds_no_pid_is_left_alone() {
    let folder = Folder::new();
    fs::write(folder.pid_file(), "precious\n").unwrap();
    let mut host = Host::start(
        &folder,
        &["n_processes=1", &format!("pid_fname={}", folder.pid_file())],
    );
    let error = host.line().unwrap();
    assert_eq!((error.kind.as_str(), error.pid), ("Error", -19));
    assert!(error.message.contains(&folder.pid_file()));
    assert_eq!(host.end(), 1);
    assert_eq!(fs::read_to_string(folder.pid_file()).unwrap(), "precious\n");
}

fn workers_leave_when_the_manager_is_killed() {
    let folder = Folder::new();
    let mut host = Host::start(&folder, &["n_processes=5"]);
    host.until_ready(5);
    host.send(Signal::SIGKILL);
    // The pipe ends when the last worker has closed it.
    while host.line().is_some() {}
}

fn idle_workers_look_when_something_was_handed_over() {
    let folder = Folder::new();
    folder.deploy("handover");
    let mut host = Host::start(&folder, &["n_processes=3"]);
    let ready = host.until_ready(3);
    host.send(Signal::SIGTTOU);
    let taker = host.until_kind("Taken").pid;
    assert!(ready.contains(&taker));
    host.stop();
}

fn garbage_in_a_page_changes_nothing() {
    let folder = Folder::new();
    folder.deploy("garbage");
    let mut host = Host::start(&folder, &["n_processes=2"]);
    let old = host.until_ready(2);
    folder.deploy("serve");
    fs::write(folder.0.join("code.go"), "").unwrap();
    host.send(Signal::SIGHUP);
    let new = host.until_ready(2);
    assert!(new.is_disjoint(&old));
    host.until_kind("ReloadDone");
    assert_eq!(host.count("WorkerStarted"), 4);
    host.stop();
}

fn two_hundred_workers_start_and_stop() {
    many_workers(&["n_processes=200"]);
}

fn two_hundred_workers_with_few_descriptors() {
    many_workers(&["n_processes=200", "nofile=128"]);
}

fn many_workers(settings: &[&str]) {
    let folder = Folder::new();
    let mut host = Host::start(&folder, settings);
    assert_eq!(host.until_ready(200).len(), 200);
    host.send(Signal::SIGHUP);
    host.until_kind("ReloadDone");
    host.send(Signal::SIGTERM);
    host.until_kind("Stopped");
    assert_eq!(host.count("WorkerStarted"), 400);
    assert_eq!(host.count("WorkerExited"), 400);
    assert!(
        host.seen
            .iter()
            .all(|line| line.kind != "WorkerExited" || line.status == 0)
    );
    assert_eq!(host.end(), 0);
}
