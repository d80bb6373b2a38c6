//! A service manager, as far as a service sees it: the socket for its messages, and the sockets that it
//! keeps.

use std::io::IoSliceMut;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use nix::cmsg_space;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};

use super::peer::connection::LIMIT;
use super::peer::program::{folder, readable_within};

pub(crate) struct ServiceManager {
    socket: UnixDatagram,
    folder: PathBuf,
    /// All messages so far.
    pub(crate) seen: Vec<String>,
    /// The sockets that it keeps, and their names.
    pub(crate) stored: Vec<(String, OwnedFd)>,
}

impl ServiceManager {
    pub(crate) fn new() -> Self {
        let folder = folder();
        Self {
            socket: UnixDatagram::bind(folder.join("notify")).unwrap(),
            folder,
            seen: Vec::new(),
            stored: Vec::new(),
        }
    }

    /// The value of NOTIFY_SOCKET.
    pub(crate) fn address(&self) -> String {
        self.folder.join("notify").to_str().unwrap().to_owned()
    }

    /// Reads the next message, if one arrives in time.
    pub(crate) fn next_within(&mut self, limit: Duration) -> Option<String> {
        if !readable_within(&self.socket, limit) {
            return None;
        }
        let mut buffer = [0; 4096];
        let mut space = cmsg_space!([i32; 4]);
        let mut parts = [IoSliceMut::new(&mut buffer)];
        let fd = self.socket.as_raw_fd();
        let flags = MsgFlags::MSG_CMSG_CLOEXEC;
        let message = recvmsg::<()>(fd, &mut parts, Some(&mut space), flags).unwrap();
        let mut fds = Vec::new();
        for control in message.cmsgs().unwrap() {
            if let ControlMessageOwned::ScmRights(numbers) = control {
                // SAFETY: they have just been received, and nothing else owns them.
                fds.extend(
                    numbers
                        .iter()
                        .map(|fd| unsafe { OwnedFd::from_raw_fd(*fd) }),
                );
            }
        }
        let length = message.bytes;
        let text = String::from_utf8(buffer[..length].to_vec()).unwrap();
        if let Some(name) = text.strip_prefix("FDSTORE=1\nFDNAME=") {
            assert_eq!(fds.len(), 1, "{text}");
            self.stored
                .extend(fds.into_iter().map(|fd| (name.to_owned(), fd)));
        }
        if let Some(name) = text.strip_prefix("FDSTOREREMOVE=1\nFDNAME=") {
            self.stored.retain(|(stored, _)| stored != name);
        }
        self.seen.push(text.clone());
        Some(text)
    }

    /// Waits for the next message that begins like this.
    pub(crate) fn message(&mut self, begin: &str) -> String {
        let until = Instant::now() + LIMIT;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            match self.next_within(left) {
                Some(text) if text.starts_with(begin) => return text,
                Some(_) => {}
                None => panic!("no message '{begin}': {:#?}", self.seen),
            }
        }
    }

    /// All that has arrived.
    pub(crate) fn arrived(&mut self) -> &[String] {
        while self.next_within(Duration::ZERO).is_some() {}
        &self.seen
    }

    pub(crate) fn count(&mut self, begin: &str) -> usize {
        let messages = self.arrived().iter();
        messages.filter(|text| text.starts_with(begin)).count()
    }

    /// Forgets the messages so far.
    pub(crate) fn forget(&mut self) {
        self.arrived();
        self.seen.clear();
    }
}

impl Drop for ServiceManager {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
