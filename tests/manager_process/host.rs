//! The host: runs a manager, and prints a line per event.

use std::fs;
use std::io::Write as _;
use std::os::fd::AsFd as _;

use fcgipm::manager::{self, EventKind, Manager};
use fcgipm::options::Options;
use fcgipm::worker::{self, LoopStatus, Order};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

pub(crate) fn run(settings: &[String]) -> i32 {
    let mut options = Options::new();
    options.set("log", "none").unwrap();
    for setting in settings {
        let (name, value) = setting.split_once('=').unwrap();
        match name {
            "thread" => drop(std::thread::spawn(|| {
                loop {
                    std::thread::park();
                }
            })),
            "nofile" => {
                let limit = value.parse().unwrap();
                nix::sys::resource::setrlimit(
                    nix::sys::resource::Resource::RLIMIT_NOFILE,
                    limit,
                    limit,
                )
                .unwrap();
            }
            "term_when_ready" | "after" => {}
            _ => options.set(name, value).unwrap(),
        }
    }
    let has = |setting: &str| settings.iter().any(|s| s == setting);
    let before = dispositions();
    let mut manager = Manager::new(&options).unwrap();
    let code = loop {
        let event = match manager.next() {
            Ok(event) => event,
            Err(error) => {
                print(&format!("Error {} 0 {error}", error.code().number()));
                break 1;
            }
        };
        print(&format!(
            "{:?} {} {} {}",
            event.kind, event.pid, event.status, event.message
        ));
        match event.kind {
            EventKind::InWorker if has("n_processes=0") => break 0,
            EventKind::InWorker => worker(manager),
            EventKind::Stopped => break 0,
            EventKind::WorkerReady if has("term_when_ready=1") => manager::signal(libc::SIGTERM),
            _ => {}
        }
    };
    if has("after=1") {
        print(&format!("Same {} 0 -", i32::from(dispositions() == before)));
    }
    code
}

/// The signals that are caught, ignored and blocked.
fn dispositions() -> Vec<String> {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let lines = status.lines().filter(|line| {
        line.starts_with("SigCgt") || line.starts_with("SigIgn") || line.starts_with("SigBlk")
    });
    lines.map(str::to_owned).collect()
}

/// Writes a line in one call.
fn print(line: &str) {
    let mut out = std::io::stdout().lock();
    out.write_all(format!("{line}\n").as_bytes()).unwrap();
    out.flush().unwrap();
}

fn worker(mut manager: Manager) -> ! {
    let error = manager.next().unwrap_err();
    assert_eq!(error.code().number(), -3, "{error}");
    drop(manager);
    let code = fs::read_to_string(std::env::var("CODE").unwrap()).unwrap();
    let link_to_manager = worker::current().unwrap();
    let mut report = LoopStatus::default();
    let enter = |report: &mut LoopStatus| {
        report.idle();
        nix::unistd::write(&link_to_manager.wake, &[0]).unwrap();
    };
    match code.split_once(' ').unwrap_or((&code, "")) {
        ("exit", status) => std::process::exit(status.parse().unwrap()),
        ("hang", _) => wait_for_end(None),
        ("stubborn", _) => {
            enter(&mut report);
            report.busy(b"GET", b"/", 0, 1);
            wait_for_end(None);
        }
        ("garbage", _) => {
            enter(&mut report);
            while !fs::exists(std::env::var("CODE").unwrap() + ".go").unwrap() {}
            // Overwrites all that a worker can write to, repeatedly.
            let page: *const _ = link_to_manager.page;
            let words = page.cast::<std::sync::atomic::AtomicU32>().cast_mut();
            let mut random = 0x9e37_79b9_u32;
            while nix::unistd::getppid().as_raw() == link_to_manager.pid {
                for word in 128..4096 {
                    random ^= random << 13;
                    random ^= random >> 17;
                    random ^= random << 5;
                    // SAFETY: an atomic store within the worker's own page.
                    unsafe { &*words.add(word) }
                        .store(random, std::sync::atomic::Ordering::Relaxed);
                }
                if link_to_manager.page.order() != Order::Serve {
                    std::process::exit(0);
                }
                let _ = nix::unistd::write(&link_to_manager.wake, &[0]);
            }
        }
        _ => {
            enter(&mut report);
            wait_for_end(Some(link_to_manager.page));
            if code == "handover" {
                nix::unistd::write(&link_to_manager.handover.0, b"x").unwrap();
                report.exiting();
                nix::unistd::write(&link_to_manager.wake, &[0]).unwrap();
            }
        }
    }
    std::process::exit(0)
}

/// Waits for the death of the manager, or for the order to retire.
fn wait_for_end(page: Option<&worker::Page>) {
    let link_to_manager = worker::current().unwrap();
    loop {
        if page.is_some_and(|page| page.order() != Order::Serve) {
            return;
        }
        if nix::unistd::read(&link_to_manager.handover.1, &mut [0]) == Ok(1) {
            print(&format!("Received {} 0 -", std::process::id()));
        }
        let mut life = [PollFd::new(link_to_manager.life.as_fd(), PollFlags::POLLIN)];
        if poll(&mut life, PollTimeout::NONE).is_ok() {
            return;
        }
    }
}
