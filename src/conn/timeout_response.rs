//! The end of a response whose worker was killed, for whoever has the connection then.

use crate::conn::{Outbound, Stream};

/// What a client gets that has not had a byte of its response.
const TIMEOUT: &[u8] = b"Status: 504 Gateway Timeout\r\nContent-Type: text/plain\r\n\r\n\
    The application took too long to answer.\n";

/// The records that end a response: `begun` says whether some of it has left. The web server learns
/// from the application's status that it is not whole.
#[must_use]
pub fn ending(request_id: u16, begun: bool, app_status: u32) -> Vec<u8> {
    let mut outbound = Outbound::new();
    outbound.begin(request_id);
    if !begun {
        outbound.gather(Stream::Stdout, TIMEOUT);
    }
    outbound.end(app_status);
    outbound.pending().to_vec()
}
