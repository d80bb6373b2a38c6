//! Which module may import which: one table for each folder whose modules are layers.

use super::source::Package;

/// A module of a folder, and what it may import of the same folder.
pub(crate) type Table = &'static [(&'static str, &'static [&'static str])];

/// The folders with a table. For others, only the rule against circles applies.
pub(crate) const TABLES: [(&str, Table); 6] = [
    (
        "src",
        &[
            ("lib", &["sys"]),
            // Re-exported from `sys` for other crates.
            ("log", &[]),
            ("error", &[]),
            ("options", &["error"]),
            ("wire", COMMON),
            ("conn", &["error", "options", "wire"]),
            ("pool", COMMON),
            ("sys", COMMON),
            ("worker", &["error", "options", "sys"]),
            ("server", &["error", "options", "conn", "sys", "worker"]),
            (
                "manager",
                &[
                    "error", "options", "conn", "pool", "server", "sys", "worker",
                ],
            ),
            ("ffi", &["error", "options", "manager", "server", "worker"]),
        ],
    ),
    (
        "src/server",
        &[
            ("connection", &[]),
            ("settings", &[]),
            ("owner", &[]),
            ("built_in", &[]),
            ("access_log", &[]),
            ("first_record", &[]),
            ("listen", &["settings"]),
            (
                "accept",
                &["connection", "settings", "first_record", "listen"],
            ),
            (
                "exchange",
                &[
                    "access_log",
                    "connection",
                    "settings",
                    "first_record",
                    "listen",
                ],
            ),
            (
                "request",
                &[
                    "accept",
                    "built_in",
                    "exchange",
                    "connection",
                    "settings",
                    "owner",
                    "first_record",
                    "listen",
                ],
            ),
            ("forked", &["request", "owner"]),
            (
                "low_level",
                &["request", "accept", "exchange", "connection", "settings"],
            ),
        ],
    ),
    (
        "src/manager",
        &[
            ("identity", &[]),
            ("pid_file", &[]),
            ("pool_clock", &[]),
            ("watch", &[]),
            ("event", &[]),
            ("command", &["identity"]),
            ("settings", &["command", "event"]),
            ("threads", &[]),
            ("descriptors", &["event", "settings"]),
            (
                "children",
                &["command", "event", "pool_clock", "settings", "watch"],
            ),
            ("connections", &["children", "event", "pool_clock", "watch"]),
            ("service", &["children", "event"]),
            ("own_command", &["settings"]),
            ("restart_pause", &["event"]),
            (
                "admin",
                &["event", "own_command", "restart_pause", "settings", "watch"],
            ),
            ("slow_log", &["event", "own_command", "settings", "watch"]),
            (
                "access_log",
                &["event", "restart_pause", "settings", "watch"],
            ),
            (
                "child_start",
                &["children", "command", "descriptors", "identity", "settings"],
            ),
            (
                "template",
                &["child_start", "children", "identity", "settings", "threads"],
            ),
            ("refork", &["child_start", "settings", "template"]),
            (
                "generations",
                &[
                    "children",
                    "command",
                    "descriptors",
                    "event",
                    "settings",
                    "template",
                    "watch",
                ],
            ),
            (
                "event_loop",
                &[
                    "access_log",
                    "admin",
                    "child_start",
                    "children",
                    "connections",
                    "descriptors",
                    "event",
                    "generations",
                    "identity",
                    "pid_file",
                    "pool_clock",
                    "service",
                    "settings",
                    "slow_log",
                    "watch",
                ],
            ),
            (
                "host_fork",
                &["event", "event_loop", "refork", "settings", "template"],
            ),
            (
                "setup",
                &[
                    "access_log",
                    "admin",
                    "connections",
                    "descriptors",
                    "event",
                    "event_loop",
                    "identity",
                    "pid_file",
                    "service",
                    "settings",
                    "slow_log",
                    "threads",
                ],
            ),
        ],
    ),
    (
        "src/bin",
        &[
            (
                "lib",
                &[
                    "admin",
                    "backtrace",
                    "call",
                    "check",
                    "gateway",
                    "load",
                    "reload",
                    "resize",
                    "run",
                    "status",
                    "stop",
                    "top",
                    "wait",
                    "console",
                ],
            ),
            ("admin", &["args", "console", "managers", "signals"]),
            ("backtrace", OF_MANAGERS),
            ("call", SUBCOMMAND),
            ("check", OF_MANAGERS),
            ("reload", OF_MANAGERS),
            ("resize", OF_MANAGERS),
            ("stop", OF_MANAGERS),
            ("wait", OF_MANAGERS),
            ("gateway", &["args", "cgi", "fastcgi", "console", "signals"]),
            ("load", SUBCOMMAND),
            ("run", SUBCOMMAND),
            ("status", ON_TERMINAL),
            ("top", ON_TERMINAL),
            ("managers", &["args", "console"]),
            ("cgi", &["fastcgi", "args", "console"]),
            ("fastcgi", &["args", "console"]),
            ("args", &[]),
            ("console", &[]),
            ("signals", &[]),
            ("terminal", &[]),
        ],
    ),
    ("bindings/libfcgi/src", DROP_IN),
    ("benches/src", BENCHES),
];
const COMMON: &[&str] = &["error", "options"];
const SUBCOMMAND: &[&str] = &["args", "cgi", "fastcgi", "console"];
/// The subcommands that concern running managers.
const OF_MANAGERS: &[&str] = &["args", "console", "managers"];
/// Those of them that show something in a terminal.
const ON_TERMINAL: &[&str] = &["args", "console", "managers", "terminal"];
/// Each function of libfcgi is exported by the file of its subject. The alternative interfaces for
/// programs, `os` and `stdio`, are at the top.
const DROP_IN: Table = &[
    ("guard", &[]),
    ("layout", &[]),
    ("preloaded", &["guard"]),
    ("settings", &["guard"]),
    ("params", &["layout"]),
    ("acceptors", &["settings"]),
    ("engine", &["guard", "layout", "params", "settings"]),
    ("reader", &["engine", "guard", "layout"]),
    ("writer", &["engine", "guard", "layout"]),
    ("raw_writer", &["guard", "layout"]),
    ("process", &["guard", "preloaded", "settings"]),
    ("sockets", &["acceptors", "engine", "guard", "settings"]),
    ("init", &["guard", "layout", "process", "sockets"]),
    (
        "request",
        &[
            "acceptors",
            "engine",
            "guard",
            "init",
            "layout",
            "reader",
            "settings",
            "writer",
        ],
    ),
    (
        "os",
        &[
            "acceptors",
            "engine",
            "guard",
            "layout",
            "process",
            "settings",
            "sockets",
        ],
    ),
    (
        "stdio",
        &[
            "engine", "guard", "init", "layout", "reader", "request", "writer",
        ],
    ),
];
const BENCHES: Table = &[
    ("lib", &["peer", "plot", "run", "scenario", "table"]),
    ("statistics", &[]),
    ("procfs", &[]),
    ("peer", &[]),
    ("scenario", &["peer"]),
    ("launch", &["peer", "scenario"]),
    ("machine", &["peer"]),
    ("results", &["machine", "peer", "statistics"]),
    ("bounds", &["peer", "results", "statistics"]),
    ("table", &["bounds", "peer", "results", "statistics"]),
    ("plot", &["peer", "results", "table"]),
    ("server", &["procfs"]),
    ("load", &["peer", "procfs", "results", "scenario", "server"]),
    (
        "count",
        &["launch", "load", "peer", "results", "scenario", "server"],
    ),
    (
        "run",
        &[
            "bounds",
            "count",
            "launch",
            "load",
            "machine",
            "peer",
            "procfs",
            "results",
            "scenario",
            "server",
            "statistics",
            "table",
        ],
    ),
];

/// The modules of the library that other crates may use.
pub(crate) const PUBLIC: [(Package, &[&str]); 3] = [
    (
        Package::Command,
        &[
            "error", "log", "manager", "options", "server", "wire", "worker",
        ],
    ),
    (
        Package::DropIn,
        &["error", "log", "options", "server", "wire", "worker"],
    ),
    (Package::Benches, &[]),
];
