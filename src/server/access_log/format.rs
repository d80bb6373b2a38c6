//! `access_format`: the letters of php-fpm's `access.format`, fields of our own, and `json`.

use super::escape::Style;
use super::headers;
use crate::conn::Wanted;

#[cfg(test)]
mod tests;

/// A part of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    Literal(Vec<u8>),
    Value(Field),
}

/// What is written of a request. Parameters are places among those that the format wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    /// %e, and the fields that are the value of a parameter, with the maximum length.
    Param {
        place: usize,
        limit: usize,
    },
    /// %m
    Method,
    /// %r: the URI without its query.
    Path,
    /// %Q: a question mark, if there is a query.
    QueryMark {
        query: usize,
    },
    /// %q
    Query {
        place: usize,
    },
    /// The URI with its query.
    Uri,
    /// %s
    Status,
    /// %l: CONTENT_LENGTH of a request with a body.
    ContentLength {
        place: usize,
    },
    /// %n
    Pool,
    /// %p
    Pid,
    /// %P
    Manager,
    /// %t: when the request began.
    Began(Clock),
    /// %T: when the line is written.
    Ended(Clock),
    /// %d, in this many parts of a second, with decimals.
    Duration {
        parts: u64,
        decimals: u32,
    },
    /// %C: percent of a processor.
    Cpu(Share),
    /// %M: the maximum resident memory of the worker, in this many bytes.
    Memory(u64),
    Received,
    Sent,
    Aborted,
    RequestNumber,
    TraceId {
        traceparent: usize,
    },
    /// Processor time in seconds.
    CpuSeconds,
    /// How long the request waited since the web server received it, in seconds.
    QueueWait,
}

/// How a time is written. All are UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Clock {
    /// `01/Dec/2026:06:45:04 +0000`
    Common,
    /// `2026-12-01T06:45:04.123Z`
    Iso,
    /// Seconds since the epoch, with milliseconds.
    Epoch,
}

/// Which processor time counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Share {
    User,
    System,
    Total,
}

/// A valid format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Format {
    pub(super) pieces: Vec<Piece>,
    pub(super) style: Style,
    /// The parameters that it contains.
    pub(super) wanted: Wanted,
}

/// The limits of values: of those that are long in practice, of paths of files, and of the others.
pub(super) const LONG: usize = 1_800;
const PATH: usize = 512;
pub(super) const SHORT: usize = 128;

/// Of JSON, in this order. The names are those of `%{NAME}x`.
const OF_JSON: [&str; 19] = [
    "time",
    "pool",
    "pid",
    "request_number",
    "client",
    "method",
    "uri",
    "status",
    "bytes_in",
    "bytes_out",
    "duration",
    "queue_wait",
    "cpu",
    "memory",
    "request_id",
    "trace_id",
    "aborted",
    "user",
    "script",
];

impl Format {
    /// Parses a format. The id of a request is in this parameter.
    ///
    /// # Errors
    /// What is wrong, and where.
    pub fn parse(text: &str, request_id_param: &[u8]) -> Result<Self, String> {
        let mut fields = Fields {
            wanted: Wanted::default(),
            request_id_param,
        };
        let (pieces, style) = match text {
            "json" => (json(&mut fields), Style::Json),
            _ => (letters(text, &mut fields)?, Style::Text),
        };
        Ok(Self {
            pieces,
            style,
            wanted: fields.wanted,
        })
    }

    pub(super) fn has(&self, is_wanted: impl Fn(&Field) -> bool) -> bool {
        self.pieces.iter().any(|piece| match piece {
            Piece::Literal(_) => false,
            Piece::Value(field) => is_wanted(field),
        })
    }
}

fn letters(text: &str, fields: &mut Fields<'_>) -> Result<Vec<Piece>, String> {
    let mut pieces = Vec::new();
    let mut literal = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('%') {
        literal.extend_from_slice(before.as_bytes());
        let place = text.len() - after.len();
        let wrong = |what: &str| format!("at byte {place}: {what}");
        let (name, after) = match after.strip_prefix('{') {
            Some(inner) => {
                let (name, after) = inner.split_once('}').ok_or_else(|| wrong("%{ without }"))?;
                (Some(name), after)
            }
            None => (None, after),
        };
        let letter = after.chars().next().ok_or_else(|| wrong("% at the end"))?;
        rest = &after[letter.len_utf8()..];
        if (letter, name) == ('%', None) {
            literal.push(b'%');
            continue;
        }
        let field = fields.of(letter, name).map_err(|what| wrong(&what))?;
        if !literal.is_empty() {
            pieces.push(Piece::Literal(std::mem::take(&mut literal)));
        }
        pieces.push(Piece::Value(field));
    }
    literal.extend_from_slice(rest.as_bytes());
    if text.bytes().any(|byte| byte.is_ascii_control()) {
        return Err("it contains a control character".to_owned());
    }
    literal.push(b'\n');
    pieces.push(Piece::Literal(literal));
    Ok(pieces)
}

fn json(fields: &mut Fields<'_>) -> Vec<Piece> {
    let mut pieces = Vec::new();
    for (place, name) in OF_JSON.iter().enumerate() {
        let before = if place == 0 { '{' } else { ',' };
        pieces.push(Piece::Literal(format!("{before}\"{name}\":").into_bytes()));
        pieces.extend(fields.named(name).map(Piece::Value));
    }
    pieces.push(Piece::Literal(b"}\n".to_vec()));
    pieces
}

/// Fields of a format, and the parameters that they need.
struct Fields<'n> {
    wanted: Wanted,
    request_id_param: &'n [u8],
}

impl Fields<'_> {
    /// `%LETTER` or `%{NAME}LETTER`.
    fn of(&mut self, letter: char, name: Option<&str>) -> Result<Field, String> {
        let plain = match letter {
            'R' => "client",
            'u' => "user",
            'm' => "method",
            's' => "status",
            'f' => "script",
            'n' => "pool",
            'p' => "pid",
            'r' | 'P' | 'Q' | 'q' | 'l' => "",
            't' => return clock(name).map(Field::Began),
            'T' => return clock(name).map(Field::Ended),
            'd' | 'C' | 'M' => return in_units(letter, name),
            'e' => {
                return match name {
                    Some(name) if !name.is_empty() => Ok(self.param(name.as_bytes(), LONG)),
                    Some(_) | None => {
                        Err("%e without the name of a parameter: %{NAME}e".to_owned())
                    }
                };
            }
            'x' => {
                let name = name.ok_or("%x without the name of a field: %{NAME}x")?;
                let field = self.named(name);
                return field.ok_or_else(|| format!("%{{{name}}}x: unknown field"));
            }
            'o' => return Err("%o: header fields of responses are not kept".to_owned()),
            other => return Err(format!("%{other}: unknown letter")),
        };
        if let Some(name) = name {
            return Err(format!("%{{{name}}}{letter}: %{letter} has no {{}}"));
        }
        let place = |fields: &mut Self, name: &[u8]| fields.wanted.add(name);
        Ok(match letter {
            'r' => Field::Path,
            'P' => Field::Manager,
            'Q' => Field::QueryMark {
                query: place(self, b"QUERY_STRING"),
            },
            'q' => Field::Query {
                place: place(self, b"QUERY_STRING"),
            },
            'l' => Field::ContentLength {
                place: place(self, b"CONTENT_LENGTH"),
            },
            _ => {
                let field = self.named(plain);
                field.ok_or_else(|| format!("%{letter}: unknown letter"))?
            }
        })
    }

    fn named(&mut self, name: &str) -> Option<Field> {
        Some(match name {
            "time" => Field::Began(Clock::Iso),
            "pool" => Field::Pool,
            "pid" => Field::Pid,
            "request_number" => Field::RequestNumber,
            "client" => self.param(b"REMOTE_ADDR", SHORT),
            "method" => Field::Method,
            "uri" => Field::Uri,
            "status" => Field::Status,
            "bytes_in" => Field::Received,
            "bytes_out" => Field::Sent,
            "duration" => duration(1, 6),
            "queue_wait" => Field::QueueWait,
            "cpu" => Field::CpuSeconds,
            "memory" => Field::Memory(1),
            "request_id" => self.param(self.request_id_param, SHORT),
            "trace_id" => Field::TraceId {
                traceparent: self.wanted.add(headers::TRACEPARENT),
            },
            "aborted" => Field::Aborted,
            "user" => self.param(b"REMOTE_USER", SHORT),
            "script" => self.param(b"SCRIPT_FILENAME", PATH),
            _ => return None,
        })
    }

    fn param(&mut self, name: &[u8], limit: usize) -> Field {
        Field::Param {
            place: self.wanted.add(name),
            limit,
        }
    }
}

fn in_units(letter: char, name: Option<&str>) -> Result<Field, String> {
    Ok(match (letter, name) {
        ('d', None | Some("seconds")) => duration(1, 3),
        ('d', Some("milliseconds" | "milli")) => duration(1_000, 3),
        ('d', Some("microseconds" | "micro")) => duration(1_000_000, 0),
        ('C', None | Some("total")) => Field::Cpu(Share::Total),
        ('C', Some("user")) => Field::Cpu(Share::User),
        ('C', Some("system")) => Field::Cpu(Share::System),
        ('C', Some(other)) => return Err(format!("%{{{other}}}C: not user, system or total")),
        ('M', None | Some("bytes")) => Field::Memory(1),
        ('M', Some("kilobytes" | "kilo")) => Field::Memory(1 << 10),
        ('M', Some("megabytes" | "mega")) => Field::Memory(1 << 20),
        (_, other) => {
            let other = other.unwrap_or_default();
            return Err(format!("%{{{other}}}{letter}: unknown unit"));
        }
    })
}

const fn duration(parts: u64, decimals: u32) -> Field {
    Field::Duration { parts, decimals }
}

fn clock(name: Option<&str>) -> Result<Clock, String> {
    match name {
        None | Some("%d/%b/%Y:%H:%M:%S %z") => Ok(Clock::Common),
        Some("iso") => Ok(Clock::Iso),
        Some("epoch") => Ok(Clock::Epoch),
        Some(other) => Err(format!("{{{other}}}: not iso or epoch")),
    }
}
