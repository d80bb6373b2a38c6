//! A signal between the last check of the host and the system call that waits.

use std::process::Command;

use super::ask_keep_alive;
use super::peer::program::{Program, TRANSPORTS, compiled};

#[test]
fn a_signal_immediately_before_the_wait_ends_it() {
    for transport in TRANSPORTS {
        for call in ["accept4", "epoll_wait", "check"] {
            let mut command = Command::new(compiled("lifecycle/late_signal.c"));
            command.arg(call);
            let mut program = Program::start(command, transport);
            let mut connection = program.connect();
            if call != "accept4" {
                ask_keep_alive(&mut connection).unwrap();
            }
            assert!(program.wait().success(), "{call} {transport:?}");
        }
    }
}
