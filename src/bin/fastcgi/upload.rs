//! Sends a request: its head, then its body.

use std::io::IoSlice;

use fcgipm::wire::{HEADER_LEN, Header, RecordType, Role};

use crate::fastcgi::body::RequestBody;
use crate::fastcgi::event::Cause;
use crate::fastcgi::progress::Progress;
use crate::fastcgi::records::{self, MAX_BODY_RECORD, REQUEST_ID};
use crate::fastcgi::stream::Stream;

/// The sending side of a request.
pub(super) struct Upload<'a> {
    pub(super) stream: &'a Stream,
    pub(super) progress: &'a Progress,
}

impl Upload<'_> {
    /// Sends the whole request.
    pub(super) async fn request(
        &self,
        mut head: Vec<u8>,
        role: Role,
        body: &mut RequestBody,
        data: &mut RequestBody,
    ) -> Result<(), Cause> {
        // An authorizer has no input. An input that is known to be empty is sent with the head.
        let has_body = role != Role::Authorizer;
        let body_follows = has_body && !body.is_finished();
        if has_body && !body_follows {
            records::append(RecordType::Stdin, &[], &mut head);
        }
        self.write(&mut [IoSlice::new(&head)]).await?;
        drop(head);
        if body_follows {
            self.stream_of(RecordType::Stdin, body).await?;
        }
        if role == Role::Filter {
            self.stream_of(RecordType::Data, data).await?;
        }
        Ok(())
    }

    async fn stream_of(&self, kind: RecordType, body: &mut RequestBody) -> Result<(), Cause> {
        loop {
            self.progress.await_client(body.is_from_client());
            let next = body.next().await;
            self.progress.await_client(false);
            self.progress.moved();
            match next.map_err(Cause::Body)? {
                Some(bytes) => {
                    for piece in bytes.chunks(MAX_BODY_RECORD) {
                        self.record(kind, piece).await?;
                    }
                }
                None => return self.record(kind, &[]).await,
            }
        }
    }

    async fn record(&self, kind: RecordType, content: &[u8]) -> Result<(), Cause> {
        const PADDING: [u8; 7] = [0; 7];
        let header = Header::new(kind, REQUEST_ID, content.len() as u16);
        let bytes: [u8; HEADER_LEN] = header.encode();
        let padding = &PADDING[..usize::from(header.padding_length)];
        self.write(&mut [
            IoSlice::new(&bytes),
            IoSlice::new(content),
            IoSlice::new(padding),
        ])
        .await
    }

    /// Writes whole records.
    async fn write(&self, mut slices: &mut [IoSlice<'_>]) -> Result<(), Cause> {
        let mut left: usize = slices.iter().map(|slice| slice.len()).sum();
        while left > 0 {
            let written = self.stream.write(slices).await.map_err(Cause::Broken)?;
            left -= written;
            self.progress.set_at_boundary(left == 0);
            self.progress.moved();
            IoSlice::advance_slices(&mut slices, written);
        }
        Ok(())
    }
}
