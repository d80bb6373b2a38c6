//! Every wrong argument, handle, order and surrounding: an error number, and a message that names the
//! thing. The calls are made by `wrong.c`, a group of them per process, so that an abort or a hang
//! fails one test.

#[path = "../peer/mod.rs"]
mod peer;

use std::io::Read as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use peer::program::{compiled, ended, ended_within, folder};

/// Runs a group of calls; each that went otherwise than it should is a line of the output.
fn run(mut command: Command, group: &str) {
    let folder = folder();
    let mut child = command
        .arg(group)
        .arg(&folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // What it writes fits a pipe.
    let ended_in_time = ended_within(child.id().try_into().unwrap(), Duration::from_secs(60));
    if !ended_in_time {
        child.kill().unwrap();
    }
    let status = child.wait().unwrap();
    let (mut out, mut err) = (String::new(), String::new());
    child
        .stdout
        .take()
        .unwrap()
        .read_to_string(&mut out)
        .unwrap();
    child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut err)
        .unwrap();
    let _ = std::fs::remove_dir_all(folder);
    assert!(ended_in_time, "group {group} hangs\n{out}{err}");
    assert!(
        status.success(),
        "group {group}: {}\n{out}{err}",
        ended(status)
    );
    assert!(out.ends_with(&format!("{group}: done\n")), "{out}{err}");
}

macro_rules! groups {
    ($($name:ident = $group:literal;)*) => { $(
        #[test]
        fn $name() {
            run(Command::new(compiled("bad_input/wrong.c")), $group);
        }
    )*

        #[test]
        fn valgrind_sees_no_access_to_what_was_freed_or_never_written() {
            for group in [$($group),*] {
                // It closes descriptors of its own there, and counts on some.
                if group == "descriptors" {
                    continue;
                }
                let mut command = Command::new("valgrind");
                command.args(["--quiet", "--error-exitcode=99", "--child-silent-after-fork=yes"]);
                command.arg(compiled("bad_input/wrong.c"));
                run(command, group);
            }
        }
    };
}

groups! {
    null_is_an_error_everywhere_and_free_takes_it = "null";
    freed_handles_are_recognised = "freed";
    handles_of_another_kind_are_recognised = "foreign";
    calls_out_of_order_are_refused = "order";
    a_handle_in_a_forked_child_is_refused_and_sends_nothing = "forked";
    wrong_addresses_are_named = "addresses";
    wrong_options_are_named = "options";
    wrong_descriptors_are_named = "sockets";
    a_full_table_of_descriptors_is_named = "descriptors";
    wrong_managers_are_refused = "managers";
    wrong_arguments_of_a_request_are_named = "arguments";
}
