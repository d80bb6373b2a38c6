//! Programs on libfcgi under `fcgipm run`, which loads the drop-in, and php-cgi, which does not use
//! it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::Command;

use nix::sys::signal::Signal;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use crate::load::{Load, Tally};
use crate::peer::connection::Address;
use crate::peer::program::{Program, product};
use crate::peer::records::{Request, request};
use crate::place;
use crate::side::{Side, bound, built, source};

/// Starts a program by `fcgipm run`, on a socket in this folder.
pub(crate) fn run(folder: &Path, options: &[&str], program: &[&str]) -> Program {
    let socket = folder.join("socket");
    let mut command = Command::new("env");
    // Signals that the test run ignores would be ignored by the program as well.
    command.args(["--default-signal=HUP,INT,QUIT,TERM"]);
    command
        .arg(product("fcgipm"))
        .args(["run", "--listen"])
        .arg(&socket);
    command.args(options).arg("--").args(program);
    command
        .env_remove("LD_LIBRARY_PATH")
        .env_remove("FCGIPM_DROPIN");
    Program::start_opening(command, Address::Unix(socket))
}

fn socket(program: &Program) -> String {
    let Address::Unix(path) = &program.address else {
        unreachable!("it listens on a path");
    };
    path.to_str().unwrap().to_owned()
}

/// Waits for the next worker that is ready, and returns its pid.
pub(crate) fn next_ready(program: &mut Program) -> i32 {
    let line = program.line(") ready");
    let (_, rest) = line
        .rsplit_once("(pid ")
        .unwrap_or_else(|| panic!("{line}"));
    rest.split(')').next().unwrap().parse().unwrap()
}

/// Reloads repeatedly while 8 clients send requests for three seconds.
fn reload_under_load(program: &mut Program, options: &[&str]) -> (Tally, u32) {
    let arguments = [&["-c", "8", "-t", "3"], options].concat();
    let mut load = Load::start(&socket(program), &arguments);
    let mut reloads = 0;
    while !load.is_done() {
        program.signal(Signal::SIGHUP);
        program.line("reload done");
        reloads += 1;
    }
    (load.finish(), reloads)
}

fn stop(mut program: Program) {
    program.signal(Signal::SIGTERM);
    let status = program.wait();
    assert_eq!(status.code(), Some(0), "{:#?}", program.lines());
    let killed = program.lines().iter().any(|line| line.contains("kill"));
    assert!(!killed, "{:#?}", program.lines());
}

/// Asserts that reloads lose nothing, on new and on keep-alive connections.
fn assert_nothing_lost(name: &str, program: &[&str], options: &[&str]) {
    let folder = place::folder();
    let mut pool = run(folder.path(), &["--workers", "2"], program);
    for _ in 0..2 {
        Side::DropIn.assert_loaded(next_ready(&mut pool));
    }
    for keeps in [&[][..], &["--keep"]] {
        let (tally, reloads) = reload_under_load(&mut pool, &[options, keeps].concat());
        assert_eq!(tally.lost(), 0, "{name} {keeps:?}: {tally:?}");
        assert!(
            tally.ok() > 100 && reloads > 3,
            "{reloads} reloads, {tally:?}"
        );
        println!(
            "measured: {name} under fcgipm run {keeps:?}: {} requests, {reloads} reloads, lost=0",
            tally.ok()
        );
    }
    stop(pool);
}

pub(crate) fn fcgiwrap_loses_nothing() {
    let folder = place::folder();
    let page = folder.path().join("page");
    fs::copy(source("page.sh"), &page).unwrap();
    let script = format!("SCRIPT_FILENAME={}", page.display());
    let options = [
        "--param",
        &script,
        "--uri",
        "/page?status",
        "--status",
        "418",
        "--expect",
        "short and stout",
    ];
    assert_nothing_lost("fcgiwrap", &["/usr/sbin/fcgiwrap"], &options);
}

pub(crate) fn programs_on_libfcgi_lose_nothing() {
    for (name, flags) in [
        ("a program on FCGX", &[][..]),
        ("a program on fcgi_stdio", &["-DSTDIO"]),
        ("a program on OS_Accept", &["-DSOCKETS"]),
    ] {
        let program = built("small.c", flags);
        assert_nothing_lost(name, &[program.to_str().unwrap()], &["--expect", "GET"]);
    }
}

fn php() -> String {
    let path = "/usr/bin/php-cgi";
    assert!(
        Path::new(path).exists(),
        "{path} is missing: apt-get install php-cgi"
    );
    path.to_owned()
}

/// A script that waits for a gate if the query is "wait".
fn php_script(folder: &Path) -> String {
    let script = folder.join("page.php");
    let fifo = folder.join("gate");
    mkfifo(&fifo, Mode::from_bits_truncate(0o600)).unwrap();
    let text = "<?php if ($_SERVER['QUERY_STRING'] == 'wait') file_get_contents(__DIR__ . '/gate'); echo 'answered';";
    fs::write(&script, text).unwrap();
    script.to_str().unwrap().to_owned()
}

fn php_request(script: &str, query: &str) -> Request {
    request(&format!("/page.php?{query}"))
        .param("REQUEST_METHOD", "GET")
        .param("REDIRECT_STATUS", "200")
        .param("SCRIPT_FILENAME", script)
}

pub(crate) fn php_cgi_loses_nothing_without_keep_alive_connections() {
    let folder = place::folder();
    let script = php_script(folder.path());
    let options = [
        "--workers",
        "2",
        "--ready-delay",
        "0.2",
        "--env",
        "PHP_FCGI_MAX_REQUESTS=0",
    ];
    let mut pool = run(folder.path(), &options, &[&php()]);
    for _ in 0..2 {
        next_ready(&mut pool);
    }
    let script = format!("SCRIPT_FILENAME={script}");
    let load_options = [
        "--param",
        &script,
        "--param",
        "REDIRECT_STATUS=200",
        "--expect",
        "answered",
    ];
    let (tally, reloads) = reload_under_load(&mut pool, &load_options);
    assert_eq!(tally.lost(), 0, "{tally:?}");
    assert!(
        tally.ok() > 100 && reloads > 3,
        "{reloads} reloads, {tally:?}"
    );
    println!(
        "measured: php-cgi under fcgipm run: {} requests, {reloads} reloads, lost=0",
        tally.ok()
    );
    stop(pool);
}

/// The effect of each signal during a request.
pub(crate) fn php_cgi_finishes_its_request_only_at_term_and_usr1() {
    let folder = place::folder();
    let script = php_script(folder.path());
    for (signal, is_answered) in [
        (Signal::SIGTERM, true),
        (Signal::SIGUSR1, true),
        (Signal::SIGQUIT, false),
        (Signal::SIGINT, false),
        (Signal::SIGHUP, false),
        (Signal::SIGUSR2, false),
    ] {
        let (listener, address) = bound(&folder.path().join("socket"));
        let mut program = Program::start_on(Command::new(php()), listener, address);
        let mut connection = program.connect();
        connection.send(&php_request(&script, "wait").bytes());
        // This waits until the script has opened the other end.
        let gate = fs::File::options()
            .write(true)
            .open(folder.path().join("gate"));
        program.signal(signal);
        if is_answered {
            drop(gate.unwrap());
            let text = connection.response().text();
            assert!(text.ends_with("answered"), "{signal}: {text}");
            // php-cgi waits until the connection is closed.
            drop(connection);
            let status = program.wait();
            assert_eq!(status.signal(), None, "{signal}: {status:?}");
        } else {
            let status = program.wait();
            assert_eq!(status.signal(), Some(signal as i32), "{status:?}");
            assert!(connection.try_response_to(1).is_err(), "{signal}");
        }
    }
}

/// The environment and the libraries of a CGI script behind fcgiwrap.
fn seen_by_a_script(program: &Program, page: &Path) -> String {
    let request = request("/page").param("SCRIPT_FILENAME", page.to_str().unwrap());
    program.call(&request).text()
}

pub(crate) fn a_script_behind_fcgiwrap_has_the_environment_without_a_manager() {
    let folder = place::folder();
    let page = folder.path().join("page");
    // The environment at the start of the shell, from the kernel.
    let text = "#!/bin/sh\nprintf 'Content-Type: text/plain\\n\\n'; tr '\\0' '\\n' </proc/$$/environ | sort
cat /proc/self/maps | sed -n 's,.*/\\(lib[a-z]*\\.so\\).*,loaded \\1,p' | sort -u\n";
    fs::write(&page, text).unwrap();
    fs::set_permissions(&page, fs::Permissions::from_mode(0o755)).unwrap();
    let fcgiwrap = "/usr/sbin/fcgiwrap";
    for preload in [None, Some("libm.so.6"), Some("libm.so.6:libcrypt.so.1")] {
        let mut command = Command::new(fcgiwrap);
        command.env_remove("FCGIPM_DROPIN");
        if let Some(preload) = preload {
            command.env("LD_PRELOAD", preload);
        }
        let stock = Side::Stock.start(command, &folder.path().join("stock"));
        let expected = seen_by_a_script(&stock, &page);
        let has_preload =
            preload.is_some_and(|list| expected.contains(&format!("\nLD_PRELOAD={list}\n")));
        assert!(
            has_preload == preload.is_some() && !expected.contains("libfcgi"),
            "{expected}"
        );
        // Also if a shell or env(1) executes fcgiwrap.
        for wrapper in [&[][..], &["env"], &["sh", "-c", "exec \"$0\""]] {
            let sets = preload.map(|list| format!("LD_PRELOAD={list}"));
            let mut options = vec!["--ready-delay", "0"];
            options.extend(sets.iter().flat_map(|set| ["--env", set]));
            let mut pool = run(folder.path(), &options, &[wrapper, &[fcgiwrap]].concat());
            // It is ready only after its first Accept, which the drop-in reports.
            Side::DropIn.assert_loaded(next_ready(&mut pool));
            let seen = seen_by_a_script(&pool, &page);
            assert_eq!(seen, expected, "{preload:?} {wrapper:?}");
            stop(pool);
        }
    }
}

pub(crate) fn accept_returns_a_negative_errno_when_the_worker_must_exit() {
    let folder = place::folder();
    let program = built("exiting.c", &[]);
    let mut pool = run(folder.path(), &[], &[program.to_str().unwrap()]);
    next_ready(&mut pool);
    pool.call(&request("/"));
    pool.signal(Signal::SIGTERM);
    pool.line("accept: -4, errno 4");
    assert_eq!(pool.wait().code(), Some(0));
}
