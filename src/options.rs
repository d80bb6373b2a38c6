//! The options: a table with the name, type, range, default and documentation of each.
//!
//! `fcgipm_options_set`, the environment, the command line of `fcgipm run`, the parameters of the
//! Perl constructors and the reference page all come from this table. The environment overrides the
//! program: the operator has the last word.

mod duration;
mod environment;
mod reference;
mod table;
mod value;

use std::time::Duration;

pub use duration::{DURATION, DURATION_MAX, duration};
pub use environment::{STATUS_VARIABLE, TEMPLATE_VARIABLE, WORKER_VARIABLE, variable};
pub use reference::reference;
use table::row_of;
pub use table::{MAX_PROCESSES, Opt, Spec, TABLE};
pub use value::Kind;
use value::Value;

use crate::error::{Code, Error, Result};

/// Options that apply where requests are served. The others apply to the manager, and mean
/// nothing to a program that a manager starts.
pub const OF_REQUESTS: [Opt; 11] = [
    Opt::ParamsTimeout,
    Opt::BodyTimeout,
    Opt::WriteTimeout,
    Opt::IdleTimeout,
    Opt::SkipDisconnected,
    Opt::MaxParams,
    Opt::MaxParamSize,
    Opt::MaxParamsSize,
    Opt::StatusPath,
    Opt::PingPath,
    Opt::PingResponse,
];

#[derive(Clone, Debug, PartialEq, Eq)]
struct Setting {
    text: String,
    value: Value,
}

/// A set of options. Those that were not set have their defaults.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    set: Vec<Option<Setting>>,
    overridden: Vec<String>,
}

impl Options {
    /// An empty set: every option has its default.
    #[must_use]
    pub fn new() -> Self {
        Self {
            set: vec![None; TABLE.len()],
            overridden: Vec::new(),
        }
    }

    /// Sets an option from text.
    ///
    /// # Errors
    /// [`Code::Option`] for an unknown name, [`Code::Value`] for an invalid value.
    pub fn set(&mut self, name: &str, value: &str) -> Result<()> {
        let row = row_of(name)
            .ok_or_else(|| Error::new(Code::Option, format!("unknown option '{name}'")))?;
        let parsed = TABLE[row].parse(value)?;
        self.set[row] = Some(Setting {
            text: value.to_owned(),
            value: parsed,
        });
        Ok(())
    }

    /// The value of an option as text: the one that was set, or the default.
    ///
    /// # Errors
    /// [`Code::Option`] for an unknown name.
    pub fn get(&self, name: &str) -> Result<&str> {
        let row = row_of(name)
            .ok_or_else(|| Error::new(Code::Option, format!("unknown option '{name}'")))?;
        Ok(self.set[row]
            .as_ref()
            .map_or(TABLE[row].default, |setting| setting.text.as_str()))
    }

    /// The text that was set, if any.
    #[must_use]
    pub fn given(&self, opt: Opt) -> Option<&str> {
        let setting = self.set.get(opt as usize)?.as_ref()?;
        Some(&setting.text)
    }

    /// All options that were set, a line `name=value` for each.
    pub(crate) fn to_text(&self) -> String {
        let set = TABLE.iter().zip(&self.set);
        let lines = set.filter_map(|(spec, setting)| {
            let text = &setting.as_ref()?.text;
            // A line break is in no valid value but a path.
            (!text.contains('\n')).then(|| format!("{}={text}\n", spec.name))
        });
        lines.collect()
    }

    /// The same from such lines.
    ///
    /// # Errors
    /// As [`set`](Self::set).
    pub(crate) fn from_text(text: &str) -> Result<Self> {
        let mut options = Self::new();
        for line in text.lines() {
            let (name, value) = line.split_once('=').unwrap_or((line, ""));
            options.set(name, value)?;
        }
        Ok(options)
    }

    fn value(&self, opt: Opt) -> Value {
        match self.set.get(opt as usize) {
            Some(Some(setting)) => setting.value.clone(),
            // A test parses every default, so this one is valid.
            _ => opt
                .spec()
                .parse(opt.spec().default)
                .unwrap_or(Value::Number(0)),
        }
    }

    /// A count, a size, a flag, or the position of a word.
    #[must_use]
    pub fn number(&self, opt: Opt) -> usize {
        let Value::Number(number) = self.value(opt) else {
            return 0;
        };
        usize::try_from(number).unwrap_or(usize::MAX)
    }

    /// A flag.
    #[must_use]
    pub fn flag(&self, opt: Opt) -> bool {
        self.number(opt) != 0
    }

    /// A word.
    #[must_use]
    pub fn word(&self, opt: Opt) -> &'static str {
        match opt.spec().kind {
            Kind::Word(words) => words.get(self.number(opt)).copied().unwrap_or_default(),
            _ => "",
        }
    }

    /// A time; `None` means no limit.
    #[must_use]
    pub fn seconds(&self, opt: Opt) -> Option<Duration> {
        let Value::Seconds(duration) = self.value(opt) else {
            return None;
        };
        (!duration.is_zero()).then_some(duration)
    }

    /// Permissions, if any were set.
    #[must_use]
    pub fn mode(&self, opt: Opt) -> Option<u32> {
        let Value::Mode(mode) = self.value(opt) else {
            return None;
        };
        mode
    }

    /// Text, if it is not empty.
    #[must_use]
    pub fn text(&self, opt: Opt) -> Option<String> {
        let Value::Text(text) = self.value(opt) else {
            return None;
        };
        Some(text).filter(|text| !text.is_empty())
    }

    /// A number that may be negative, if any was set.
    #[must_use]
    pub fn signed(&self, opt: Opt) -> Option<i64> {
        let Value::Signed(number) = self.value(opt) else {
            return None;
        };
        number
    }

    /// A resource limit, if any was set; `u64::MAX` means unlimited.
    #[must_use]
    pub fn limit(&self, opt: Opt) -> Option<u64> {
        let Value::Limit(limit) = self.value(opt) else {
            return None;
        };
        limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_is_valid() {
        for spec in TABLE {
            spec.parse(spec.default).unwrap();
        }
    }

    #[test]
    fn errors_name_the_option_and_the_value() {
        let mut options = Options::new();
        for (name, value, wanted) in [
            ("n_proceses", "5", "unknown option 'n_proceses'"),
            (
                "n_processes",
                "five",
                "option n_processes: 'five' is not a whole number in the range 0..2000",
            ),
            (
                "n_processes",
                "2001",
                "option n_processes: '2001' is not in the range 0..2000",
            ),
            (
                "n_processes",
                "-1",
                "option n_processes: '-1' is not a whole number in the range 0..2000",
            ),
            (
                "die_timeout",
                "inf",
                "option die_timeout: 'inf' is not a number of seconds or a time such as 250ms, 5m or 1h30m",
            ),
            (
                "die_timeout",
                "",
                "option die_timeout: '' is not a number of seconds or a time such as 250ms, 5m or 1h30m",
            ),
            (
                "listen_mode",
                "888",
                "option listen_mode: '888' is not an octal mode in the range 0..777",
            ),
            (
                "no_signals",
                "maybe",
                "option no_signals: 'maybe' is not a flag: 1, yes, true, on, 0, no, false or off",
            ),
            (
                "log",
                "syslog",
                "option log: 'syslog' is not one of: stderr, none, or the absolute path of a file",
            ),
            (
                "max_params_size",
                "9999g",
                "option max_params_size: '9999g' is not in the range 1024..1073741824",
            ),
            (
                "priority",
                "20",
                "option priority: '20' is not a whole number in the range -20..19",
            ),
            (
                "rlimit_core",
                "much",
                "option rlimit_core: 'much' is not a whole number (suffix k, m or g allowed) or 'unlimited'",
            ),
        ] {
            assert_eq!(options.set(name, value).unwrap_err().message(), wanted);
        }
    }
}
