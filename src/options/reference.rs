//! The reference page.

use std::fmt::Write as _;

use super::environment::variable_of;
use super::{Kind, TABLE};

/// The reference page, generated from the table: the text of `docs/OPTIONS.md`.
#[must_use]
pub fn reference() -> String {
    let mut page = String::from(
        "\
# Options

Generated from `src/options/table.rs`; `make check` fails if this page is out of date.

A program sets an option by its name: with `fcgipm_options_set` in C, or as a parameter of the
constructor in Perl. `fcgipm run` takes it on its command line, with dashes (`--max-requests 500`),
or in its file (`max_requests = 500`); there, `n_processes` is called `--workers` and `workers`. The
environment variable overrides all of these. An unknown name or an invalid value is an error that
names it.

In a program with more privileges than its caller (set-user-ID, set-group-ID, file capabilities) the
variables are ignored, which is logged once.

A time is a number of seconds (`1.5`), or numbers with units (`250ms`, `5m`, `1h30m`). The units are
us, ms, s, m, h, d and w.

| option | variable | value | default | meaning |
|---|---|---|---|---|
",
    );
    for spec in TABLE {
        let value = match spec.kind {
            Kind::Count { min, max } => format!("{min}..{max}"),
            Kind::Bytes { min, max } => format!("bytes (k, m, g), {min}..{max}"),
            Kind::Seconds => "time".to_owned(),
            Kind::Flag => "0 or 1".to_owned(),
            Kind::Mode => "octal mode".to_owned(),
            Kind::Text => "text".to_owned(),
            Kind::Path => "/path".to_owned(),
            Kind::Log => "stderr, none or a path".to_owned(),
            Kind::Word(words) => words.join(", "),
            Kind::Signed { min, max } => format!("{min}..{max}"),
            Kind::Limit => "number (k, m, g) or `unlimited`".to_owned(),
        };
        let default = if spec.default.is_empty() {
            String::new()
        } else {
            format!("`{}`", spec.default)
        };
        let variable = variable_of(spec);
        let _ = writeln!(
            page,
            "| `{}` | `{variable}` | {value} | {default} | {} |",
            spec.name, spec.doc
        );
    }
    page
}
