//! Real processes: the C example under its manager, and what becomes of requests meanwhile.
//!
//! That no request is lost is proved by counting: a client notes each request that it began and each
//! answer that it got.

#[path = "../peer/mod.rs"]
mod peer;

mod all_busy;
mod bounds;
mod cost;
mod deadlines;
mod deaths;
mod deploy;
mod descriptor_shortage;
mod descriptors;
mod disconnected;
mod filtered;
mod forking;
mod golden;
mod guardian;
mod host_forks;
mod hostile;
mod identity;
mod keep_alive;
mod killed_group;
mod late_signal;
mod load;
mod orphans;
mod overdue;
mod overload;
mod own_handlers;
mod ownership;
mod queue;
mod recycling;
mod reload;
mod sizing;
mod stop;
mod threads;
mod turn;
mod voluntary_exits;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use peer::connection::{Address, Connection};
use peer::pool::{Pool, call, command};
use peer::records::ID;

/// Clients that send requests until they are stopped.
struct Load {
    stop: Arc<AtomicBool>,
    clients: Vec<JoinHandle<(u32, Vec<String>)>>,
}

impl Load {
    /// `ask` makes one request: `Err` tells how it was lost.
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
                        Err(how) => lost.push(how),
                    }
                }
                (answered, lost)
            })
        };
        let clients = (0..clients).map(|_| client(state())).collect();
        Self { stop, clients }
    }

    /// How many were answered; none may be lost, and no client may have starved.
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

/// One request whose parameters arrive in two segments 3 ms apart, as they do through a network.
fn ask_in_two_segments(address: &Address) -> Result<(), String> {
    let request = call("/").param("FILLER", vec![b'x'; 500]);
    let bytes = request.bytes();
    let mut connection = address.try_connect().map_err(|e| format!("connect: {e}"))?;
    connection
        .try_send(&bytes[..200])
        .map_err(|e| format!("first segment: {e}"))?;
    // The pause is the scenario.
    std::thread::sleep(std::time::Duration::from_millis(3));
    connection
        .try_send(&bytes[200..])
        .map_err(|e| format!("second segment: {e}"))?;
    answered(&mut connection)
}

/// One request on a keep-alive connection.
fn ask_on_kept(connection: &mut Connection) -> Result<(), String> {
    connection
        .try_send(&call("/").keep(true).bytes())
        .map_err(|e| format!("send: {e}"))?;
    answered(connection)
}

/// The pid, and which of its requests it was, in "Hello from worker PID, request N".
fn worker_of(text: &str) -> (i32, u64) {
    let (_, rest) = text.split_once("worker ").unwrap();
    let (pid, rest) = rest.split_once(", request ").unwrap();
    (pid.parse().unwrap(), rest.trim().parse().unwrap())
}

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
