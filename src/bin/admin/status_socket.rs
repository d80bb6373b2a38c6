//! Questions of workers, for `status_path`. The manager has chosen the name of the socket, which only
//! its workers know, and a secret, because the name is visible while the socket exists.

use std::env;
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener as StdListener};
use std::sync::Arc;
use std::time::Duration;

use fcgipm::options::STATUS_VARIABLE;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::answer::Site;
use super::fpm_status;
use super::reading::Wanted;

/// Questions at a time. A worker that asks more waits, and gives up after two seconds.
const QUESTIONS_MAX: usize = 64;
/// The maximum time for a question and its answer.
const LIMIT: Duration = Duration::from_secs(5);
/// The maximum time for the question, which is short. A stranger must not keep a place.
const QUESTION_LIMIT: Duration = Duration::from_millis(200);
/// The maximum length of a question.
const LENGTH_MAX: u64 = 1024;

/// The listening socket.
#[derive(Debug)]
pub(super) struct StatusSocket {
    listener: UnixListener,
    secret: Arc<str>,
    permits: Arc<Semaphore>,
    tasks: JoinSet<()>,
}

impl StatusSocket {
    /// The one that the environment names. `None`: it names none.
    pub(super) fn from_environment() -> Result<Option<Self>, String> {
        let Ok(key) = env::var(STATUS_VARIABLE) else {
            return Ok(None);
        };
        let Some((name, secret)) = key.split_once(':') else {
            return Err(format!(
                "environment variable {STATUS_VARIABLE}: not NAME:SECRET"
            ));
        };
        let opened = || {
            let listener = StdListener::bind_addr(&SocketAddr::from_abstract_name(name)?)?;
            listener.set_nonblocking(true)?;
            UnixListener::from_std(listener)
        };
        let listener = opened().map_err(|error| format!("the socket for status_path: {error}"))?;
        Ok(Some(Self {
            listener,
            secret: secret.into(),
            permits: Arc::new(Semaphore::new(QUESTIONS_MAX)),
            tasks: JoinSet::new(),
        }))
    }

    /// Waits for one question, and answers it beside other work.
    pub(super) async fn serve_next(&mut self, site: &Arc<Site>) -> io::Result<()> {
        // Never closed.
        let Ok(permit) = Arc::clone(&self.permits).acquire_owned().await else {
            return Ok(());
        };
        let (stream, _) = self.listener.accept().await?;
        while self.tasks.try_join_next().is_some() {}
        let (site, secret) = (Arc::clone(site), Arc::clone(&self.secret));
        self.tasks.spawn(async move {
            // An error: the worker has given up, or is a stranger.
            let _ = timeout(LIMIT, answer(stream, &site, &secret)).await;
            drop(permit);
        });
        Ok(())
    }
}

async fn answer(stream: UnixStream, site: &Site, secret: &str) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    let reading = async { (&mut stream).take(LENGTH_MAX).read_line(&mut line).await };
    timeout(QUESTION_LIMIT, reading).await??;
    let question = line.trim_end_matches('\n').split_once(' ');
    let Some((_, query)) = question.filter(|(given, _)| *given == secret) else {
        return Ok(());
    };
    let text = match site.reader.read(Wanted::default()).await {
        Ok(reading) => fpm_status::answer(&reading, query),
        Err(reason) => fpm_status::unavailable(&reason),
    };
    let mut stream = stream.into_inner();
    stream.write_all(text.as_bytes()).await?;
    stream.shutdown().await
}
