//! The request of a worker, from its manager's scoreboard.

use serde::Serialize;

use crate::managers::find;
use crate::managers::report::{Report, WorkerReport};

/// A worker, and its request if it has one.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Worker {
    pub(super) manager: i32,
    pub(super) state: &'static str,
    pub(super) method: Option<String>,
    pub(super) uri: Option<String>,
    pub(super) request_id: Option<String>,
    pub(super) trace_id: Option<String>,
    pub(super) age: Option<f64>,
    /// Requests that it has finished.
    pub(super) requests: Option<u64>,
}

impl Worker {
    /// The worker with this pid, if it is one. Its manager is its parent, or the parent of that.
    pub(super) fn of(pid: i32) -> Option<Self> {
        let parents = std::iter::successors(find::parent(pid), |pid| find::parent(*pid));
        parents.take(3).find_map(|parent| {
            let found = find::again(parent).ok()?;
            let report = Report::without_files(&found);
            let mut workers = report.workers.into_iter();
            let worker = workers.find(|worker| worker.pid == pid)?;
            Some(Self::from(found.pid, worker))
        })
    }

    fn from(manager: i32, worker: WorkerReport) -> Self {
        Self {
            manager,
            state: worker.state,
            method: worker.method,
            uri: worker.uri,
            request_id: worker.request_id,
            trace_id: worker.trace_id,
            age: worker.request_age,
            requests: worker.requests,
        }
    }

    /// Whether this is the same request as an earlier look showed.
    pub(super) fn continues(&self, earlier: &Self) -> bool {
        let is_same = self.requests == earlier.requests
            && self.method == earlier.method
            && self.uri == earlier.uri
            && self.age.is_some() == earlier.age.is_some();
        // A younger request is another one.
        is_same && self.age.unwrap_or_default() >= earlier.age.unwrap_or_default()
    }
}
