//! slow_request: where the request is.

use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use nix::sys::signal::Signal;

use super::admin_listener::path;
use super::peer::pool::followed_by;
use super::peer::program::{Program, TRANSPORTS, folder, product, unused};
use super::{Pool, call, command};

/// Slow after a moment.
const SLOW: (&str, &str) = ("FCGIPM_SLOW_REQUEST", "0.1");

fn start(more: &[(&str, &str)]) -> Pool {
    let path = path();
    let command = [("PATH", path.as_str()), SLOW];
    Pool::start(TRANSPORTS[0], 1, &[&command[..], more].concat())
}

#[test]
fn a_slow_request_of_a_c_program_has_its_call_and_its_functions() {
    let mut pool = start(&[]);
    let worker = pool.workers[0];
    let _paused = pool.paused(false);
    // The example waits in open(2) or read(2) of the gate.
    let line = pool.program.line("slow request: worker");
    assert!(line.contains(": GET /pause"), "{line}");
    let line = pool
        .program
        .line(&format!("slow request: worker (pid {worker}) is "));
    assert!(line.contains("is sleeping in "), "{line}");
    for part in [
        "; native: ",
        "answer_pause at ",
        "hello.c line ",
        " <- main at ",
    ] {
        assert!(line.contains(part), "{part}: {line}");
    }
    let _through = pool.let_through(1);
}

#[test]
fn perl_programs_show_files_and_lines() {
    let folder = folder();
    let script = folder.join("app.fcgi");
    let text = "use strict; use FCGI; use FCGI::ProcManager;\n\
        my $r = FCGI::Request(\\*STDIN, \\*STDOUT, \\*STDERR, \\%ENV, 0);\n\
        my $m = FCGI::ProcManager->new({ n_processes => 1 });\n\
        sub Shop::report {\n\
        my ($how) = @_;\n\
        if ($how eq 'system') { system 'exec sleep 1000' }\n\
        if ($how eq 'loop') { 1 while 1 }\n\
        if ($how eq 'regex') { ('x' x 5000) =~ /x*x*x*x*[yz]/ }\n\
        if ($how eq 'socket') { use Socket; socketpair my $a, my $b, AF_UNIX, SOCK_STREAM, 0; sysread $a, my $c, 1 }\n\
        }\n\
        $m->pm_manage;\n\
        while ($r->Accept >= 0) {\n\
        Shop::report($ENV{QUERY_STRING});\n\
        }\n";
    std::fs::write(&script, text).unwrap();
    let root = env!("CARGO_MANIFEST_DIR");
    for (how, line, wait) in [
        ("system", 6, "is sleeping in wait4"),
        ("loop", 7, "is running"),
        ("regex", 8, "is running"),
        ("socket", 9, "is sleeping in read("),
    ] {
        let mut command = Command::new("perl");
        command
            .arg(format!("-I{root}/bindings/perl/lib"))
            .arg(format!("-I{root}/target/release/perl"))
            .arg("-MFCGIPM::Compat")
            .arg(&script)
            .env("PATH", path())
            .env(SLOW.0, SLOW.1);
        let mut program = Program::start(command, TRANSPORTS[0]);
        program.line("server (pid");
        let mut connection = program.connect();
        connection.send(&call(&format!("/x?{how}")).bytes());
        let found = program.line(") is ");
        let file = script.display();
        let frames =
            format!("; Perl: Shop::report at {file} line {line} <- main program at {file} line 13");
        assert!(found.contains(&frames), "{how}: {found}");
        assert!(found.contains(wait), "{how}: {found}");
        program.signal(Signal::SIGKILL);
    }
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn php_cgi_shows_where_it_waits() {
    let folder = folder();
    let script = folder.join("slow.php");
    std::fs::write(&script, "<?php sleep(1000);").unwrap();
    let address = unused(TRANSPORTS[0]);
    let mut command = Command::new(product("fcgipm"));
    command
        .args(["run", "--workers", "1", "--slow-request", "0.1", "--listen"])
        .arg(address.text())
        .args(["--", "php-cgi"]);
    let mut program = Program::start_opening(command, address);
    program.line(") started");
    let ask = call("/slow.php").param("SCRIPT_FILENAME", script.to_str().unwrap());
    let mut connection = loop {
        if let Ok(connection) = program.address.try_connect() {
            break connection;
        }
    };
    connection.send(&ask.bytes());
    // Without this library, the manager does not know of requests. The operator does.
    let pid = program.pid();
    let worker = super::admin_listener::children(pid);
    let shown = || {
        worker.iter().find_map(|worker| {
            let output = Command::new(product("fcgipm"))
                .args(["backtrace", "--line", &worker.to_string()])
                .output()
                .unwrap();
            let text = String::from_utf8(output.stdout).unwrap();
            text.contains("nanosleep").then_some(text)
        })
    };
    let text = loop {
        if let Some(text) = shown() {
            break text;
        }
    };
    assert!(
        text.contains("native: ") && text.contains("php-cgi"),
        "{text}"
    );
    std::fs::remove_dir_all(folder).unwrap();
}

/// As root of a container, without CAP_SYS_PTRACE, for workers of another user: what /proc shows, and the
/// reason once.
#[test]
fn without_the_right_there_is_what_proc_shows() {
    let path = path();
    let options = [("PATH", path.as_str()), SLOW, ("FCGIPM_USER", "nobody")];
    let (plain, gate) = command(1, &options);
    let modes = [(gate.parent().unwrap(), 0o755), (gate.as_path(), 0o666)];
    for (path, mode) in modes {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }
    let mut without = Command::new("setpriv");
    without.args(["--bounding-set=-sys_ptrace", "--inh-caps=-sys_ptrace"]);
    let program = Program::start(followed_by(without, &plain), TRANSPORTS[0]);
    let mut pool = Pool::ready(program, gate, 1);
    // At most one in a second: a few requests are slow meanwhile.
    while pool.program.count(") is ") < 2 {
        let mut paused = pool.paused(false);
        pool.program.line("slow request: worker");
        let through = pool.let_through(1);
        paused.response();
        drop(through);
    }
    let lines = pool.program.lines().iter();
    let found = lines.filter(|line| line.contains(") is "));
    for line in found {
        assert!(line.contains("is sleeping"), "{line}");
        assert!(!line.contains("native:"), "{line}");
    }
    assert_eq!(pool.program.count("slow requests: no stacks"), 1);
}

#[test]
fn it_can_be_switched_off_and_needs_the_command() {
    let mut pool = start(&[("FCGIPM_SLOW_REQUEST_BACKTRACE", "0")]);
    let _paused = pool.paused(false);
    pool.program.line("slow request: worker");
    let through = pool.let_through(1);
    pool.program.signal(Signal::SIGTERM);
    pool.assert_stopped();
    drop(through);
    assert_eq!(pool.program.count(") is "), 0);
    let missing = [SLOW, ("PATH", "/nonexistent")];
    let mut pool = Pool::start(TRANSPORTS[0], 1, &missing);
    let why = "slow requests are logged without backtraces: the command: cannot execute 'fcgipm'";
    assert_eq!(pool.program.count(why), 1);
    let _paused = pool.paused(false);
    pool.program.line("slow request: worker");
    let _through = pool.let_through(1);
}
