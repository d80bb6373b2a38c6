//! The body of a request: from the HTTP client, a file or memory.

use std::io::{self, SeekFrom};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::fs::File;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncSeekExt, AsyncWriteExt};

use crate::fastcgi::records::MAX_BODY_RECORD;

/// The maximum size of a spooled body in memory. A larger one moves to a temporary file.
const SPOOL_MEMORY: usize = 256 * 1024;

/// The maximum size of a spooled body on disk.
const SPOOL_DISK: u64 = 4 << 30;

/// The maximum time for an HTTP client to send the rest of a body that is no longer needed.
const LINGER_TOTAL: Duration = Duration::from_secs(30);
const LINGER_SILENCE: Duration = Duration::from_secs(5);

/// A request body.
#[derive(Debug)]
pub(crate) enum RequestBody {
    /// As it arrives from the HTTP client.
    Incoming { body: Incoming, started: bool },
    /// In memory: all of it, and the part that was not read yet.
    Memory { whole: Bytes, left: Bytes },
    /// A file from its start, with `left` bytes to read.
    File { file: File, length: u64, left: u64 },
}

impl RequestBody {
    /// An empty body.
    pub(crate) const fn empty() -> Self {
        Self::Memory {
            whole: Bytes::new(),
            left: Bytes::new(),
        }
    }

    /// A body of known length that the HTTP client sends.
    pub(crate) const fn incoming(body: Incoming) -> Self {
        Self::Incoming {
            body,
            started: false,
        }
    }

    /// The first `length` bytes of a file.
    pub(crate) const fn file(file: File, length: u64) -> Self {
        Self::File {
            file,
            length,
            left: length,
        }
    }

    /// Whether the next bytes must come from the HTTP client.
    pub(crate) const fn is_from_client(&self) -> bool {
        matches!(self, Self::Incoming { .. })
    }

    /// Whether the body is known to have ended.
    pub(crate) fn is_finished(&self) -> bool {
        match self {
            Self::Incoming { .. } => false,
            Self::Memory { left, .. } => left.is_empty(),
            Self::File { left, .. } => *left == 0,
        }
    }

    /// The next bytes, at least one; `None` at the end.
    ///
    /// # Errors
    /// The reason why the rest cannot be read.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, String> {
        match self {
            Self::Incoming { body, started } => {
                *started = true;
                loop {
                    match body.frame().await {
                        None => return Ok(None),
                        Some(Err(error)) => return Err(chain(&error)),
                        Some(Ok(frame)) => match frame.into_data() {
                            Ok(data) if data.is_empty() => {}
                            Ok(data) => return Ok(Some(data)),
                            // CGI has no trailers.
                            Err(_) => {}
                        },
                    }
                }
            }
            Self::Memory { left, .. } => {
                let piece = left.split_to(left.len().min(MAX_BODY_RECORD));
                Ok((!piece.is_empty()).then_some(piece))
            }
            Self::File { file, left, .. } => {
                if *left == 0 {
                    return Ok(None);
                }
                let room = usize::try_from(*left)
                    .map_or(MAX_BODY_RECORD, |left| left.min(MAX_BODY_RECORD));
                let mut buffer = BytesMut::zeroed(room);
                let read = file
                    .read(&mut buffer)
                    .await
                    .map_err(|error| format!("the file of the body: {error}"))?;
                if read == 0 {
                    return Err(format!("the file of the body ended {left} bytes early"));
                }
                *left -= read as u64;
                buffer.truncate(read);
                Ok(Some(buffer.freeze()))
            }
        }
    }

    /// Returns to the first byte, if possible.
    pub(crate) async fn rewind(&mut self) -> bool {
        match self {
            Self::Incoming { started, .. } => !*started,
            Self::Memory { whole, left } => {
                *left = whole.clone();
                true
            }
            Self::File { file, length, left } => {
                *left = *length;
                file.seek(SeekFrom::Start(0)).await.is_ok()
            }
        }
    }

    /// Discards what the HTTP client still sends, within limits. A client that is still sending
    /// could lose an early response if its connection were reset.
    pub(crate) async fn linger(mut self) {
        if !self.is_from_client() {
            return;
        }
        let rest = async {
            while let Ok(Ok(Some(_))) = tokio::time::timeout(LINGER_SILENCE, self.next()).await {}
        };
        // In either case there is nothing more to do for this client.
        let _ = tokio::time::timeout(LINGER_TOTAL, rest).await;
    }
}

/// A body of unknown length, which is read to its end first: CGI requires its length in advance.
#[derive(Debug, Default)]
pub(crate) struct Spool {
    memory: BytesMut,
    file: Option<File>,
    length: u64,
}

/// Why a body could not be spooled.
#[derive(Debug)]
pub(crate) enum SpoolError {
    /// The sender disconnected, or sent an invalid body.
    Source(String),
    /// The sender paused for too long.
    Silence,
    /// The body exceeds the limit.
    TooLarge,
    /// An error of the temporary file.
    File(io::Error),
}

impl Spool {
    /// Reads the whole body of an HTTP client.
    pub(crate) async fn client(
        body: Incoming,
        silence: Duration,
    ) -> Result<(RequestBody, u64), SpoolError> {
        let mut source = RequestBody::incoming(body);
        let mut spool = Self::default();
        loop {
            let next = tokio::time::timeout(silence, source.next());
            match next.await.map_err(|_| SpoolError::Silence)? {
                Ok(Some(bytes)) => {
                    if let Err(error) = spool.push(&bytes).await {
                        tokio::spawn(source.linger());
                        return Err(error);
                    }
                }
                Ok(None) => return spool.finish().await,
                Err(reason) => return Err(SpoolError::Source(reason)),
            }
        }
    }

    /// Reads a pipe, terminal or other stream to its end.
    pub(crate) async fn reader(
        mut source: impl AsyncRead + Unpin,
    ) -> Result<(RequestBody, u64), SpoolError> {
        let mut spool = Self::default();
        let mut buffer = BytesMut::with_capacity(MAX_BODY_RECORD);
        loop {
            buffer.clear();
            let read = source
                .read_buf(&mut buffer)
                .await
                .map_err(|error| SpoolError::Source(error.to_string()))?;
            if read == 0 {
                return spool.finish().await;
            }
            spool.push(&buffer).await?;
        }
    }

    async fn push(&mut self, bytes: &[u8]) -> Result<(), SpoolError> {
        self.length += bytes.len() as u64;
        if self.length > SPOOL_DISK {
            return Err(SpoolError::TooLarge);
        }
        if let Some(file) = &mut self.file {
            return file.write_all(bytes).await.map_err(SpoolError::File);
        }
        self.memory.extend_from_slice(bytes);
        if self.memory.len() > SPOOL_MEMORY {
            let mut file = File::from_std(tempfile::tempfile().map_err(SpoolError::File)?);
            while self.memory.has_remaining() {
                file.write_buf(&mut self.memory)
                    .await
                    .map_err(SpoolError::File)?;
            }
            self.memory = BytesMut::new();
            self.file = Some(file);
        }
        Ok(())
    }

    async fn finish(self) -> Result<(RequestBody, u64), SpoolError> {
        let Some(mut file) = self.file else {
            let whole = self.memory.freeze();
            let left = whole.clone();
            return Ok((RequestBody::Memory { whole, left }, self.length));
        };
        file.flush().await.map_err(SpoolError::File)?;
        file.seek(SeekFrom::Start(0))
            .await
            .map_err(SpoolError::File)?;
        Ok((RequestBody::file(file, self.length), self.length))
    }
}

impl std::fmt::Display for SpoolError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Source(reason) => f.write_str(reason),
            Self::Silence => f.write_str("the rest of the body did not arrive"),
            Self::TooLarge => write!(
                f,
                "a body of unknown length is limited to {SPOOL_DISK} bytes"
            ),
            Self::File(error) => write!(f, "temporary file for the body: {error}"),
        }
    }
}

/// An error with its causes. The outermost error of hyper has few details.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
