//! What a peer sends, as events of at most one request at a time.

use super::answers;
use super::event::{Event, ProtocolError, Step};
use super::framing::{BETWEEN_RECORDS, Coming, Content, Framing, Suspended, after_content};
use super::params::Params;
use crate::wire::{
    BeginRequest, HEADER_LEN, Header, NULL_REQUEST_ID, PairLimits, ProtocolStatus, RecordType,
    Role, VERSION,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Active {
    id: u16,
    role: Role,
    keep_connection: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// No request.
    Idle,
    /// PARAMS is open.
    Params(Active),
    /// The application runs, STDIN is open.
    Stdin(Active),
    /// A filter's STDIN has ended, DATA is open.
    Data(Active),
    /// The application runs, and all input has arrived or was aborted.
    Ended(Active),
}

impl Phase {
    const fn active(self) -> Option<Active> {
        match self {
            Self::Idle => None,
            Self::Params(active)
            | Self::Stdin(active)
            | Self::Data(active)
            | Self::Ended(active) => Some(active),
        }
    }
}

/// Decodes what a peer sends.
///
/// Getters first; [`handle`](Self::handle) takes input; [`finish`](Self::finish) ends the
/// application's side of a request; [`replies`](Self::replies) is output. After an error
/// the connection is of no further use.
#[derive(Debug)]
pub struct Inbound {
    capacity: u32,
    framing: Framing,
    phase: Phase,
    params: Params,
    replies: Vec<u8>,
}

impl Inbound {
    /// A connection of which nothing has arrived.
    #[must_use]
    pub fn new(limits: PairLimits) -> Self {
        Self {
            capacity: 1,
            framing: BETWEEN_RECORDS,
            phase: Phase::Idle,
            params: Params::new(limits),
            replies: Vec::new(),
        }
    }

    /// The parameters of the active request.
    #[must_use]
    pub const fn params(&self) -> &Params {
        &self.params
    }

    /// The same, to be looked up and handed over.
    pub const fn params_mut(&mut self) -> &mut Params {
        &mut self.params
    }

    /// The active request's id.
    #[must_use]
    pub fn request_id(&self) -> Option<u16> {
        self.phase.active().map(|active| active.id)
    }

    /// The active request's role.
    #[must_use]
    pub fn role(&self) -> Option<Role> {
        self.phase.active().map(|active| active.role)
    }

    /// Whether the peer asked to keep the connection after the active request.
    #[must_use]
    pub fn keep_connection(&self) -> bool {
        self.phase
            .active()
            .is_some_and(|active| active.keep_connection)
    }

    /// Whether nothing of a request has arrived that would be lost with the connection: at most the
    /// rest of what a finished one did not read.
    #[must_use]
    pub const fn is_quiet(&self) -> bool {
        let nothing_begun = matches!(
            self.framing,
            Framing::Header { have: 0, .. }
                | Framing::Content {
                    kind: Content::Skipped,
                    ..
                }
                | Framing::Padding { .. }
        );
        matches!(self.phase, Phase::Idle) && nothing_begun
    }

    /// Whether the peer has nothing more to send for the active request, as far as can be known: a
    /// web server may or may not send an empty STDIN to an authorizer.
    #[must_use]
    pub fn input_is_complete(&self) -> bool {
        let between_records = matches!(self.framing, Framing::Header { have: 0, .. });
        match self.phase {
            Phase::Ended(active) => between_records && active.role != Role::Authorizer,
            Phase::Idle | Phase::Params(_) | Phase::Stdin(_) | Phase::Data(_) => false,
        }
    }

    /// Whether a filter's standard input has ended and its data has not.
    #[must_use]
    pub const fn data_is_open(&self) -> bool {
        matches!(self.phase, Phase::Data(_))
    }

    /// Whether these next bytes begin another request, which is to be left alone while the active
    /// one, of which all input has arrived, is served. Too few bytes to tell count as yes.
    #[must_use]
    pub fn begins_next(&self, bytes: &[u8]) -> bool {
        let between_records = matches!(self.framing, Framing::Header { have: 0, .. });
        if !between_records || !matches!(self.phase, Phase::Ended(_)) {
            return false;
        }
        match bytes {
            [] => false,
            [_] => true,
            [_, kind, ..] => *kind == RecordType::BeginRequest.to_byte(),
        }
    }

    /// How many requests this application serves at once, the answer to GET_VALUES.
    pub fn set_capacity(&mut self, capacity: u32) {
        self.capacity = capacity.max(1);
    }

    /// Goes on with a connection that was set aside, or a [fresh](Suspended::fresh) one.
    pub fn resume(&mut self, suspended: Suspended) {
        self.framing = suspended.0;
        self.phase = Phase::Idle;
        self.params.clear();
        self.replies.clear();
    }

    /// The connection's state, to be set aside between requests.
    #[must_use]
    pub fn suspend(&mut self) -> Suspended {
        Suspended(std::mem::replace(&mut self.framing, BETWEEN_RECORDS))
    }

    /// The response is complete: what still arrives for the request is skipped, as input.
    pub fn finish(&mut self) {
        self.phase = Phase::Idle;
        if let Framing::Content {
            kind: kind @ (Content::Stdin | Content::Data),
            ..
        } = &mut self.framing
        {
            *kind = Content::Skipped;
        }
    }

    /// Takes input, up to the next event, to its end, or to where the
    /// [next request begins](Self::begins_next).
    ///
    /// # Errors
    /// The rest of the connection cannot be understood.
    pub fn handle<'i>(&mut self, input: &'i [u8]) -> Result<Step<'i>, ProtocolError> {
        let mut rest = input;
        while !rest.is_empty() {
            let event;
            (event, rest) = self.step(rest)?;
            if event.is_some() {
                return Ok(Step {
                    consumed: input.len() - rest.len(),
                    event,
                });
            }
            // Padding or an answered question may stand in front of it.
            if self.begins_next(rest) {
                break;
            }
        }
        Ok(Step {
            consumed: input.len() - rest.len(),
            event: None,
        })
    }

    /// The record of the active request's input, if the next byte is of its content. Its bytes may go to
    /// the application without passing here, if this is [told](Self::pass).
    #[must_use]
    pub const fn coming(&self) -> Option<Coming> {
        self.framing.coming()
    }

    /// So many bytes of what is [coming](Self::coming), at most all of them, have gone to the application.
    pub fn pass(&mut self, count: usize) {
        self.framing.pass(count);
    }

    /// Whole records to send to the peer, in front of anything the application writes later.
    #[must_use]
    pub fn replies(&self) -> &[u8] {
        &self.replies
    }

    /// The replies were taken over.
    pub fn clear_replies(&mut self) {
        self.replies.clear();
        self.replies.shrink_to(1024);
    }

    /// Takes at least one byte of a non-empty input.
    fn step<'i>(
        &mut self,
        input: &'i [u8],
    ) -> Result<(Option<Event<'i>>, &'i [u8]), ProtocolError> {
        match &mut self.framing {
            Framing::Header { have, bytes } => {
                if *have == 0
                    && let Some((whole, rest)) = input.split_first_chunk::<HEADER_LEN>()
                {
                    return Ok((self.header(Header::decode(*whole))?, rest));
                }
                let taken = (HEADER_LEN - *have).min(input.len());
                let (piece, rest) = input.split_at(taken);
                bytes[*have..*have + taken].copy_from_slice(piece);
                *have += taken;
                if *have < HEADER_LEN {
                    return Ok((None, rest));
                }
                let header = Header::decode(*bytes);
                Ok((self.header(header)?, rest))
            }
            Framing::Content {
                kind,
                left,
                padding,
                ..
            } => {
                let (piece, rest) = input.split_at((*left).min(input.len()));
                *left -= piece.len();
                let complete = *left == 0;
                let padding = *padding;
                let event = match kind {
                    Content::Skipped => None,
                    Content::Stdin => Some(Event::Stdin(piece)),
                    Content::Data => Some(Event::Data(piece)),
                    Content::Params => {
                        self.params.push(piece).map_err(ProtocolError::Limit)?;
                        None
                    }
                    Content::Begin { id, have, bytes } => {
                        bytes[*have..*have + piece.len()].copy_from_slice(piece);
                        *have += piece.len();
                        let (id, begin) = (*id, BeginRequest::decode(*bytes));
                        if complete {
                            self.begin(id, begin)
                        } else {
                            None
                        }
                    }
                    Content::GetValues(collected) => {
                        collected.extend_from_slice(piece);
                        if complete {
                            let asked = std::mem::take(collected);
                            answers::put_values(&mut self.replies, &asked, self.capacity);
                        }
                        None
                    }
                };
                if complete {
                    self.framing = after_content(padding);
                }
                Ok((event, rest))
            }
            Framing::Padding { left } => {
                let (piece, rest) = input.split_at(usize::from(*left).min(input.len()));
                *left -= piece.len() as u8;
                if *left == 0 {
                    self.framing = BETWEEN_RECORDS;
                }
                Ok((None, rest))
            }
        }
    }

    /// A header is complete: decides what its content is.
    fn header<'i>(&mut self, header: Header) -> Result<Option<Event<'i>>, ProtocolError> {
        if header.version != VERSION {
            return Err(ProtocolError::Version(header.version));
        }
        let (kind, event) = if header.request_id == NULL_REQUEST_ID {
            (self.management(header), None)
        } else if header.kind == RecordType::BeginRequest {
            if usize::from(header.content_length) != BeginRequest::LEN {
                return Err(ProtocolError::BeginLength(header.content_length));
            }
            (
                Content::Begin {
                    id: header.request_id,
                    have: 0,
                    bytes: [0; BeginRequest::LEN],
                },
                None,
            )
        } else {
            self.application(header)?
        };
        self.framing = match usize::from(header.content_length) {
            0 => after_content(header.padding_length),
            left => Framing::Content {
                kind,
                left,
                length: header.content_length,
                padding: header.padding_length,
            },
        };
        Ok(event)
    }

    /// A management record (section 4).
    fn management(&mut self, header: Header) -> Content {
        match header.kind {
            RecordType::GetValues if header.content_length == 0 => {
                answers::put_values(&mut self.replies, &[], self.capacity);
                Content::Skipped
            }
            RecordType::GetValues => Content::GetValues(Vec::new()),
            // Answers, not questions; to answer them could go on for ever.
            RecordType::GetValuesResult | RecordType::UnknownType => Content::Skipped,
            // Application types are none of management's either.
            RecordType::BeginRequest
            | RecordType::AbortRequest
            | RecordType::EndRequest
            | RecordType::Params
            | RecordType::Stdin
            | RecordType::Stdout
            | RecordType::Stderr
            | RecordType::Data
            | RecordType::Other(_) => {
                answers::put_unknown_type(&mut self.replies, header.kind);
                Content::Skipped
            }
        }
    }

    /// An application record other than BEGIN_REQUEST (section 5).
    fn application<'i>(
        &mut self,
        header: Header,
    ) -> Result<(Content, Option<Event<'i>>), ProtocolError> {
        let nothing = Ok((Content::Skipped, None));
        let Some(active) = self
            .phase
            .active()
            .filter(|active| active.id == header.request_id)
        else {
            return nothing;
        };
        let empty = header.content_length == 0;
        match (header.kind, self.phase) {
            (_, Phase::Idle) => nothing,
            (RecordType::Params, Phase::Params(_)) if empty => {
                Ok((Content::Skipped, Some(self.params_end(active)?)))
            }
            (RecordType::Params, Phase::Params(_)) => Ok((Content::Params, None)),
            (RecordType::Params, Phase::Stdin(_) | Phase::Data(_) | Phase::Ended(_))
            | (RecordType::Stdin | RecordType::Data, Phase::Params(_))
            | (
                RecordType::Data,
                Phase::Stdin(Active {
                    role: Role::Filter, ..
                }),
            ) => Err(ProtocolError::OutOfOrder(header.kind)),
            (RecordType::Stdin, Phase::Stdin(_)) if empty => {
                self.phase = match active.role {
                    Role::Filter => Phase::Data(active),
                    Role::Responder | Role::Authorizer => Phase::Ended(active),
                };
                Ok((Content::Skipped, Some(Event::StdinEnd)))
            }
            (RecordType::Stdin, Phase::Stdin(_)) => Ok((Content::Stdin, None)),
            (RecordType::Data, Phase::Data(_)) if empty => {
                self.phase = Phase::Ended(active);
                Ok((Content::Skipped, Some(Event::DataEnd)))
            }
            (RecordType::Data, Phase::Data(_)) => Ok((Content::Data, None)),
            // Streams that have ended, or that the role does not have.
            (RecordType::Stdin, Phase::Data(_) | Phase::Ended(_))
            | (RecordType::Data, Phase::Stdin(_) | Phase::Ended(_)) => nothing,
            (RecordType::AbortRequest, Phase::Params(_)) => {
                answers::put_end_request(
                    &mut self.replies,
                    active.id,
                    0,
                    ProtocolStatus::RequestComplete,
                );
                self.phase = Phase::Idle;
                Ok((
                    Content::Skipped,
                    Some(Event::Declined {
                        close: !active.keep_connection,
                    }),
                ))
            }
            (RecordType::AbortRequest, Phase::Stdin(_) | Phase::Data(_) | Phase::Ended(_)) => {
                self.phase = Phase::Ended(active);
                Ok((Content::Skipped, Some(Event::Aborted)))
            }
            // Not for an application to receive, or of a type that version 1 does not know.
            (
                RecordType::BeginRequest
                | RecordType::EndRequest
                | RecordType::Stdout
                | RecordType::Stderr
                | RecordType::GetValues
                | RecordType::GetValuesResult
                | RecordType::UnknownType
                | RecordType::Other(_),
                Phase::Params(_) | Phase::Stdin(_) | Phase::Data(_) | Phase::Ended(_),
            ) => nothing,
        }
    }

    fn begin<'i>(&mut self, id: u16, begin: BeginRequest) -> Option<Event<'i>> {
        if let Some(active) = self.phase.active() {
            // The same id again cannot be refused without ending the request that has it.
            if active.id != id {
                answers::put_end_request(&mut self.replies, id, 0, ProtocolStatus::CantMultiplex);
            }
            return None;
        }
        let Some(role) = Role::from_number(begin.role) else {
            answers::put_end_request(&mut self.replies, id, 0, ProtocolStatus::UnknownRole);
            return Some(Event::Declined {
                close: !begin.keep_connection,
            });
        };
        self.params.clear();
        self.phase = Phase::Params(Active {
            id,
            role,
            keep_connection: begin.keep_connection,
        });
        None
    }

    fn params_end<'i>(&mut self, active: Active) -> Result<Event<'i>, ProtocolError> {
        if !self.params.at_boundary() {
            return Err(ProtocolError::TruncatedParams);
        }
        self.params.complete(active.role);
        self.phase = match active.role {
            Role::Responder | Role::Filter => Phase::Stdin(active),
            // An authorizer receives no body (section 6.3).
            Role::Authorizer => Phase::Ended(active),
        };
        Ok(Event::Request)
    }
}
