//! A library is a guest: whatever peers do, the process that it serves in stays as its host made it.

use std::fs;

use super::application::{Api, Application, ways};
use super::peer::program::Program;
use super::peer::records::request;
use super::{echo, echoed};

/// What the system says of a process that a library could have changed.
#[derive(Debug, PartialEq, Eq)]
struct House {
    /// Threads, umask, and which signals are blocked, ignored and handled.
    status: Vec<String>,
    folder: std::path::PathBuf,
    /// The memory that the environment had at the start, as lines.
    environment: String,
}

impl House {
    fn of(program: &Program) -> Self {
        let proc = |name: &str| format!("/proc/{}/{name}", program.pid());
        let status = fs::read_to_string(proc("status")).unwrap();
        let wanted = ["Threads:", "Umask:", "SigBlk:", "SigIgn:", "SigCgt:"];
        let kept = |line: &&str| wanted.iter().any(|name| line.starts_with(name));
        Self {
            status: status.lines().filter(kept).map(str::to_owned).collect(),
            folder: fs::read_link(proc("cwd")).unwrap(),
            environment: String::from_utf8_lossy(&fs::read(proc("environ")).unwrap())
                .replace('\0', "\n"),
        }
    }
}

#[test]
fn threads_umask_signals_folder_and_environment_stay_the_hosts() {
    for (api, transport) in ways() {
        let program = Application::start(api, transport, &[]);
        let before = House::of(&program);
        let handled = match api {
            Api::Native => "SigCgt:\t0000000000000000",
            // From FCGX_Init on USR1, PIPE and TERM, as with libfcgi.
            Api::Fcgx => "SigCgt:\t0000000000005200",
        };
        for line in ["Threads:\t1", handled] {
            assert!(
                before.status.iter().any(|is| is == line),
                "{:?}",
                before.status
            );
        }

        let mut kept = program.connect();
        kept.send(&echo(b"x").keep(true).bytes());
        kept.response();
        // One that goes away in the middle of its response: no SIGPIPE ends the process.
        let mut rude = program.connect();
        rude.send(&request("/write?1-30000000-50000").bytes());
        rude.record();
        drop(rude);
        let mut strange = program.connect();
        strange.send(b"\0garbage");
        strange.assert_closed();

        assert_eq!(program.call(&echo(b"x")).stdout, echoed(b"x"));
        assert_eq!(House::of(&program), before);
    }
}
