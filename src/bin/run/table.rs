//! A long option for each option of the manager.

use std::fmt;

use clap::{Arg, ArgMatches, Args, Command, Error, FromArgMatches};
use fcgipm::options::{Kind, Options, Spec, TABLE};

use super::pool::Pool;

/// The options that were given, by name.
#[derive(Debug, Default)]
pub(crate) struct TableOptions(Vec<(&'static str, String)>);

impl TableOptions {
    /// The names of the given options, as on the command line.
    pub(super) fn names(&self) -> impl Iterator<Item = String> {
        self.0.iter().map(|(name, _)| long(name))
    }

    /// The options, and a line for each invalid value.
    pub(super) fn parse(&self) -> (Options, Vec<String>) {
        let mut options = Options::new();
        let mistakes = self.0.iter().filter_map(|(name, value)| {
            let set = options.set(name, value);
            set.err().map(|error| error.to_string())
        });
        let mistakes = mistakes.collect();
        (options, mistakes)
    }
}

impl FromArgMatches for TableOptions {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let mut this = Self::default();
        this.update_from_arg_matches(matches)?;
        Ok(this)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        let given = table()
            .filter_map(|spec| Some((spec.name, matches.get_one::<String>(spec.name)?.clone())));
        self.0 = given.collect();
        Ok(())
    }
}

impl Args for TableOptions {
    fn augment_args(command: Command) -> Command {
        command.args(table().map(argument))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

/// The options, but for the address, which is an argument of the subcommand.
fn table() -> impl Iterator<Item = &'static Spec> {
    TABLE.iter().filter(|spec| spec.name != Pool::LISTEN)
}

/// The name on the command line.
fn long(name: &str) -> String {
    match name {
        "n_processes" => "workers".to_owned(),
        name => name.replace('_', "-"),
    }
}

fn argument(spec: &'static Spec) -> Arg {
    let argument = Arg::new(spec.name)
        .long(long(spec.name))
        .value_name(Takes(spec.kind).to_string())
        .help(format!("{}{}", spec.doc, Default(spec.default)))
        .help_heading("Manager options");
    let argument = match spec.kind {
        // Without a value it means yes.
        Kind::Flag => argument
            .num_args(0..=1)
            .require_equals(true)
            .default_missing_value("1"),
        Kind::Signed { .. } => argument.allow_negative_numbers(true),
        Kind::Count { .. }
        | Kind::Bytes { .. }
        | Kind::Seconds
        | Kind::Mode
        | Kind::Text
        | Kind::Path
        | Kind::Log
        | Kind::Word(_)
        | Kind::Limit => argument,
    };
    match spec.name {
        "n_processes" => argument.alias("n-processes"),
        // For programs that use the library.
        "no_signals" => argument.hide(true),
        _ => argument,
    }
}

/// The placeholder of the value.
struct Takes(Kind);

impl fmt::Display for Takes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Kind::Count { .. } | Kind::Signed { .. } => f.write_str("N"),
            Kind::Bytes { .. } => f.write_str("BYTES"),
            Kind::Seconds => f.write_str("TIME"),
            Kind::Flag => f.write_str("0|1"),
            Kind::Mode => f.write_str("MODE"),
            Kind::Text => f.write_str("TEXT"),
            Kind::Path => f.write_str("/PATH"),
            Kind::Log => f.write_str("stderr|none|FILE"),
            Kind::Word(words) => f.write_str(&words.join("|")),
            Kind::Limit => f.write_str("LIMIT"),
        }
    }
}

struct Default(&'static str);

impl fmt::Display for Default {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            "" => Ok(()),
            default => write!(f, " [default: {default}]"),
        }
    }
}
