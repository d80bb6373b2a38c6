//! Several pools of `fcgipm run` are one service.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};

use super::ask_in_two_segments;
use super::peer::connection::Address;
use super::peer::pool::{call, shell};
use super::peer::program::{Program, Transport, folder, listen, product, unused};
use super::service_manager::ServiceManager;
use super::start_script::StartScript;
use super::stored_sockets::manager_of;

pub(crate) struct Pools {
    folder: PathBuf,
    pub(crate) addresses: [Address; 2],
    /// The tables of the file.
    tables: [String; 2],
    file: PathBuf,
}

pub(crate) const NAMES: [&str; 2] = ["shop", "wiki"];

impl Pools {
    pub(crate) fn new(starts: [&str; 2]) -> Self {
        let folder = folder();
        let addresses = [Transport::Unix, Transport::Tcp].map(unused);
        let hello = product("examples/hello");
        let table = |place: usize| {
            let (listen, hello) = (addresses[place].text(), hello.display());
            let (name, start) = (NAMES[place], starts[place]);
            format!(
                "[[pool]]\nname = \"{name}\"\nlisten = \"{listen}\"\ncommand = [\"{hello}\", \"fd:0\"]\n\
                 workers = 2\npreload = false\nenv = {{ HELLO_START = \"{start}\" }}\n"
            )
        };
        let this = Self {
            tables: [0, 1].map(table),
            file: folder.join("pools.toml"),
            folder,
            addresses,
        };
        this.write(|_| true);
        this
    }

    /// Writes the file with some of the pools.
    pub(crate) fn write(&self, has: impl Fn(usize) -> bool) {
        let tables = self.tables.iter().enumerate();
        let text = tables
            .filter(|(place, _)| has(*place))
            .map(|(_, table)| table.as_str());
        std::fs::write(&self.file, text.collect::<String>()).unwrap();
    }

    fn command(&self, manager: &ServiceManager) -> Command {
        let mut command = Command::new(product("fcgipm"));
        command.args(["run".as_ref(), "--config".as_ref(), self.file.as_os_str()]);
        command
            .env("NOTIFY_SOCKET", manager.address())
            .env("FDSTORE", "2");
        command
    }

    pub(crate) fn start(&self, manager: &ServiceManager) -> Program {
        Program::start_opening(self.command(manager), self.addresses[0].clone())
    }

    /// Starts them with a watchdog, and waits until they are ready.
    fn start_watched(&self, manager: &mut ServiceManager, interval: Duration) -> Program {
        let mut command = self.command(manager);
        command.env("WATCHDOG_USEC", interval.as_micros().to_string());
        let program = Program::start_opening(command, self.addresses[0].clone());
        manager.message("READY=1");
        program
    }

    pub(crate) fn assert_serve(&self) {
        for address in &self.addresses {
            assert!(address.call(&call("/")).text().contains("Hello"));
        }
    }
}

impl Drop for Pools {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
        self.addresses.iter().for_each(Address::remove);
    }
}

pub(crate) fn assert_stops(mut program: Program) {
    program.signal(Signal::SIGTERM);
    assert!(program.wait().success());
}

#[test]
fn the_service_is_ready_when_every_pool_is() {
    let mut manager = ServiceManager::new();
    let gate = folder().join("gate");
    nix::unistd::mkfifo(&gate, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let wait = format!("head -c 1 {} >/dev/null", gate.display());
    let pools = Pools::new(["true", &wait]);
    let mut program = pools.start(&manager);
    program.line("pool 'shop'");
    for _ in 0..2 {
        program.line(") ready");
    }
    manager.message("STATUS=shop: workers: 2 idle, 0 busy; 0 requests | wiki: workers: 0 idle");
    assert_eq!(manager.count("READY=1"), 0);
    // Open for both, so that what is written waits for both workers.
    let both = std::fs::File::options().read(true).write(true).open(&gate);
    std::io::Write::write_all(&mut both.as_ref().unwrap(), b"xx").unwrap();
    let pid = program.pid();
    assert_eq!(
        manager.message("READY=1"),
        format!("READY=1\nMAINPID={pid}")
    );
    pools.assert_serve();
    assert_stops(program);
    assert_eq!(manager.count("READY=1"), 1);
    assert_eq!(manager.count("STOPPING=1"), 1);
    std::fs::remove_dir_all(gate.parent().unwrap()).unwrap();
}

#[test]
fn a_pool_that_cannot_start_does_not_delay_the_others() {
    let mut manager = ServiceManager::new();
    let pools = Pools::new(["true", "true"]);
    // The pool of this address exits.
    let taken = std::net::TcpListener::bind(pools.addresses[1].text()).unwrap();
    let mut program = pools.start(&manager);
    program.line("pool 'wiki': its manager");
    manager.message("READY=1");
    drop(taken);
    program.signal(Signal::SIGTERM);
    assert_eq!(program.wait().code(), Some(1));
}

#[test]
fn a_reload_is_over_when_it_is_in_every_pool() {
    let mut manager = ServiceManager::new();
    let code = StartScript::new("true");
    let pools = Pools::new(["true", &code.command()]);
    let program = pools.start(&manager);
    manager.message("READY=1");
    for script in ["true", "echo broken >&2; exit 3", "true"] {
        code.change(script);
        manager.forget();
        program.signal(Signal::SIGHUP);
        manager.message("RELOADING=1\nMONOTONIC_USEC=");
        manager.message("READY=1");
        manager.message("STATUS=shop: ");
        if script != "true" {
            while !manager.seen.last().unwrap().contains("| wiki: ")
                || !manager.seen.last().unwrap().contains("reload failed")
            {
                manager.message("STATUS=shop: ");
            }
        }
        assert_eq!(manager.count("RELOADING=1"), 1);
        assert_eq!(manager.count("READY=1"), 1);
        pools.assert_serve();
    }
    assert_stops(program);
}

#[test]
fn a_manager_that_hangs_is_killed_and_the_service_continues() {
    let interval = Duration::from_secs(2);
    let mut manager = ServiceManager::new();
    let pools = Pools::new(["true", "true"]);
    let mut program = pools.start_watched(&mut manager, interval);
    let [shop, wiki] = NAMES.map(|pool| manager_of(&mut program, pool));
    manager.message("WATCHDOG=1");
    let mut last = Instant::now();
    kill(wiki, Signal::SIGSTOP).unwrap();
    for _ in 0..4 {
        manager.message("WATCHDOG=1");
        assert!(last.elapsed() < interval, "{:?}", last.elapsed());
        last = Instant::now();
    }
    program.line(&format!(
        "pool 'wiki': its manager (pid {wiki}) hangs: it sends nothing for the watchdog, and is killed"
    ));
    program.line("and is restarted in 1s");
    program.line("ready");
    pools.assert_serve();
    kill(shop, None).unwrap();
    assert_stops(program);
}

#[test]
fn managers_that_were_stopped_with_their_parent_are_not_killed() {
    let interval = Duration::from_secs(1);
    let mut manager = ServiceManager::new();
    let pools = Pools::new(["true", "true"]);
    let mut program = pools.start_watched(&mut manager, interval);
    let managers = NAMES.map(|pool| manager_of(&mut program, pool));
    manager.message("WATCHDOG=1");
    let all = |signal| {
        program.signal(signal);
        for pid in managers {
            kill(pid, signal).unwrap();
        }
    };
    all(Signal::SIGSTOP);
    // One message may have been on its way.
    while manager.next_within(interval).is_some() {}
    all(Signal::SIGCONT);
    for _ in 0..3 {
        manager.message("WATCHDOG=1");
    }
    assert!(!program.lines().iter().any(|line| line.contains("hangs")));
    assert_stops(program);
}

#[test]
fn a_service_manager_that_does_not_read_delays_no_pool() {
    let mut manager = ServiceManager::new();
    let sender = UnixDatagram::unbound().unwrap();
    sender.set_nonblocking(true).unwrap();
    while sender.send_to(b"FULL=1", manager.address()).is_ok() {}
    let pools = Pools::new(["true", "true"]);
    let mut program = pools.start(&manager);
    for _ in 0..4 {
        program.line(") ready");
    }
    for _ in 0..10 {
        program.signal(Signal::SIGHUP);
        for _ in 0..2 {
            program.line("reload done");
        }
    }
    pools.assert_serve();
    // What is still valid arrives when it reads again.
    manager.message("READY=1");
    assert_stops(program);
    manager.message("STOPPING=1");
    assert_eq!(manager.count("FDSTORE=1"), 2);
}

/// A pool that opens its own socket, beside a socket unit that it does not use.
#[test]
fn an_unused_socket_of_a_unit_is_not_removed_from_the_store() {
    let mut manager = ServiceManager::new();
    let pools = Pools::new(["true", "true"]);
    for name in ["fcgipm-perl@shop.socket", "fcgipm@shop.socket"] {
        let (unused, address) = listen(Transport::Unix);
        manager.stored.push((name.to_owned(), unused));
        address.remove();
    }
    let program = restart(&manager, &pools);
    manager.message("READY=1");
    assert_stops(program);
    assert_eq!(manager.count("FDSTOREREMOVE=1"), 0);
    assert_eq!(manager.count("FDSTORE=1"), 2);
}

/// As with KillMode=process: the service manager starts the service again while a worker of the
/// manager that was killed still answers its request.
#[test]
fn the_death_of_the_managers_loses_no_request_if_the_service_manager_keeps_the_sockets() {
    let mut manager = ServiceManager::new();
    let pools = Pools::new(["true", "true"]);
    let mut program = pools.start(&manager);
    manager.message("READY=1");
    let addresses = pools.addresses.clone();
    let load = super::Load::start(
        4,
        move || addresses.clone(),
        |addresses| addresses.iter().try_for_each(ask_in_two_segments),
    );
    for _ in 0..5 {
        // There have been requests.
        manager.message("STATUS=shop");
        program.signal(Signal::SIGKILL);
        assert_eq!(program.wait().code(), None);
        program = restart(&manager, &pools);
        manager.message("READY=1");
    }
    load.finish();
    assert_stops(program);
}

/// The next start: the service manager passes the sockets that it keeps.
pub(crate) fn restart(manager: &ServiceManager, pools: &Pools) -> Program {
    restarted(manager, &pools.command(manager), pools.addresses[0].clone())
}

/// The same for any command. There are two sockets.
pub(crate) fn restarted(manager: &ServiceManager, command: &Command, address: Address) -> Program {
    let sockets: Vec<OwnedFd> = manager
        .stored
        .iter()
        .map(|(_, one)| one.try_clone().unwrap())
        .collect();
    let names: Vec<_> = manager
        .stored
        .iter()
        .map(|(name, _)| name.as_str())
        .collect();
    let script = format!(
        "exec 3<&0 4<&1 0</dev/null 1>/dev/null; \
         export LISTEN_PID=$$ LISTEN_FDS=2 LISTEN_FDNAMES='{}'",
        names.join(":")
    );
    let mut command = shell(&script, command);
    let [first, second] = <[OwnedFd; 2]>::try_from(sockets).unwrap();
    command.stdout(Stdio::from(second));
    Program::start_on(command, first, address)
}

#[test]
fn a_restart_refuses_nobody_in_any_pool() {
    let mut manager = ServiceManager::new();
    let pools = Pools::new(["true", "true"]);
    let mut program = pools.start(&manager);
    manager.message("READY=1");
    assert_eq!(manager.stored.len(), 2);
    assert!(Path::new(&pools.addresses[0].text()).exists());
    let addresses = pools.addresses.clone();
    let load = super::Load::start(
        4,
        move || addresses.clone(),
        |addresses| addresses.iter().try_for_each(ask_in_two_segments),
    );
    for _ in 0..5 {
        assert_stops(program);
        program = restart(&manager, &pools);
        manager.message("READY=1");
    }
    println!("measured: {} requests during 5 restarts", load.finish());
    assert_eq!(manager.count("FDSTORE=1"), 2);
    assert_stops(program);
    assert_eq!(manager.count("FDSTOREREMOVE=1"), 0);
}
