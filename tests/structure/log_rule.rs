//! Who may write to standard error.

use super::rules::{Broken, line, paths};
use super::source::Source;

/// Whatever writes to standard error by itself waits for its reader, or dies of a signal.
pub(crate) fn one_log(source: &Source) -> Broken {
    const MACROS: [&str; 3] = ["eprintln", "eprint", "dbg"];
    const LOG: [&str; 4] = [
        "sys/log/mod.rs",
        "sys/log/attempt.rs",
        "sys/log/stderr.rs",
        // For `fcgipm call`, which nobody waits for.
        "bin/console.rs",
    ];
    if LOG.contains(&source.path.as_str()) || source.path.starts_with("bin/tests/") {
        return Broken::new();
    }
    let writes = |path: &[String]| match path {
        [.., last] if MACROS.contains(&last.as_str()) => true,
        [.., io, last] => io == "io" && (last == "stderr" || last == "Stderr"),
        _ => false,
    };
    let paths = paths(source).into_iter();
    let written = paths.filter(|(_, path)| writes(path));
    written
        .map(|(span, path)| (line(span), format!("{} and not the log", path.join("::"))))
        .collect()
}
