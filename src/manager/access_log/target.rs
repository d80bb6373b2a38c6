//! The values of `access_log`.

use std::path::PathBuf;

use crate::error::{Code, Error, Result};
use crate::sys::process::log_writer::Target;

/// syslog(3): severity info.
const SEVERITY: u8 = 6;
const FACILITIES: [(&str, u8); 12] = [
    ("daemon", 3),
    ("user", 1),
    ("auth", 4),
    ("syslog", 5),
    ("local0", 16),
    ("local1", 17),
    ("local2", 18),
    ("local3", 19),
    ("local4", 20),
    ("local5", 21),
    ("local6", 22),
    ("local7", 23),
];

/// `stderr`, `syslog`, `syslog:FACILITY`, `syslog:FACILITY:SOCKET`, or the path of a file.
pub(super) fn parse(text: &str) -> Result<Target> {
    let refused = |why: &str| {
        let why = format!("option access_log: '{text}': {why}");
        Error::new(Code::Value, why)
    };
    if text == "stderr" {
        return Ok(Target::Stderr);
    }
    if text.starts_with('/') {
        return Ok(Target::File(PathBuf::from(text)));
    }
    let mut parts = text.splitn(3, ':');
    if parts.next() != Some("syslog") {
        return Err(refused(
            "not stderr, syslog:FACILITY, or the absolute path of a file",
        ));
    }
    let facility = parts.next().unwrap_or("daemon");
    let known = FACILITIES.iter().find(|(name, _)| *name == facility);
    let Some((_, number)) = known else {
        return Err(refused("unknown facility"));
    };
    let socket = parts.next().unwrap_or("/dev/log");
    if !socket.starts_with('/') {
        return Err(refused("the socket is not an absolute path"));
    }
    Ok(Target::Syslog {
        priority: number * 8 + SEVERITY,
        socket: socket.into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form_of_target_is_known_and_what_is_wrong_is_named() {
        assert_eq!(parse("stderr").unwrap(), Target::Stderr);
        assert_eq!(parse("/a/b").unwrap(), Target::File("/a/b".into()));
        for (text, priority, socket) in [
            ("syslog", 30, "/dev/log"),
            ("syslog:local7", 190, "/dev/log"),
            ("syslog:local0:/run/x:y", 134, "/run/x:y"),
        ] {
            let wanted = Target::Syslog {
                priority,
                socket: socket.into(),
            };
            assert_eq!(parse(text).unwrap(), wanted);
        }
        for (text, why) in [
            (
                "file.log",
                "not stderr, syslog:FACILITY, or the absolute path",
            ),
            ("syslog:mail", "unknown facility"),
            ("syslog:user:log", "not an absolute path"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.message().contains(why), "{error}");
            assert!(error.message().contains(text), "{error}");
        }
    }
}
