//! Programs that a test starts on a listening socket, and that end with the test.

use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, TcpListener};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

#[allow(unused_imports)] // Each test target uses a part of it.
pub(crate) use super::compiled::{
    compiled, compiled_on_dropin, copy_program, dropin, folder, product,
};
use super::connection::{Address, Connection, LIMIT};
use super::records::{Request, Response};

/// How a program is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    Unix,
    Tcp,
}

pub(crate) const TRANSPORTS: [Transport; 2] = [Transport::Unix, Transport::Tcp];

/// How often a process has waited, and how often it was preempted (proc(5)).
pub(crate) fn context_switches(pid: i32) -> [u64; 2] {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    ["voluntary", "nonvoluntary"].map(|kind| {
        let label = format!("{kind}_ctxt_switches:");
        let count = status.lines().find_map(|line| line.strip_prefix(&label));
        count.unwrap().trim().parse().unwrap()
    })
}

/// Waits until a process sleeps. A worker whose last response has arrived, and that has nothing
/// else to do, then waits for its next request.
pub(crate) fn wait_until_asleep(pid: i32) {
    let until = Instant::now() + LIMIT;
    loop {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        let (_, fields) = stat.rsplit_once(") ").unwrap();
        if fields.starts_with('S') {
            return;
        }
        assert!(Instant::now() < until, "not asleep: {stat}");
        std::thread::yield_now();
    }
}

/// A listening socket that the test holds, and its address.
pub(crate) fn listen(transport: Transport) -> (OwnedFd, Address) {
    match transport {
        Transport::Unix => {
            let path = folder().join("socket");
            let listener = UnixListener::bind(&path).unwrap();
            (listener.into(), Address::Unix(path))
        }
        Transport::Tcp => {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
            let address = listener.local_addr().unwrap();
            (listener.into(), Address::Tcp(address))
        }
    }
}

/// Runs a command without any capability, as an ordinary user does. The user stays, so that the
/// command reaches its files.
pub(crate) fn without_privileges(command: &mut Command) {
    let drop_all = || {
        for capability in 0..64 {
            // SAFETY: no pointers.
            let result = unsafe { libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0) };
            if result < 0 && nix::errno::Errno::last() != nix::errno::Errno::EINVAL {
                return Err(std::io::Error::last_os_error());
            }
        }
        Ok(())
    };
    // SAFETY: it only makes system calls.
    unsafe { command.pre_exec(drop_all) };
}

/// An address on which no process listens.
pub(crate) fn unused(transport: Transport) -> Address {
    match transport {
        Transport::Unix => Address::Unix(folder().join("socket")),
        // Bound and closed: the kernel does not reuse the port soon.
        Transport::Tcp => listen(transport).1,
    }
}

/// A running program, which listens on descriptor 0 as a web server would start it (section 2.2).
#[derive(Debug)]
pub(crate) struct Program {
    child: Child,
    pub(crate) address: Address,
    errors: Receiver<String>,
    seen: Vec<String>,
    reaped: bool,
    /// Whether it removes the folder of the socket when it is dropped.
    owns_socket: bool,
}

impl Program {
    /// Starts a program and does not wait for it.
    pub(crate) fn start(command: Command, transport: Transport) -> Self {
        let (listener, address) = listen(transport);
        let mut program = Self::start_on(command, listener, address);
        program.owns_socket = true;
        program
    }

    /// The same, on an existing listening socket.
    pub(crate) fn start_on(command: Command, listener: OwnedFd, address: Address) -> Self {
        Self::spawn(command, Stdio::from(listener), address)
    }

    /// The same, for a program that opens this address itself.
    pub(crate) fn start_opening(command: Command, address: Address) -> Self {
        Self::spawn(command, Stdio::null(), address)
    }

    fn spawn(mut command: Command, stdin: Stdio, address: Address) -> Self {
        // In its own process group, so that its children end with the test.
        let mut child = command
            .process_group(0)
            .stdin(stdin)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (sender, errors) = channel();
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Self {
            child,
            address,
            errors,
            seen: Vec::new(),
            reaped: false,
            owns_socket: false,
        }
    }

    /// Starts the test application, and waits until it is ready.
    pub(crate) fn app(transport: Transport, environment: &[(&str, &str)]) -> Self {
        let mut command = Command::new(compiled("conformance/app.c"));
        command.arg("fd:0").envs(environment.iter().copied());
        let mut program = Self::start(command, transport);
        program.line("app: ready");
        program
    }

    pub(crate) fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).unwrap()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.pid()), signal).unwrap();
    }

    /// Stops it with SIGSTOP, and waits until it is stopped.
    pub(crate) fn suspend(&self) {
        use nix::sys::wait::{Id, WaitPidFlag, waitid};
        self.signal(Signal::SIGSTOP);
        waitid(Id::Pid(Pid::from_raw(self.pid())), WaitPidFlag::WSTOPPED).unwrap();
    }

    pub(crate) fn connect(&self) -> Connection {
        self.address.connect()
    }

    pub(crate) fn call(&self, request: &Request) -> Response {
        self.address.call(request)
    }

    /// Waits for the next line on standard error that contains the text.
    pub(crate) fn line(&mut self, text: &str) -> String {
        self.line_within(text, LIMIT)
    }

    pub(crate) fn line_within(&mut self, text: &str, limit: Duration) -> String {
        let until = Instant::now() + limit;
        loop {
            match self
                .errors
                .recv_timeout(until.saturating_duration_since(Instant::now()))
            {
                Ok(line) => {
                    self.seen.push(line.clone());
                    if line.contains(text) {
                        return line;
                    }
                }
                Err(error) => panic!(
                    "no line with '{text}' ({error}); the lines are {:#?}",
                    self.seen
                ),
            }
        }
    }

    /// Everything on standard error so far, in the order in which it was read.
    pub(crate) fn lines(&mut self) -> &[String] {
        self.seen.extend(self.errors.try_iter());
        &self.seen
    }

    /// The number of lines so far that contain the text.
    pub(crate) fn count(&mut self, text: &str) -> usize {
        let lines = self.lines().iter();
        lines.filter(|line| line.contains(text)).count()
    }

    /// Everything on standard error, to its end.
    pub(crate) fn all_lines(&mut self) -> &[String] {
        while let Ok(line) = self.errors.recv_timeout(LIMIT) {
            self.seen.push(line);
        }
        &self.seen
    }

    /// Waits until the program has exited.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        self.wait_for(LIMIT)
    }

    pub(crate) fn wait_for(&mut self, limit: Duration) -> ExitStatus {
        assert!(
            ended_within(self.pid(), limit),
            "pid {} still runs; its lines are {:#?}",
            self.pid(),
            self.lines()
        );
        self.reaped = true;
        self.child.wait().unwrap()
    }

    /// Resident memory in KiB.
    pub(crate) fn memory(&self) -> u64 {
        memory(self.pid())
    }

    /// The number of requests that the application has run, including this one.
    pub(crate) fn served(&self) -> u32 {
        self.call(&super::records::request("/served"))
            .text()
            .parse()
            .unwrap()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Only until the leader is reaped: after that, its pid may be reused.
        if !self.reaped {
            let _ = nix::sys::signal::killpg(Pid::from_raw(self.pid()), Signal::SIGKILL);
            let status = self.child.wait();
            if std::thread::panicking() {
                eprintln!("{status:?}; the lines are {:#?}", self.lines());
            }
        }
        if self.owns_socket {
            self.address.remove();
        }
    }
}

/// What the open descriptors of a process refer to.
pub(crate) fn descriptors_of(pid: i32) -> Vec<String> {
    let links = std::fs::read_dir(format!("/proc/{pid}/fd")).into_iter();
    links
        .flatten()
        .flatten()
        .filter_map(|link| {
            std::fs::read_link(link.path())
                .ok()?
                .to_str()
                .map(str::to_owned)
        })
        .collect()
}

/// Waits for the guardian of a manager with this number of workers, other than these guardians.
pub(crate) fn guardian_of(manager: i32, workers: usize, not: &[i32]) -> i32 {
    let until = Instant::now() + LIMIT;
    loop {
        let children = std::fs::read_to_string(format!("/proc/{manager}/task/{manager}/children"));
        let children = children.unwrap();
        let found = children
            .split_ascii_whitespace()
            .filter_map(|pid| pid.parse().ok())
            .find(|pid| {
                let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
                let links = descriptors_of(*pid);
                let processes = links.iter().filter(|link| link.contains("pidfd")).count();
                // One more is that of the manager. It takes its name after it has closed other
                // descriptors.
                name.starts_with("guardian of") && processes == workers + 1 && !not.contains(pid)
            });
        if let Some(pid) = found {
            return pid;
        }
        assert!(
            Instant::now() < until,
            "no guardian of {manager} for {workers} workers"
        );
        std::thread::yield_now();
    }
}

/// Waits until a process has exited. It need not be a child of the test.
pub(crate) fn ended_within(pid: i32, limit: Duration) -> bool {
    pidfd(pid).is_none_or(|fd| readable_within(&fd, limit))
}

/// A descriptor that becomes readable when a process exits, or `None` if there is no such process.
pub(crate) fn pidfd(pid: i32) -> Option<OwnedFd> {
    use std::os::fd::FromRawFd as _;
    // SAFETY: it takes two integers, and returns a new descriptor or an error.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    // SAFETY: the descriptor is new, and has no other owner.
    (fd >= 0).then(|| unsafe { OwnedFd::from_raw_fd(i32::try_from(fd).unwrap()) })
}

/// For how many seconds so far a process on this machine has waited for a CPU. 0 if the kernel does
/// not report that.
pub(crate) fn cpu_pressure() -> f64 {
    let pressure = std::fs::read_to_string("/proc/pressure/cpu").unwrap_or_default();
    let line = pressure.lines().next();
    let total = line.and_then(|line| line.split("total=").nth(1));
    total.map_or(0.0, |total| total.parse::<f64>().unwrap() / 1e6)
}

/// Waits until there is data to read, or the end.
pub(crate) fn readable_within(fd: impl std::os::fd::AsFd, limit: Duration) -> bool {
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    let timeout = PollTimeout::try_from(limit).unwrap();
    poll(&mut [PollFd::new(fd.as_fd(), PollFlags::POLLIN)], timeout) == Ok(1)
}

/// How a process has exited, for messages.
pub(crate) fn ended(status: ExitStatus) -> String {
    format!("code {:?}, signal {:?}", status.code(), status.signal())
}

/// The resident memory of a process in KiB.
pub(crate) fn memory(pid: i32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
