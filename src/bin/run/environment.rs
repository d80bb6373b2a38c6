//! The environment of the program: that of this command, with the changes of the operator.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::Path;

use fcgipm::options::{OF_REQUESTS, Options, variable};

const LD_PRELOAD: &str = "LD_PRELOAD";

/// Changes to the environment of this command.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Changes {
    /// Start with an empty environment.
    pub(super) clear: bool,
    pub(super) unset: Vec<String>,
    pub(super) set: Vec<(String, String)>,
    /// Preload the libfcgi of this project, if it exists.
    pub(super) preload: bool,
}

/// Parses `NAME=VALUE`.
pub(super) fn assignment(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        Some(_) | None => Err(format!("--env '{text}': not NAME=VALUE")),
    }
}

impl Changes {
    /// The environment of the program. Options of its request loop are passed as variables.
    pub(super) fn apply(
        &self,
        own: impl Iterator<Item = (OsString, OsString)>,
        options: &Options,
        preload: Option<&Path>,
    ) -> BTreeMap<OsString, OsString> {
        let mut environment: BTreeMap<_, _> = own.filter(|_| !self.clear).collect();
        for name in &self.unset {
            environment.remove(OsStr::new(name));
        }
        for (name, value) in &self.set {
            environment.insert(name.into(), value.into());
        }
        for opt in OF_REQUESTS {
            if let Some(value) = options.given(opt) {
                environment.insert(variable(opt).into(), value.into());
            }
        }
        if let Some(path) = preload {
            let mut list = path.as_os_str().to_owned();
            let before = environment.remove(OsStr::new(LD_PRELOAD));
            // The first entry has precedence.
            if let Some(before) = before.filter(|before| !before.is_empty()) {
                list.push(":");
                list.push(before);
            }
            environment.insert(LD_PRELOAD.into(), list);
        }
        environment
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied(changes: &Changes, preload: Option<&str>) -> Vec<String> {
        let own = [("LD_PRELOAD", "/own.so"), ("A", "1"), ("B", "2")];
        let mut options = Options::new();
        options.set("params_timeout", "7").unwrap();
        options.set("max_requests", "9").unwrap();
        let own = own.map(|(name, value)| (name.into(), value.into()));
        let environment = changes.apply(own.into_iter(), &options, preload.map(Path::new));
        let pair = |(name, value): (&OsString, &OsString)| {
            format!("{}={}", name.to_string_lossy(), value.to_string_lossy())
        };
        environment.iter().map(pair).collect()
    }

    #[test]
    fn only_the_requested_changes_are_made() {
        let timeout = "FCGIPM_PARAMS_TIMEOUT=7";
        let none = Changes::default();
        assert_eq!(
            applied(&none, None),
            ["A=1", "B=2", timeout, "LD_PRELOAD=/own.so"]
        );
        assert_eq!(
            applied(&none, Some("/dropin.so")),
            ["A=1", "B=2", timeout, "LD_PRELOAD=/dropin.so:/own.so"]
        );
        let some = Changes {
            unset: vec!["A".to_owned()],
            set: vec![("B".to_owned(), "3".to_owned())],
            ..Changes::default()
        };
        assert_eq!(applied(&some, None), ["B=3", timeout, "LD_PRELOAD=/own.so"]);
        let all = Changes {
            clear: true,
            ..some
        };
        assert_eq!(
            applied(&all, Some("/dropin.so")),
            ["B=3", timeout, "LD_PRELOAD=/dropin.so"]
        );
    }

    #[test]
    fn an_assignment_has_a_name() {
        assert_eq!(assignment("A=b=c"), Ok(("A".to_owned(), "b=c".to_owned())));
        assert_eq!(assignment("A="), Ok(("A".to_owned(), String::new())));
        assert!(assignment("=b").is_err());
        assert!(assignment("A").is_err());
    }
}
