//! Option admin_listen: a listener with metrics and health that the manager starts and keeps running.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::time::Instant;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::peer::connection::LIMIT;
use super::peer::program::{
    Program, TRANSPORTS, descriptors_of, ended_within, folder, guardian_of, product, unused,
};
use super::{A_SECOND, Pool, call};

/// The directory of the command.
pub(super) fn path() -> String {
    let folder = product("fcgipm");
    let before = std::env::var("PATH").unwrap();
    format!("{}:{before}", folder.parent().unwrap().display())
}

/// A pool whose admin listener has this address, and the URL of the listener.
fn start(address: &str, more: &[(&str, &str)]) -> (Pool, String) {
    let path = path();
    let admin = [("PATH", path.as_str()), ("FCGIPM_ADMIN_LISTEN", address)];
    let mut pool = Pool::start(TRANSPORTS[0], 2, &[&admin, more].concat());
    let url = url(&mut pool.program);
    (pool, url)
}

fn url(program: &mut Program) -> String {
    let line = match program.lines().iter().rev().find(|line| is_url(line)) {
        Some(line) => line.clone(),
        None => program.line("fcgipm admin: "),
    };
    assert!(is_url(&line), "{line}");
    let url = line.strip_prefix("fcgipm admin: ").unwrap();
    url.trim_start_matches("http://")
        .trim_end_matches('/')
        .to_owned()
}

fn is_url(line: &str) -> bool {
    line.starts_with("fcgipm admin: http://") || line.starts_with("fcgipm admin: unix:")
}

fn get(address: &str, path: &str, header: &str) -> String {
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{header}\r\n");
    let mut text = String::new();
    match address.strip_prefix("unix:") {
        Some(path) => {
            let mut stream = UnixStream::connect(path).unwrap();
            stream.write_all(request.as_bytes()).unwrap();
            stream.read_to_string(&mut text).unwrap();
        }
        None => {
            let mut stream = TcpStream::connect(address).unwrap();
            stream.write_all(request.as_bytes()).unwrap();
            stream.read_to_string(&mut text).unwrap();
        }
    }
    text
}

fn assert_serves(address: &str) {
    // The manager has logged that a worker is ready a moment before it writes it to shared memory.
    let until = Instant::now() + LIMIT;
    while !get(address, "/readyz", "").starts_with("HTTP/1.1 200 ") {
        assert!(Instant::now() < until);
    }
    for path in ["/healthz", "/readyz", "/metrics", "/status.json", "/"] {
        let response = get(address, path, "");
        assert!(response.starts_with("HTTP/1.1 200 "), "{path}: {response}");
    }
}

/// The keepers of listeners that belong to this manager, and the listeners.
pub(super) fn listener_of(manager: i32) -> (i32, i32) {
    let begin = Instant::now();
    loop {
        if let Some(keeper) = children(manager).into_iter().find(|pid| is_keeper(*pid)) {
            if let [listener] = children(keeper)[..] {
                return (keeper, listener);
            }
        }
        assert!(begin.elapsed() < LIMIT, "no listener");
        std::thread::yield_now();
    }
}

fn is_keeper(pid: i32) -> bool {
    let title = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    title.starts_with("keeper of the admin listener")
}

pub(super) fn children(parent: i32) -> Vec<i32> {
    let path = format!("/proc/{parent}/task/{parent}/children");
    let list = std::fs::read_to_string(path).unwrap_or_default();
    list.split_whitespace()
        .map(|pid| pid.parse().unwrap())
        .collect()
}

#[test]
fn it_answers_while_the_manager_and_all_workers_are_stopped() {
    let (mut pool, address) = start("127.0.0.1:0", &[]);
    assert_serves(&address);
    pool.program.signal(Signal::SIGHUP);
    pool.program.line("reload done");
    assert_serves(&address);
    let pids: Vec<i32> = children(pool.program.pid())
        .into_iter()
        .filter(|pid| !is_keeper(*pid))
        .collect();
    pool.program.suspend();
    pids.iter()
        .for_each(|pid| kill(Pid::from_raw(*pid), Signal::SIGSTOP).unwrap());
    assert_serves(&address);
    pids.iter()
        .for_each(|pid| kill(Pid::from_raw(*pid), Signal::SIGCONT).unwrap());
    pool.program.signal(Signal::SIGCONT);
    // While the pool stops, it is alive and not ready.
    let mut paused = pool.paused(false);
    let gate = pool.gate();
    pool.program.signal(Signal::SIGTERM);
    pool.program.line("stopping");
    let until = Instant::now() + LIMIT;
    while !get(&address, "/readyz", "").starts_with("HTTP/1.1 503 ") {
        assert!(Instant::now() < until);
    }
    assert!(get(&address, "/healthz", "").starts_with("HTTP/1.1 200 "));
    let (keeper, listener) = listener_of(pool.program.pid());
    drop(gate);
    assert!(paused.response().text().contains("waited"));
    assert!(pool.program.wait().success());
    // The manager has waited for it.
    assert!(TcpStream::connect(&address).is_err());
    assert!(ended_within(listener, A_SECOND) && ended_within(keeper, A_SECOND));
}

#[test]
fn it_is_started_again_and_ends_with_a_killed_manager() {
    let (mut pool, _) = start("127.0.0.1:0", &[]);
    let manager = pool.program.pid();
    guardian_of(manager, 2, &[]);
    let before = descriptors_of(manager).len();
    let (_, listener) = listener_of(manager);
    kill(Pid::from_raw(listener), Signal::SIGKILL).unwrap();
    pool.program
        .line("the admin listener was killed by signal 9; it is started again in 1 s");
    assert_serves(&url_after(&mut pool.program));
    let (keeper, listener) = listener_of(manager);
    kill(Pid::from_raw(keeper), Signal::SIGKILL).unwrap();
    pool.program
        .line("the admin listener has ended; it is started again in 2 s");
    assert!(ended_within(listener, LIMIT));
    assert_serves(&url_after(&mut pool.program));
    assert_eq!(descriptors_of(manager).len(), before);
    let (keeper, listener) = listener_of(manager);
    pool.program.signal(Signal::SIGKILL);
    assert!(ended_within(listener, LIMIT) && ended_within(keeper, LIMIT));
}

/// The URL of a listener that is about to be started.
fn url_after(program: &mut Program) -> String {
    let line = program.line("fcgipm admin: http://");
    let url = line.strip_prefix("fcgipm admin: http://").unwrap();
    url.trim_end_matches('/').to_owned()
}

#[test]
fn a_unix_socket_has_its_mode_and_owner_and_is_removed() {
    let folder = folder();
    let socket = folder.join("admin.sock");
    let owner = [
        ("FCGIPM_ADMIN_MODE", "0640"),
        ("FCGIPM_ADMIN_OWNER", "daemon"),
        ("FCGIPM_ADMIN_GROUP", "nogroup"),
    ];
    let (mut pool, address) = start(socket.to_str().unwrap(), &owner);
    assert_serves(&address);
    let stat = nix::sys::stat::stat(&socket).unwrap();
    let user = nix::unistd::User::from_name("daemon").unwrap().unwrap();
    let group = nix::unistd::Group::from_name("nogroup").unwrap().unwrap();
    assert_eq!(
        (stat.st_uid, stat.st_gid),
        (user.uid.as_raw(), group.gid.as_raw())
    );
    let mode = std::fs::metadata(&socket).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o640);
    pool.program.signal(Signal::SIGTERM);
    assert!(pool.program.wait().success());
    assert!(!socket.exists());
    std::fs::remove_dir(folder).unwrap();
}

#[test]
fn a_token_and_further_hosts_are_options() {
    let folder = folder();
    let token = folder.join("token");
    std::fs::write(&token, "0123456789abcdef\n").unwrap();
    std::fs::set_permissions(&token, std::fs::Permissions::from_mode(0o600)).unwrap();
    let more = [
        ("FCGIPM_ADMIN_TOKEN_FILE", token.to_str().unwrap()),
        ("FCGIPM_ADMIN_HOST", "one.example two.example"),
    ];
    let (_pool, address) = start("0.0.0.0:0", &more);
    let address = address.replace("0.0.0.0", "127.0.0.1");
    assert!(get(&address, "/metrics", "").starts_with("HTTP/1.1 401 "));
    let bearer = "Authorization: Bearer 0123456789abcdef\r\n";
    assert!(get(&address, "/metrics", bearer).starts_with("HTTP/1.1 200 "));
    let mut stream = TcpStream::connect(&address).unwrap();
    let request = format!("GET /metrics HTTP/1.0\r\nHost: two.example\r\n{bearer}\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    assert!(text.contains(" 200 "), "{text}");
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn an_address_in_use_is_reported_and_stops_nothing() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let path = path();
    let admin = [("PATH", path.as_str()), ("FCGIPM_ADMIN_LISTEN", &address)];
    let mut pool = Pool::start(TRANSPORTS[0], 1, &admin);
    assert!(pool.program.call(&call("/")).text().contains("Hello"));
    let in_use = format!("cannot listen on --listen {address}: Address already in use");
    let again = "the admin listener exited with status 1; it is started again in 1 s";
    // Perhaps both were logged before the worker was ready.
    if pool.program.count(again) == 0 {
        pool.program.line(again);
    }
    assert_eq!(pool.program.count(&in_use), 1);
    drop(taken);
    assert_eq!(url_after(&mut pool.program), address);
    assert_serves(&address);
}

/// The line of a start that fails.
pub(super) fn refusal(environment: &[(&str, &str)]) -> String {
    let mut command = Command::new(product("examples/hello"));
    let socket = unused(TRANSPORTS[0]);
    command.arg(socket.text()).env("FCGIPM_N_PROCESSES", "1");
    command.envs(environment.iter().copied());
    let output = command.output().unwrap();
    assert!(!output.status.success());
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn what_is_wrong_is_named_at_the_start() {
    let path = path();
    for (options, why) in [
        (
            &[("FCGIPM_ADMIN_LISTEN", "9100")][..],
            "option admin_listen: '9100': ",
        ),
        (
            &[("FCGIPM_ADMIN_LISTEN", "127.0.0.1:99999")],
            "option admin_listen: '127.0.0.1:99999': ",
        ),
        (
            &[("FCGIPM_ADMIN_LISTEN", "@abstract")],
            "'@abstract': not HOST:PORT, :PORT, /PATH or unix:/PATH",
        ),
        (
            &[("FCGIPM_ADMIN_LISTEN", "0.0.0.0:9100")],
            "other hosts can connect, so option admin_token_file is required",
        ),
        (
            &[
                ("FCGIPM_ADMIN_LISTEN", ":9100"),
                ("FCGIPM_ADMIN_MODE", "0660"),
            ],
            "only a unix socket has permissions: see option admin_mode",
        ),
        (
            &[("FCGIPM_ADMIN_MODE", "0999")],
            "option admin_mode: '0999'",
        ),
    ] {
        let environment = [options, &[("PATH", path.as_str())]].concat();
        let text = refusal(&environment);
        assert!(text.contains(why), "{options:?}: {text}");
    }
    let text = refusal(&[("FCGIPM_ADMIN_LISTEN", ":9100"), ("PATH", "/nonexistent")]);
    assert!(
        text.contains("option admin_listen: the command: cannot execute 'fcgipm'"),
        "{text}"
    );
}
