//! Start by a web server, with a listening socket as descriptor 0 (section 2.2), and high
//! descriptors.

use std::os::unix::process::CommandExt as _;

use super::application::{APIS, Api, Application, ways};
use super::peer::connection::LIMIT;
use super::peer::program::{Program, Transport, readable_within};
use super::peer::records::*;
use super::{echo, echoed};

#[test]
fn with_descriptors_1_and_2_closed_a_listener_as_0_works_and_they_stay_unused() {
    for (api, transport) in ways() {
        let mut command = api.command("fd:0");
        // SAFETY: close is async-signal-safe.
        unsafe {
            command.pre_exec(|| {
                libc::close(1);
                libc::close(2);
                Ok(())
            });
        }
        let program = Program::start(command, transport);
        let mut kept = program.connect();
        for round in 0..3 {
            // On a keep-alive connection, so that an epoll instance exists.
            let text = kept.call(&request("/descriptors").keep(true)).text();
            let standard = |line: &&str| {
                ["0 ", "1 ", "2 "]
                    .iter()
                    .any(|number| line.starts_with(number))
            };
            // The application itself has opened /proc/self/fd.
            let taken: Vec<_> = text
                .lines()
                .filter(standard)
                .filter(|line| !line.contains("/proc/"))
                .collect();
            assert_eq!(taken.len(), 1, "round {round}: {text}");
            assert!(taken[0].starts_with("0 socket:"), "{text}");
            assert_eq!(program.call(&echo(b"x")).stdout, echoed(b"x"));
        }
    }
}

#[test]
fn descriptors_above_1024_work() {
    for (api, transport) in ways() {
        let program = Application::start(api, transport, &[("APP_CROWD", "1200")]);
        let mut kept = program.connect();
        for _ in 0..2 {
            let text = kept.call(&request("/descriptors").keep(true)).text();
            let number = text
                .lines()
                .find_map(|line| line.strip_prefix("connection="))
                .unwrap();
            assert!(number.parse::<u32>().unwrap() > 1_024, "{text}");
            // A read that has to wait.
            kept.send_in(&request("/announce").body("body").keep(true).head(), 7);
            assert_eq!(kept.record().content, b"started ");
            kept.send(&stream(STDIN, ID, b"body"));
            assert_eq!(kept.response().stdout, echoed(b"body"));
            // A write that has to wait for the peer.
            kept.send(&request("/write?1-5000000-5000000").keep(true).bytes());
            assert!(readable_within(&kept, LIMIT));
            assert_eq!(kept.response().stdout.len(), 5_000_000);
        }
    }
}

#[test]
fn other_descriptors_are_not_taken_for_a_listener() {
    for api in APIS {
        let mut program = Program::start(api.command("fd:2"), Transport::Unix);
        let line = program.line(match api {
            Api::Native => "app: socket:",
            // The first accept fails, as in libfcgi.
            Api::Fcgx => "libfcgi:",
        });
        assert!(line.contains("descriptor 2"), "{line}");
        assert_eq!(program.wait().code(), Some(1));
    }
}
