//! A connection driven the way the server drives it, and what was seen of it.

use fcgipm::conn::{Event, Inbound, Params, ProtocolError, Scope, Suspended};
use fcgipm::wire::{PairLimits, Role};

use super::records;

/// What GET_VALUES is answered with.
pub const CAPACITY: u32 = 12_345;

/// How the application and the server around it behave.
#[derive(Clone, Copy, Debug)]
pub struct Host {
    /// Finishes a request after this number of bytes of its input.
    pub reads: usize,
    /// Does not finish at the end of the input, but when the next request begins.
    pub lingers: bool,
    /// Parks the connection whenever that is possible, and continues with it in another worker.
    pub parks: bool,
    pub limits: PairLimits,
}

/// What happened, without regard to the pieces in which it arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    Request {
        id: u16,
        role: Role,
        keep: bool,
        params: Vec<u8>,
    },
    Stdin(Vec<u8>),
    StdinEnd,
    Data(Vec<u8>),
    DataEnd,
    Aborted,
    Declined {
        close: bool,
    },
    Replied(Vec<u8>),
    Finished,
    /// The server closes the connection.
    Closed,
    Failed(ProtocolError),
}

/// Hands the pieces to a connection and tells what came of them.
pub fn observe<'b>(host: Host, pieces: impl IntoIterator<Item = &'b [u8]>) -> Vec<Seen> {
    let mut session = Session {
        host,
        inbound: fresh(host.limits),
        read: 0,
        arrived: 0,
        seen: Vec::new(),
        over: false,
    };
    let mut held = Vec::new();
    for piece in pieces {
        session.arrived += piece.len();
        held.extend_from_slice(piece);
        let left = session.take(&held);
        held.drain(..held.len() - left);
        if session.over {
            return session.seen;
        }
    }
    session.seen
}

fn fresh(limits: PairLimits) -> Inbound {
    let mut inbound = Inbound::new(limits);
    inbound.set_capacity(CAPACITY);
    inbound
}

struct Session {
    host: Host,
    inbound: Inbound,
    /// Of the input of the active request.
    read: usize,
    arrived: usize,
    seen: Vec<Seen>,
    over: bool,
}

impl Session {
    /// Takes bytes and returns how many are left for later.
    fn take(&mut self, mut bytes: &[u8]) -> usize {
        while !bytes.is_empty() && !self.over {
            if self.inbound.begins_next(bytes) {
                if bytes.len() == 1 {
                    // It is not known yet whether the next request begins.
                    return 1;
                }
                self.finish();
                continue;
            }
            let before = bytes.len();
            match self.inbound.handle(bytes) {
                Ok(step) => {
                    assert!(step.consumed <= bytes.len());
                    assert!(step.consumed > 0, "no progress");
                    bytes = &bytes[step.consumed..];
                    assert!(
                        step.event.is_some() || bytes.is_empty() || self.inbound.begins_next(bytes)
                    );
                    self.note_replies();
                    if let Some(event) = step.event {
                        self.note(event);
                    }
                }
                Err(error) => {
                    self.note_replies();
                    self.seen.push(Seen::Failed(error));
                    self.over = true;
                    return 0;
                }
            }
            assert!(bytes.len() < before);
            self.check_memory();
        }
        if self.host.parks && !self.over && self.inbound.is_quiet() {
            self.park();
        }
        0
    }

    fn note(&mut self, event: Event<'_>) {
        match event {
            Event::Request => {
                let inbound = &mut self.inbound;
                let role = inbound.role().expect("a request has a role");
                check_scopes(inbound.params_mut(), role);
                self.seen.push(Seen::Request {
                    id: inbound.request_id().expect("a request has an id"),
                    role,
                    keep: inbound.keep_connection(),
                    params: inbound.params_mut().flat(Scope::All).to_vec(),
                });
                self.read = 0;
                if self.host.reads == 0 || role == Role::Authorizer && !self.host.lingers {
                    self.finish();
                }
            }
            Event::Stdin(piece) => self.body(piece, Seen::Stdin),
            Event::Data(piece) => self.body(piece, Seen::Data),
            Event::StdinEnd => {
                self.seen.push(Seen::StdinEnd);
                if self.inbound.role() != Some(Role::Filter) && !self.host.lingers {
                    self.finish();
                }
            }
            Event::DataEnd => {
                self.seen.push(Seen::DataEnd);
                if !self.host.lingers {
                    self.finish();
                }
            }
            Event::Aborted => {
                self.seen.push(Seen::Aborted);
                self.finish();
            }
            Event::Declined { close } => {
                self.seen.push(Seen::Declined { close });
                self.over = close;
            }
        }
    }

    /// Bytes of the input, up to where the application stops reading.
    fn body(&mut self, piece: &[u8], seen: fn(Vec<u8>) -> Seen) {
        assert!(!piece.is_empty());
        let wanted = piece.len().min(self.host.reads - self.read);
        self.read += wanted;
        let piece = &piece[..wanted];
        match (self.seen.last_mut(), seen(Vec::new())) {
            (Some(Seen::Stdin(bytes)), Seen::Stdin(_))
            | (Some(Seen::Data(bytes)), Seen::Data(_)) => {
                bytes.extend_from_slice(piece);
            }
            _ => self.seen.push(seen(piece.to_vec())),
        }
        if self.read == self.host.reads {
            self.finish();
        }
    }

    fn note_replies(&mut self) {
        let replies = self.inbound.replies();
        if replies.is_empty() {
            return;
        }
        check_replies(replies);
        match self.seen.last_mut() {
            Some(Seen::Replied(before)) => before.extend_from_slice(replies),
            _ => self.seen.push(Seen::Replied(replies.to_vec())),
        }
        self.inbound.clear_replies();
    }

    fn finish(&mut self) {
        let keep = self.inbound.keep_connection();
        self.inbound.finish();
        assert_eq!(self.inbound.request_id(), None);
        self.seen.push(Seen::Finished);
        if !keep {
            self.seen.push(Seen::Closed);
            self.over = true;
        }
    }

    fn park(&mut self) {
        let suspended = self.inbound.suspend();
        self.inbound = fresh(self.host.limits);
        self.inbound.resume(if suspended.is_between_records() {
            Suspended::fresh()
        } else {
            suspended
        });
    }

    /// What is remembered of the parameters is bounded by what arrived: at the least two bytes for
    /// the lengths of a pair, and twelve that say where it stands.
    fn check_memory(&self) {
        assert!(self.inbound.params().memory() <= 7 * self.arrived + 128);
    }
}

/// Each scope holds what it promises, and contains the one before.
pub fn check_scopes(params: &mut Params, role: Role) {
    let in_environment = |name: &[u8], value: &[u8]| {
        !name.is_empty() && !name.contains(&b'=') && !name.contains(&0) && !value.contains(&0)
    };
    let mut roles = 0;
    for (name, value) in params.iter(Scope::Environment) {
        assert!(in_environment(name, value));
        assert_ne!(name, b"HTTP_PROXY");
        roles += usize::from(name == b"FCGI_ROLE");
    }
    assert!(roles >= 1);
    for (name, value) in params.iter(Scope::WellFormed) {
        assert!(in_environment(name, value));
    }
    let all = params.flat(Scope::All).to_vec();
    let well_formed = params.flat(Scope::WellFormed).to_vec();
    assert!(all.starts_with(&well_formed));
    assert!(well_formed.starts_with(params.flat(Scope::Environment)));
    for scope in [Scope::Environment, Scope::WellFormed, Scope::All] {
        check_forms(params, scope);
    }
    let last = params
        .iter(Scope::Environment)
        .last()
        .expect("the role ends the first scope");
    assert_eq!(last, (&b"FCGI_ROLE"[..], role.name().as_bytes()));
}

/// Each form of a scope is what a naive writer makes of its pairs.
pub fn check_forms(params: &mut Params, scope: Scope) {
    let owned = |(name, value): (&[u8], &[u8])| (name.to_vec(), value.to_vec());
    let pairs: Vec<_> = params.iter(scope).map(owned).collect();
    let mut flat = Vec::new();
    for field in pairs.iter().flat_map(|(name, value)| [name, value]) {
        flat.extend((field.len() as u32).to_be_bytes());
        flat.extend_from_slice(field);
        flat.push(0);
    }
    assert_eq!(params.flat(scope), flat);

    let strings: Vec<_> = pairs
        .iter()
        .map(|(name, value)| [name, &b"="[..], value, b"\0"].concat())
        .collect();
    let (length, count) = params.strings_len(scope);
    assert_eq!(count, strings.len());
    let mut memory = vec![b'-'; length];
    let mut found: Vec<&mut [u8]> = Vec::new();
    params.write_strings(scope, &mut memory, |string| found.push(string));
    assert_eq!(found, strings);
    let written = strings.concat();
    assert!(memory.starts_with(&written));
    assert!(memory[written.len()..].iter().all(|&byte| byte == 0));

    let with_nul = |field: &Vec<u8>| [field, &b"\0"[..]].concat();
    let names = pairs.iter().map(|(name, _)| with_nul(name));
    let values = pairs.iter().map(|(_, value)| with_nul(value));
    let columns: Vec<_> = names.chain([vec![0]]).chain(values).flatten().collect();
    let mut copied = vec![b'-'; columns.len() + 3];
    assert_eq!(params.copy_columns(scope, b"", &mut copied), columns.len());
    assert_eq!(copied, [&columns, &b"---"[..]].concat());
}

fn check_replies(replies: &[u8]) {
    for record in records::split(replies) {
        assert_eq!((record.content.len() + record.padding) % 8, 0);
        match record.kind {
            records::END => assert_eq!(record.content.len(), 8),
            records::UNKNOWN_TYPE => {
                assert_eq!((record.id, record.content.len()), (0, 8));
            }
            records::GET_VALUES_RESULT => {
                assert_eq!(record.id, 0);
                assert!(record.content.len() <= 3 * 32, "each variable once");
            }
            other => panic!("nobody asked for a record of type {other}"),
        }
    }
}
