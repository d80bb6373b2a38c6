//! One connection without its socket: bytes in to request events, response to bytes out.
//!
//! Pure: no descriptor, clock, environment or global.
//!
//! [`Inbound`] is fed what was received and tells what happened; [`Outbound`] collects what is to
//! be sent. Answers that the protocol itself owes (GET_VALUES, UNKNOWN_TYPE, refusals) come out of
//! [`Inbound::replies`] as whole records, to be sent between the application's.

mod answers;
mod event;
mod forms;
mod framing;
mod inbound;
mod outbound;
mod params;
mod refusal;
mod scope;
pub mod timeout_response;

pub use event::{Event, ProtocolError, Step};
pub use framing::{Coming, Suspended};
pub use inbound::Inbound;
pub use outbound::{Direct, Outbound, Stream};
pub use params::Params;
pub use refusal::{OPENING, opening, overloaded};
pub use scope::Scope;

// Of the wire format, what a user of connections names.
pub use crate::wire::{PairLimits, Role};
