//! Conformance to FastCGI 1.0, tested over connections.
//!
//! The application runs one request at a time, and each request selects what it does. It exists as
//! `app.c` on the library itself, and as `app_fcgx.c` on the drop-in for libfcgi. The tests name what
//! FCGX cannot do or report.

#[path = "../peer/mod.rs"]
mod peer;

mod aborts;
mod admission;
mod application;
mod framing;
mod hostile_peers;
mod inherited_descriptors;
mod input;
mod management;
mod parameters;
mod process_state;
mod requests;
mod response;
mod roles;

use application::{Application, ways};
use peer::program::Program;
use peer::records::{Request, Response};

/// Runs a test on both interfaces over both transports, with bytes sent together and one at a time.
fn every_way(test: impl Fn(&Application, usize)) {
    for (api, transport) in ways() {
        let program = Application::start(api, transport, &[]);
        for piece in [usize::MAX, 1] {
            test(&program, piece);
        }
    }
}

/// Sends bytes on a new connection in pieces, and returns the response.
fn exchange(program: &Program, bytes: &[u8], piece: usize) -> Response {
    let mut connection = program.connect();
    connection.try_send_in(bytes, piece);
    connection.response()
}

/// Sends bytes that must not run the application, and waits until the program has closed the
/// connection.
fn assert_refused(program: &Program, bytes: &[u8]) {
    let before = program.served();
    let mut connection = program.connect();
    connection.try_send_in(bytes, usize::MAX);
    connection.end();
    connection.assert_closed();
    assert_eq!(
        program.served(),
        before + 1,
        "the application has run in between"
    );
}

/// A request whose response is its body.
fn echo(body: &[u8]) -> Request {
    peer::records::request("/echo").body(body)
}

/// The response to `echo` without an error.
fn echoed(body: &[u8]) -> Vec<u8> {
    [body, b"|ok ok ok end=1"].concat()
}
