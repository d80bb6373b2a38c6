//! `--config`: several pools.

use std::fs;
use std::os::fd::{AsRawFd, FromRawFd as _, OwnedFd};
use std::os::unix::net::UnixListener;

use nix::fcntl::FcntlArg;
use tempfile::TempDir;

use super::{Run, call, hello, plain, wait_until_exited};
use crate::managed::signal;
use crate::process::fcgipm;

struct Pools {
    run: Run,
    shop: String,
    wiki: String,
}

/// What a descriptor of this socket refers to, as in /proc.
fn inode_link(listener: &UnixListener) -> String {
    let stat = nix::sys::stat::fstat(listener).unwrap();
    format!("socket:[{}]", stat.st_ino)
}

fn written(folder: &TempDir, text: &str) -> String {
    let path = folder.path().join("run.toml");
    fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

impl Pools {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        let (shop, wiki) = (socket("shop"), socket("wiki"));
        let text = format!(
            "[[pool]]\nname = \"shop\"\nlisten = \"{shop}\"\nworkers = 2\n\
             command = [\"{}\", \"fd:0\"]\npreload = false\n\n\
             [[pool]]\nname = \"wiki\"\nlisten = \"{wiki}\"\nready_delay = 0.1\n\
             command = [\"{}\", \"graceful\"]\npreload = false\n",
            hello(),
            plain()
        );
        let file = written(&folder, &text);
        let run = Run::start(folder, &["--config", &file], &[]);
        let mut this = Self { run, shop, wiki };
        this.run.ready_ones(3);
        this
    }

    /// The pid of the manager of a pool, from the last line that names it.
    fn manager(&self, name: &str) -> u32 {
        let begin = format!("fcgipm: pool '{name}' (pid ");
        let mut lines = self.run.seen.iter().rev();
        let rest = lines.find_map(|line| line.strip_prefix(&begin)).unwrap();
        rest.split_once(')').unwrap().0.parse().unwrap()
    }
}

#[test]
fn each_pool_has_its_socket_and_its_program_and_all_get_signals() {
    let mut pools = Pools::start();
    assert!(call(&pools.shop).contains("Hello"));
    assert!(call(&pools.wiki).contains("plain"));
    assert_ne!(pools.manager("shop"), pools.manager("wiki"));
    pools.run.signal("HUP");
    let done = [pools.run.line("reload done"), pools.run.line("reload done")];
    for name in ["shop", "wiki"] {
        assert!(done.iter().any(|line| line.contains(name)), "{done:?}");
    }
    assert!(call(&pools.shop).contains("Hello"));
    pools.run.signal("TTIN");
    let resized = pools.run.line("number of workers set to");
    assert!(resized.contains("pool '"), "{resized}");
    let lines = pools.run.stop();
    assert!(
        !lines.iter().any(|line| line.contains("not started again")),
        "{lines:#?}"
    );
    for path in [&pools.shop, &pools.wiki] {
        assert!(!fs::exists(path).unwrap());
    }
}

/// A shell has the part of the service manager: descriptors 3 and 4 are its sockets.
#[test]
fn each_pool_uses_the_socket_that_a_service_manager_passed_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (shop, wiki) = (path("shop"), path("wiki"));
    let listeners = [&shop, &wiki].map(|path| UnixListener::bind(path).unwrap());
    let pool = |name: &str, listen: &str| {
        let hello = hello();
        format!(
            "[[pool]]\nname = \"{name}\"\nlisten = \"{listen}\"\ncommand = [\"{hello}\", \"fd:0\"]\n\
             preload = false\n"
        )
    };
    let file = written(&folder, &(pool("shop", &shop) + &pool("wiki", "fd:wiki")));
    // Above 3 and 4, and without close-on-exec.
    let copies = listeners.each_ref().map(|one| {
        let number = nix::fcntl::fcntl(one, FcntlArg::F_DUPFD(100)).unwrap();
        // SAFETY: fcntl has just made it, and nothing else owns it.
        unsafe { OwnedFd::from_raw_fd(number) }
    });
    let [first, second] = copies.each_ref().map(AsRawFd::as_raw_fd);
    let script = format!(
        "exec 3<&{first} 4<&{second} {first}<&- {second}<&-; \
         export LISTEN_PID=$$ LISTEN_FDS=2 LISTEN_FDNAMES=shop:wiki; exec \"$0\" \"$@\""
    );
    let mut run = Run::start_by(folder, &["bash", "-c", &script], &["--config", &file], &[]);
    drop(copies);
    run.ready_ones(2);
    for path in [&shop, &wiki] {
        assert!(call(path).contains("Hello"));
    }
    run.signal("HUP");
    run.line("reload done");
    run.line("reload done");
    for (path, inode) in [&shop, &wiki]
        .into_iter()
        .zip(listeners.each_ref().map(inode_link))
    {
        let text = call(path);
        let worker = text
            .split("worker ")
            .nth(1)
            .unwrap()
            .split(',')
            .next()
            .unwrap();
        let ours: Vec<_> = fs::read_dir(format!("/proc/{worker}/fd"))
            .unwrap()
            .filter_map(|entry| fs::read_link(entry.unwrap().path()).ok())
            .map(|link| link.to_str().unwrap().to_owned())
            .filter(|link| listeners.iter().any(|one| *link == inode_link(one)))
            .collect();
        assert!(
            !ours.is_empty() && ours.iter().all(|link| *link == inode),
            "{ours:?}"
        );
    }
    let lines = run.stop();
    assert!(
        !lines.iter().any(|line| line.contains("in use")),
        "{lines:#?}"
    );
    // They are the service manager's.
    for path in [&shop, &wiki] {
        assert!(fs::exists(path).unwrap());
    }
}

#[test]
fn a_manager_that_was_killed_is_restarted_and_the_other_pool_continues() {
    let mut pools = Pools::start();
    for _ in 0..2 {
        signal("KILL", pools.manager("shop"));
        let line = pools.run.line("is restarted in");
        assert!(
            line.contains("pool 'shop'") && line.contains("signal: 9"),
            "{line}"
        );
        assert!(call(&pools.wiki).contains("plain"));
        pools.run.ready_ones(2);
        assert!(call(&pools.shop).contains("Hello"));
    }
    pools.run.signal("TERM");
    assert_eq!(pools.run.end().0.code(), Some(0));
}

#[test]
fn a_manager_that_stops_on_request_is_not_restarted() {
    let mut pools = Pools::start();
    signal("TERM", pools.manager("shop"));
    let line = pools.run.line("is not restarted");
    assert!(line.contains("pool 'shop'"), "{line}");
    assert!(call(&pools.wiki).contains("plain"));
    pools.run.signal("TERM");
    assert_eq!(pools.run.end().0.code(), Some(0));
}

#[test]
fn no_process_remains_when_the_parent_of_the_managers_is_killed() {
    let pools = Pools::start();
    let managers = ["shop", "wiki"].map(|name| pools.manager(name));
    pools.run.signal("KILL");
    managers.into_iter().for_each(wait_until_exited);
    assert!(!fs::exists(&pools.shop).unwrap());
}

#[test]
fn a_pool_that_cannot_start_is_logged_and_the_other_one_runs() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("s").to_str().unwrap().to_owned();
    let (hello, plain) = (hello(), plain());
    // This is not a mistake in the file.
    let taken = folder.path().join("taken");
    let _taken = UnixListener::bind(&taken).unwrap();
    let taken = taken.to_str().unwrap();
    let text = format!(
        "[[pool]]\nname = \"good\"\nlisten = \"{socket}\"\ncommand = [\"{hello}\", \"fd:0\"]\npreload = false\n\
         [[pool]]\nname = \"bad\"\nlisten = \"{taken}\"\ncommand = [\"{plain}\"]\npreload = false\n"
    );
    let file = written(&folder, &text);
    let mut run = Run::start(folder, &["--config", &file], &[]);
    run.lines_with("pool 'bad': its manager", 1);
    run.lines_with(") ready", 1);
    call(&socket);
    run.signal("TERM");
    let (status, lines) = run.end();
    assert_eq!(status.code(), Some(1), "{lines:#?}");
    let has = |text: &str| lines.iter().any(|line| line.contains(text));
    assert!(
        has(&format!("pool 'bad': listen address '{taken}': in use")),
        "{lines:#?}"
    );
}

#[test]
fn each_pool_logs_into_its_own_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let pool = |name: &str| {
        format!(
            "[[pool]]\nname = \"{name}\"\nlisten = \"{}\"\ncommand = [\"{}\", \"fd:0\"]\n\
             preload = false\nlog = \"{}\"\n",
            path(name),
            hello(),
            path(&format!("{name}.log"))
        )
    };
    let file = written(&folder, &(pool("shop") + &pool("wiki")));
    let logs = ["shop", "wiki"].map(|name| path(&format!("{name}.log")));
    let mut run = Run::start(tempfile::tempdir().unwrap(), &["--config", &file], &[]);
    for name in ["shop", "wiki"] {
        let waited = fcgipm(&["wait", &path(name)], b"");
        assert!(waited.status.success(), "{waited:?}");
    }
    assert_eq!(run.stop(), [""; 0]);
    for (log, name) in logs.iter().zip(["shop", "wiki"]) {
        let text = fs::read_to_string(log).unwrap();
        let begin = format!("Z fcgipm: pool '{name}' (pid ");
        assert!(text.lines().all(|line| line.contains(&begin)), "{text}");
        assert!(text.ends_with("stopped\n"), "{text}");
    }
}

#[test]
fn a_single_pool_of_the_file_can_be_run() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("s").to_str().unwrap().to_owned();
    let plain = plain();
    let text = format!(
        "[[pool]]\nname = \"one\"\nlisten = \"{socket}\"\ncommand = [\"{plain}\", \"graceful\"]\nready_delay = 0.1\n\
         preload = false\n\
         [[pool]]\nname = \"two\"\nlisten = \"/nowhere\"\ncommand = [\"x\"]\n"
    );
    let file = written(&folder, &text);
    let mut run = Run::start(folder, &["--config", &file, "--pool", "one"], &[]);
    run.ready();
    assert!(call(&socket).contains("plain"));
    run.stop();
    let output = fcgipm(&["run", "--config", &file, "--pool", "three"], b"");
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("no pool 'three'"));
}

#[test]
fn a_mistake_in_the_file_starts_nothing_and_is_reported_with_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("s").to_str().unwrap().to_owned();
    let text = format!(
        "[[pool]]\nname = \"a\"\nlisten = \"{socket}\"\ncommand = [\"/bin/true\"]\n\
         [[pool]]\nname = \"b\"\nlisten = \":1\"\ncommand = [\"x\"]\nmax_request = 1\n"
    );
    let file = written(&folder, &text);
    let output = fcgipm(&["run", "--config", &file], b"");
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(
        String::from_utf8_lossy(&output.stderr),
        format!("fcgipm run: {file}:9: pool 'b': unknown key 'max_request'\n")
    );
    assert!(!fs::exists(&socket).unwrap());
}
