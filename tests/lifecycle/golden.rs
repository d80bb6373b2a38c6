//! The exact system calls of a worker and of the manager, where their order matters most. A
//! refactoring must not change them.

use std::time::Duration;

use nix::sys::signal::Signal;

use super::call;
use super::cost::{PLAIN, calls_of, stop_traced, traced};
use super::peer::program::{TRANSPORTS, Transport, wait_until_asleep};
use super::peer::records::ID;
use super::start_script::StartScript;

/// The names of the calls, without the mark of a failed call: under load the tracer prints the
/// result on another line. What the C library chooses is left out as well: the call for the status
/// of a descriptor, and when the allocator returns memory (brk), which depends on the size of the
/// environment.
pub(super) fn names(calls: &[String]) -> Vec<&str> {
    calls
        .iter()
        .filter(|call| !call.starts_with("brk"))
        .map(|call| match call.strip_suffix("=-1").unwrap_or(call) {
            "newfstatat" => "fstat",
            name => name,
        })
        .collect()
}

/// The calls from the last one of this name on.
pub(super) fn from_last<'c>(calls: &'c [&'c str], name: &str) -> &'c [&'c str] {
    let at = calls.iter().rposition(|call| *call == name);
    &calls[at.unwrap_or_else(|| panic!("no {name} in {calls:?}"))..]
}

/// Repeats a trial until its worker was woken by a single signal. On a busy machine the signal is
/// repeated while the worker does not run, and the worker checks once more for each.
fn woken_once(mut trial: impl FnMut() -> Vec<String>) -> Vec<String> {
    const TRIALS: usize = 20;
    for _ in 0..TRIALS {
        let calls = trial();
        let begin = calls
            .iter()
            .rposition(|call| call.starts_with("epoll_wait"));
        let handled = calls[begin.unwrap_or(0)..].iter();
        if handled
            .filter(|call| call.starts_with("rt_sigreturn"))
            .count()
            == 1
        {
            return calls;
        }
    }
    panic!("in {TRIALS} trials the wake-up signal was repeated each time");
}

#[test]
fn pipelined_requests_are_received_together_and_answered_one_by_one() {
    const ROUNDS: usize = 5;
    for transport in TRANSPORTS {
        let (pool, trace) = traced(transport, 1, &[]);
        let worker = pool.workers[0];
        let request = call(PLAIN).keep(true).bytes();
        let mut client = pool.program.connect();
        for _ in 0..ROUNDS {
            client.send(&[&request[..], &request].concat());
            client.response();
            client.response();
            wait_until_asleep(worker);
        }
        let calls = calls_of(&stop_traced(pool, &trace), worker);
        let calls = names(&calls);
        let each = ["epoll_wait", "recvfrom", "sendto", "sendto"];
        // In the first round the connection is not watched yet.
        let end = calls.iter().rposition(|call| *call == "sendto").unwrap() + 1;
        let served = &calls[end - each.len() * (ROUNDS - 1)..end];
        assert!(
            served.chunks(each.len()).all(|round| round == each),
            "{transport:?}: {served:?}"
        );
    }
}

/// A worker handles the signal that wakes it.
const WOKEN: [&str; 6] = [
    "epoll_wait",
    "gettid",
    "getpid",
    "timer_settime",
    "rt_sigreturn",
    "timer_settime",
];

/// A worker notifies the manager, closes its descriptors and exits.
const EXITING: [&str; 17] = [
    "rt_sigpending",
    "rt_sigpending",
    "rt_sigprocmask",
    "write",
    "rt_sigpending",
    "rt_sigpending",
    "rt_sigprocmask",
    "epoll_ctl",
    "epoll_ctl",
    "epoll_ctl",
    "getppid",
    "epoll_ctl",
    "epoll_ctl",
    "epoll_ctl",
    "close",
    "munmap",
    "exit_group",
];

#[test]
fn a_graceful_stop_closes_the_listener_then_empties_the_queue_then_closes_idle_connections() {
    for transport in TRANSPORTS {
        let calls = woken_once(|| {
            let (pool, trace) = traced(transport, 1, &[]);
            let worker = pool.workers[0];
            let mut client = pool.program.connect();
            client.call(&call(PLAIN).keep(true));
            client.call(&call(PLAIN).keep(true));
            wait_until_asleep(worker);
            // The pause is the scenario: the connection is not in use any more.
            std::thread::sleep(Duration::from_millis(100));
            calls_of(&stop_traced(pool, &trace), worker)
        });
        let calls = names(&calls);
        // It checks the hand-over queue, the manager, the listener and its queue, and closes the
        // connection.
        let checks: &[&str] = match transport {
            Transport::Unix => &[
                "recvfrom",
                "getppid",
                "fcntl",
                "getsockname",
                "poll",
                "getsockname",
                "fstat",
                "socket",
                "write",
                "poll",
                "recvfrom",
                "close",
                "recvfrom",
                "shutdown",
                "recvfrom",
                "epoll_ctl",
                "close",
                "recvfrom",
            ],
            // Two properties of the socket would show that arrivals were stopped.
            Transport::Tcp => &[
                "recvfrom",
                "getppid",
                "fcntl",
                "getsockname",
                "getsockopt",
                "getsockopt",
                "getsockname",
                "getsockopt",
                "recvfrom",
                "epoll_ctl",
                "close",
                "recvfrom",
            ],
        };
        let expected = [&WOKEN[..], checks, &EXITING].concat();
        assert_eq!(from_last(&calls, "epoll_wait"), expected, "{transport:?}");
    }
}

#[test]
fn an_idle_connection_is_handed_over_before_the_worker_exits() {
    for transport in TRANSPORTS {
        let (mut text, mut new) = (String::new(), 0);
        let sent = woken_once(|| {
            let (mut pool, trace) = traced(transport, 1, &[]);
            let old = pool.workers[0];
            let mut client = pool.program.connect();
            client.call(&call(PLAIN).keep(true));
            client.call(&call(PLAIN).keep(true));
            wait_until_asleep(old);
            pool.program.signal(Signal::SIGHUP);
            new = pool.next_ready();
            pool.program.line("reload done");
            wait_until_asleep(new);
            client.call(&call(PLAIN).keep(true));
            text = stop_traced(pool, &trace);
            // On a busy machine the new worker may receive it before it waits for the first time, and
            // begins to watch only then. That is another sequence, and another trial follows.
            let received = calls_of(&text, new);
            let received = names(&received);
            let before = received.len() - from_last(&received, "recvmsg").len();
            if received[..before].contains(&"epoll_create1") {
                calls_of(&text, old)
            } else {
                Vec::new()
            }
        });

        let handed_over = [
            "recvfrom",
            "getppid",
            "getppid",
            "sendmsg",
            "epoll_ctl",
            "close",
            "getppid",
        ];
        let sent = names(&sent);
        let expected = [&WOKEN[..], &handed_over, &EXITING].concat();
        assert_eq!(from_last(&sent, "epoll_wait"), expected, "{transport:?}");

        let received = calls_of(&text, new);
        // It may be woken at any time before it waits for the connection.
        let mut received = names(&received);
        received.retain(|call| *call == "epoll_wait" || !WOKEN.contains(call));
        // It checks that the connection belongs to this listener, and whether data has arrived, and
        // watches it.
        let checks = [
            "recvmsg",
            "getpeername",
            "getsockname",
            "getsockopt",
            "getsockopt",
            "getsockname",
            "getpeername",
            "poll",
            "recvfrom",
            "epoll_ctl",
            "epoll_ctl",
            "epoll_ctl",
        ];
        let found = from_last(&received, "recvmsg");
        assert_eq!(found[..checks.len()], checks, "{transport:?}");
    }
}

/// The calls from the first one of this name on.
fn from_first<'c>(calls: &'c [&'c str], name: &str) -> &'c [&'c str] {
    let at = calls.iter().position(|call| *call == name);
    &calls[at.unwrap_or_else(|| panic!("no {name} in {calls:?}"))..]
}

/// The manager writes a line to the log.
const LOGGED: [&str; 9] = [
    "rt_sigpending",
    "rt_sigpending",
    "rt_sigprocmask",
    "fstat",
    "openat",
    "write",
    "close",
    "rt_sigpending",
    "rt_sigpending",
];

/// The manager copies the connection before it kills the worker. After the worker's death is
/// logged, a short-lived child process ends the response.
#[test]
fn a_rescue_copies_the_connection_before_the_kill_and_ends_the_response_after_the_death() {
    for transport in TRANSPORTS {
        let start = StartScript::new("true");
        let command = start.command();
        let options = [
            ("FCGIPM_REQUEST_TIMEOUT", "0.2"),
            ("FCGIPM_REQUEST_TIMEOUT_GRACE", "0.1"),
            ("HELLO_START", &command),
        ];
        let (mut pool, trace) = traced(transport, 1, &options);
        let manager = pool.program.pid();
        // The replacement must not become ready meanwhile.
        let gate = start.gate("gate");
        start.change(&gate.wait());
        let mut client = pool.program.connect();
        client.send(&call("/stubborn").bytes());
        let text = client.response_to(ID).text();
        assert!(text.starts_with("Status: 504"), "{text}");
        let open = gate.open();
        let _ = pool.next_ready();
        drop(open);
        let calls = calls_of(&stop_traced(pool, &trace), manager);
        let calls = names(&calls);

        // The first calls are for its other clients, of which there are none.
        let kill = [
            "socketpair",
            "close",
            "close",
            "readlink",
            "pidfd_getfd",
            "readlink",
            "pidfd_send_signal",
        ];
        let at = calls
            .iter()
            .position(|call| *call == "pidfd_getfd")
            .unwrap()
            - 4;
        assert_eq!(calls[at..at + kill.len()], kill, "{transport:?}");

        // The manager closes the worker's pidfd and pipe, logs the death, and resets its page.
        let reaped: [&[&str]; 4] = [
            &["wait4", "close", "poll"],
            &LOGGED,
            &["rt_sigprocmask", "close", "poll"],
            // The manager closes the connection before the other process may begin.
            &[
                "socketpair",
                "rt_sigprocmask",
                "clone",
                "rt_sigprocmask",
                "close",
                "close",
                "shutdown",
            ],
        ];
        let reaped = reaped.concat();
        let found = from_first(&calls[at..], "wait4");
        assert_eq!(found[..reaped.len()], reaped, "{transport:?}");
    }
}
