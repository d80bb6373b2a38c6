//! The table of options.
//!
//! Each text is used in `docs/OPTIONS.md`, in `fcgipm run --help` and in the Rust documentation. It
//! states the meaning first, then what happens at the limit, then special values.

use super::value::{Kind, Value, parse};
use crate::error::Result;

/// A row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Spec {
    /// Name, as in `fcgipm_options_set`.
    pub name: &'static str,
    /// Type and range.
    pub kind: Kind,
    /// Default, as a user would write it.
    pub default: &'static str,
    /// Documentation, in one paragraph.
    pub doc: &'static str,
}

macro_rules! options {
    ($( $id:ident = $name:literal, $kind:expr, $default:literal, $doc:literal; )*) => {
        /// The options by name; the discriminant is the row in [`TABLE`].
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(usize)]
        pub enum Opt { $( #[doc = $doc] $id, )* }

        /// The table.
        pub const TABLE: &[Spec] = &[
            $( Spec { name: $name, kind: $kind, default: $default, doc: $doc }, )*
        ];
    };
}

const SIZE_MAX: u64 = 1 << 30;

/// The maximum number of workers of a manager. There are twice as many slots, for a reload that
/// replaces all workers at once.
pub const MAX_PROCESSES: u64 = 2_000;

options! {
    Listen = "listen", Kind::Text, "",
        "Listen address instead of the one that the program passes to OpenSocket, or instead of \
         descriptor 0. With a program that opens several sockets, it replaces the address of each. \
         Default: the program's.";
    ListenMode = "listen_mode", Kind::Mode, "",
        "Permissions of the unix socket file, in octal. Default: 0777 & ~umask.";
    ListenOwner = "listen_owner", Kind::Text, "",
        "Owner of the unix socket file: a name or a numeric ID. Default: unchanged.";
    ListenGroup = "listen_group", Kind::Text, "",
        "Group of the unix socket file: a name or a numeric ID. Default: unchanged.";
    ListenReplace = "listen_replace", Kind::Flag, "0",
        "Replace the unix socket file even if a running process accepts connections on it.";
    ParamsTimeout = "params_timeout", Kind::Seconds, "60",
        "Maximum time for the parameters of a request to arrive, counted from the moment the \
         worker first waits for them. Then the connection is closed. 0: no limit.";
    BodyTimeout = "body_timeout", Kind::Seconds, "60",
        "Maximum time to wait for more of a request body. Then reading fails. 0: no limit.";
    WriteTimeout = "write_timeout", Kind::Seconds, "60",
        "Maximum time to wait for the client to accept more of a response. Then writing fails. 0: \
         no limit.";
    MaxParams = "max_params", Kind::Count { min: 1, max: 1_000_000 }, "20000",
        "Maximum number of parameters per request. A request with more is rejected: its \
         connection is closed.";
    MaxParamSize = "max_param_size", Kind::Bytes { min: 64, max: SIZE_MAX }, "1m",
        "Maximum size of one parameter (name and value), in bytes. A request with a larger one is \
         rejected.";
    MaxParamsSize = "max_params_size", Kind::Bytes { min: 1_024, max: SIZE_MAX }, "8m",
        "Maximum total size of the parameters of one request, in bytes. A larger request is \
         rejected.";
    NProcesses = "n_processes", Kind::Count { min: 0, max: MAX_PROCESSES }, "0",
        "Number of workers; with pm=dynamic and pm=ondemand, the maximum. 0: no manager, the \
         calling process serves requests itself.";
    DieTimeout = "die_timeout", Kind::Seconds, "60",
        "Maximum time for a worker to exit after it was asked to. Then it is killed. 0: no limit.";
    DrainDelay = "drain_delay", Kind::Seconds, "0",
        "Time from TERM to the stop. Meanwhile everything is still served, and fcgipm status shows \
         draining, so that a load balancer can take this host out first. A second TERM, after at \
         least a second, ends the wait; INT and QUIT stop without it. 0: no wait.";
    StartTimeout = "start_timeout", Kind::Seconds, "60",
        "Maximum time from the fork of a worker to its first Accept. Then it is killed and the \
         start counts as failed. 0: no limit.";
    ReadyDelay = "ready_delay", Kind::Seconds, "1",
        "For fcgipm run: a program that does not report its state counts as ready after running \
         for this time. 0: only its first Accept makes it ready.";
    StopSignal = "stop_signal", Kind::Word(&["TERM", "INT", "QUIT", "HUP", "USR1", "USR2"]), "TERM",
        "Signal that asks a worker to exit if its program does not use the Accept of this \
         library. All other workers are asked through shared memory.";
    ProcessGroup = "process_group", Kind::Flag, "0",
        "Run each worker in its own process group. When the manager kills a worker that missed a \
         deadline, it kills the whole group. Signals to the process group of the manager, \
         including those from a terminal, do not reach the workers. fcgipm run sets this to 1.";
    StartDelay = "start_delay", Kind::Seconds, "0",
        "Delay between the forks of the first n_processes workers.";
    ReloadSurge = "reload_surge", Kind::Count { min: 0, max: MAX_PROCESSES }, "0",
        "Maximum number of additional workers while workers are replaced (reload, recycling). 0: \
         a quarter of the workers, at least 1.";
    Reload = "reload", Kind::Word(&["workers", "program"]), "workers",
        "What a reload (HUP) renews. workers: new workers are forked from the manager, and load \
         anew what each worker loads itself. program: as USR2, the program is started again, and \
         the workers are forked from that process, so that everything is loaded anew. The manager \
         keeps its pid and its sockets.";
    Pm = "pm", Kind::Word(&["static", "dynamic", "ondemand"]), "static",
        "How the number of workers is chosen. static: always n_processes. dynamic: by load, up to \
         n_processes. ondemand: none until a request arrives, up to n_processes.";
    StartServers = "start_servers", Kind::Count { min: 0, max: MAX_PROCESSES }, "0",
        "Number of workers at start with pm=dynamic. 0: min_spare.";
    MinSpare = "min_spare", Kind::Count { min: 1, max: MAX_PROCESSES }, "1",
        "Minimum number of idle workers with pm=dynamic. Below it, the manager starts more.";
    MaxSpare = "max_spare", Kind::Count { min: 1, max: MAX_PROCESSES }, "3",
        "Maximum number of idle workers with pm=dynamic. Above it, the manager retires one worker \
         a second.";
    ProcessIdleTimeout = "process_idle_timeout", Kind::Seconds, "10",
        "Time after which an idle worker is retired with pm=ondemand. 0: never.";
    MaxRequests = "max_requests", Kind::Count { min: 0, max: 1 << 53 }, "0",
        "Number of requests after which a worker is replaced. A worker that reaches it within a \
         second of its start is replaced with the same delay as one that crashes. 0: no limit.";
    MaxRequestsJitter = "max_requests_jitter", Kind::Count { min: 0, max: 1 << 32 }, "0",
        "Upper bound of a random number that is added to max_requests, chosen for each worker, so \
         that not all are replaced at the same time.";
    ReforkAfter = "refork_after", Kind::Count { min: 0, max: 1 << 53 }, "0",
        "Number of requests after which a worker is the model for the others: it forks a template, \
         and the workers are replaced by copies of that, which share the memory that it has filled \
         since its start. It must be less than max_requests. A reload of the workers begins anew. \
         For programs that load their \
         application before they start the manager; see docs/REFORK.md. 0: never.";
    MaxMemory = "max_memory", Kind::Bytes { min: 0, max: 1 << 50 }, "0",
        "Private memory, in bytes, above which a worker is replaced. It is checked once a second. \
         Shared pages that the worker has since modified count after at most ten seconds. 0: no \
         limit.";
    MaxLifetime = "max_lifetime", Kind::Seconds, "0",
        "Age at which a worker is replaced. 0: no limit.";
    RequestTimeout = "request_timeout", Kind::Seconds, "0",
        "Maximum time for a request. Then the worker is notified (request_timeout_signal) and, \
         after another request_timeout_grace, killed. Minimum 0.01, accurate to 20 ms. If it is \
         below a second, the manager wakes up that often. 0: no limit.";
    RequestTimeoutGrace = "request_timeout_grace", Kind::Seconds, "5",
        "Time between the notice of request_timeout and the kill. 0: kill immediately.";
    RequestTimeoutSignal = "request_timeout_signal",
        Kind::Word(&["none", "VTALRM", "ALRM", "PROF", "XCPU", "USR1", "USR2"]), "VTALRM",
        "Signal that notifies a worker of request_timeout. Only a worker with a handler for it \
         receives it.";
    SlowRequest = "slow_request", Kind::Seconds, "0",
        "Time after which a running request is logged, once. Accurate to 10 ms. If it is below a \
         second, the manager wakes up that often. 0: disabled.";
    SlowRequestBacktrace = "slow_request_backtrace", Kind::Flag, "1",
        "Log where a request is that slow_request logs: its system call, and its stack in Perl and in \
         C, as `fcgipm backtrace` shows them, at most once a second. The command is searched for in \
         PATH.";
    IdleTimeout = "idle_timeout", Kind::Seconds, "0",
        "Time after which an idle keep-alive connection is closed. 0: never.";
    MaxQueueAge = "max_queue_age", Kind::Seconds, "0",
        "Maximum time for a request to wait in the listen queue. The manager then refuses it \
         (FCGI_OVERLOADED), never before this time and at most 1/8 of it later. A connection that \
         has sent nothing by then is closed. 0: no limit.";
    SkipDisconnected = "skip_disconnected", Kind::Word(&["closed", "eof", "no"]), "closed",
        "Whether a request is skipped if its client disconnected while it waited to be accepted. \
         closed: if the disconnect is certain (unix socket closed, TCP connection reset). eof: \
         also if a TCP client shut down its sending side, as a closing client does. no: never.";
    User = "user", Kind::Text, "",
        "User that the workers run as: a name or a numeric ID. Requires root. Default: unchanged.";
    Group = "group", Kind::Text, "",
        "Group that the workers run as: a name or a numeric ID. Requires root. Default: the \
         primary group of user.";
    Chroot = "chroot", Kind::Text, "",
        "Root directory of the workers. Requires root. Default: unchanged.";
    Chdir = "chdir", Kind::Text, "",
        "Working directory of the workers, resolved inside chroot. Default: unchanged.";
    Priority = "priority", Kind::Signed { min: -20, max: 19 }, "",
        "Nice value of the workers. A lower value than the current one requires root. Default: \
         unchanged.";
    RlimitCore = "rlimit_core", Kind::Limit, "",
        "Maximum size of a core file of a worker, in bytes (RLIMIT_CORE). Default: unchanged.";
    RlimitFiles = "rlimit_files", Kind::Limit, "",
        "Maximum number of open descriptors of a worker (RLIMIT_NOFILE). Keep-alive connections \
         use up to half of them. Beyond that, new connections wait in the listen queue until one \
         closes, or replace one that has been idle for a second. Default: unchanged.";
    NoNewPrivs = "no_new_privs", Kind::Flag, "0",
        "Workers and their children cannot gain privileges through exec (PR_SET_NO_NEW_PRIVS).";
    CatchStartStderr = "catch_start_stderr", Kind::Flag, "1",
        "Pass the standard error of a worker through the manager until the worker is ready. If \
         its start fails, the manager logs the last lines.";
    PidFname = "pid_fname", Kind::Text, "",
        "File that contains the pid of the manager while it runs. It is refused if another user \
         could redirect it: a symbolic link, or a directory in its path that another user owns or \
         can write to (a sticky directory is accepted if the file belongs to this user). Default: \
         none.";
    AdminListen = "admin_listen", Kind::Text, "",
        "Address of an HTTP listener with metrics, health checks and a status page: HOST:PORT \
         (an IPv6 address in brackets), :PORT (loopback), /PATH or unix:/PATH. The manager starts \
         `fcgipm admin` for it, which is searched for in PATH, and keeps it running; see \
         docs/OPERATIONS.md. Default: none.";
    AdminMode = "admin_mode", Kind::Mode, "",
        "Permissions of the unix socket file of admin_listen, in octal. Default: 0600.";
    AdminOwner = "admin_owner", Kind::Text, "",
        "Owner of that file: a name or a numeric ID. Default: unchanged.";
    AdminGroup = "admin_group", Kind::Text, "",
        "Group of that file: a name or a numeric ID. Default: unchanged.";
    AdminTokenFile = "admin_token_file", Kind::Text, "",
        "File with a token that clients of admin_listen must send, as a bearer token or as a password. \
         Required if other hosts can connect. Default: none.";
    AdminHost = "admin_host", Kind::Text, "",
        "Further names that clients of admin_listen may use for this host in the Host header, \
         separated by blanks. Default: localhost and the address that the client is connected to.";
    StatusPath = "status_path", Kind::Path, "",
        "Path of a status page that the library answers instead of the program, with the fields and \
         formats of php-fpm's pm.status_path: SCRIPT_NAME and PATH_INFO of the request together. The \
         manager starts `fcgipm admin` for it, which is searched for in PATH. The web server decides \
         who may request it. Default: none.";
    PingPath = "ping_path", Kind::Path, "",
        "Path of a request that the library answers itself with ping_response. The answer shows that \
         a worker accepts requests. Default: none.";
    PingResponse = "ping_response", Kind::Text, "pong",
        "Text of the answer to ping_path.";
    AccessLog = "access_log", Kind::Text, "",
        "Log of all requests: the absolute path of a file, stderr, or syslog:FACILITY. The file is \
         opened again on USR1 and at each reload, for logrotate; it must be a regular file in a \
         directory that only the manager's user and root can write to. Lines that cannot be written \
         in time are dropped and counted; see docs/OPERATIONS.md. Default: none.";
    AccessFormat = "access_format", Kind::Text, "%R - %u [%t] \"%m %r%Q%q\" %s %{bytes_out}x %{milli}d",
        "Lines of access_log: the letters of php-fpm's access.format, fields such as \
         %{request_id}x, or json for one JSON object per line.";
    RequestIdParam = "request_id_param", Kind::Text, "HTTP_X_REQUEST_ID",
        "Parameter with the id of a request, for access_log, and with slow_request or request_timeout \
         for the status and the log.";
    RequestStartParam = "request_start_param", Kind::Text, "",
        "Parameter with the time at which the web server received a request, as t=SECONDS.DECIMALS, \
         milliseconds or microseconds since 1970; usually HTTP_X_REQUEST_START. The web server must \
         set it, or clients could. The wait of requests is then in access_log (queue_wait) and \
         the metrics. Default: none.";
    PmTitle = "pm_title", Kind::Text, "",
        "Process title of the manager. The title of a worker is this text with ' worker' \
         appended. Default: titles are unchanged.";
    NoSignals = "no_signals", Kind::Flag, "0",
        "Install no signal handlers. The program passes signals to the manager with \
         fcgipm_manager_signal.";
    Log = "log", Kind::Log, "stderr",
        "Destination of the log of the manager: stderr, or the absolute path of a file. The file is \
         opened again on USR1 and at each reload, for logrotate; its lines begin with the time. It \
         must be a regular file in a directory that only the manager's user and root can write to. \
         Workers write to standard error. none: the program reads the messages from the events. \
         none:PATH: the same, and what it writes with fcgipm_log_write goes into the file.";
    LogLevel = "log_level", Kind::Word(&["error", "warning", "notice", "info"]), "info",
        "The least important lines that are logged. error: something does not work, such as a \
         failed reload. warning: something went wrong and was handled, such as a worker that died. \
         notice: starts, stops and reloads. info: everything, such as each worker that starts.";
    LogTimestamps = "log_timestamps", Kind::Flag, "0",
        "Begin each line on standard error with the time (UTC). Lines in the systemd journal have \
         their priority instead, whatever this says.";
}

impl Spec {
    pub(super) fn parse(&self, text: &str) -> Result<Value> {
        parse(self.name, self.kind, text)
    }
}

impl Opt {
    pub(crate) fn name(self) -> &'static str {
        self.spec().name
    }

    pub(super) fn spec(self) -> &'static Spec {
        &TABLE[self as usize]
    }
}

pub(super) fn row_of(name: &str) -> Option<usize> {
    TABLE.iter().position(|spec| spec.name == name)
}
