//! Workers with another identity than the manager.
//!
//! Changing the user needs root, and so do most of these tests.

mod refused;

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::sys::signal::Signal;

use super::peer::program::{
    Program, TRANSPORTS, Transport, compiled, copy_program, ended_within, folder, product,
};
use super::peer::records::ID;
use super::{A_SECOND, Load, Pool, ask_in_two_segments, ask_keep_alive, call, command};

/// Debian's uid of nobody, and gid of nogroup.
const NOBODY: u32 = 65_534;

/// A field of /proc/PID/status, with single spaces.
fn status(pid: i32, field: &str) -> String {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    let words: Vec<_> = line.unwrap().split_whitespace().collect();
    words.join(" ")
}

fn nice(pid: i32) -> i32 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let (_, fields) = stat.rsplit_once(") ").unwrap();
    fields.split(' ').nth(16).unwrap().parse().unwrap()
}

/// The soft and the hard limit.
fn limit(pid: i32, name: &str) -> String {
    let limits = fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
    let line = limits.lines().find_map(|line| line.strip_prefix(name));
    let words: Vec<_> = line.unwrap().split_whitespace().take(2).collect();
    words.join(" ")
}

fn link(pid: i32, name: &str) -> PathBuf {
    fs::read_link(format!("/proc/{pid}/{name}")).unwrap()
}

fn repeated(id: u32) -> String {
    format!("{id} {id} {id} {id}")
}

fn assert_root() {
    let root = nix::unistd::geteuid().is_root();
    assert!(root, "this test changes the user: run it as root");
}

/// A copy of the example for all users, who may not have access to the build.
struct Copy(PathBuf);

impl Copy {
    fn new() -> Self {
        let copy = folder();
        fs::create_dir(copy.join("examples")).unwrap();
        for name in ["examples/hello", "libfcgipm.so.0"] {
            copy_program(&product(name), &copy.join(name));
        }
        for name in ["", "examples"] {
            fs::set_permissions(copy.join(name), Permissions::from_mode(0o755)).unwrap();
        }
        Self(copy)
    }

    /// Runs as nobody if root runs the test.
    fn command(&self, environment: &[(&str, &str)]) -> Command {
        let mut command = Command::new(self.0.join("examples/hello"));
        command.arg("fd:0").current_dir("/");
        command.envs(environment.iter().copied());
        if nix::unistd::geteuid().is_root() {
            command.uid(NOBODY).gid(NOBODY);
        }
        command
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A folder that is removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        Self(folder())
    }

    fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn workers_take_the_identity_of_the_options_and_the_manager_keeps_its_own() {
    assert_root();
    let here = Folder::new();
    let pool = Pool::start(
        Transport::Unix,
        2,
        &[
            ("FCGIPM_USER", "nobody"),
            ("FCGIPM_GROUP", "daemon"),
            ("FCGIPM_CHDIR", here.path()),
            ("FCGIPM_PRIORITY", "5"),
            ("FCGIPM_RLIMIT_CORE", "0"),
            ("FCGIPM_RLIMIT_FILES", "256"),
            ("FCGIPM_NO_NEW_PRIVS", "1"),
        ],
    );
    for pid in pool.workers.iter().copied() {
        assert_eq!(status(pid, "Uid"), repeated(NOBODY));
        assert_eq!(status(pid, "Gid"), repeated(1));
        assert_eq!(status(pid, "Groups"), "1");
        assert_eq!(status(pid, "CapEff"), "0".repeat(16));
        assert_eq!(status(pid, "CapPrm"), "0".repeat(16));
        assert_eq!(status(pid, "NoNewPrivs"), "1");
        assert_eq!(link(pid, "cwd"), here.0);
        assert_eq!(link(pid, "root"), Path::new("/"));
        assert_eq!(nice(pid), 5);
        assert_eq!(limit(pid, "Max core file size"), "0 0");
        assert_eq!(limit(pid, "Max open files"), "256 256");
    }
    let manager = pool.program.pid();
    assert_eq!(status(manager, "Uid"), repeated(0));
    assert_eq!(status(manager, "Gid"), repeated(0));
    assert_eq!(status(manager, "NoNewPrivs"), "0");
    assert_ne!(link(manager, "cwd"), here.0);
    assert_eq!(nice(manager), nice(std::process::id() as i32));
    assert_ne!(limit(manager, "Max open files"), "256 256");
    assert!(pool.program.call(&call("/")).text().contains("Hello"));
    pool.stop();
}

#[test]
fn a_user_without_a_group_gets_its_primary_and_supplementary_groups() {
    assert_root();
    let database = Folder::new();
    let (passwd, group) = (database.0.join("passwd"), database.0.join("group"));
    fs::write(&passwd, "web:x:4321:5432::/:/bin/sh\n").unwrap();
    fs::write(
        &group,
        "web:x:5432:\nmail:x:6001:web\nlog:x:6002:other,web\nother:x:6003:other\n",
    )
    .unwrap();
    let with = |options: &[(&str, &str)]| {
        let environment = [
            ("LD_PRELOAD", "libnss_wrapper.so"),
            ("NSS_WRAPPER_PASSWD", passwd.to_str().unwrap()),
            ("NSS_WRAPPER_GROUP", group.to_str().unwrap()),
        ];
        let pool = Pool::start(Transport::Unix, 1, &[&environment, options].concat());
        let worker = pool.workers[0];
        let ids = ["Uid", "Gid", "Groups"].map(|field| status(worker, field));
        pool.stop();
        ids
    };
    let web = [repeated(4321), repeated(5432), "5432 6001 6002".to_owned()];
    assert_eq!(with(&[("FCGIPM_USER", "web")]), web);
    assert_eq!(with(&[("FCGIPM_USER", "4321")]), web, "by its uid");
    assert_eq!(
        with(&[("FCGIPM_USER", "web"), ("FCGIPM_GROUP", "other")]),
        [repeated(4321), repeated(6003), "6001 6002 6003".to_owned()]
    );
    assert_eq!(
        with(&[("FCGIPM_USER", "777"), ("FCGIPM_GROUP", "888")]),
        [repeated(777), repeated(888), "888".to_owned()],
        "a uid without an account"
    );
    assert_eq!(
        with(&[("FCGIPM_GROUP", "mail")]),
        [repeated(0), repeated(6001), "6001".to_owned()],
        "only a group"
    );
}

#[test]
fn a_worker_of_another_user_can_dump_core_if_rlimit_core_is_set() {
    assert_root();
    for (limit, owner) in [("0", 0), ("1k", NOBODY)] {
        let pool = Pool::start(
            Transport::Unix,
            1,
            &[("FCGIPM_USER", "nobody"), ("FCGIPM_RLIMIT_CORE", limit)],
        );
        // The files of a process that may not dump core belong to root (proc(5)).
        let maps = fs::metadata(format!("/proc/{}/maps", pool.workers[0])).unwrap();
        assert_eq!(maps.uid(), owner, "rlimit_core={limit}");
        pool.stop();
    }
}

#[test]
fn reloads_of_workers_of_another_user_lose_nothing() {
    assert_root();
    for transport in TRANSPORTS {
        let mut pool = Pool::start(transport, 3, &[("FCGIPM_USER", "nobody")]);
        let address = pool.program.address.clone();
        let new = Load::start(
            4,
            || address.clone(),
            |address| ask_in_two_segments(address),
        );
        let kept = Load::start(4, || address.connect(), ask_keep_alive);
        let mut idle: Vec<_> = (0..10).map(|_| address.connect()).collect();
        for _ in 0..20 {
            for connection in &mut idle {
                ask_keep_alive(connection).unwrap();
            }
            pool.program.signal(Signal::SIGHUP);
            pool.program.line("reload done");
        }
        let answered = new.finish() + kept.finish();
        println!("{transport:?}: {answered} requests during 20 reloads");
        pool.stop();
    }
}

#[test]
fn workers_of_another_user_notice_the_managers_death() {
    assert_root();
    for transport in TRANSPORTS {
        let mut pool = Pool::start(transport, 3, &[("FCGIPM_USER", "nobody")]);
        let gate = &pool.gate;
        for path in [gate, &gate.parent().unwrap().to_owned()] {
            fs::set_permissions(path, Permissions::from_mode(0o777)).unwrap();
        }
        let mut paused = pool.paused(false);
        let gate = pool.gate();
        pool.program.signal(Signal::SIGKILL);
        pool.program.wait();
        let mut left = pool.workers.clone();
        left.retain(|pid| !ended_within(*pid, A_SECOND));
        assert_eq!(left.len(), 1, "one has a request");
        drop(gate);
        assert!(paused.response_to(ID).text().contains("waited"));
        assert!(ended_within(left[0], A_SECOND), "{} still runs", left[0]);
    }
}

#[test]
fn workers_in_a_chroot_serve_and_reload() {
    assert_root();
    let root = Folder::new();
    fs::create_dir(root.0.join("inside")).unwrap();
    for (chdir, expected) in [
        (None, root.0.clone()),
        (Some("/inside"), root.0.join("inside")),
        (Some("inside"), root.0.join("inside")),
    ] {
        let mut environment = vec![("FCGIPM_USER", "nobody"), ("FCGIPM_CHROOT", root.path())];
        environment.extend(chdir.map(|path| ("FCGIPM_CHDIR", path)));
        let mut pool = Pool::start(Transport::Tcp, 2, &environment);
        for pid in &pool.workers {
            assert_eq!(link(*pid, "root"), root.0);
            assert_eq!(link(*pid, "cwd"), expected);
            assert_eq!(status(*pid, "Uid"), repeated(NOBODY));
        }
        assert_eq!(link(pool.program.pid(), "root"), Path::new("/"));
        pool.program.signal(Signal::SIGHUP);
        pool.program.line("reload done");
        assert!(pool.program.call(&call("/")).text().contains("Hello"));
        pool.stop();
    }
}

#[test]
fn a_worker_with_the_minimum_of_descriptors_serves_keep_alive_connections_through_reloads() {
    let mut pool = Pool::start(Transport::Unix, 2, &[("FCGIPM_RLIMIT_FILES", "32")]);
    let address = pool.program.address.clone();
    let load = Load::start(4, || address.connect(), ask_keep_alive);
    for _ in 0..5 {
        pool.program.signal(Signal::SIGHUP);
        pool.program.line("reload done");
    }
    load.finish();
    pool.stop();
}

#[test]
fn a_worker_that_cannot_take_its_identity_exits_and_the_old_ones_continue() {
    let here = Folder::new();
    let mut pool = Pool::start(Transport::Unix, 1, &[("FCGIPM_CHDIR", here.path())]);
    fs::remove_dir(&here.0).unwrap();
    pool.program.signal(Signal::SIGHUP);
    let line = pool.program.line("reload failed");
    assert!(line.contains("exited with status 1"), "{line}");
    let reason = format!(
        "hello: manager: option chdir: '{}': stat: No such file or directory (os error 2)",
        here.path()
    );
    let lines = pool.program.lines();
    assert!(lines.contains(&reason), "{lines:#?}");
    assert!(pool.program.call(&call("/")).text().contains("Hello"));
    pool.program.signal(Signal::SIGTERM);
    assert_eq!(pool.program.wait().code(), Some(0));
}

#[test]
fn a_worker_without_its_identity_accepts_nothing_even_if_its_host_ignores_the_error() {
    let here = Folder::new();
    let mut command = Command::new(compiled("lifecycle/ignored_error.c"));
    command
        .env("FCGIPM_N_PROCESSES", "1")
        .env("FCGIPM_CHDIR", here.path());
    let mut program = Program::start(command, Transport::Unix);
    program.line(") ready");
    fs::remove_dir(&here.0).unwrap();
    program.signal(Signal::SIGHUP);
    let line = program.line("host: accept");
    let refused = "host: accept -9: this worker could not take the identity that the options name";
    assert!(line.contains(refused), "{line}");
    program.line("reload failed");
    program.signal(Signal::SIGTERM);
    assert_eq!(program.wait().code(), Some(0));
}
