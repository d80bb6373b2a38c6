//! `fcgipm top` in a real terminal, which is tmux.

use std::fs;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::managed::{Pool, RECORDS, random, signal};
use crate::process::{LIMIT, fcgipm};

/// A terminal of 80 columns and 24 rows, in which a command runs. Its server ends with the test.
struct Terminal {
    folder: TempDir,
}

impl Terminal {
    /// Runs `fcgipm top` in a shell, which then prints the exit status.
    fn top(arguments: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let top = format!(
            "env LC_ALL=C.UTF-8 {} top {arguments}; echo \"exit status $?\"; stty -a; read wait",
            env!("CARGO_BIN_EXE_fcgipm")
        );
        let this = Self { folder };
        this.tmux(&["new-session", "-d", "-x", "80", "-y", "24", &top]);
        this
    }

    fn tmux(&self, arguments: &[&str]) -> String {
        let output = Command::new("tmux")
            .env("TMUX_TMPDIR", self.folder.path())
            .env_remove("TMUX")
            .args(["-f", "/dev/null"])
            .args(arguments)
            .output()
            .expect("tmux");
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn press(&self, keys: &[&str]) {
        self.tmux(&[&["send-keys"], keys].concat());
    }

    fn screen(&self) -> String {
        self.tmux(&["capture-pane", "-p"])
    }

    /// The screen, once it is as wanted.
    fn until(&self, what: &str, is_it: impl Fn(&str) -> bool) -> String {
        let until = Instant::now() + LIMIT;
        loop {
            let screen = self.screen();
            if is_it(&screen) {
                return screen;
            }
            assert!(Instant::now() < until, "no {what}:\n{screen}");
        }
    }

    fn shows(&self, text: &str) -> String {
        self.until(&format!("'{text}'"), |screen| screen.contains(text))
    }

    /// The pid of the command.
    fn pid(&self) -> u32 {
        let shell = self.tmux(&["display-message", "-p", "#{pane_pid}"]);
        let shell = shell.trim();
        let children = fs::read_to_string(format!("/proc/{shell}/task/{shell}/children"));
        children.unwrap().trim().parse().unwrap()
    }

    /// It has ended, and left the terminal as it was.
    fn has_left(&self, status: i32) {
        let screen = self.until("settings for lines", |screen| {
            let words: Vec<&str> = screen.split_whitespace().collect();
            let wanted = ["isig", "icanon", "echo", "icrnl", "opost"];
            wanted.iter().all(|setting| words.contains(setting))
        });
        let wanted = format!("exit status {status}");
        assert!(screen.contains(&wanted), "{screen}");
        assert_eq!(
            self.tmux(&["display-message", "-p", "#{alternate_on}"]),
            "0\n"
        );
        assert_eq!(
            self.tmux(&["display-message", "-p", "#{cursor_flag}"]),
            "1\n"
        );
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.tmux(&["kill-server"]);
    }
}

fn call(address: &str, path: &str) {
    let called = fcgipm(&["call", "--to", address, path], b"");
    assert!(called.status.success(), "{called:?}");
}

/// The output and the exit status of `fcgipm top --once`.
fn once(arguments: &[&str]) -> (String, Option<i32>) {
    let all = [&["top", "--once", "--interval", "0.1"], arguments].concat();
    let output = fcgipm(&all, b"");
    let text = String::from_utf8(output.stdout).unwrap();
    (text, output.status.code())
}

/// The pids in the table, from the top.
fn pids(screen: &str) -> Vec<u32> {
    let rows = screen.lines().skip_while(|line| !line.contains(" STATE "));
    let pid = |line: &str| line.split_whitespace().next()?.parse().ok();
    rows.skip(1).map_while(pid).collect()
}

#[test]
fn one_frame_is_text_of_80_columns() {
    let (one, _folder, address) = Pool::on_unix(2);
    let (two, _other, _) = Pool::on_unix(1);
    let (_client, _gate) = one.paused(&address, "/pause?n=1");
    call(&address, "/");
    let (frame, status) = once(&[&one.pid_file(), &two.pid_file()]);
    assert_eq!(status, Some(0), "{frame}");
    assert!(
        frame.starts_with("fcgipm top  2 pools  every 0.1s  "),
        "{frame}"
    );
    assert!(
        frame.contains("workers   1 busy, 1 idle, 2 wanted, 2 max;"),
        "{frame}"
    );
    assert!(frame.contains("GET /pause?n=1"), "{frame}");
    assert!(
        frame.lines().all(|line| line.chars().count() <= 80),
        "{frame}"
    );
    assert!(!frame.contains('\u{1b}'));
    for worker in one.workers.iter().chain(&two.workers) {
        assert!(frame.contains(&format!(" {worker} ")), "{worker}: {frame}");
    }
    // A pool that has ended is named, and the others are shown.
    let (frame, status) = once(&["/nonexistent/pid", &one.pid_file()]);
    assert_eq!(status, Some(0), "{frame}");
    assert!(
        frame.contains("nothing listens on /nonexistent/pid"),
        "{frame}"
    );
    assert!(frame.contains("2 wanted, 2 max"), "{frame}");
    let output = fcgipm(
        &["top", "--once", "--interval", "0.1", "/nonexistent/pid"],
        b"",
    );
    assert_eq!(output.status.code(), Some(1));
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.starts_with("fcgipm top: "), "{error}");
    let output = fcgipm(&["top", &one.pid_file()], b"");
    assert_eq!(output.status.code(), Some(2));
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.contains("use --once"), "{error}");
}

#[test]
fn keys_select_sort_and_filter() {
    let (one, _folder, address) = Pool::on_unix(3);
    let (two, _other, _) = Pool::on_unix(1);
    let (_client, _gate) = one.paused(&address, "/pause?me");
    let files = format!("--interval 0.1 {} {}", one.pid_file(), two.pid_file());
    let terminal = Terminal::top(&files);
    let screen = terminal.shows("/pause?me");
    assert_eq!(pids(&screen).len(), 3, "{screen}");
    // The oldest request is the first one.
    let busy = pids(&screen)[0];
    let mut ascending = one.workers.clone();
    ascending.sort_unstable();
    terminal.press(&["P"]);
    terminal.until("order", |screen| pids(screen) == ascending);
    terminal.press(&["i"]);
    ascending.reverse();
    terminal.until("reverse order", |screen| pids(screen) == ascending);
    terminal.press(&["/", "ME", "Enter"]);
    terminal.until("one worker", |screen| pids(screen) == [busy]);
    terminal.press(&["Escape"]);
    terminal.until("all workers", |screen| pids(screen).len() == 3);
    terminal.press(&["Tab"]);
    terminal.until("the other pool", |screen| pids(screen) == two.workers);
    terminal.press(&["1"]);
    terminal.until("the first pool", |screen| pids(screen).len() == 3);
    terminal.press(&["?"]);
    terminal.shows("Any key returns to the table.");
    terminal.press(&["x", "Space"]);
    terminal.shows("PAUSED");
    terminal.press(&["q"]);
    terminal.has_left(0);
}

#[test]
fn a_pool_is_reloaded_and_resized_after_a_question() {
    let (pool, _folder, _) = Pool::on_unix(2);
    let terminal = Terminal::top(&format!("--interval 0.1 {}", pool.pid_file()));
    terminal.until("both", |screen| pids(screen).len() == 2);
    terminal.press(&["r"]);
    terminal.shows("? y/N");
    terminal.press(&["n"]);
    terminal.shows("nothing was done");
    terminal.press(&["r", "y"]);
    pool.line("reload done");
    terminal.shows(": reloaded");
    terminal.press(&["+"]);
    terminal.shows("from 2 to 3 workers? y/N");
    terminal.press(&["y"]);
    terminal.until("three", |screen| pids(screen).len() == 3);
    terminal.shows("resized to 3 workers");
    terminal.press(&["-", "y"]);
    terminal.until("two", |screen| pids(screen).len() == 2);
    // A worker's backtrace is shown until it is left.
    terminal.press(&["Down", "b"]);
    terminal.shows("Esc returns");
    terminal.shows("Thread: ");
    terminal.press(&["Escape"]);
    terminal.until("the table", |screen| pids(screen).len() == 2);
    terminal.press(&["q"]);
    terminal.has_left(0);
}

#[test]
fn the_terminal_is_restored_whatever_ends_it() {
    let (pool, _folder, _) = Pool::on_unix(1);
    let start = || {
        let terminal = Terminal::top(&format!("--interval 0.1 {}", pool.pid_file()));
        terminal.until("the worker", |screen| pids(screen).len() == 1);
        terminal
    };
    let terminal = start();
    terminal.press(&["C-c"]);
    terminal.has_left(0);
    for name in ["TERM", "HUP", "INT", "QUIT"] {
        let terminal = start();
        signal(name, terminal.pid());
        terminal.has_left(0);
    }
    // Another size, and another program in between.
    let terminal = start();
    terminal.tmux(&["resize-window", "-x", "60", "-y", "12"]);
    let screen = terminal.until("12 rows", |screen| {
        screen.lines().count() <= 12 && pids(screen).len() == 1
    });
    assert!(screen.lines().all(|line| line.chars().count() <= 60));
    signal("STOP", terminal.pid());
    signal("CONT", terminal.pid());
    terminal.until("the worker", |screen| pids(screen).len() == 1);
}

#[test]
fn it_works_while_everything_is_stopped_and_through_a_restart() {
    let (pool, _folder, address) = Pool::on_unix(2);
    let (_client, _gate) = pool.paused(&address, "/pause?stuck=1");
    pool.stop_all();
    let terminal = Terminal::top(&format!("--interval 0.1 {address}"));
    terminal.shows("GET /pause?stuck=1");
    signal("KILL", pool.pid());
    for worker in &pool.workers {
        signal("KILL", *worker);
    }
    terminal.shows("ended");
    let listener = {
        fs::remove_file(&address).unwrap();
        std::os::unix::net::UnixListener::bind(&address).unwrap()
    };
    let again = Pool::start(listener, 3);
    let screen = terminal.until("the new pool", |screen| pids(screen).len() == 3);
    for worker in &again.workers {
        assert!(pids(&screen).contains(worker), "{screen}");
    }
}

#[test]
fn a_hostile_uri_cannot_control_the_terminal() {
    let (pool, _folder, address) = Pool::on_unix(1);
    let uri = "/pause?\u{202e}\u{1b}]0;title\u{7}\u{9b}2J漢字";
    let mut client = Command::new(env!("CARGO_BIN_EXE_fcgipm"))
        .args(["call", "--to", &address, "/pause"])
        .arg(format!("--param=REQUEST_URI={uri}"))
        .spawn()
        .unwrap();
    let terminal = Terminal::top(&format!("--interval 0.1 {}", pool.pid_file()));
    let screen = terminal.shows("GET /pause?\\u{202e}");
    let is_safe = |letter: char| letter == '\n' || !letter.is_control();
    assert!(screen.chars().all(is_safe), "{screen}");
    let title = terminal.tmux(&["display-message", "-p", "#{pane_title}"]);
    assert!(!title.contains("title"), "{title}");
    client.kill().unwrap();
    client.wait().unwrap();
}

/// For ten seconds, a worker fills what it shares with random bytes.
#[test]
fn random_bytes_of_a_worker_change_nothing_else() {
    const TIME: Duration = Duration::from_secs(10);
    let (pool, _folder, address) = Pool::on_unix(2);
    for _ in 0..20 {
        call(&address, "/");
    }
    let region = pool.region(pool.workers[0]);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut state = 1_u64;
            let mut garbage = vec![0; RECORDS];
            while !stop.load(Ordering::Relaxed) {
                for word in garbage.chunks_exact_mut(8) {
                    let number = random(&mut state);
                    word.copy_from_slice(&(number >> (number % 64)).to_ne_bytes());
                }
                region.write(&garbage);
            }
        });
        let terminal = Terminal::top(&format!("--interval 0.1 {}", pool.pid_file()));
        terminal.until("both", |screen| pids(screen).len() == 2);
        let until = Instant::now() + TIME;
        while Instant::now() < until {
            let (frame, status) = once(&[&pool.pid_file()]);
            assert_eq!(status, Some(0), "{frame}");
            for text in [&frame, &terminal.screen()] {
                assert_eq!(pids(text).len(), 2, "{text}");
                let total = text.lines().find_map(|line| {
                    let (before, _) = line.split_once(" in total")?;
                    before.rsplit(' ').next()?.parse::<u64>().ok()
                });
                // What that worker has counted may be missing.
                assert!(total.is_some_and(|total| total <= 20), "{text}");
            }
        }
        stop.store(true, Ordering::Relaxed);
        terminal.press(&["q"]);
        terminal.has_left(0);
    });
}

#[test]
fn a_thousand_workers_fit() {
    let (pool, _folder, _) = Pool::on_unix(1_000);
    let (frame, status) = once(&[&pool.pid_file()]);
    assert_eq!(status, Some(0));
    assert_eq!(pids(&frame).len(), 1_000);
    let terminal = Terminal::top(&format!("--interval 0.5 {}", pool.pid_file()));
    terminal.shows("of 1000; ");
    terminal.press(&["P", "End"]);
    let last = *pool.workers.iter().max().unwrap();
    terminal.until("the last worker", |screen| {
        pids(screen).last() == Some(&last)
    });
}
