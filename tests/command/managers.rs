//! The subcommands that signal a manager and wait: reload, stop, resize, check and wait;
//! and the files that run.

mod check;
mod files;
mod reload;
mod resize;
mod stop;

use std::os::unix::net::UnixListener;
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::managed::Pool;
use crate::process::fcgipm;

/// A pool whose workers run a script before they serve, on its socket.
struct Deployed {
    pool: Pool,
    folder: TempDir,
    address: String,
}

impl Deployed {
    fn start(workers: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let address = folder.path().join("socket").to_str().unwrap().to_owned();
        crate::run::script(&folder, "exit 0");
        let listener = UnixListener::bind(&address).unwrap();
        let program = folder.path().join("program");
        let script = format!("HELLO_START={} exec \"$0\" fd:0", program.display());
        let pool = Pool::start_as(listener, workers, &script);
        Self {
            pool,
            folder,
            address,
        }
    }

    /// What new workers run.
    fn deploy(&self, script: &str) {
        crate::run::script(&self.folder, script);
    }

    fn status(&self) -> Value {
        crate::run::status(&self.pool.pid_file())
    }
}

/// Runs a subcommand until it exits: its exit status, standard output and standard error.
fn ran(arguments: &[&str]) -> (i32, String, String) {
    result_of(&fcgipm(arguments, b""))
}

fn result_of(output: &Output) -> (i32, String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let status = output.status.code().unwrap();
    (status, text(&output.stdout), text(&output.stderr))
}

/// A subcommand that runs beside the test.
fn begun(arguments: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_fcgipm"))
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn ended(child: Child) -> (i32, String, String) {
    result_of(&child.wait_with_output().unwrap())
}
