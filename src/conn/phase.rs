//! The phases of a request.
//!
//! | phase | event | next phase |
//! |---|---|---|
//! | `Idle` | BEGIN_REQUEST | `Params` |
//! | `Params` | empty PARAMS | `Stdin`; for an authorizer `Ended` |
//! | `Params` | ABORT_REQUEST | `Idle` |
//! | `Stdin` | empty STDIN | `Ended`; for a filter `Data` |
//! | `Data` | empty DATA | `Ended` |
//! | `Stdin`, `Data`, `Ended` | ABORT_REQUEST | `Ended` |
//! | any | the application finishes | `Idle` |

use super::event::{Event, ProtocolError};
use super::framing::Content;
use crate::wire::{RecordType, Role};

/// The active request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Active {
    pub(super) id: u16,
    pub(super) role: Role,
    pub(super) keep_connection: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// No request.
    Idle,
    /// PARAMS is open.
    Params(Active),
    /// The application runs, STDIN is open.
    Stdin(Active),
    /// STDIN of a filter has ended, DATA is open.
    Data(Active),
    /// The application runs. All input has arrived or was aborted.
    Ended(Active),
}

/// What a record of the active request leads to.
pub(super) enum Effect {
    Ignore,
    Read(Content),
    Report(Event<'static>),
    /// The parameters are complete.
    EndParams,
    /// The request was aborted before the application ran.
    Decline,
}

impl Phase {
    pub(super) const fn active(self) -> Option<Active> {
        match self {
            Self::Idle => None,
            Self::Params(active)
            | Self::Stdin(active)
            | Self::Data(active)
            | Self::Ended(active) => Some(active),
        }
    }

    /// The phase after the parameters.
    pub(super) const fn after_params(active: Active) -> Self {
        match active.role {
            Role::Responder | Role::Filter => Self::Stdin(active),
            // An authorizer receives no body (section 6.3).
            Role::Authorizer => Self::Ended(active),
        }
    }

    /// Handles a record of the active request, other than BEGIN_REQUEST. `empty`: it has no content.
    ///
    /// # Errors
    /// A record of a stream that is not open in this phase.
    #[inline]
    pub(super) fn receive(
        &mut self,
        active: Active,
        kind: RecordType,
        empty: bool,
    ) -> Result<Effect, ProtocolError> {
        Ok(match (kind, *self) {
            (_, Self::Idle) => Effect::Ignore,
            (RecordType::Params, Self::Params(_)) if empty => Effect::EndParams,
            (RecordType::Params, Self::Params(_)) => Effect::Read(Content::Params),
            (RecordType::Params, Self::Stdin(_) | Self::Data(_) | Self::Ended(_))
            | (RecordType::Stdin | RecordType::Data, Self::Params(_))
            | (
                RecordType::Data,
                Self::Stdin(Active {
                    role: Role::Filter, ..
                }),
            ) => return Err(ProtocolError::OutOfOrder(kind)),
            (RecordType::Stdin, Self::Stdin(_)) if empty => {
                *self = match active.role {
                    Role::Filter => Self::Data(active),
                    Role::Responder | Role::Authorizer => Self::Ended(active),
                };
                Effect::Report(Event::StdinEnd)
            }
            (RecordType::Stdin, Self::Stdin(_)) => Effect::Read(Content::Stdin),
            (RecordType::Data, Self::Data(_)) if empty => {
                *self = Self::Ended(active);
                Effect::Report(Event::DataEnd)
            }
            (RecordType::Data, Self::Data(_)) => Effect::Read(Content::Data),
            // Streams that have ended, or that the role does not have.
            (RecordType::Stdin, Self::Data(_) | Self::Ended(_))
            | (RecordType::Data, Self::Stdin(_) | Self::Ended(_)) => Effect::Ignore,
            (RecordType::AbortRequest, Self::Params(_)) => {
                *self = Self::Idle;
                Effect::Decline
            }
            (RecordType::AbortRequest, Self::Stdin(_) | Self::Data(_) | Self::Ended(_)) => {
                *self = Self::Ended(active);
                Effect::Report(Event::Aborted)
            }
            // Not for an application to receive, or of a type that version 1 does not define.
            (
                RecordType::BeginRequest
                | RecordType::EndRequest
                | RecordType::Stdout
                | RecordType::Stderr
                | RecordType::GetValues
                | RecordType::GetValuesResult
                | RecordType::UnknownType
                | RecordType::Other(_),
                Self::Params(_) | Self::Stdin(_) | Self::Data(_) | Self::Ended(_),
            ) => Effect::Ignore,
        })
    }
}
