//! Many hostile or broken peers, after which the next request is still served.

use std::time::{Duration, Instant};

use super::application::{Application, ways};
use super::peer::records::*;
use super::{echo, echoed};

/// Reproducible random bytes (xorshift).
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    (0..length).map(|_| next()).collect()
}

#[test]
fn random_bytes_do_not_disturb_the_next_request() {
    for (api, transport) in ways() {
        let program = Application::start(api, transport, &[]);
        for seed in 0..400 {
            let mut bytes = noise(seed, (seed as usize * 37) % 3_000);
            // Half of them have a valid version.
            if seed % 2 == 0 && !bytes.is_empty() {
                bytes[0] = 1;
            }
            let mut connection = program.connect();
            let _ = connection.try_send(&bytes);
            connection.end();
            connection.drain();
        }
        assert_eq!(program.call(&echo(b"x")).stdout, echoed(b"x"));
        assert_eq!(program.served(), 2, "the application has run in between");
    }
}

#[test]
fn requests_that_are_changed_or_truncated_at_any_byte_end() {
    for (api, transport) in ways() {
        let program = Application::start(api, transport, &[]);
        let whole = echo(b"a body").keep(true).bytes();
        for position in 0..whole.len() {
            for changed in [Some(0), Some(0xff), Some(whole[position] ^ 1), None] {
                let mut bytes = whole.clone();
                match changed {
                    Some(byte) => bytes[position] = byte,
                    None => bytes.truncate(position),
                }
                let mut connection = program.connect();
                let _ = connection.try_send(&bytes);
                connection.end();
                connection.drain();
            }
        }
        assert_eq!(program.call(&echo(b"x")).stdout, echoed(b"x"));
    }
}

#[test]
fn thousands_of_empty_connections_do_not_disturb_the_next_request() {
    for (api, transport) in ways() {
        let program = Application::start(api, transport, &[]);
        let start = Instant::now();
        for _ in 0..3_000 {
            drop(program.connect());
        }
        assert_eq!(program.call(&echo(b"x")).stdout, echoed(b"x"));
        assert!(
            start.elapsed() < Duration::from_secs(20),
            "{:?}",
            start.elapsed()
        );
        assert_eq!(program.served(), 2);
    }
}

#[test]
fn silent_connections_do_not_delay_others() {
    for (api, transport) in ways() {
        let program = Application::start(api, transport, &[]);
        let silent: Vec<_> = (0..300).map(|_| program.connect()).collect();
        let start = Instant::now();
        assert_eq!(program.call(&echo(b"x")).stdout, echoed(b"x"));
        // The program may not wait for one after another.
        assert!(
            start.elapsed() < Duration::from_secs(3),
            "{:?}",
            start.elapsed()
        );
        drop(silent);
        assert_eq!(program.served(), 2);
    }
}

#[test]
fn an_idle_connection_with_half_a_record_does_not_delay_others() {
    for (api, transport) in ways() {
        let program = Application::start(api, transport, &[]);
        let mut half = program.connect();
        let first = request("/status?3").body("0123456789").keep(true);
        let bytes = first.bytes();
        half.send(&bytes[..first.head().len() + 12]);
        assert_eq!(half.response().app_status, 3);
        for _ in 0..3 {
            assert_eq!(program.call(&echo(b"x")).stdout, echoed(b"x"));
        }
        half.send(&bytes[first.head().len() + 12..]);
        assert_eq!(half.call(&echo(b"y")).stdout, echoed(b"y"));
    }
}

#[test]
fn a_peer_that_never_stops_sending_unread_input_times_out() {
    for (api, transport) in ways() {
        let timeouts = [
            ("FCGIPM_PARAMS_TIMEOUT", "0.3"),
            ("FCGIPM_BODY_TIMEOUT", "0.3"),
        ];
        for begun in [
            Vec::new(),
            begin(ID, RESPONDER, true),
            request("/echo").body("x").head(),
        ] {
            let program = Application::start(api, transport, &timeouts);
            let mut flood = program.connect();
            flood.send(&begun);
            let junk = record(STDIN, 9, &[b'x'; 65_528]).repeat(8);
            let (done, stop) = std::sync::mpsc::channel::<()>();
            let flooding = std::thread::spawn(move || {
                while stop.try_recv() == Err(std::sync::mpsc::TryRecvError::Empty)
                    && flood.try_send(&junk).is_ok()
                {}
            });
            let start = Instant::now();
            assert_eq!(program.call(&echo(b"x")).stdout, echoed(b"x"));
            assert!(
                start.elapsed() < Duration::from_secs(10),
                "{:?}",
                start.elapsed()
            );
            drop(done);
            flooding.join().unwrap();
        }
    }
}
