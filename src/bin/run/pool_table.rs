//! One `[[pool]]` table of the file.
//!
//! It is read by hand, not by serde, to report each mistake with its pool, its key and its line.

use std::borrow::Cow;
use std::ffi::OsString;
use std::fmt::Display;

use fcgipm::options::{Options, TABLE};
use fcgipm::server::listen::DEFAULT_BACKLOG;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::environment::Changes;
use super::pool::Pool;

/// Keys of a pool that are not options of the manager.
const KEYS: [&str; 10] = [
    "name",
    "listen",
    "workers",
    "command",
    "backlog",
    "preload",
    "clear_env",
    "unset",
    "env",
    "options",
];

type Value<'i> = Spanned<DeValue<'i>>;
type Key<'i> = Spanned<Cow<'i, str>>;

/// The text of the file, to find the line of a mistake.
pub(super) struct Source<'t> {
    pub(super) file: &'t str,
    pub(super) text: &'t str,
}

impl Source<'_> {
    pub(super) fn error(&self, at: usize, what: impl Display) -> String {
        let before = self.text.get(..at).unwrap_or(self.text);
        let line = before.matches('\n').count() + 1;
        format!("{}:{line}: {what}", self.file)
    }

    pub(super) fn pool(
        &self,
        table: &Value<'_>,
        position: usize,
        mistakes: &mut Vec<String>,
    ) -> Result<Pool, String> {
        let at = table.span().start;
        let entries = table
            .get_ref()
            .as_table()
            .ok_or_else(|| self.error(at, "'pool' must be an array of tables: [[pool]]"))?;
        let name = entries.iter().find(|(key, _)| key.get_ref() == "name");
        let label = match name.and_then(|(_, value)| value.get_ref().as_str()) {
            Some(name) => format!("pool '{name}'"),
            None => format!("pool number {}", position + 1),
        };
        let reader = Reader {
            source: self,
            label,
        };
        Ok(reader.pool(at, entries, mistakes))
    }
}

/// Reads one pool.
struct Reader<'s> {
    source: &'s Source<'s>,
    label: String,
}

impl Reader<'_> {
    fn error(&self, at: usize, what: impl Display) -> String {
        self.source.error(at, format!("{}: {what}", self.label))
    }

    /// Reads a pool. Of a pool with mistakes, it returns the valid settings.
    fn pool(&self, at: usize, entries: &DeTable<'_>, mistakes: &mut Vec<String>) -> Pool {
        let mut pool = Pool {
            name: None,
            listen: String::new(),
            backlog: DEFAULT_BACKLOG,
            command: Vec::new(),
            options: Options::new(),
            changes: Changes {
                preload: true,
                ..Changes::default()
            },
        };
        let before = mistakes.len();
        for (key, value) in entries {
            if key.get_ref() == "options" {
                if let Ok(table) = self.table(key, value) {
                    for (key, value) in table {
                        let name = key.get_ref().as_ref();
                        mistakes.extend(self.option(&mut pool.options, name, key, value).err());
                    }
                    continue;
                }
            }
            mistakes.extend(self.entry(&mut pool, key, value).err());
        }
        for (key, missing) in [
            ("name", pool.name.as_deref().is_none_or(str::is_empty)),
            ("listen", pool.listen.is_empty()),
            ("command", pool.command.is_empty()),
        ] {
            // A key with an invalid value has been reported already.
            if missing && !(entries.contains_key(key) && mistakes.len() > before) {
                mistakes.push(self.error(at, format!("missing key '{key}'")));
            }
        }
        pool
    }

    fn entry(&self, pool: &mut Pool, key: &Key<'_>, value: &Value<'_>) -> Result<(), String> {
        match key.get_ref().as_ref() {
            "name" => pool.name = Some(self.text(key, value)?),
            "listen" => pool.listen = self.text(key, value)?,
            "workers" => self.option(&mut pool.options, "n_processes", key, value)?,
            "command" => {
                let command = self.texts(key, value)?;
                pool.command = command.into_iter().map(OsString::from).collect();
            }
            "backlog" => pool.backlog = self.number(key, value)?,
            "preload" => pool.changes.preload = self.flag(key, value)?,
            "clear_env" => pool.changes.clear = self.flag(key, value)?,
            "unset" => pool.changes.unset = self.texts(key, value)?,
            "env" => {
                for (key, value) in self.table(key, value)? {
                    let name = key.get_ref().as_ref().to_owned();
                    pool.changes.set.push((name, self.text(key, value)?));
                }
            }
            // Not a table: tables are handled by the caller.
            "options" => return Err(self.wrong(key, value, "a table")),
            name => self.option(&mut pool.options, name, key, value)?,
        }
        Ok(())
    }

    /// Sets an option of the manager. Its value may be any scalar TOML type.
    fn option(
        &self,
        options: &mut Options,
        name: &str,
        key: &Key<'_>,
        value: &Value<'_>,
    ) -> Result<(), String> {
        let at = key.span().start;
        // The address is a key of the pool.
        let mut others = TABLE.iter().filter(|spec| spec.name != Pool::LISTEN);
        if !others.any(|spec| spec.name == name) {
            let similar = if KEYS.contains(&name) {
                " is not allowed here"
            } else {
                ""
            };
            return Err(self.error(at, format!("unknown key '{name}'{similar}")));
        }
        let text = match value.get_ref() {
            DeValue::String(text) => text.as_ref().to_owned(),
            DeValue::Integer(number) if number.radix() == 10 => number.as_str().to_owned(),
            DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
                .map_err(|error| self.error(at, format!("'{name}': {error}")))?
                .to_string(),
            DeValue::Float(number) => number.as_str().to_owned(),
            DeValue::Boolean(flag) => u8::from(*flag).to_string(),
            DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_) => {
                return Err(self.wrong(key, value, "a string, a number or a boolean"));
            }
        };
        let set = options.set(name, &text);
        set.map_err(|error| self.error(value.span().start, error))
    }

    fn text(&self, key: &Key<'_>, value: &Value<'_>) -> Result<String, String> {
        let text = value.get_ref().as_str().map(str::to_owned);
        text.ok_or_else(|| self.wrong(key, value, "a string"))
    }

    fn texts(&self, key: &Key<'_>, value: &Value<'_>) -> Result<Vec<String>, String> {
        let all = value.get_ref().as_array().and_then(|array| {
            let texts = array
                .iter()
                .map(|text| Some(text.get_ref().as_str()?.to_owned()));
            texts.collect::<Option<Vec<_>>>()
        });
        all.ok_or_else(|| self.wrong(key, value, "an array of strings"))
    }

    fn flag(&self, key: &Key<'_>, value: &Value<'_>) -> Result<bool, String> {
        let flag = value.get_ref().as_bool();
        flag.ok_or_else(|| self.wrong(key, value, "true or false"))
    }

    fn number(&self, key: &Key<'_>, value: &Value<'_>) -> Result<i32, String> {
        let number = value.get_ref().as_integer();
        let number = number.and_then(|n| i32::from_str_radix(n.as_str(), n.radix()).ok());
        number.ok_or_else(|| self.wrong(key, value, "a number"))
    }

    fn table<'v, 'i>(
        &self,
        key: &Key<'_>,
        value: &'v Value<'i>,
    ) -> Result<&'v DeTable<'i>, String> {
        let table = value.get_ref().as_table();
        table.ok_or_else(|| self.wrong(key, value, "a table"))
    }

    fn wrong(&self, key: &Key<'_>, value: &Value<'_>, wanted: &str) -> String {
        let (name, is) = (key.get_ref(), value.get_ref().type_str());
        self.error(
            key.span().start,
            format!("'{name}' must be {wanted}, but its type is {is}"),
        )
    }
}
