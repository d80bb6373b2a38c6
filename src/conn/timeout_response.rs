//! The end of a response whose worker was killed.

use crate::conn::{Outbound, Stream};

/// The response for a client that has not received a byte of one.
const TIMEOUT: &[u8] = b"Status: 504 Gateway Timeout\r\nContent-Type: text/plain\r\n\r\n\
    The application took too long to answer.\n";

/// The records that end a response. `begun`: some of it was sent. The application status tells the
/// web server that the response is incomplete.
#[must_use]
pub fn records(request_id: u16, begun: bool, app_status: u32) -> Vec<u8> {
    let mut outbound = Outbound::new();
    outbound.begin(request_id);
    if !begun {
        outbound.gather(Stream::Stdout, TIMEOUT);
    }
    outbound.end(app_status);
    outbound.pending().to_vec()
}
