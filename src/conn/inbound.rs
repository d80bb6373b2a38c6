//! What a peer sends, as events of at most one request at a time.

use std::fmt;

use super::outbound::append_end_request;
use super::params::Params;
use crate::wire::{
    BeginRequest, HEADER_LEN, Header, NULL_REQUEST_ID, PairDecoder, PairError, PairLimits, Pairs,
    ProtocolStatus, RecordType, Role, VERSION, encode_pair, unknown_type_body,
};

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<'i> {
    /// A request's parameters are complete: the application may run.
    Request,
    /// Bytes of the standard input.
    Stdin(&'i [u8]),
    /// The standard input is at its end.
    StdinEnd,
    /// Bytes of a filter's data.
    Data(&'i [u8]),
    /// The filter's data is at its end.
    DataEnd,
    /// The web server aborted the running request (section 5.4).
    Aborted,
    /// A request ended before the application ran: its role is unknown, or it was aborted. The
    /// answer is among the replies; with `close`, the connection ends after it.
    Declined {
        /// The peer did not ask to keep the connection.
        close: bool,
    },
}

/// What [`Inbound::handle`] did with its input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step<'i> {
    /// So many bytes of the input are done with.
    pub consumed: usize,
    /// What they led to; `None` when all input was consumed and nothing happened.
    pub event: Option<Event<'i>>,
}

/// Why the rest of a connection cannot be understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProtocolError {
    /// A record of another protocol version.
    Version(u8),
    /// A BEGIN_REQUEST whose content is not 8 bytes.
    BeginLength(u16),
    /// A record of another stream before PARAMS was closed, or of PARAMS after it was.
    OutOfOrder(RecordType),
    /// PARAMS was closed in the middle of a pair.
    TruncatedParams,
    /// The parameters go over a limit.
    Limit(PairError),
}

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version(version) => {
                write!(f, "a record of protocol version {version}, not {VERSION}")
            }
            Self::BeginLength(length) => {
                write!(f, "a BEGIN_REQUEST record of {length} bytes, not 8")
            }
            Self::OutOfOrder(kind) => write!(f, "a record of type {} out of order", kind.to_byte()),
            Self::TruncatedParams => f.write_str("PARAMS ends in the middle of a parameter"),
            Self::Limit(limit) => limit.fmt(f),
        }
    }
}

/// Where in a record the input stands.
#[derive(Clone, Debug)]
enum Framing {
    Header {
        have: usize,
        bytes: [u8; HEADER_LEN],
    },
    Content {
        kind: Content,
        left: usize,
        padding: u8,
    },
    Padding {
        left: u8,
    },
}

const BETWEEN_RECORDS: Framing = Framing::Header {
    have: 0,
    bytes: [0; HEADER_LEN],
};

#[derive(Clone, Debug)]
enum Content {
    Skipped,
    Begin {
        id: u16,
        have: usize,
        bytes: [u8; BeginRequest::LEN],
    },
    Params,
    Stdin,
    Data,
    /// Collected as it arrives, never ahead of it; a record bounds it to 65,535 bytes.
    GetValues(Vec<u8>),
}

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

/// The state of a connection without an active request: small, so that many can be kept.
#[derive(Clone, Debug)]
pub struct Suspended(Framing);

impl Suspended {
    /// A new connection.
    #[must_use]
    pub const fn fresh() -> Self {
        Self(BETWEEN_RECORDS)
    }

    /// Whether the connection stands between two records, so that anybody can go on with it.
    #[must_use]
    pub const fn is_between_records(&self) -> bool {
        matches!(self.0, Framing::Header { have: 0, .. })
    }
}

/// Decodes what a peer sends.
///
/// Getters first; [`handle`](Self::handle) takes input; [`finish`](Self::finish) ends the
/// application's side of a request; [`replies`](Self::replies) is output. After an error
/// the connection is of no further use.
#[derive(Debug)]
pub struct Inbound {
    limits: PairLimits,
    capacity: u32,
    framing: Framing,
    phase: Phase,
    decoder: PairDecoder,
    params: Params,
    replies: Vec<u8>,
}

impl Inbound {
    /// A connection of which nothing has arrived.
    #[must_use]
    pub fn new(limits: PairLimits) -> Self {
        Self {
            limits,
            capacity: 1,
            framing: BETWEEN_RECORDS,
            phase: Phase::Idle,
            decoder: PairDecoder::new(limits),
            params: Params::default(),
            replies: Vec::new(),
        }
    }

    /// The parameters of the active request.
    #[must_use]
    pub const fn params(&self) -> &Params {
        &self.params
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
        match (bytes, self.phase) {
            ([], _) => false,
            ([_, kind, ..], Phase::Ended(_)) => {
                between_records && *kind == RecordType::BeginRequest.to_byte()
            }
            ([_], Phase::Ended(_)) => between_records,
            (_, Phase::Idle | Phase::Params(_) | Phase::Stdin(_) | Phase::Data(_)) => false,
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

    /// Takes input, up to the next event or to its end.
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
        }
        Ok(Step {
            consumed: input.len(),
            event: None,
        })
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
                        self.decoder
                            .push(piece, &mut self.params)
                            .map_err(ProtocolError::Limit)?;
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
                            self.answer_get_values(&asked);
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
                padding: header.padding_length,
            },
        };
        Ok(event)
    }

    /// A management record (section 4).
    fn management(&mut self, header: Header) -> Content {
        match header.kind {
            RecordType::GetValues if header.content_length == 0 => {
                self.answer_get_values(&[]);
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
                let body = unknown_type_body(header.kind.to_byte());
                let reply =
                    Header::new(RecordType::UnknownType, NULL_REQUEST_ID, body.len() as u16);
                self.replies.extend_from_slice(&reply.encode());
                self.replies.extend_from_slice(&body);
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
                append_end_request(
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
                append_end_request(&mut self.replies, id, 0, ProtocolStatus::CantMultiplex);
            }
            return None;
        }
        let Some(role) = Role::from_number(begin.role) else {
            append_end_request(&mut self.replies, id, 0, ProtocolStatus::UnknownRole);
            return Some(Event::Declined {
                close: !begin.keep_connection,
            });
        };
        self.params.clear();
        self.decoder = PairDecoder::new(self.limits);
        self.phase = Phase::Params(Active {
            id,
            role,
            keep_connection: begin.keep_connection,
        });
        None
    }

    fn params_end<'i>(&mut self, active: Active) -> Result<Event<'i>, ProtocolError> {
        if !self.decoder.at_boundary() {
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

    /// Answers with the variables asked for that are known, each once, so that the answer fits one
    /// record whatever was asked (section 4.1). What follows a truncated pair is not looked at.
    fn answer_get_values(&mut self, asked: &[u8]) {
        let capacity = self.capacity.to_string();
        let known = [
            ("FCGI_MAX_CONNS", capacity.as_str()),
            ("FCGI_MAX_REQS", capacity.as_str()),
            ("FCGI_MPXS_CONNS", "0"),
        ];
        let mut body = Vec::new();
        for (name, value) in known {
            if Pairs::new(asked)
                .map_while(Result::ok)
                .any(|(wanted, _)| wanted == name.as_bytes())
            {
                encode_pair(name.as_bytes(), value.as_bytes(), &mut body);
            }
        }
        let header = Header::new(
            RecordType::GetValuesResult,
            NULL_REQUEST_ID,
            body.len() as u16,
        );
        self.replies.extend_from_slice(&header.encode());
        self.replies.extend_from_slice(&body);
        self.replies
            .resize(self.replies.len() + usize::from(header.padding_length), 0);
    }
}

const fn after_content(padding: u8) -> Framing {
    match padding {
        0 => BETWEEN_RECORDS,
        left => Framing::Padding { left },
    }
}
