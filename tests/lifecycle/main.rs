//! Real processes: the C example under its manager, and other hosts.
//!
//! Clients under load check that every request they have begun is answered, so none is lost.

#[path = "../peer/mod.rs"]
mod peer;

mod access_log;
mod activation;
mod admin_listener;
mod built_in;
mod busy_warning;
mod chosen_address;
mod cost;
mod deadlines;
mod descriptor_shortage;
mod descriptors;
mod disconnected;
mod draining;
mod failed_reloads;
mod filtered;
mod forking;
mod golden;
mod guardian;
mod host_forks;
mod hostile_workers;
mod identity;
mod keep_alive;
mod killed_group;
mod killed_processes;
mod late_handshake;
mod late_signal;
mod load_command;
mod log;
mod max_queue_age;
mod memory;
mod orphans;
mod own_handlers;
mod ownership;
mod php_fpm;
mod recycling;
mod reload;
mod request_timeout;
mod restarts;
mod sent_copies;
mod service;
mod service_manager;
mod service_pools;
mod signal_stack;
mod sizing;
mod slow_log;
mod start_script;
mod stop;
mod stop_queue;
mod stored_sockets;
mod successors;
mod threads;
mod turn_order;
mod uncounted_queue;
mod voluntary_exits;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use peer::connection::{Address, Connection};
use peer::pool::{Pool, call, command};
use peer::records::ID;

const A_SECOND: Duration = Duration::from_secs(1);

/// Clients that send requests until they are stopped.
struct Load {
    stop: Arc<AtomicBool>,
    clients: Vec<JoinHandle<(u32, Vec<String>)>>,
}

impl Load {
    /// `ask` makes one request. An error is a lost request.
    fn start<S: Send + 'static>(
        clients: usize,
        state: impl Fn() -> S,
        ask: impl Fn(&mut S) -> Result<(), String> + Copy + Send + 'static,
    ) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let client = |mut state: S| {
            let stop = Arc::clone(&stop);
            std::thread::spawn(move || {
                let (mut answered, mut lost) = (0, Vec::new());
                while !stop.load(Ordering::Relaxed) && lost.len() < 100 {
                    match ask(&mut state) {
                        Ok(()) => answered += 1,
                        Err(error) => lost.push(error),
                    }
                }
                (answered, lost)
            })
        };
        let clients = (0..clients).map(|_| client(state())).collect();
        Self { stop, clients }
    }

    /// Returns the number of answers. Asserts that no request was lost, and that each client has
    /// been answered at least once.
    fn finish(self) -> u32 {
        self.stop.store(true, Ordering::Relaxed);
        let mut total = 0;
        for client in self.clients {
            let (answered, lost) = client.join().unwrap();
            assert!(
                lost.is_empty(),
                "{} lost, {answered} answered: {:?}",
                lost.len(),
                &lost[..lost.len().min(5)]
            );
            assert!(answered > 0);
            total += answered;
        }
        total
    }
}

/// One request whose parameters arrive in two segments 3 ms apart, as over a network.
fn ask_in_two_segments(address: &Address) -> Result<(), String> {
    let request = call("/").param("FILLER", vec![b'x'; 500]);
    let bytes = request.bytes();
    let mut connection = address.try_connect().map_err(|e| format!("connect: {e}"))?;
    connection
        .try_send(&bytes[..200])
        .map_err(|e| format!("first segment: {e}"))?;
    // The pause is the scenario.
    std::thread::sleep(Duration::from_millis(3));
    connection
        .try_send(&bytes[200..])
        .map_err(|e| format!("second segment: {e}"))?;
    answered(&mut connection)
}

/// One request on a keep-alive connection.
fn ask_keep_alive(connection: &mut Connection) -> Result<(), String> {
    connection
        .try_send(&call("/").keep(true).bytes())
        .map_err(|e| format!("send: {e}"))?;
    answered(connection)
}

/// The pid, and the number of the request, in "Hello from worker PID, request N".
fn worker_of(text: &str) -> (i32, u64) {
    let (_, rest) = text.split_once("worker ").unwrap();
    let (pid, rest) = rest.split_once(", request ").unwrap();
    (pid.parse().unwrap(), rest.trim().parse().unwrap())
}

/// Reads the answer of the example to a request for "/".
fn answered(connection: &mut Connection) -> Result<(), String> {
    let response = connection
        .try_response_to(ID)
        .map_err(|e| format!("response: {e}"))?;
    if response.text().contains("Hello from worker") {
        Ok(())
    } else {
        Err(response.text())
    }
}
