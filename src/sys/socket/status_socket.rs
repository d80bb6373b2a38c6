//! Where a worker asks for the status of its pool (`status_path`): a unix socket of `fcgipm admin`.
//!
//! Its name is abstract (unix(7)), so it needs no directory that both can use, and it ends with the
//! process. The manager chooses a random key for both. Nobody can guess the name in it, so the process
//! that listens there has it from the manager. In use, the name is visible to other users, so each question
//! begins with the other half of the key.

use std::ffi::CString;
use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::os::fd::AsRawFd as _;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, socket};

use crate::options::STATUS_VARIABLE;
use crate::sys::random;

/// The maximum size of an answer. A worker takes less than 1,000 bytes of it, unless its URI is long.
const ANSWER_MAX: u64 = 16 << 20;

/// A key, for the page of a worker.
pub(crate) fn new_key() -> nix::Result<[u64; 2]> {
    let [name, secret] = [random::bytes()?, random::bytes()?];
    Ok([u64::from_ne_bytes(name), u64::from_ne_bytes(secret)])
}

/// The key, for the environment of the command.
pub(crate) fn variable(key: [u64; 2]) -> CString {
    let text = format!("{STATUS_VARIABLE}={}:{}", name_of(key), secret_of(key));
    // It has no NUL byte.
    CString::new(text).unwrap_or_default()
}

fn name_of([name, _]: [u64; 2]) -> String {
    format!("fcgipm-status-{name:016x}")
}

fn secret_of([_, secret]: [u64; 2]) -> String {
    format!("{secret:016x}")
}

/// Asks, and waits for the whole answer.
///
/// # Errors
/// ECONNREFUSED: nobody listens. EAGAIN: there is no complete answer within this time. EPIPE: the
/// answer is empty. EMSGSIZE: it is too large.
pub(crate) fn ask(key: [u64; 2], question: &[u8], limit: Duration) -> nix::Result<Vec<u8>> {
    let until = Instant::now() + limit;
    let mut stream = connect_within(key, limit / 4)?;
    let text = [secret_of(key).as_bytes(), b" ", question, b"\n"].concat();
    let mut answer = Vec::new();
    let outcome = (|| {
        stream.set_nonblocking(false)?;
        stream.set_write_timeout(Some(limit))?;
        stream.write_all(&text)?;
        stream.shutdown(Shutdown::Write)?;
        let mut piece = [0; 16 * 1024];
        loop {
            let left = until.saturating_duration_since(Instant::now());
            // A timeout of zero would be none.
            stream.set_read_timeout(Some(left.max(Duration::from_millis(1))))?;
            match stream.read(&mut piece) {
                Ok(0) => return Ok(()),
                Ok(count) => answer.extend_from_slice(&piece[..count]),
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
            if answer.len() as u64 > ANSWER_MAX {
                return Err(Errno::EMSGSIZE.into());
            }
            if left.is_zero() {
                return Err(Errno::EAGAIN.into());
            }
        }
    })();
    outcome.map_err(|error: std::io::Error| Errno::from_raw(error.raw_os_error().unwrap_or(0)))?;
    match answer.is_empty() {
        true => Err(Errno::EPIPE),
        false => Ok(answer),
    }
}

/// Connects. Who listens there may still be starting.
fn connect_within(key: [u64; 2], limit: Duration) -> nix::Result<UnixStream> {
    const PAUSE: Duration = Duration::from_millis(20);
    let until = Instant::now() + limit;
    let address = UnixAddr::new_abstract(name_of(key).as_bytes())?;
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    loop {
        let fd = socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
        match connect(fd.as_raw_fd(), &address) {
            Ok(()) => return Ok(UnixStream::from(fd)),
            // EAGAIN: too many others wait there.
            Err(Errno::ECONNREFUSED | Errno::EAGAIN) if Instant::now() < until => {
                std::thread::sleep(PAUSE);
            }
            Err(errno) => return Err(errno),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader};
    use std::os::linux::net::SocketAddrExt as _;
    use std::os::unix::net::{SocketAddr, UnixListener};
    use std::thread;

    use super::*;

    fn listen(key: [u64; 2]) -> UnixListener {
        let address = SocketAddr::from_abstract_name(name_of(key)).unwrap();
        UnixListener::bind_addr(&address).unwrap()
    }

    #[test]
    fn a_question_has_the_secret_and_gets_the_whole_answer() {
        let key = new_key().unwrap();
        let listener = listen(key);
        let answering = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut line = String::new();
            BufReader::new(&stream).read_line(&mut line).unwrap();
            stream.write_all(&[b'x'; 100_000]).unwrap();
            line
        });
        let answer = ask(key, b"full&json", Duration::from_secs(60)).unwrap();
        assert_eq!(answer.len(), 100_000);
        let line = answering.join().unwrap();
        assert_eq!(line, format!("{} full&json\n", secret_of(key)));
    }

    #[test]
    fn nobody_who_answers_is_an_error_in_time() {
        let key = new_key().unwrap();
        let moment = Duration::from_millis(20);
        assert_eq!(ask(key, b"", moment), Err(Errno::ECONNREFUSED));
        let listener = listen(key);
        // It accepts nothing.
        assert_eq!(ask(key, b"", moment), Err(Errno::EAGAIN));
        drop(listener);
        let listener = listen(key);
        let closing = thread::spawn(move || drop(listener.accept()));
        let outcome = ask(key, b"", Duration::from_secs(60));
        closing.join().unwrap();
        assert!(
            matches!(outcome, Err(Errno::EPIPE | Errno::ECONNRESET)),
            "{outcome:?}"
        );
    }
}
