//! Workers that are somebody else than the manager, and what that must not break.
//!
//! To become another user takes root, so most of these tests do, too.

mod refused;

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::Signal;

use super::peer::program::{
    Program, TRANSPORTS, Transport, compiled, ended_within, folder, product,
};
use super::peer::records::ID;
use super::{Load, Pool, ask_in_two_segments, ask_on_kept, call, command};

/// Debian's number for nobody, and for nogroup.
const NOBODY: u32 = 65_534;

/// A field of /proc/PID/status, its parts parted by one blank.
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

/// Soft and hard.
fn limit(pid: i32, name: &str) -> String {
    let limits = fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
    let line = limits.lines().find_map(|line| line.strip_prefix(name));
    let words: Vec<_> = line.unwrap().split_whitespace().take(2).collect();
    words.join(" ")
}

fn link(pid: i32, name: &str) -> PathBuf {
    fs::read_link(format!("/proc/{pid}/{name}")).unwrap()
}

fn four(id: u32) -> String {
    format!("{id} {id} {id} {id}")
}

fn assert_root() {
    let root = nix::unistd::geteuid().is_root();
    assert!(root, "to become another user takes root: run this as root");
}

/// The example where anybody may execute it: the build's folder may be closed to others.
struct Copy(PathBuf);

impl Copy {
    fn new() -> Self {
        let copy = folder();
        fs::create_dir(copy.join("examples")).unwrap();
        for name in ["examples/hello", "libfcgipm.so.0"] {
            fs::copy(product(name), copy.join(name)).unwrap();
        }
        for name in ["", "examples"] {
            fs::set_permissions(copy.join(name), Permissions::from_mode(0o755)).unwrap();
        }
        Self(copy)
    }

    /// As nobody, also when root runs the test.
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
fn workers_are_who_the_options_say_and_the_manager_stays_who_it_is() {
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
        assert_eq!(status(pid, "Uid"), four(NOBODY));
        assert_eq!(status(pid, "Gid"), four(1));
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
    assert_eq!(status(manager, "Uid"), four(0));
    assert_eq!(status(manager, "Gid"), four(0));
    assert_eq!(status(manager, "NoNewPrivs"), "0");
    assert_ne!(link(manager, "cwd"), here.0);
    assert_eq!(nice(manager), nice(std::process::id() as i32));
    assert_ne!(limit(manager, "Max open files"), "256 256");
    assert!(pool.program.call(&call("/")).text().contains("Hello"));
    pool.stop();
}

#[test]
fn a_user_alone_brings_its_own_group_and_its_supplementary_ones() {
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
    let web = [four(4321), four(5432), "5432 6001 6002".to_owned()];
    assert_eq!(with(&[("FCGIPM_USER", "web")]), web);
    assert_eq!(with(&[("FCGIPM_USER", "4321")]), web, "by its number");
    assert_eq!(
        with(&[("FCGIPM_USER", "web"), ("FCGIPM_GROUP", "other")]),
        [four(4321), four(6003), "6001 6002 6003".to_owned()]
    );
    assert_eq!(
        with(&[("FCGIPM_USER", "777"), ("FCGIPM_GROUP", "888")]),
        [four(777), four(888), "888".to_owned()],
        "a number that no account has"
    );
    assert_eq!(
        with(&[("FCGIPM_GROUP", "mail")]),
        [four(0), four(6001), "6001".to_owned()],
        "a group alone"
    );
}

#[test]
fn a_worker_of_another_user_can_dump_core_where_a_limit_for_it_was_asked_for() {
    assert_root();
    for (limit, owner) in [("0", 0), ("1k", NOBODY)] {
        let pool = Pool::start(
            Transport::Unix,
            1,
            &[("FCGIPM_USER", "nobody"), ("FCGIPM_RLIMIT_CORE", limit)],
        );
        // The files of a process that the kernel will not dump are root's (proc(5)).
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
        let kept = Load::start(4, || address.connect(), ask_on_kept);
        let mut idle: Vec<_> = (0..10).map(|_| address.connect()).collect();
        for _ in 0..20 {
            for connection in &mut idle {
                ask_on_kept(connection).unwrap();
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
        let second = Duration::from_secs(1);
        let mut left = pool.workers.clone();
        left.retain(|pid| !ended_within(*pid, second));
        assert_eq!(left.len(), 1, "the one that has a request");
        drop(gate);
        assert!(paused.response_to(ID).text().contains("waited"));
        assert!(ended_within(left[0], second), "{} still runs", left[0]);
    }
}

#[test]
fn workers_below_another_root_serve_and_reload() {
    assert_root();
    let root = Folder::new();
    fs::create_dir(root.0.join("inside")).unwrap();
    for (chdir, wanted) in [
        (None, root.0.clone()),
        (Some("/inside"), root.0.join("inside")),
        (Some("inside"), root.0.join("inside")),
    ] {
        let mut environment = vec![("FCGIPM_USER", "nobody"), ("FCGIPM_CHROOT", root.path())];
        environment.extend(chdir.map(|path| ("FCGIPM_CHDIR", path)));
        let mut pool = Pool::start(Transport::Tcp, 2, &environment);
        for pid in &pool.workers {
            assert_eq!(link(*pid, "root"), root.0);
            assert_eq!(link(*pid, "cwd"), wanted);
            assert_eq!(status(*pid, "Uid"), four(NOBODY));
        }
        assert_eq!(link(pool.program.pid(), "root"), Path::new("/"));
        pool.program.signal(Signal::SIGHUP);
        pool.program.line("reload done");
        assert!(pool.program.call(&call("/")).text().contains("Hello"));
        pool.stop();
    }
}

#[test]
fn a_worker_with_the_fewest_descriptors_serves_keep_alive_connections_through_reloads() {
    let mut pool = Pool::start(Transport::Unix, 2, &[("FCGIPM_RLIMIT_FILES", "32")]);
    let address = pool.program.address.clone();
    let load = Load::start(4, || address.connect(), ask_on_kept);
    for _ in 0..5 {
        pool.program.signal(Signal::SIGHUP);
        pool.program.line("reload done");
    }
    load.finish();
    pool.stop();
}

#[test]
fn a_worker_in_which_a_step_fails_ends_and_the_old_ones_continue() {
    let here = Folder::new();
    let mut pool = Pool::start(Transport::Unix, 1, &[("FCGIPM_CHDIR", here.path())]);
    fs::remove_dir(&here.0).unwrap();
    pool.program.signal(Signal::SIGHUP);
    let line = pool.program.line("reload failed");
    assert!(line.contains("exited with status 1"), "{line}");
    let said = format!(
        "hello: manager: option chdir: '{}': stat: No such file or directory (os error 2)",
        here.path()
    );
    let lines = pool.program.lines();
    assert!(lines.contains(&said), "{lines:#?}");
    assert!(pool.program.call(&call("/")).text().contains("Hello"));
    pool.program.signal(Signal::SIGTERM);
    assert_eq!(pool.program.wait().code(), Some(0));
}

#[test]
fn a_worker_that_is_not_who_it_should_be_accepts_nothing_whatever_its_host_does() {
    let here = Folder::new();
    let mut command = Command::new(compiled("lifecycle/careless.c"));
    command
        .env("FCGIPM_N_PROCESSES", "1")
        .env("FCGIPM_CHDIR", here.path());
    let mut program = Program::start(command, Transport::Unix);
    program.line(") ready");
    fs::remove_dir(&here.0).unwrap();
    program.signal(Signal::SIGHUP);
    let line = program.line("careless: accept");
    let refused =
        "careless: accept -9: this worker could not take the identity that the options name";
    assert!(line.contains(refused), "{line}");
    program.line("reload failed");
    program.signal(Signal::SIGTERM);
    assert_eq!(program.wait().code(), Some(0));
}
