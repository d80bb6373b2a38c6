//! The fixed-size contents: BEGIN_REQUEST, END_REQUEST and UNKNOWN_TYPE (sections 4.2, 5.1, 5.5).

/// The role of a request (section 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Receives the input of a CGI program and responds like one.
    Responder,
    /// Decides about a request and receives no body.
    Authorizer,
    /// Receives a second stream with the content of a file.
    Filter,
}

impl Role {
    /// The role with this number, if the specification defines one.
    #[must_use]
    pub const fn from_number(number: u16) -> Option<Self> {
        match number {
            1 => Some(Self::Responder),
            2 => Some(Self::Authorizer),
            3 => Some(Self::Filter),
            _ => None,
        }
    }

    /// The number of the role.
    #[must_use]
    pub const fn number(self) -> u16 {
        match self {
            Self::Responder => 1,
            Self::Authorizer => 2,
            Self::Filter => 3,
        }
    }

    /// The value of `FCGI_ROLE` in the environment of the application.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Responder => "RESPONDER",
            Self::Authorizer => "AUTHORIZER",
            Self::Filter => "FILTER",
        }
    }
}

/// Content of a BEGIN_REQUEST record (section 5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BeginRequest {
    /// The number of the role, which may be unknown; see [`Role::from_number`].
    pub role: u16,
    /// `FCGI_KEEP_CONN`: the connection outlives the request.
    pub keep_connection: bool,
}

impl BeginRequest {
    /// Size of the content in bytes.
    pub const LEN: usize = 8;
    const KEEP_CONN: u8 = 1;

    /// Decodes the content; reserved bytes and flags are ignored.
    #[must_use]
    pub const fn decode(bytes: [u8; Self::LEN]) -> Self {
        Self {
            role: u16::from_be_bytes([bytes[0], bytes[1]]),
            keep_connection: bytes[2] & Self::KEEP_CONN != 0,
        }
    }

    /// Encodes the content.
    #[must_use]
    pub const fn encode(self) -> [u8; Self::LEN] {
        let [role1, role0] = self.role.to_be_bytes();
        [role1, role0, self.keep_connection as u8, 0, 0, 0, 0, 0]
    }
}

/// How a request ended, for the protocol (section 5.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProtocolStatus {
    /// Normal end.
    RequestComplete,
    /// Refused: this connection already carries a request.
    CantMultiplex,
    /// Refused: no resources.
    Overloaded,
    /// Refused: the role is unknown.
    UnknownRole,
}

impl ProtocolStatus {
    /// The number on the wire.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::RequestComplete => 0,
            Self::CantMultiplex => 1,
            Self::Overloaded => 2,
            Self::UnknownRole => 3,
        }
    }

    /// The status behind a number.
    #[must_use]
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::RequestComplete),
            1 => Some(Self::CantMultiplex),
            2 => Some(Self::Overloaded),
            3 => Some(Self::UnknownRole),
            _ => None,
        }
    }
}

/// Content of an END_REQUEST record (section 5.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndRequest {
    /// The application's exit status.
    pub app_status: u32,
    /// How the request ended, as its number.
    pub protocol_status: u8,
}

impl EndRequest {
    /// Size of the content in bytes.
    pub const LEN: usize = 8;

    /// Reads the content.
    #[must_use]
    pub const fn decode(bytes: [u8; Self::LEN]) -> Self {
        Self {
            app_status: u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]),
            protocol_status: bytes[4],
        }
    }

    /// Writes the content; reserved bytes are zero.
    #[must_use]
    pub const fn encode(self) -> [u8; Self::LEN] {
        let [a, b, c, d] = self.app_status.to_be_bytes();
        [a, b, c, d, self.protocol_status, 0, 0, 0]
    }
}

/// Content of an UNKNOWN_TYPE record: the type that was not understood (section 4.2).
#[must_use]
pub const fn unknown_type_body(kind: u8) -> [u8; 8] {
    [kind, 0, 0, 0, 0, 0, 0, 0]
}
