//! Invalid arguments, handles, sequences of calls and environments return an error number, and a
//! message that names the thing. The C programs make the calls, one group of them per process, so
//! that an abort or a hang fails one test.

#[path = "../peer/mod.rs"]
mod peer;

use std::io::Read as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use peer::program::{compiled, ended, ended_within, folder};

/// Runs a group of calls. The program prints a line for each unexpected result.
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
    // Its output fits into a pipe, so it can be read after the exit.
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
    ($($name:ident = $source:literal $group:literal;)*) => { $(
        #[test]
        fn $name() {
            run(Command::new(compiled($source)), $group);
        }
    )*

        #[test]
        fn valgrind_finds_no_access_to_freed_or_uninitialised_memory() {
            for (source, group) in [$(($source, $group)),*] {
                // It closes and counts descriptors, and valgrind has some of its own.
                if group == "descriptors" {
                    continue;
                }
                let mut command = Command::new("valgrind");
                command.args(["--quiet", "--error-exitcode=99", "--child-silent-after-fork=yes"]);
                command.arg(compiled(source));
                run(command, group);
            }
        }
    };
}

groups! {
    null_handles_are_errors_except_for_free = "bad_input/handles.c" "null";
    freed_handles_are_recognised = "bad_input/handles.c" "freed";
    handles_of_another_kind_are_recognised = "bad_input/handles.c" "foreign";
    a_handle_in_a_forked_child_is_refused_and_sends_nothing = "bad_input/handles.c" "forked";
    calls_out_of_order_are_refused = "bad_input/requests.c" "order";
    bad_arguments_of_request_calls_are_named = "bad_input/requests.c" "arguments";
    bad_addresses_are_named = "bad_input/settings.c" "addresses";
    bad_options_are_named = "bad_input/settings.c" "options";
    bad_managers_are_refused = "bad_input/settings.c" "managers";
    descriptors_that_do_not_listen_are_named = "bad_input/descriptors.c" "sockets";
    a_full_descriptor_table_is_reported = "bad_input/descriptors.c" "descriptors";
}
