//! What a FastCGI 1.0 peer may expect, checked from outside: bytes in, bytes out.
//!
//! The other side runs one request at a time and does what a request asks for: `app.c` on the library itself, and
//! `app_fcgx.c` on the drop-in for libfcgi. Where FCGX has no way to do or to tell something, the test says so.

#[path = "../peer/mod.rs"]
mod peer;

mod aborts;
mod application;
mod framing;
mod guest;
mod input;
mod management;
mod parameters;
mod peers;
mod requests;
mod response;
mod roles;
mod starting;
mod storms;

use application::{Application, ways};
use peer::program::Program;
use peer::records::{Request, Response};

/// Does the same on both interfaces over both transports, with the bytes sent together and one at a time.
fn every_way(test: impl Fn(&Application, usize)) {
    for (api, transport) in ways() {
        let program = Application::start(api, transport, &[]);
        for piece in [usize::MAX, 1] {
            test(&program, piece);
        }
    }
}

/// Sends bytes on a new connection in pieces and takes the response of the usual request.
fn exchange(program: &Program, bytes: &[u8], piece: usize) -> Response {
    let mut connection = program.connect();
    connection.try_send_in(bytes, piece);
    connection.response()
}

/// Sends bytes that must not lead to a run of the application, and then nothing more; returns when
/// the program has closed the connection.
fn refused(program: &Program, bytes: &[u8]) {
    let before = program.served();
    let mut connection = program.connect();
    connection.try_send_in(bytes, usize::MAX);
    connection.end();
    connection.assert_closed();
    assert_eq!(
        program.served(),
        before + 1,
        "the application did not run in between"
    );
}

/// A request whose response is its body.
fn echo(body: &[u8]) -> Request {
    peer::records::request("/echo").body(body)
}

/// What `echo` answers when everything went well.
fn echoed(body: &[u8]) -> Vec<u8> {
    [body, b"|ok ok ok end=1"].concat()
}
