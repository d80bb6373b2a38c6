//! Requests that the library answers itself, as php-fpm does: `ping_path`, and `status_path`.
//!
//! The status is that of the whole pool, of which a worker sees only its own page. So it asks the
//! process that the manager has started for it, and passes the answer on.

use std::time::Duration;

use crate::conn::Params;
use crate::options::{Opt, Options};
use crate::sys::socket::status_socket;
use crate::worker;

/// The maximum time for the status.
const LIMIT: Duration = Duration::from_secs(2);
/// The longest query that is passed on. Those that mean something have a few words.
const QUERY_MAX: usize = 256;

/// As of php-fpm: no answer is to be stored.
const HEAD: &str = "Content-type: text/plain;charset=UTF-8\r\n\
    Expires: Thu, 01 Jan 1970 00:00:00 GMT\r\n\
    Cache-Control: no-cache, no-store, must-revalidate, max-age=0\r\n\r\n";

/// The paths. At least one is set.
#[derive(Debug)]
pub(super) struct BuiltIn {
    status: Option<String>,
    ping: Option<String>,
    pong: String,
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Question {
    Status,
    Ping,
}

impl BuiltIn {
    /// `None`: all requests are for the application.
    pub(super) fn new(options: &Options) -> Option<Box<Self>> {
        let this = Self {
            status: options.text(Opt::StatusPath),
            ping: options.text(Opt::PingPath),
            pong: options.text(Opt::PingResponse).unwrap_or_default(),
        };
        let is_used = this.status.is_some() || this.ping.is_some();
        is_used.then(|| Box::new(this))
    }

    /// Whether a request is for the library.
    pub(super) fn question(&self, params: &mut Params) -> Option<Question> {
        let mut path = params.get(b"SCRIPT_NAME").unwrap_or_default().to_vec();
        path.extend_from_slice(params.get(b"PATH_INFO").unwrap_or_default());
        self.question_at(&path)
    }

    fn question_at(&self, path: &[u8]) -> Option<Question> {
        let is = |known: &Option<String>| known.as_ref().is_some_and(|it| it.as_bytes() == path);
        if is(&self.ping) {
            Some(Question::Ping)
        } else if is(&self.status) {
            Some(Question::Status)
        } else {
            None
        }
    }

    /// The answer, in the form of CGI.
    pub(super) fn answer(&self, question: Question, params: &mut Params) -> Vec<u8> {
        let mut answer = match question {
            Question::Ping => format!("{HEAD}{}", self.pong).into_bytes(),
            Question::Status => status_or_reason(params.get(b"QUERY_STRING").unwrap_or_default()),
        };
        if params.method() == b"HEAD" {
            remove_body(&mut answer);
        }
        answer
    }
}

fn remove_body(answer: &mut Vec<u8>) {
    const END: &[u8] = b"\r\n\r\n";
    let end = answer.windows(END.len()).position(|bytes| bytes == END);
    answer.truncate(end.map_or(answer.len(), |end| end + END.len()));
}

fn status_or_reason(query: &[u8]) -> Vec<u8> {
    status(query).unwrap_or_else(|why| {
        format!("Status: 503 Service Unavailable\r\n{HEAD}{why}\n").into_bytes()
    })
}

fn status(query: &[u8]) -> Result<Vec<u8>, String> {
    let Some(manager) = worker::current() else {
        return Err("this process has no manager, so there is no pool".to_owned());
    };
    let Some(key) = manager.page.status_key() else {
        return Err("the manager was started without option status_path".to_owned());
    };
    let is_plain = query.len() <= QUERY_MAX && query.iter().all(u8::is_ascii_graphic);
    let query = if is_plain { query } else { b"" };
    status_socket::ask(key, query, LIMIT)
        .map_err(|errno| format!("fcgipm admin does not answer: {}", errno.desc()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn built_in(settings: &[(&str, &str)]) -> Option<Box<BuiltIn>> {
        let mut options = Options::new();
        for (name, value) in settings {
            options.set(name, value).unwrap();
        }
        BuiltIn::new(&options)
    }

    #[test]
    fn only_the_exact_path_is_answered() {
        assert!(built_in(&[]).is_none());
        assert!(built_in(&[("ping_response", "x")]).is_none());
        let both = built_in(&[("status_path", "/status"), ("ping_path", "/ping")]).unwrap();
        for (path, wanted) in [
            ("/ping", Some(Question::Ping)),
            ("/status", Some(Question::Status)),
            ("/status/", None),
            ("/statu", None),
            ("", None),
        ] {
            assert_eq!(both.question_at(path.as_bytes()), wanted, "{path}");
        }
        let ping = built_in(&[("ping_path", "/ping")]).unwrap();
        assert_eq!(ping.question_at(b"/status"), None);
        assert_eq!(ping.question_at(b""), None);
    }

    #[test]
    fn a_process_without_a_manager_has_no_status() {
        let mut answer = status_or_reason(b"full");
        let text = String::from_utf8(answer.clone()).unwrap();
        assert!(text.starts_with("Status: 503 "), "{text}");
        assert!(text.ends_with("\r\n\r\nthis process has no manager, so there is no pool\n"));
        remove_body(&mut answer);
        assert!(text.starts_with(std::str::from_utf8(&answer).unwrap()));
        assert!(answer.ends_with(b"\r\n\r\n"));
    }
}
