//! OpenSocket: all forms of addresses, the ownership of socket files, and refusals.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Ipv6Addr, TcpListener, TcpStream};
use std::os::fd::{FromRawFd as _, OwnedFd, RawFd};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use fcgipm::error::{Code, Error};
use fcgipm::options::Options;
use fcgipm::server::listen;

fn open(address: &str) -> Result<RawFd, Error> {
    open_with(address, &[])
}

fn open_with(address: &str, settings: &[(&str, &str)]) -> Result<RawFd, Error> {
    let mut options = Options::new();
    for (name, value) in settings {
        options.set(name, value).unwrap();
    }
    listen::open(address, 0, &options)
}

fn owned(fd: RawFd) -> OwnedFd {
    assert!(fd > 2, "descriptor {fd}");
    // SAFETY: `open` has created it, and has no further use for it.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

/// A folder that is removed at the end of the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("fcgipm-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn assert_refused(result: Result<RawFd, Error>, code: Code, message: &str) {
    let error = result.map(owned).unwrap_err();
    assert_eq!(error.code(), code, "{error}");
    assert!(
        error.message().starts_with(message),
        "{error} does not start with {message}"
    );
}

fn close_on_exec(fd: &OwnedFd) -> bool {
    let flags = nix::fcntl::fcntl(fd, nix::fcntl::FcntlArg::F_GETFD).unwrap();
    flags & nix::libc::FD_CLOEXEC != 0
}

#[test]
fn a_tcp_address_listens_and_one_in_use_is_refused() {
    let listener = TcpListener::from(owned(open("127.0.0.1:0").unwrap()));
    let address = listener.local_addr().unwrap().to_string();
    TcpStream::connect(&address).unwrap();
    assert!(close_on_exec(&listener.into()));
    let occupied = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = occupied.local_addr().unwrap().to_string();
    assert_refused(
        open(&address),
        Code::InUse,
        &format!(
            "listen address '{address}': in use by process {} (",
            std::process::id()
        ),
    );
}

#[test]
fn a_port_alone_listens_on_ipv4_and_ipv6() {
    let listener = TcpListener::from(owned(open(":0").unwrap()));
    let port = listener.local_addr().unwrap().port();
    TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    TcpStream::connect((Ipv6Addr::LOCALHOST, port)).unwrap();
}

#[test]
fn an_ipv6_address_listens() {
    let listener = TcpListener::from(owned(open("[::1]:0").unwrap()));
    TcpStream::connect(listener.local_addr().unwrap()).unwrap();
}

#[test]
fn an_abstract_name_listens_and_leaves_no_file() {
    let name = format!("fcgipm-test-{}", std::process::id());
    let _listener = owned(open(&format!("@{name}")).unwrap());
    UnixStream::connect_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
    assert_refused(
        open(&format!("@{name}")),
        Code::InUse,
        &format!(
            "listen address '@{name}': in use by process {} (",
            std::process::id()
        ),
    );
}

#[test]
fn a_socket_file_whose_owner_has_exited_is_replaced() {
    let folder = Folder::new("dead");
    let path = folder.path("socket");
    drop(UnixListener::bind(&path).unwrap());
    let _listener = owned(open(&path).unwrap());
    UnixStream::connect(&path).unwrap();
}

#[test]
fn a_socket_file_in_use_is_refused_without_listen_replace() {
    let folder = Folder::new("alive");
    let path = folder.path("socket");
    let first = owned(open(&format!("unix:{path}")).unwrap());
    assert_refused(
        open(&path),
        Code::InUse,
        &format!(
            "listen address '{path}': in use by process {} (",
            std::process::id()
        ),
    );
    let second = UnixListener::from(owned(open_with(&path, &[("listen_replace", "1")]).unwrap()));
    let mut client = UnixStream::connect(&path).unwrap();
    let (mut accepted, _) = second.accept().unwrap();
    accepted.write_all(b"second").unwrap();
    drop((accepted, first));
    let mut text = String::new();
    client.read_to_string(&mut text).unwrap();
    assert_eq!(text, "second");
}

#[test]
fn of_two_concurrent_opens_of_a_stale_socket_file_one_succeeds() {
    let folder = Folder::new("race");
    for round in 0..50 {
        let path = folder.path(&format!("socket-{round}"));
        drop(UnixListener::bind(&path).unwrap());
        let outcomes: Vec<_> = std::thread::scope(|scope| {
            let starts: Vec<_> = (0..2)
                .map(|_| scope.spawn(|| open(&path).map(owned)))
                .collect();
            starts
                .into_iter()
                .map(|start| start.join().unwrap())
                .collect()
        });
        assert_eq!(
            outcomes.iter().filter(|outcome| outcome.is_ok()).count(),
            1,
            "round {round}: {outcomes:?}"
        );
        UnixStream::connect(&path).unwrap();
    }
}

#[test]
fn a_file_that_is_not_a_socket_is_left_unchanged() {
    let folder = Folder::new("file");
    let path = folder.path("data");
    fs::write(&path, "precious").unwrap();
    for settings in [&[][..], &[("listen_replace", "1")]] {
        let expected = format!("listen address '{path}': there is a file that is not a socket");
        assert_refused(open_with(&path, settings), Code::InUse, &expected);
    }
    assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
}

#[test]
fn an_impossible_path_is_named_with_the_cause() {
    let folder = Folder::new("paths");
    let missing = folder.path("missing/socket");
    assert_refused(
        open(&missing),
        Code::System,
        &format!("listen address '{missing}': No such file or directory"),
    );
    let long = folder.path(&"x".repeat(120));
    assert_refused(
        open(&long),
        Code::System,
        &format!("listen address '{long}': File name too long"),
    );
}

#[test]
fn mode_owner_and_group_are_those_of_the_options() {
    let folder = Folder::new("owner");
    let path = folder.path("socket");
    let settings = [
        ("listen_mode", "660"),
        ("listen_owner", "daemon"),
        ("listen_group", "daemon"),
    ];
    let _listener = owned(open_with(&path, &settings).unwrap());
    let metadata = fs::metadata(&path).unwrap();
    assert_eq!(metadata.permissions().mode() & 0o777, 0o660);
    let daemon = nix::unistd::User::from_name("daemon").unwrap().unwrap();
    assert_eq!(
        (metadata.uid(), metadata.gid()),
        (daemon.uid.as_raw(), daemon.gid.as_raw())
    );
}

#[test]
fn an_unknown_owner_or_group_is_named() {
    let folder = Folder::new("nobody");
    let path = folder.path("socket");
    for (option, what) in [("listen_owner", "user"), ("listen_group", "group")] {
        let expected = format!("option {option}: no {what} 'no-such-name'");
        assert_refused(
            open_with(&path, &[(option, "no-such-name")]),
            Code::Value,
            &expected,
        );
    }
    assert!(!Path::new(&path).exists());
}

/// The mode is checked while strace delays the return of bind(2), which is when another process
/// could connect.
#[test]
fn a_socket_file_never_has_more_permissions_than_requested() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let program = root.join("target/release/examples/hello");
    assert!(
        program.exists(),
        "{} is missing: make build",
        program.display()
    );
    for (settings, first, last) in [
        (&[("FCGIPM_LISTEN_MODE", "600")][..], 0o000, 0o600),
        (
            &[
                ("FCGIPM_LISTEN_MODE", "660"),
                ("FCGIPM_LISTEN_GROUP", "daemon"),
            ][..],
            0o000,
            0o660,
        ),
        (&[("FCGIPM_LISTEN_GROUP", "daemon")][..], 0o000, 0o770),
    ] {
        let folder = Folder::new("window");
        let path = folder.path("socket");
        let mut child = Command::new("sh")
            .args(["-c", "umask 007; exec strace -qq -e trace=bind -e inject=bind:delay_exit=1000000 \"$0\" \"$1\""])
            .arg(&program)
            .arg(&path)
            .envs(settings.iter().copied())
            .env("FCGIPM_N_PROCESSES", "1")
            .env("FCGIPM_PID_FNAME", folder.path("pid"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("sh");
        let mode = || fs::metadata(&path).map(|metadata| metadata.permissions().mode() & 0o777);
        let seen = loop {
            match mode() {
                Ok(mode) => break mode,
                Err(_) => assert!(
                    child.try_wait().unwrap().is_none(),
                    "strace is missing, or hello failed"
                ),
            }
        };
        // The pid file is written after the socket has its final mode.
        let has_pid =
            || fs::read_to_string(folder.path("pid")).is_ok_and(|pid| pid.ends_with('\n'));
        while !has_pid() {
            assert!(child.try_wait().unwrap().is_none(), "hello failed");
        }
        let final_mode = mode().unwrap();
        let pid = fs::read_to_string(folder.path("pid"))
            .unwrap()
            .trim()
            .parse()
            .unwrap();
        nix::sys::signal::kill(
            nix::unistd::Pid::from_raw(pid),
            nix::sys::signal::Signal::SIGTERM,
        )
        .unwrap();
        assert!(child.wait().unwrap().success());
        assert_eq!((seen, final_mode), (first, last), "{settings:?}");
    }
}

#[test]
fn an_inherited_descriptor_must_listen() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let fd = std::os::fd::AsRawFd::as_raw_fd(&listener);
    assert_eq!(open(&format!("fd:{fd}")).unwrap(), fd);
    let file = fs::File::open("/dev/null").unwrap();
    let fd = std::os::fd::AsRawFd::as_raw_fd(&file);
    let expected = format!("listening descriptor {fd}: Socket operation on non-socket");
    assert_refused(open(&format!("fd:{fd}")), Code::Listener, &expected);
    let (one, _other) = UnixStream::pair().unwrap();
    let fd = std::os::fd::AsRawFd::as_raw_fd(&one);
    assert_refused(
        open(&format!("fd:{fd}")),
        Code::Listener,
        &format!("descriptor {fd}: a socket that does not listen"),
    );
    assert_refused(
        open("fd:9999"),
        Code::Listener,
        "listening descriptor 9999: Bad file descriptor",
    );
}

#[test]
fn a_negative_backlog_is_refused() {
    let error = listen::open("127.0.0.1:0", -1, &Options::new()).unwrap_err();
    assert_eq!(
        (error.code(), error.message()),
        (Code::Argument, "listen backlog -1: must not be negative")
    );
}

#[test]
fn only_a_listening_socket_is_closed() {
    let fd = open("127.0.0.1:0").unwrap();
    listen::close(fd).unwrap();
    let file = fs::File::open("/dev/null").unwrap();
    let fd = std::os::fd::AsRawFd::as_raw_fd(&file);
    assert_eq!(listen::close(fd).unwrap_err().code(), Code::Listener);
    file.metadata().unwrap();
}
