//! The reference page.

use std::fmt::Write as _;

use super::{Kind, TABLE, variable_of};

/// The reference page, from the table: `docs/OPTIONS.md` is this text.
#[must_use]
pub fn reference() -> String {
    let mut page = String::from(
        "# Options\n\nGenerated from `src/options.rs`; `make check` fails when this page is out of step.\n\n\
         A program sets an option by its name (`fcgipm_options_set` in C, a key of the constructor in Perl), and\n\
         `fcgipm run` takes it with dashes, as in `--max-requests 500`, or in its file, as in `max_requests = 500`\n\
         (`n_processes` is `--workers` and `workers` there); the operator overrides it with the variable. An unknown name or a bad value is an error that names it.\n\
         In a program with more privileges than its caller (set-user-ID, set-group-ID, file capabilities) the variables\n\
         are ignored, and the log says so once.\n\n\
         A time is a number of seconds, such as `1.5`, or numbers with units: `250ms`, `5m`, `1h30m` (us, ms, s, m, h, d, w).\n\n\
         | option | variable | takes | default | meaning |\n|---|---|---|---|---|\n",
    );
    for spec in TABLE {
        let takes = match spec.kind {
            Kind::Count { min, max } => format!("{min}..{max}"),
            Kind::Bytes { min, max } => format!("bytes, {min}..{max}; k, m, g"),
            Kind::Seconds => "time; 0: none".to_owned(),
            Kind::Flag => "0 or 1".to_owned(),
            Kind::Mode => "octal mode".to_owned(),
            Kind::Text => "text".to_owned(),
            Kind::Word(words) => words.join(", "),
            Kind::Signed { min, max } => format!("{min}..{max}"),
            Kind::Limit => "a number, k, m, g; unlimited".to_owned(),
        };
        let default = if spec.default.is_empty() {
            String::new()
        } else {
            format!("`{}`", spec.default)
        };
        let variable = variable_of(spec);
        let _ = writeln!(
            page,
            "| `{}` | `{variable}` | {takes} | {default} | {} |",
            spec.name, spec.doc
        );
    }
    page
}
