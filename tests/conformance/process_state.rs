//! The library does not change its process: signals, threads, umask, folder and environment.

use std::fs;

use super::application::{Api, Application, ways};
use super::peer::program::Program;
use super::peer::records::request;
use super::{echo, echoed};

/// The state of a process that a library could change.
#[derive(Debug, PartialEq, Eq)]
struct ProcessState {
    /// Threads, umask, and which signals are blocked, ignored and handled.
    status: Vec<String>,
    folder: std::path::PathBuf,
    /// The memory of the initial environment, as lines.
    environment: String,
}

impl ProcessState {
    fn of(program: &Program) -> Self {
        let proc = |name: &str| format!("/proc/{}/{name}", program.pid());
        let status = fs::read_to_string(proc("status")).unwrap();
        let fields = ["Threads:", "Umask:", "SigBlk:", "SigIgn:", "SigCgt:"];
        let is_listed = |line: &&str| fields.iter().any(|name| line.starts_with(name));
        Self {
            status: status
                .lines()
                .filter(is_listed)
                .map(str::to_owned)
                .collect(),
            folder: fs::read_link(proc("cwd")).unwrap(),
            environment: String::from_utf8_lossy(&fs::read(proc("environ")).unwrap())
                .replace('\0', "\n"),
        }
    }
}

#[test]
fn threads_umask_signals_folder_and_environment_stay_unchanged() {
    for (api, transport) in ways() {
        let program = Application::start(api, transport, &[]);
        let before = ProcessState::of(&program);
        let handled = match api {
            Api::Native => "SigCgt:\t0000000000000000",
            // FCGX_Init handles USR1, PIPE and TERM, as in libfcgi.
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
        // It disconnects during its response, and SIGPIPE must not kill the process.
        let mut disconnecting = program.connect();
        disconnecting.send(&request("/write?1-30000000-50000").bytes());
        disconnecting.record();
        drop(disconnecting);
        let mut invalid = program.connect();
        invalid.send(b"\0garbage");
        invalid.assert_closed();

        assert_eq!(program.call(&echo(b"x")).stdout, echoed(b"x"));
        assert_eq!(ProcessState::of(&program), before);
    }
}
