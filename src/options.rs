//! Every option once: its name, type, range, default and one line of documentation.
//!
//! From this table come `fcgipm_options_set`, the environment (`FCGIPM_` and the name in upper
//! case), the Perl constructors' keys and the reference page. The environment wins over the program, because the operator
//! comes last.

mod duration;
mod reference;
mod value;

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt as _;
use std::time::Duration;

pub use duration::{DURATION, DURATION_MAX, duration};
pub use reference::reference;
pub use value::Kind;
use value::{Value, parse};

use crate::error::{Code, Error, Result};

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
    ReadyDelay = "ready_delay", Kind::Seconds, "1", "With fcgipm run: a program that says nothing of itself counts as ready when it has run for so long; 0: only its first Accept counts.";
    StopSignal = "stop_signal", Kind::Word(&["TERM", "INT", "QUIT", "HUP", "USR1", "USR2"]), "TERM", "The signal that asks a worker to leave that does not use this library's Accept; the others are asked without one.";
    ProcessGroup = "process_group", Kind::Flag, "0", "Each worker leads a process group of its own, and when it is killed because it missed a deadline, what it started is killed with it; signals to the manager's group, a terminal's too, do not reach it. fcgipm run sets it.";
    StartDelay = "start_delay", Kind::Seconds, "0", "Pause between the forks of the first workers.";
    ReloadSurge = "reload_surge", Kind::Count { min: 0, max: MAX_PROCESSES }, "0", "Workers started beyond those wanted, during a reload or to recycle; 0: a quarter of the pool, at least 1.";
    Pm = "pm", Kind::Word(&["static", "dynamic", "ondemand"]), "static", "How the number of workers is chosen: always n_processes; by load, with n_processes as the most; or none until a request comes, with n_processes as the most.";
    StartServers = "start_servers", Kind::Count { min: 0, max: MAX_PROCESSES }, "0", "With pm=dynamic: workers to begin with; 0: min_spare.";
    MinSpare = "min_spare", Kind::Count { min: 1, max: MAX_PROCESSES }, "1", "With pm=dynamic: when fewer workers than this are idle, more are started.";
    MaxSpare = "max_spare", Kind::Count { min: 1, max: MAX_PROCESSES }, "3", "With pm=dynamic: when more workers than this are idle, some are retired.";
    ProcessIdleTimeout = "process_idle_timeout", Kind::Seconds, "10", "With pm=ondemand: a worker that was idle for so long is retired; 0: never.";
    MaxRequests = "max_requests", Kind::Count { min: 0, max: 1 << 53 }, "0", "A worker that has served so many requests is replaced, in its first second no faster than one that dies; 0: no limit.";
    MaxRequestsJitter = "max_requests_jitter", Kind::Count { min: 0, max: 1 << 32 }, "0", "Up to so many requests are added to max_requests, at random for each worker.";
    MaxMemory = "max_memory", Kind::Bytes { min: 0, max: 1 << 50 }, "0", "A worker whose private memory is beyond this is replaced; 0: no limit. Each worker is looked at once a second; pages that it shared with others and has changed since are seen within ten seconds.";
    MaxLifetime = "max_lifetime", Kind::Seconds, "0", "A worker that has lived so long is replaced; 0: no limit.";
    RequestTimeout = "request_timeout", Kind::Seconds, "0", "Longest time for a whole request; then the worker gets notice, and after request_timeout_grace is killed. 0: no limit. At least 0.01, and kept within 20 ms; below a second the manager wakes as often as the limit says.";
    RequestTimeoutGrace = "request_timeout_grace", Kind::Seconds, "5", "Time between the notice and the kill.";
    RequestTimeoutSignal = "request_timeout_signal", Kind::Word(&["none", "VTALRM", "ALRM", "PROF", "XCPU", "USR1", "USR2"]), "VTALRM", "The signal that gives notice, to a worker that has a handler for it.";
    SlowRequest = "slow_request", Kind::Seconds, "0", "A request that runs for so long is logged once; 0: none is. Exact to 10 ms; below a second the manager wakes as often as the limit says.";
    IdleTimeout = "idle_timeout", Kind::Seconds, "0", "A kept connection on which no request comes for so long is closed; 0: never.";
    MaxQueueAge = "max_queue_age", Kind::Seconds, "0", "A request that has waited for so long in the listen queue is refused (FCGI_OVERLOADED) by the manager; none before, each at the latest an eighth later. A connection that has sent nothing in this time is closed. 0: none is.";
    SkipHungUp = "skip_hung_up", Kind::Word(&["closed", "eof", "no"]), "closed", "A request whose client hung up while it waited, so that nothing of it was read, is not run: closed: where that is certain (a closed unix socket, a reset TCP connection); eof: also where the client sends no more, as a TCP client does that closed, or only shut down its side; no: it is run.";
    User = "user", Kind::Text, "", "User that workers become, a name or a number; needs root.";
    Group = "group", Kind::Text, "", "Group that workers become, a name or a number; empty: the user's. Needs root.";
    Chroot = "chroot", Kind::Text, "", "Directory that becomes the workers' root; needs root.";
    Chdir = "chdir", Kind::Text, "", "Working directory of the workers, below chroot.";
    Priority = "priority", Kind::Signed { min: -20, max: 19 }, "", "Scheduling priority (nice value) of the workers; to lower it needs root.";
    RlimitCore = "rlimit_core", Kind::Limit, "", "Largest core file of a worker, in bytes (RLIMIT_CORE).";
    RlimitFiles = "rlimit_files", Kind::Limit, "", "Most descriptors of a worker (RLIMIT_NOFILE). Keep-alive connections get half of them; beyond that, new connections wait in the listen queue until one ends, or has been idle for a second and is closed for them.";
    NoNewPrivs = "no_new_privs", Kind::Flag, "0", "Workers and their children can gain no privileges by exec (PR_SET_NO_NEW_PRIVS).";
    CatchStartStderr = "catch_start_stderr", Kind::Flag, "1", "What a worker writes to standard error before it is ready passes through the manager, which can then say why a start failed.";
    PidFname = "pid_fname", Kind::Text, "", "File that holds the manager's pid while it runs. Refused where another user could redirect it: a symbolic link, or a directory that others own or may write to (a sticky one is accepted while the file is ours).";
    PmTitle = "pm_title", Kind::Text, "", "Process title of the manager; workers get it with ' worker' appended. Empty: titles are left alone.";
    NoSignals = "no_signals", Kind::Flag, "0", "Install no signal handlers; the host hands signals in with fcgipm_manager_signal.";
    Log = "log", Kind::Word(&["stderr", "none"]), "stderr", "Where the manager's lifecycle lines go; with none, the host reads them from the events.";
}

/// The variable by which a program that `fcgipm run` started knows its manager.
pub const WORKER_VARIABLE: &str = "FCGIPM_WORKER";

/// Variables that begin like an option's but are none: they are read elsewhere.
const RESERVED_VARIABLES: &[&str] = &["FCGIPM_LIB", "FCGIPM_XS", "FCGIPM_DROPIN", WORKER_VARIABLE];

/// Options that count where requests are served, not where they are managed: the others are nothing to
/// a program that a manager starts.
pub const OF_REQUESTS: [Opt; 8] = [
    Opt::ParamsTimeout,
    Opt::BodyTimeout,
    Opt::WriteTimeout,
    Opt::IdleTimeout,
    Opt::SkipHungUp,
    Opt::MaxParams,
    Opt::MaxParamSize,
    Opt::MaxParamsSize,
];

const VARIABLE_PREFIX: &str = "FCGIPM_";

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

    /// What was set, if anything was.
    #[must_use]
    pub fn given(&self, opt: Opt) -> Option<&str> {
        let setting = self.set.get(opt as usize)?.as_ref()?;
        Some(&setting.text)
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

    /// A resource limit, if any was set; `u64::MAX` is none.
    #[must_use]
    pub fn limit(&self, opt: Opt) -> Option<u64> {
        let Value::Limit(limit) = self.value(opt) else {
            return None;
        };
        limit
    }
}

/// The variable that sets an option.
#[must_use]
pub fn variable(opt: Opt) -> String {
    variable_of(opt.spec())
}

fn variable_of(spec: &Spec) -> String {
    format!("{VARIABLE_PREFIX}{}", spec.name.to_ascii_uppercase())
}

fn row_of(name: &str) -> Option<usize> {
    TABLE.iter().position(|spec| spec.name == name)
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
            (
                "priority",
                "20",
                "option priority: '20' is not a whole number in the range -20..19",
            ),
            (
                "rlimit_core",
                "much",
                "option rlimit_core: 'much' is not a whole number (k, m or g may follow) or unlimited",
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
            ("FCGIPM_DROPIN", "/x"),
            ("FCGIPM_WORKER", "1:2:3:4:5:6:7:8"),
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
