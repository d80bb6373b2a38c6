//! Where lines can go.

use std::os::unix::net::UnixDatagram;

use super::super::peer::program::{TRANSPORTS, folder};
use super::super::{Pool, call};
use super::until;

fn start(target: &str) -> Pool {
    let options = [
        ("FCGIPM_ACCESS_LOG", target),
        ("FCGIPM_ACCESS_FORMAT", "line %{request_number}x"),
    ];
    Pool::start(TRANSPORTS[0], 1, &options)
}

#[test]
fn standard_error_gets_lines_between_those_of_the_manager() {
    let mut pool = start("stderr");
    for number in 1..=3 {
        pool.program.call(&call("/headers?n=1"));
        assert_eq!(pool.program.line("line"), format!("line {number}"));
    }
}

#[test]
fn syslog_gets_a_datagram_for_each_line_also_after_its_restart() {
    let folder = folder();
    let path = folder.join("log");
    let open = || {
        let socket = UnixDatagram::bind(&path).unwrap();
        let limit = super::LIMIT;
        socket.set_read_timeout(Some(limit)).unwrap();
        socket
    };
    let received = |socket: &UnixDatagram| {
        let mut bytes = [0; 200];
        let count = socket.recv(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes[..count]).into_owned()
    };
    let socket = open();
    let mut pool = start(&format!("syslog:local3:{}", path.display()));
    for number in 1..=2 {
        pool.program.call(&call("/headers?n=1"));
        // 19 * 8 + 6: local3, info.
        assert_eq!(received(&socket), format!("<158>fcgipm: line {number}"));
    }
    drop(socket);
    std::fs::remove_file(&path).unwrap();
    pool.program.call(&call("/headers?n=1"));
    pool.program.line("access log: writing failed: ");
    until("a dropped line", || {
        let dropped = pool.status()["access_log_dropped"].as_u64().unwrap();
        (dropped == 1).then_some(())
    });
    let socket = open();
    pool.program.call(&call("/headers?n=1"));
    assert_eq!(received(&socket), "<158>fcgipm: line 4");
    pool.program.line("access log: writing works again");
    std::fs::remove_dir_all(folder).unwrap();
}
