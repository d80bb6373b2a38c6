//! Identities that a manager refuses before it starts a worker.

use super::*;

/// The program exits immediately with this error, and leaves no file.
fn assert_refused(mut command: Command, expected: &str) {
    let place = Folder::new();
    let pid_file = place.0.join("pid");
    fs::set_permissions(&place.0, Permissions::from_mode(0o777)).unwrap();
    command.env("FCGIPM_PID_FNAME", &pid_file);
    let what = format!("{command:?}");
    let mut program = Program::start(command, Transport::Unix);
    let ended = program.wait();
    let lines = program.all_lines().join("\n");
    assert_eq!(ended.code(), Some(1), "{what}: {lines}");
    assert_eq!(lines, format!("hello: manager: {expected}"), "{what}");
    assert!(!pid_file.exists(), "{what} left a pid file");
}

#[test]
fn impossible_identities_are_refused_at_the_start() {
    assert_root();
    let place = Folder::new();
    let here = place.path();
    fs::write(place.0.join("file"), "").unwrap();
    let file = format!("{here}/file");
    let missing = format!("{here}/missing");
    let cases: &[(&[(&str, &str)], String)] = &[
        (
            &[("FCGIPM_USER", "no-such-user")],
            "option user: 'no-such-user' is not a user of this system".to_owned(),
        ),
        (
            &[("FCGIPM_USER", "nobody"), ("FCGIPM_GROUP", "no-such-group")],
            "option group: 'no-such-group' is not a group of this system".to_owned(),
        ),
        (
            &[("FCGIPM_USER", "4294967295"), ("FCGIPM_GROUP", "1")],
            "option user: '4294967295' is not a valid user number".to_owned(),
        ),
        (
            &[("FCGIPM_GROUP", "4294967295")],
            "option group: '4294967295' is not a valid group number".to_owned(),
        ),
        (
            &[("FCGIPM_USER", "4000000000")],
            "option user: '4000000000' is a number without a group: set option group, too"
                .to_owned(),
        ),
        (
            &[("FCGIPM_CHROOT", "tmp")],
            "option chroot: 'tmp' is not an absolute path".to_owned(),
        ),
        (
            &[("FCGIPM_CHROOT", &missing)],
            format!("option chroot: '{missing}': stat: No such file or directory (os error 2)"),
        ),
        (
            &[("FCGIPM_CHROOT", &file)],
            format!("option chroot: '{file}': chroot: Not a directory (os error 20)"),
        ),
        (
            &[("FCGIPM_CHDIR", &missing)],
            format!("option chdir: '{missing}': stat: No such file or directory (os error 2)"),
        ),
        (
            &[("FCGIPM_CHDIR", &file)],
            format!("option chdir: '{file}': chdir: Not a directory (os error 20)"),
        ),
        (
            // It exists, but not below the new root.
            &[("FCGIPM_CHROOT", here), ("FCGIPM_CHDIR", here)],
            format!("option chdir: '{here}': stat: No such file or directory (os error 2)"),
        ),
        (
            &[("FCGIPM_RLIMIT_FILES", "31")],
            "option rlimit_files: '31' is fewer than the 32 that a worker needs".to_owned(),
        ),
        (
            &[("FCGIPM_N_PROCESSES", "0"), ("FCGIPM_USER", "nobody")],
            "option user: 'nobody' is for the workers of a manager, but n_processes is 0"
                .to_owned(),
        ),
    ];
    for (environment, expected) in cases {
        let (command, gate) = command(1, environment);
        assert_refused(command, expected);
        fs::remove_dir_all(gate.parent().unwrap()).unwrap();
    }
}

#[test]
fn options_that_need_root_are_refused_by_a_manager_without_root() {
    let copy = Copy::new();
    let permitted = "Operation not permitted (os error 1)";
    for (option, value, expected) in [
        ("USER", "root", "option user: 'root' needs root: "),
        ("USER", "0", "option user: '0' needs root: "),
        ("GROUP", "root", "option group: 'root' needs root: "),
        ("CHROOT", "/", "option chroot: '/' needs root: "),
    ] {
        let command = copy.command(&[(&format!("FCGIPM_{option}"), value)]);
        assert_refused(command, &format!("{expected}{permitted}"));
    }
    let mut command = copy.command(&[("FCGIPM_PRIORITY", "-20")]);
    command.env_remove("FCGIPM_USER");
    let present = nice(std::process::id() as i32);
    assert_refused(
        command,
        &format!(
            "option priority: '-20': setpriority below the current {present}, which needs root: \
             Permission denied (os error 13)"
        ),
    );
    let hard = limit(std::process::id() as i32, "Max open files");
    let (_, hard) = hard.split_once(' ').unwrap();
    assert_refused(
        copy.command(&[("FCGIPM_RLIMIT_FILES", "unlimited")]),
        &format!(
            "option rlimit_files: 'unlimited': setrlimit above the hard limit of {hard}, which \
             needs root, or above fs.nr_open: {permitted}"
        ),
    );
}

#[test]
fn a_manager_without_root_applies_options_that_do_not_need_it() {
    let (copy, here) = (Copy::new(), Folder::new());
    fs::set_permissions(&here.0, Permissions::from_mode(0o755)).unwrap();
    let user = nix::unistd::geteuid();
    let user = if user.is_root() {
        NOBODY
    } else {
        user.as_raw()
    };
    let priority = nice(std::process::id() as i32) + 1;
    let command = copy.command(&[
        // This is its user already.
        ("FCGIPM_USER", &user.to_string()),
        ("FCGIPM_NO_NEW_PRIVS", "yes"),
        ("FCGIPM_CHDIR", here.path()),
        ("FCGIPM_PRIORITY", &priority.to_string()),
        ("FCGIPM_RLIMIT_CORE", "0"),
        ("FCGIPM_RLIMIT_FILES", "100"),
        ("FCGIPM_N_PROCESSES", "2"),
    ]);
    let program = Program::start(command, Transport::Unix);
    let gate = folder().join("gate");
    let mut pool = Pool::ready(program, gate, 2);
    for pid in &pool.workers {
        assert_eq!(status(*pid, "Uid"), repeated(user));
        assert_eq!(status(*pid, "NoNewPrivs"), "1");
        assert_eq!(link(*pid, "cwd"), here.0);
        assert_eq!(nice(*pid), priority);
        assert_eq!(limit(*pid, "Max core file size"), "0 0");
        assert_eq!(limit(*pid, "Max open files"), "100 100");
    }
    pool.program.signal(Signal::SIGHUP);
    pool.program.line("reload done");
    pool.stop();
}
