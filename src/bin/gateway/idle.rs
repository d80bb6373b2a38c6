//! Idle connections to the application, which later requests reuse.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::time::Instant;

use crate::fastcgi::client::Connection;

/// The maximum number of idle connections. Each occupies a worker of an application that serves one
/// connection at a time.
const MAX_IDLE: usize = 16;

/// How long a connection stays idle before it is closed, which frees its worker.
const IDLE_LIMIT: Duration = Duration::from_secs(15);

/// How often idle connections are checked.
const SWEEP: Duration = Duration::from_secs(1);

/// The idle connections, the most recently used last.
#[derive(Debug, Default)]
pub(crate) struct Pool(Mutex<Vec<(Instant, Connection)>>);

impl Pool {
    /// An empty pool, with a task that closes connections that are idle too long.
    pub(crate) fn start() -> Arc<Self> {
        let pool = Arc::new(Self::default());
        tokio::spawn(sweep(Arc::downgrade(&pool)));
        pool
    }

    /// Takes a connection that the application has not closed, as far as is known.
    pub(crate) fn take(&self) -> Option<Connection> {
        let mut waiting = self.waiting();
        while let Some((_, mut connection)) = waiting.pop() {
            if connection.is_quiet() {
                return Some(connection);
            }
        }
        None
    }

    /// Returns a connection. If the pool is full, the one that was idle for longest is closed.
    pub(crate) fn put(&self, connection: Connection) {
        let mut waiting = self.waiting();
        if waiting.len() >= MAX_IDLE {
            waiting.remove(0);
        }
        waiting.push((Instant::now(), connection));
    }

    /// Closes all connections, which frees their workers.
    pub(crate) fn clear(&self) {
        self.waiting().clear();
    }

    fn waiting(&self) -> MutexGuard<'_, Vec<(Instant, Connection)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn sweep(pool: Weak<Pool>) {
    loop {
        tokio::time::sleep(SWEEP).await;
        let Some(pool) = pool.upgrade() else { return };
        pool.waiting().retain_mut(|(since, connection)| {
            since.elapsed() < IDLE_LIMIT && connection.is_quiet()
        });
    }
}
