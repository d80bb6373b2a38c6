//! Requests that the library answers itself: options status_path and ping_path.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixStream};
use std::time::Instant;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::admin_listener::{listener_of, path, refusal};
use super::peer::connection::LIMIT;
use super::peer::program::{Program, TRANSPORTS, descriptors_of, without_privileges};
use super::peer::records::{Request, request};
use super::php_fpm::Fpm;
use super::{Pool, call};

const PATHS: [(&str, &str); 2] = [
    ("FCGIPM_STATUS_PATH", "/fpm-status"),
    ("FCGIPM_PING_PATH", "/ping"),
];

fn start(workers: usize, more: &[(&str, &str)]) -> Pool {
    let path = path();
    let command = [("PATH", path.as_str())];
    Pool::start(
        TRANSPORTS[0],
        workers,
        &[&PATHS[..], &command, more].concat(),
    )
}

/// A request as from nginx, for a location with exactly this path.
fn get(path: &str, query: &str) -> Request {
    let uri = match query {
        "" => path.to_owned(),
        query => format!("{path}?{query}"),
    };
    request("")
        .param("SCRIPT_NAME", path)
        .param("REQUEST_METHOD", "GET")
        .param("REQUEST_URI", uri)
        .param("QUERY_STRING", query)
}

fn text(pool: &Pool, request: &Request) -> String {
    pool.program.call(request).text()
}

/// Asks for the status until it has this text: it may be half a second old.
fn status_with(pool: &Pool, query: &str, wanted: &str) -> String {
    let until = Instant::now() + LIMIT;
    loop {
        let status = text(pool, &get("/fpm-status", query));
        if status.contains(wanted) {
            return status;
        }
        assert!(Instant::now() < until, "{status}");
    }
}

#[test]
fn a_worker_answers_for_the_whole_pool_and_the_program_sees_nothing_of_it() {
    let pool = start(3, &[("FCGIPM_PING_RESPONSE", "alive")]);
    let _paused = [pool.paused(false), pool.paused(false)];
    let _gate = pool.gate();
    let _other = pool.gate();
    let status = status_with(&pool, "full", "active processes:     3");
    let count = |line: &str| status.lines().filter(|it| *it == line).count();
    assert_eq!(count("total processes:      3"), 1, "{status}");
    assert_eq!(count("state:                Running"), 3, "{status}");
    assert_eq!(count("request URI:          /pause"), 2, "{status}");
    assert_eq!(count("request URI:          /fpm-status?full"), 1);
    assert!(text(&pool, &get("/ping", "")).ends_with("\r\n\r\nalive"));
    // Other paths are the program's, and it has counted none of these requests.
    let hello = text(&pool, &call("/"));
    assert!(hello.trim().ends_with("request 1"), "{hello}");
    assert!(text(&pool, &get("/ping/", "")).contains("request 2"));
}

#[test]
fn it_works_on_keep_alive_connections_with_a_body_and_for_head() {
    let pool = start(1, &[]);
    let mut connection = pool.program.connect();
    for _ in 0..3 {
        let pong = connection.call(&get("/ping", "").keep(true).body("ignored"));
        assert!(pong.text().ends_with("\r\n\r\npong"), "{}", pong.text());
        let status = connection.call(&get("/fpm-status", "json").keep(true));
        assert!(
            status.text().contains("\"total processes\":1"),
            "{}",
            status.text()
        );
        let hello = connection.call(&call("/").keep(true));
        assert!(hello.text().contains("Hello"));
    }
    // Some web servers put the whole path into PATH_INFO.
    let head = request("/ping").param("REQUEST_METHOD", "HEAD");
    let head = connection.call(&head.keep(true)).text();
    assert!(
        head.contains("text/plain") && head.ends_with("\r\n\r\n"),
        "{head}"
    );
}

#[test]
fn workers_of_another_user_can_ask() {
    let pool = start(1, &[("FCGIPM_USER", "nobody")]);
    assert!(text(&pool, &get("/fpm-status", "")).contains("total processes:      1"));
    // As an ordinary user, too.
    let path = path();
    let environment = [&PATHS[..], &[("PATH", path.as_str())]].concat();
    let (mut command, gate) = super::command(1, &environment);
    without_privileges(&mut command);
    let program = Program::start(command, TRANSPORTS[0]);
    let pool = Pool::ready(program, gate, 1);
    assert!(text(&pool, &get("/fpm-status", "")).contains("total processes:      1"));
}

#[test]
fn workers_forked_by_a_new_program_can_ask() {
    let mut pool = start(1, &[]);
    pool.program.signal(Signal::SIGUSR2);
    pool.program.line("reload done");
    status_with(&pool, "", "total processes:      1");
}

/// The abstract name on which this process listens.
fn name_of_listener(pid: i32) -> String {
    let table = fs::read_to_string("/proc/net/unix").unwrap();
    let inodes = descriptors_of(pid);
    let of_process = |line: &&str| {
        let inode = line.split_whitespace().nth(6).unwrap_or_default();
        inodes.contains(&format!("socket:[{inode}]"))
    };
    let lines = table.lines().filter(of_process);
    let mut names = lines.filter_map(|line| Some(line.split_once("@fcgipm-status-")?.1));
    let name = names.next().expect("no such socket");
    format!("fcgipm-status-{name}")
}

#[test]
fn a_stranger_gets_no_answer_and_keeps_no_place() {
    let pool = start(1, &[]);
    status_with(&pool, "", "total processes:      1");
    let (_, listener) = listener_of(pool.program.pid());
    let address = SocketAddr::from_abstract_name(name_of_listener(listener)).unwrap();
    for question in ["\n", "0123456789abcdef full\n", "\0\n", &"x".repeat(5_000)] {
        let mut stranger = UnixStream::connect_addr(&address).unwrap();
        // It may be closed already.
        let _ = stranger.write_all(question.as_bytes());
        let mut answer = Vec::new();
        let _ = stranger.read_to_end(&mut answer);
        assert!(answer.is_empty(), "{question}: {answer:?}");
    }
    let silent: Vec<_> = (0..64)
        .map(|_| UnixStream::connect_addr(&address).unwrap())
        .collect();
    assert!(text(&pool, &get("/fpm-status", "")).contains("total processes:      1"));
    drop(silent);
}

#[test]
fn without_an_answer_it_is_503_in_time_and_the_program_continues() {
    let mut pool = start(1, &[]);
    let manager = pool.program.pid();
    let (_, listener) = listener_of(manager);
    assert!(text(&pool, &get("/fpm-status", "")).contains("total processes:      1"));
    // One that hangs.
    kill(Pid::from_raw(listener), Signal::SIGSTOP).unwrap();
    let begin = Instant::now();
    let refused = text(&pool, &get("/fpm-status", ""));
    assert!(refused.starts_with("Status: 503 "), "{refused}");
    assert!(begin.elapsed() < LIMIT, "{:?}", begin.elapsed());
    assert!(text(&pool, &call("/")).contains("Hello"));
    assert!(text(&pool, &get("/ping", "")).ends_with("pong"));
    // One that is killed is started again, and can be asked again.
    kill(Pid::from_raw(listener), Signal::SIGKILL).unwrap();
    pool.program
        .line("the admin listener was killed by signal 9");
    status_with(&pool, "", "total processes:      1");
}

#[test]
fn what_is_wrong_is_named_at_the_start() {
    let missing = refusal(&[("FCGIPM_STATUS_PATH", "/status"), ("PATH", "/nonexistent")]);
    let why = "option status_path: the command: cannot execute 'fcgipm'";
    assert!(missing.contains(why), "{missing}");
    let relative = refusal(&[("FCGIPM_STATUS_PATH", "status")]);
    let why = "'status' is not a path that begins with a slash, without a query";
    assert!(relative.contains(why), "{relative}");
}

/// The header fields, sorted, and the body; each number is N.
fn normal(response: &str) -> (Vec<String>, String) {
    let (head, body) = response.split_once("\r\n\r\n").unwrap();
    let mut fields: Vec<_> = head.lines().map(str::to_lowercase).collect();
    fields.sort();
    let mut numbers = String::new();
    for character in body.chars() {
        if !character.is_ascii_digit() {
            numbers.push(character);
        } else if !numbers.ends_with('N') {
            numbers.push('N');
        }
    }
    // It escapes each slash, and has one blank that does not matter.
    let numbers = numbers.replace("\\/", "/").replace(", \"", ",\"");
    // A month is not a number.
    let month = numbers.find("N/").map(|at| at + 2);
    let numbers = match month {
        Some(at) if !numbers.starts_with('{') => {
            let month = numbers[at..at + 3].to_owned();
            numbers.replace(&format!("N/{month}/N"), "N/MON/N")
        }
        _ => numbers,
    };
    (fields, numbers)
}

#[test]
fn php_fpm_gives_the_same_answers_but_for_the_numbers() {
    let fpm = Fpm::start("pm.status_path = /fpm-status\nping.path = /ping\n");
    let pool = start(1, &[]);
    for query in ["", "full", "json", "json&full", "xml", "xml&full"] {
        let theirs = fpm.get("/fpm-status", "/fpm-status", query);
        // One from before this request does not show it.
        let format = query.split('&').next().unwrap();
        let shown = query
            .ends_with("full")
            .then(|| format!("fpm-status?{format}"));
        let ours = status_with(&pool, query, &shown.unwrap_or_default());
        assert_eq!(normal(&ours), normal(&theirs), "{ours}\n{theirs}");
    }
    let ours = text(&pool, &get("/ping", ""));
    assert_eq!(normal(&ours), normal(&fpm.get("/ping", "/ping", "")));
}
