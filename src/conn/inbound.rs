//! Decodes what a peer sends into events of at most one request at a time.

use super::answers;
use super::event::{Event, ProtocolError, Step};
use super::framing::{BETWEEN_RECORDS, Coming, Content, Framing, Suspended, after_content};
use super::params::Params;
use super::phase::{Active, Effect, Phase};
use crate::wire::{
    BeginRequest, HEADER_LEN, Header, NULL_REQUEST_ID, PairLimits, ProtocolStatus, RecordType,
    Role, VERSION,
};

/// Decodes what a peer sends.
///
/// [`handle`](Self::handle) takes input, [`finish`](Self::finish) ends the response to a request, and
/// [`replies`](Self::replies) is output. After an error the connection cannot be used further.
#[derive(Debug)]
pub struct Inbound {
    capacity: u32,
    framing: Framing,
    phase: Phase,
    params: Params,
    replies: Vec<u8>,
}

impl Inbound {
    /// A new connection.
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

    /// The parameters of the active request, for lookups and conversions.
    pub const fn params_mut(&mut self) -> &mut Params {
        &mut self.params
    }

    /// The id of the active request.
    #[must_use]
    pub fn request_id(&self) -> Option<u16> {
        self.phase.active().map(|active| active.id)
    }

    /// The role of the active request.
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

    /// Whether closing the connection would lose no request: at most unread input of a finished
    /// request has arrived.
    #[must_use]
    pub const fn is_quiet(&self) -> bool {
        matches!(self.phase, Phase::Idle) && self.framing.has_nothing_begun()
    }

    /// Whether the peer has certainly sent all input of the active request. A web server may or may
    /// not send an empty STDIN to an authorizer.
    #[must_use]
    pub fn input_is_complete(&self) -> bool {
        match self.phase {
            Phase::Ended(active) => {
                self.framing.is_between_records() && active.role != Role::Authorizer
            }
            Phase::Idle | Phase::Params(_) | Phase::Stdin(_) | Phase::Data(_) => false,
        }
    }

    /// Whether STDIN of a filter has ended and DATA has not.
    #[must_use]
    pub const fn data_is_open(&self) -> bool {
        matches!(self.phase, Phase::Data(_))
    }

    /// Whether these bytes begin the next request, which must wait while the active one, whose
    /// input is complete, is served. Also true if there are too few bytes to decide.
    #[must_use]
    pub fn begins_next(&self, bytes: &[u8]) -> bool {
        if !self.framing.is_between_records() || !matches!(self.phase, Phase::Ended(_)) {
            return false;
        }
        match bytes {
            [] => false,
            [_] => true,
            [_, kind, ..] => *kind == RecordType::BeginRequest.to_byte(),
        }
    }

    /// Sets the number of requests that the application serves concurrently, the answer to
    /// GET_VALUES.
    pub fn set_capacity(&mut self, capacity: u32) {
        self.capacity = capacity.max(1);
    }

    /// Continues with a connection that was parked, or a [new](Suspended::fresh) one.
    pub fn resume(&mut self, suspended: Suspended) {
        self.framing = suspended.0;
        self.phase = Phase::Idle;
        self.params.clear();
        self.replies.clear();
    }

    /// The state of the connection, to be parked between requests.
    #[must_use]
    pub fn suspend(&mut self) -> Suspended {
        Suspended(std::mem::replace(&mut self.framing, BETWEEN_RECORDS))
    }

    /// The response is complete: further input of the request is skipped.
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

    /// Decodes input up to the next event, to its end, or to where the
    /// [next request begins](Self::begins_next).
    ///
    /// # Errors
    /// The rest of the connection cannot be decoded.
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
            // Padding or an answered query may precede it.
            if self.begins_next(rest) {
                break;
            }
        }
        Ok(Step {
            consumed: input.len() - rest.len(),
            event: None,
        })
    }

    /// The record of the active request's input, if the next byte is part of its content. The
    /// caller may pass these bytes to the application directly, if it calls [`pass`](Self::pass).
    #[must_use]
    pub const fn coming(&self) -> Option<Coming> {
        self.framing.coming()
    }

    /// Notes that `count` bytes of what is [coming](Self::coming) were passed to the application
    /// directly.
    pub fn pass(&mut self, count: usize) {
        self.framing.pass(count);
    }

    /// Whole records to send to the peer, before anything that the application writes later.
    #[must_use]
    pub fn replies(&self) -> &[u8] {
        &self.replies
    }

    /// Removes the replies, once they are queued for sending.
    pub fn clear_replies(&mut self) {
        self.replies.clear();
        self.replies.shrink_to(1024);
    }

    /// Decodes at least one byte of a non-empty input.
    fn step<'i>(
        &mut self,
        input: &'i [u8],
    ) -> Result<(Option<Event<'i>>, &'i [u8]), ProtocolError> {
        match &mut self.framing {
            Framing::Header { have, bytes } => {
                if *have == 0 {
                    if let Some((whole, rest)) = input.split_first_chunk::<HEADER_LEN>() {
                        return Ok((self.header(Header::decode(*whole))?, rest));
                    }
                }
                let start = usize::from(*have);
                let (piece, rest) = input.split_at((HEADER_LEN - start).min(input.len()));
                bytes[start..start + piece.len()].copy_from_slice(piece);
                *have += piece.len() as u8;
                if usize::from(*have) < HEADER_LEN {
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
                let (piece, rest) = input.split_at((*left as usize).min(input.len()));
                *left -= piece.len() as u32;
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
                        let start = usize::from(*have);
                        bytes[start..start + piece.len()].copy_from_slice(piece);
                        *have += piece.len() as u8;
                        let (id, begin) = (*id, BeginRequest::decode(*bytes));
                        if complete {
                            self.begin(id, begin)
                        } else {
                            None
                        }
                    }
                    Content::GetValues(collected) => {
                        collected.0.extend_from_slice(piece);
                        if complete {
                            answers::put_values(&mut self.replies, &collected.0, self.capacity);
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
        self.framing = match u32::from(header.content_length) {
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
            RecordType::GetValues => Content::GetValues(Box::default()),
            // These are answers. To answer them could cause an endless exchange.
            RecordType::GetValuesResult | RecordType::UnknownType => Content::Skipped,
            // Application types are not valid in management records either.
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
        let Some(active) = self
            .phase
            .active()
            .filter(|active| active.id == header.request_id)
        else {
            return Ok((Content::Skipped, None));
        };
        let effect = self
            .phase
            .receive(active, header.kind, header.content_length == 0)?;
        let event = match effect {
            Effect::Ignore => None,
            Effect::Read(content) => return Ok((content, None)),
            Effect::Report(event) => Some(event),
            Effect::EndParams => Some(self.params_end(active)?),
            Effect::Decline => {
                answers::put_end_request(
                    &mut self.replies,
                    active.id,
                    0,
                    ProtocolStatus::RequestComplete,
                );
                Some(Event::Declined {
                    close: !active.keep_connection,
                })
            }
        };
        Ok((Content::Skipped, event))
    }

    fn begin<'i>(&mut self, id: u16, begin: BeginRequest) -> Option<Event<'i>> {
        if let Some(active) = self.phase.active() {
            // A request with the same id cannot be refused without ending the active one.
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
        self.phase = Phase::after_params(active);
        Ok(Event::Request)
    }
}
