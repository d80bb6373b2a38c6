//! One connection without its socket: decodes received bytes into events, and encodes responses.
//!
//! Pure: no descriptor, clock, environment or global.
//!
//! [`Inbound`] decodes received bytes; [`Outbound`] buffers what is to be sent. The protocol's own
//! answers (GET_VALUES, UNKNOWN_TYPE, refusals) are whole records in [`Inbound::replies`], to be
//! sent between those of the application.

mod answers;
mod event;
mod forms;
mod framing;
mod head;
mod inbound;
mod outbound;
mod params;
mod phase;
mod refusal;
mod scope;
mod stream;
pub mod timeout_response;

pub use event::{Event, ProtocolError, Step};
pub use framing::{Coming, Suspended};
pub use inbound::Inbound;
pub use outbound::{FramedChunk, Outbound};
pub use params::{Params, Wanted};
pub use refusal::{OPENING, opening, overloaded};
pub use scope::Scope;
pub use stream::Stream;

// The types of the wire format that users of this module need.
pub use crate::wire::{Pair, PairLimits, Role};
