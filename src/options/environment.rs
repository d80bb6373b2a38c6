//! Options from the environment: `FCGIPM_` and the name of an option in upper case.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt as _;

use super::table::{Spec, TABLE, row_of};
use super::{Opt, Options, Setting};
use crate::error::{Code, Error, Result};

/// The variable that connects a program started by `fcgipm run` to its manager.
pub const WORKER_VARIABLE: &str = "FCGIPM_WORKER";

/// The variable that connects a program, started again for a reload, to its manager.
pub const TEMPLATE_VARIABLE: &str = "FCGIPM_TEMPLATE";

/// The variable in which `fcgipm admin` gets the key of its socket for workers, as NAME:SECRET.
pub const STATUS_VARIABLE: &str = "FCGIPM_STATUS_KEY";

/// Variables with the prefix of the options that are not options; other modules read them.
const RESERVED_VARIABLES: &[&str] = &[
    "FCGIPM_LIB",
    "FCGIPM_XS",
    "FCGIPM_DROPIN",
    WORKER_VARIABLE,
    TEMPLATE_VARIABLE,
    STATUS_VARIABLE,
];

const VARIABLE_PREFIX: &str = "FCGIPM_";

impl Options {
    /// These options, overridden by the environment.
    ///
    /// # Errors
    /// A variable that begins with `FCGIPM_` but names no option, or has an invalid value.
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
            let parsed = TABLE[row].parse(text).map_err(|e| {
                Error::new(Code::Value, format!("environment variable {variable}: {e}"))
            })?;
            if let Some(before) = &self.set[row] {
                if before.value != parsed {
                    let program = &before.text;
                    merged.overridden.push(format!(
                        "{variable}={text} overrides {name}={program} set by the program"
                    ));
                }
            }
            merged.set[row] = Some(Setting {
                text: text.to_owned(),
                value: parsed,
            });
        }
        Ok(merged)
    }

    /// One line for each option that the environment overrides.
    #[must_use]
    pub fn overridden(&self) -> &[String] {
        &self.overridden
    }
}

/// The variable that sets an option.
#[must_use]
pub fn variable(opt: Opt) -> String {
    variable_of(opt.spec())
}

pub(super) fn variable_of(spec: &Spec) -> String {
    format!("{VARIABLE_PREFIX}{}", spec.name.to_ascii_uppercase())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_environment_overrides_the_program_and_reports_it() {
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
            ["FCGIPM_N_PROCESSES=7 overrides n_processes=5 set by the program"]
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
