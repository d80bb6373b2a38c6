//! `fcgipm load`: its requests, its counts, and when it stops.

mod losses;
mod requests;
mod runs;
mod usage;

use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;

use crate::application::{Application, Conversation};

/// A correct response.
pub(crate) const GOOD: &[u8] = b"Content-Type: text/plain\r\n\r\nHello";

/// The result of a run.
pub(crate) struct Loaded {
    pub(crate) status: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Loaded {
    fn new(output: Output) -> Self {
        Self {
            status: output.status.code().unwrap(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|e| panic!("{e}: {}{}", self.out, self.err))
    }

    /// The counts, without kinds of losses that are 0.
    pub(crate) fn counts(&self) -> (u64, Vec<(String, u64)>) {
        let json = self.json();
        let kinds = json["lost_by_kind"].as_object().unwrap();
        let lost: Vec<_> = kinds
            .iter()
            .map(|(kind, count)| (kind.clone(), count.as_u64().unwrap()))
            .filter(|(_, count)| *count > 0)
            .collect();
        let (ok, all) = (json["ok"].as_u64().unwrap(), json["lost"].as_u64().unwrap());
        assert_eq!(lost.iter().map(|(_, count)| count).sum::<u64>(), all);
        assert_eq!(json["requests"], ok + all);
        assert_eq!(self.status, i32::from(all > 0), "{}", self.err);
        (ok, lost)
    }
}

/// Starts a run that reports as JSON.
pub(crate) fn start(address: &str, options: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_fcgipm"))
        .args(["load", "--json"])
        .args(options)
        .arg(address)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

pub(crate) fn finish(child: Child) -> Loaded {
    Loaded::new(child.wait_with_output().unwrap())
}

pub(crate) fn load(address: &str, options: &[&str]) -> Loaded {
    finish(start(address, options))
}

/// Expected counts by kind.
pub(crate) fn lost(kinds: &[(&str, u64)]) -> Vec<(String, u64)> {
    let mut lost: Vec<_> = kinds
        .iter()
        .map(|(kind, count)| ((*kind).to_owned(), *count))
        .collect();
    lost.sort();
    lost
}

/// An application that reads each request completely, and numbers them in order, from 0 on.
pub(crate) fn numbered(
    act: impl Fn(usize, &mut Conversation) + Send + Sync + 'static,
) -> (Application, Arc<AtomicUsize>) {
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    let application = Application::start(move |mut conversation| {
        while let Some(request) = conversation.request() {
            conversation.stdin();
            act(counted.fetch_add(1, Ordering::SeqCst), &mut conversation);
            if !request.keep {
                break;
            }
        }
    });
    (application, count)
}

pub(crate) fn good(conversation: &mut Conversation) {
    conversation.stdout(GOOD);
    conversation.end(0);
}
