//! A line about one request.

use std::time::Duration;

use super::escape::{self, Style};
use super::format::{Clock, Field, Format, LONG, Piece, SHORT, Share};
use super::headers;
use super::number::{self, Times};
use crate::conn::{Pair, Params};
use crate::sys::process::ThreadUsage;
use crate::worker::Served;

/// The maximum length of a line without its end, so that the manager need not cut it.
const LENGTH_MAX: usize = 4_000;

/// What is known of a request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Facts<'f> {
    pub(super) params: &'f Params,
    /// The parameters that the format wants.
    pub(super) found: &'f [Pair],
    /// When the first byte was read, since the epoch.
    pub(super) began: Duration,
    pub(super) duration: Duration,
    pub(super) served: &'f Served,
    /// What the thread has used since its last request.
    pub(super) usage: ThreadUsage,
    /// The number of the request in its loop, from 1 on.
    pub(super) number: u64,
    pub(super) pid: i32,
    pub(super) manager: i32,
    pub(super) pool: &'f [u8],
}

impl<'f> Facts<'f> {
    fn param(&self, place: usize) -> &'f [u8] {
        self.found
            .get(place)
            .map_or(&[], |pair| self.params.value(*pair))
    }
}

/// Adds the line to an empty buffer.
pub(super) fn write(out: &mut Vec<u8>, format: &Format, times: &mut Times, facts: &Facts<'_>) {
    for piece in &format.pieces {
        match piece {
            Piece::Literal(text) => out.extend_from_slice(text),
            Piece::Value(field) => write_field(out, format.style, *field, times, facts),
        }
    }
    if out.len() > LENGTH_MAX {
        out.truncate(LENGTH_MAX);
        out.extend_from_slice(b"...\n");
    }
}

fn write_field(
    out: &mut Vec<u8>,
    style: Style,
    field: Field,
    times: &mut Times,
    facts: &Facts<'_>,
) {
    let value = |out: &mut Vec<u8>, bytes: &[u8], limit| escape::value(out, style, bytes, limit);
    match field {
        Field::Param { place, limit } => value(out, facts.param(place), limit),
        Field::Method => value(out, facts.params.method(), SHORT),
        Field::Uri => value(out, facts.params.uri(), LONG),
        Field::Path => {
            let uri = facts.params.uri();
            let end = uri.iter().position(|byte| *byte == b'?');
            value(out, &uri[..end.unwrap_or(uri.len())], LONG);
        }
        Field::Pool => value(out, facts.pool, SHORT),
        Field::TraceId { traceparent } => {
            let id = headers::trace_id(facts.param(traceparent));
            value(out, id.unwrap_or_default(), SHORT);
        }
        Field::QueryMark { query } => {
            if !facts.param(query).is_empty() {
                out.push(b'?');
            }
        }
        Field::Query { place } => escape::text(out, facts.param(place), LONG),
        Field::ContentLength { place } => {
            let text = std::str::from_utf8(facts.param(place)).ok();
            let length = text.and_then(|text| text.parse().ok());
            number::integer(out, length.unwrap_or(0));
        }
        Field::Status => {
            let width = if style == Style::Text { 3 } else { 1 };
            number::padded(out, facts.served.status.into(), width);
        }
        Field::Pid => number::integer(out, facts.pid.unsigned_abs().into()),
        Field::Manager => number::integer(out, facts.manager.unsigned_abs().into()),
        Field::Began(clock) => write_time(out, style, clock, times, facts.began),
        Field::Ended(clock) => {
            write_time(out, style, clock, times, facts.began + facts.duration);
        }
        Field::Duration { parts, decimals } => {
            let scaled = number::micros(facts.duration).saturating_mul(parts);
            number::decimal(out, scaled / 10_u64.pow(6 - decimals), decimals);
        }
        Field::Cpu(share) => {
            let used = match share {
                Share::User => facts.usage.user,
                Share::System => facts.usage.system,
                Share::Total => facts.usage.user + facts.usage.system,
            };
            let percent =
                number::micros(used).saturating_mul(10_000) / number::micros(facts.duration).max(1);
            number::decimal(out, percent, 2);
        }
        Field::CpuSeconds => {
            let used = facts.usage.user + facts.usage.system;
            number::decimal(out, number::micros(used), 6);
        }
        Field::Memory(unit) => number::integer(out, facts.usage.memory_max / unit),
        Field::Received => number::integer(out, facts.served.received),
        Field::Sent => number::integer(out, facts.served.sent),
        Field::RequestNumber => number::integer(out, facts.number),
        Field::Aborted => out.extend_from_slice(match facts.served.aborted {
            true => b"true",
            false => b"false",
        }),
        Field::QueueWait => match facts.served.queue_wait {
            Some(wait) => number::decimal(out, number::micros(wait), 6),
            None => value(out, b"", 0),
        },
    }
}

fn write_time(out: &mut Vec<u8>, style: Style, clock: Clock, times: &mut Times, at: Duration) {
    let has_quotes = style == Style::Json && clock != Clock::Epoch;
    out.extend(has_quotes.then_some(b'"'));
    times.write(out, clock, at);
    out.extend(has_quotes.then_some(b'"'));
}
