//! Every option once: its name, type, range, default and one line of documentation.
//!
//! From this table come `fcgipm_options_set`, the environment (`FCGIPM_` and the name in upper
//! case), the Perl constructors' keys and the reference page. The environment wins over the program, because the operator
//! comes last.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::time::Duration;

use crate::error::{Code, Error, Result};

/// What values an option takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A whole number in a range.
    Count {
        /// Smallest value.
        min: u64,
        /// Largest value.
        max: u64,
    },
    /// A number of bytes in a range; `k`, `m` and `g` (powers of 1,024) may follow it.
    Bytes {
        /// Smallest value.
        min: u64,
        /// Largest value.
        max: u64,
    },
    /// Seconds, a decimal fraction allowed; 0 means none.
    Seconds,
    /// `1`, `yes`, `true`, `on`, or `0`, `no`, `false`, `off`.
    Flag,
    /// File permissions in octal; empty means what the umask leaves.
    Mode,
    /// Text without NUL; empty means not set.
    Text,
    /// One of these words.
    Word(&'static [&'static str]),
}

/// One row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Spec {
    /// Name, as `fcgipm_options_set` takes it.
    pub name: &'static str,
    /// Type and range.
    pub kind: Kind,
    /// Default, in the form a user would write.
    pub default: &'static str,
    /// One line of documentation.
    pub doc: &'static str,
}

macro_rules! options {
    ($( $id:ident = $name:literal, $kind:expr, $default:literal, $doc:literal; )*) => {
        /// The options by name; the discriminant is the row in [`TABLE`].
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(usize)]
        pub enum Opt { $( #[doc = $doc] $id, )* }

        /// The table.
        pub const TABLE: &[Spec] = &[ $( Spec { name: $name, kind: $kind, default: $default, doc: $doc }, )* ];
    };
}

const SIZE_MAX: u64 = 1 << 30;

/// The most workers one manager can have; twice as many slots exist, for a reload that replaces all.
pub const MAX_PROCESSES: u64 = 2_000;

options! {
    ListenMode = "listen_mode", Kind::Mode, "", "Permissions of a unix socket file, in octal; empty: what the umask leaves.";
    ListenOwner = "listen_owner", Kind::Text, "", "Owner of a unix socket file, a name or a number.";
    ListenGroup = "listen_group", Kind::Text, "", "Group of a unix socket file, a name or a number.";
    ListenReplace = "listen_replace", Kind::Flag, "0", "Replace a unix socket file although a live process answers on it.";
    ParamsTimeout = "params_timeout", Kind::Seconds, "60", "Longest time for a request's parameters to arrive, from the first wait for them.";
    BodyTimeout = "body_timeout", Kind::Seconds, "60", "Longest wait for the next bytes of a request's body.";
    WriteTimeout = "write_timeout", Kind::Seconds, "60", "Longest wait for the peer to take more of a response.";
    MaxParams = "max_params", Kind::Count { min: 1, max: 1_000_000 }, "20000", "Most parameters of one request.";
    MaxParamSize = "max_param_size", Kind::Bytes { min: 64, max: SIZE_MAX }, "1m", "Most bytes of one parameter, name and value together.";
    MaxParamsSize = "max_params_size", Kind::Bytes { min: 1_024, max: SIZE_MAX }, "8m", "Most bytes of all parameters of one request together.";
    NProcesses = "n_processes", Kind::Count { min: 0, max: MAX_PROCESSES }, "0", "Workers to keep; 0: no manager, the calling process serves.";
    DieTimeout = "die_timeout", Kind::Seconds, "60", "Longest time a worker that was told to leave may take, then it is killed; 0: no limit.";
    StartTimeout = "start_timeout", Kind::Seconds, "60", "Longest time a new worker may take to its first Accept; 0: no limit.";
    StartDelay = "start_delay", Kind::Seconds, "0", "Pause between the forks of the first workers.";
    ReloadSurge = "reload_surge", Kind::Count { min: 0, max: MAX_PROCESSES }, "0", "Workers started beyond n_processes during a reload; 0: a quarter of the pool, at least 1.";
    PidFname = "pid_fname", Kind::Text, "", "File that holds the manager's pid while it runs.";
    PmTitle = "pm_title", Kind::Text, "", "Process title of the manager; workers get it with ' worker' appended. Empty: titles are left alone.";
    NoSignals = "no_signals", Kind::Flag, "0", "Install no signal handlers; the host hands signals in with fcgipm_manager_signal.";
    Log = "log", Kind::Word(&["stderr", "none"]), "stderr", "Where the manager's lifecycle lines go; with none, the host reads them from the events.";
}

/// Variables that begin like an option's but are none: they are read elsewhere.
const RESERVED_VARIABLES: &[&str] = &["FCGIPM_LIB"];

const VARIABLE_PREFIX: &str = "FCGIPM_";

#[derive(Clone, Debug, PartialEq, Eq)]
enum Value {
    Number(u64),
    Seconds(Duration),
    Mode(Option<u32>),
    Text(String),
}

#[derive(Clone, Debug)]
struct Setting {
    text: String,
    value: Value,
}

/// A set of options: what was set, and the defaults for the rest.
#[derive(Clone, Debug, Default)]
pub struct Options {
    set: Vec<Option<Setting>>,
    overridden: Vec<String>,
}

impl Opt {
    fn spec(self) -> &'static Spec {
        &TABLE[self as usize]
    }
}

impl Options {
    /// Nothing set.
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
    /// [`Code::Option`] for an unknown name, [`Code::Value`] for a value the option does not take.
    pub fn set(&mut self, name: &str, value: &str) -> Result<()> {
        let row = row_of(name)
            .ok_or_else(|| Error::new(Code::Option, format!("unknown option '{name}'")))?;
        let parsed = parse(&TABLE[row], value)?;
        self.set[row] = Some(Setting {
            text: value.to_owned(),
            value: parsed,
        });
        Ok(())
    }

    /// The value of an option as text: what was set, or the default.
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

    /// These options with the environment laid over them.
    ///
    /// # Errors
    /// A variable that begins with `FCGIPM_` and names no option, or has a bad value.
    pub fn with_environment(
        &self,
        variables: impl Iterator<Item = (OsString, OsString)>,
    ) -> Result<Self> {
        let mut merged = self.clone();
        for (variable, value) in variables {
            let Some(variable) = variable.to_str().filter(|v| v.starts_with(VARIABLE_PREFIX))
            else {
                continue;
            };
            if RESERVED_VARIABLES.contains(&variable) {
                continue;
            }
            let name = variable[VARIABLE_PREFIX.len()..].to_ascii_lowercase();
            let row = row_of(&name).ok_or_else(|| {
                Error::new(
                    Code::Option,
                    format!("environment variable {variable}: unknown option '{name}'"),
                )
            })?;
            let text = std::str::from_utf8(value.as_bytes()).map_err(|_| {
                Error::new(
                    Code::Value,
                    format!("environment variable {variable}: the value is not UTF-8"),
                )
            })?;
            let parsed = parse(&TABLE[row], text).map_err(|e| {
                Error::new(Code::Value, format!("environment variable {variable}: {e}"))
            })?;
            if let Some(before) = &self.set[row]
                && before.value != parsed
            {
                let program = &before.text;
                merged.overridden.push(format!(
                    "{variable}={text} overrides {name}={program} of the program"
                ));
            }
            merged.set[row] = Some(Setting {
                text: text.to_owned(),
                value: parsed,
            });
        }
        Ok(merged)
    }

    /// One line for each option that the environment overrode.
    #[must_use]
    pub fn overridden(&self) -> &[String] {
        &self.overridden
    }

    fn value(&self, opt: Opt) -> Value {
        match self.set.get(opt as usize) {
            Some(Some(setting)) => setting.value.clone(),
            // A test parses every default, so this cannot meet a bad one.
            _ => parse(opt.spec(), opt.spec().default).unwrap_or(Value::Number(0)),
        }
    }

    /// A count, a size, a flag or a word's position.
    #[must_use]
    pub fn number(&self, opt: Opt) -> usize {
        match self.value(opt) {
            Value::Number(number) => usize::try_from(number).unwrap_or(usize::MAX),
            Value::Seconds(_) | Value::Mode(_) | Value::Text(_) => 0,
        }
    }

    /// A flag.
    #[must_use]
    pub fn flag(&self, opt: Opt) -> bool {
        self.number(opt) != 0
    }

    /// A time; `None` means no limit.
    #[must_use]
    pub fn seconds(&self, opt: Opt) -> Option<Duration> {
        match self.value(opt) {
            Value::Seconds(duration) if !duration.is_zero() => Some(duration),
            Value::Seconds(_) | Value::Number(_) | Value::Mode(_) | Value::Text(_) => None,
        }
    }

    /// Permissions, if any were set.
    #[must_use]
    pub fn mode(&self, opt: Opt) -> Option<u32> {
        match self.value(opt) {
            Value::Mode(mode) => mode,
            Value::Number(_) | Value::Seconds(_) | Value::Text(_) => None,
        }
    }

    /// Text, if it is not empty.
    #[must_use]
    pub fn text(&self, opt: Opt) -> Option<String> {
        match self.value(opt) {
            Value::Text(text) if !text.is_empty() => Some(text),
            Value::Text(_) | Value::Number(_) | Value::Seconds(_) | Value::Mode(_) => None,
        }
    }
}

fn row_of(name: &str) -> Option<usize> {
    TABLE.iter().position(|spec| spec.name == name)
}

fn parse(spec: &Spec, text: &str) -> Result<Value> {
    let bad = |wanted: &str| {
        Error::new(
            Code::Value,
            format!("option {}: '{text}' is not {wanted}", spec.name),
        )
    };
    let in_range = |number: u64, min: u64, max: u64| {
        if (min..=max).contains(&number) {
            Ok(Value::Number(number))
        } else {
            Err(bad(&format!("in the range {min}..{max}")))
        }
    };
    match spec.kind {
        Kind::Count { min, max } => {
            let number = text
                .parse()
                .map_err(|_| bad(&format!("a whole number in the range {min}..{max}")))?;
            in_range(number, min, max)
        }
        Kind::Bytes { min, max } => {
            let (digits, shift) = match text.as_bytes().last() {
                Some(b'k' | b'K') => (&text[..text.len() - 1], 10),
                Some(b'm' | b'M') => (&text[..text.len() - 1], 20),
                Some(b'g' | b'G') => (&text[..text.len() - 1], 30),
                _ => (text, 0),
            };
            let number: u64 = digits
                .parse()
                .map_err(|_| bad("a number of bytes (k, m or g may follow)"))?;
            in_range(number.saturating_mul(1 << shift), min, max)
        }
        Kind::Seconds => {
            // Digits and one point only: f64 would also take "inf", "nan" and "1e9".
            let plain = text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
            let seconds: f64 = text
                .parse()
                .ok()
                .filter(|_| plain)
                .ok_or_else(|| bad("a number of seconds"))?;
            if seconds > 1e8 {
                return Err(bad("in the range 0..100000000 seconds"));
            }
            Ok(Value::Seconds(Duration::from_secs_f64(seconds)))
        }
        Kind::Flag => match text.to_ascii_lowercase().as_str() {
            "1" | "yes" | "true" | "on" => Ok(Value::Number(1)),
            "0" | "no" | "false" | "off" | "" => Ok(Value::Number(0)),
            _ => Err(bad("a flag (1, yes, true, on, 0, no, false or off)")),
        },
        Kind::Mode if text.is_empty() => Ok(Value::Mode(None)),
        Kind::Mode => match u32::from_str_radix(text, 8) {
            Ok(mode) if mode <= 0o777 && !text.starts_with('+') => Ok(Value::Mode(Some(mode))),
            Ok(_) | Err(_) => Err(bad("a mode in octal, 0..777")),
        },
        Kind::Text if text.contains('\0') => Err(bad("free of NUL bytes")),
        Kind::Text => Ok(Value::Text(text.to_owned())),
        Kind::Word(words) => match words.iter().position(|word| *word == text) {
            Some(position) => Ok(Value::Number(position as u64)),
            None => Err(bad(&format!("one of: {}", words.join(", ")))),
        },
    }
}

/// The reference page, from the table: `docs/OPTIONS.md` is this text.
#[must_use]
pub fn reference() -> String {
    let mut page = String::from(
        "# Options\n\nGenerated from `src/options.rs`; `make check` fails when this page is out of step.\n\n\
         A program sets an option by its name (`fcgipm_options_set` in C, a key of the constructor in Perl); the\n\
         operator overrides it with the variable. An unknown name or a bad value is an error that names it.\n\n\
         | option | variable | takes | default | meaning |\n|---|---|---|---|---|\n",
    );
    for spec in TABLE {
        let takes = match spec.kind {
            Kind::Count { min, max } => format!("{min}..{max}"),
            Kind::Bytes { min, max } => format!("bytes, {min}..{max}; k, m, g"),
            Kind::Seconds => "seconds; 0: none".to_owned(),
            Kind::Flag => "0 or 1".to_owned(),
            Kind::Mode => "octal mode".to_owned(),
            Kind::Text => "text".to_owned(),
            Kind::Word(words) => words.join(", "),
        };
        let default = if spec.default.is_empty() {
            String::new()
        } else {
            format!("`{}`", spec.default)
        };
        let upper = spec.name.to_ascii_uppercase();
        let _ = writeln!(
            page,
            "| `{}` | `{VARIABLE_PREFIX}{upper}` | {takes} | {default} | {} |",
            spec.name, spec.doc
        );
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_is_a_value_its_option_takes() {
        for spec in TABLE {
            parse(spec, spec.default).unwrap();
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
                "option die_timeout: 'inf' is not a number of seconds",
            ),
            (
                "die_timeout",
                "",
                "option die_timeout: '' is not a number of seconds",
            ),
            (
                "listen_mode",
                "888",
                "option listen_mode: '888' is not a mode in octal, 0..777",
            ),
            (
                "no_signals",
                "maybe",
                "option no_signals: 'maybe' is not a flag (1, yes, true, on, 0, no, false or off)",
            ),
            (
                "log",
                "syslog",
                "option log: 'syslog' is not one of: stderr, none",
            ),
            (
                "max_params_size",
                "9999g",
                "option max_params_size: '9999g' is not in the range 1024..1073741824",
            ),
        ] {
            assert_eq!(options.set(name, value).unwrap_err().message(), wanted);
        }
    }

    #[test]
    fn the_environment_wins_and_says_so() {
        let mut options = Options::new();
        options.set("n_processes", "5").unwrap();
        options.set("die_timeout", "2.5").unwrap();
        let environment = [
            ("FCGIPM_N_PROCESSES", "7"),
            ("FCGIPM_LIB", "/x"),
            ("PATH", "/bin"),
        ];
        let merged = options
            .with_environment(environment.map(|(k, v)| (k.into(), v.into())).into_iter())
            .unwrap();
        assert_eq!(merged.number(Opt::NProcesses), 7);
        assert_eq!(
            merged.seconds(Opt::DieTimeout),
            Some(Duration::from_millis(2_500))
        );
        assert_eq!(
            merged.overridden(),
            ["FCGIPM_N_PROCESSES=7 overrides n_processes=5 of the program"]
        );
    }

    #[test]
    fn an_unknown_variable_is_an_error_that_names_it() {
        let environment = [(OsString::from("FCGIPM_N_PROCESES"), OsString::from("7"))];
        let error = Options::new()
            .with_environment(environment.into_iter())
            .unwrap_err();
        assert_eq!(
            error.message(),
            "environment variable FCGIPM_N_PROCESES: unknown option 'n_proceses'"
        );
    }
}
