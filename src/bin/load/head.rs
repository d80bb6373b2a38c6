//! The parts of a CGI response header that decide whether the response is ok. Pure.

use super::loss::Flaw;

/// The maximum that is stored of a line: enough for the fields that matter.
const LINE_KEPT: usize = 256;

/// A response header, which may be incomplete.
#[derive(Debug, Default)]
pub(crate) struct Head {
    complete: bool,
    bytes: u64,
    fields: u32,
    status: Option<u16>,
    redirects: bool,
    length: Option<u64>,
    bad: Option<String>,
    /// The start of an incomplete line.
    line: Vec<u8>,
}

impl Head {
    /// Reads the next bytes of STDOUT, up to the end of the header.
    pub(crate) fn push(&mut self, mut bytes: &[u8]) {
        while !self.complete && !bytes.is_empty() {
            let end = bytes.iter().position(|&byte| byte == b'\n');
            let (piece, rest) = bytes.split_at(end.map_or(bytes.len(), |end| end + 1));
            self.bytes += piece.len() as u64;
            bytes = rest;
            if end.is_some() && self.line.is_empty() {
                self.take_line(piece);
                continue;
            }
            let room = LINE_KEPT - self.line.len();
            self.line
                .extend_from_slice(piece.get(..room).unwrap_or(piece));
            if end.is_some() {
                let line = std::mem::take(&mut self.line);
                self.take_line(&line);
            }
        }
    }

    /// The length of the header, including the empty line.
    pub(crate) const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The status and the announced length, or why the header is invalid.
    pub(crate) fn verdict(&self) -> Result<(u16, Option<u64>), Flaw> {
        if let Some(line) = &self.bad {
            return Err(Flaw::BadLine(line.clone()));
        }
        if !self.complete || self.fields == 0 {
            return Err(Flaw::NoHeader);
        }
        // A redirect needs no status of its own (RFC 3875, section 6.2.3).
        let otherwise = if self.redirects { 302 } else { 200 };
        Ok((self.status.unwrap_or(otherwise), self.length))
    }

    fn take_line(&mut self, line: &[u8]) {
        let line = line.trim_ascii_end();
        if line.is_empty() {
            self.complete = true;
            return;
        }
        self.fields += 1;
        let Some(colon) = line.iter().position(|&byte| byte == b':') else {
            self.spoilt_by(line);
            return;
        };
        let (name, value) = line.split_at(colon);
        let value = value.get(1..).unwrap_or_default().trim_ascii();
        if name.eq_ignore_ascii_case(b"status") {
            match value.get(..3).and_then(number) {
                Some(status) => self.status = u16::try_from(status).ok(),
                None => self.spoilt_by(line),
            }
        } else if name.eq_ignore_ascii_case(b"location") {
            self.redirects = true;
        } else if name.eq_ignore_ascii_case(b"content-length") {
            match number(value) {
                Some(length) => self.length = Some(length),
                None => self.spoilt_by(line),
            }
        }
    }

    fn spoilt_by(&mut self, line: &[u8]) {
        let shown = line.get(..60).unwrap_or(line);
        self.bad
            .get_or_insert_with(|| shown.escape_ascii().to_string());
    }
}

fn number(digits: &[u8]) -> Option<u64> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}
