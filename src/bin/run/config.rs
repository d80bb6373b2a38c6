//! The file of `--config`: one `[[pool]]` table for each pool.
//!
//! It is walked by hand, not by serde, because a mistake is told with the pool, the key and the line.

use std::borrow::Cow;
use std::ffi::OsString;
use std::fmt::Display;
use std::fs;
use std::path::Path;

use fcgipm::options::{Options, TABLE};
use fcgipm::server::listen::DEFAULT_BACKLOG;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::environment::Changes;
use super::pool::Pool;

/// Keys of a pool that are no options of the manager.
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

/// Reads and checks the whole file.
///
/// # Errors
/// A line for each mistake: the file, the line, the pool, and what is wrong.
pub(super) fn read(path: &Path) -> Result<Vec<Pool>, Vec<String>> {
    let text =
        fs::read_to_string(path).map_err(|error| vec![format!("{}: {error}", path.display())])?;
    parse(&path.display().to_string(), &text)
}

fn parse(file: &str, text: &str) -> Result<Vec<Pool>, Vec<String>> {
    let source = Source { file, text };
    let document = DeTable::parse(text).map_err(|error| {
        vec![source.error(error.span().map_or(0, |span| span.start), error.message())]
    })?;
    let mut pools: Vec<Pool> = Vec::new();
    let mut mistakes = Vec::new();
    for (key, value) in document.get_ref() {
        let at = key.span().start;
        let name = key.get_ref().as_ref();
        if name != "pool" {
            let what = format!("unknown key '{name}': pools are tables [[pool]]");
            mistakes.push(source.error(at, what));
            continue;
        }
        let Some(tables) = value.get_ref().as_array() else {
            mistakes.push(source.error(at, "'pool' is not a row of tables [[pool]]"));
            continue;
        };
        for table in tables.iter() {
            let pool = match source.pool(table, pools.len(), &mut mistakes) {
                Ok(pool) => pool,
                Err(mistake) => {
                    mistakes.push(mistake);
                    continue;
                }
            };
            if let Some(name) = &pool.name
                && pools.iter().any(|other| other.is_named(name))
            {
                let what = format!("pool '{name}': another pool has this name");
                mistakes.push(source.error(table.span().start, what));
            }
            pools.push(pool);
        }
    }
    if pools.is_empty() && mistakes.is_empty() {
        mistakes.push(format!("{file}: no table [[pool]]"));
    }
    if mistakes.is_empty() {
        Ok(pools)
    } else {
        Err(mistakes)
    }
}

/// The text, for the lines of its mistakes.
struct Source<'t> {
    file: &'t str,
    text: &'t str,
}

impl Source<'_> {
    fn error(&self, at: usize, what: impl Display) -> String {
        let before = self.text.get(..at).unwrap_or(self.text);
        let line = before.matches('\n').count() + 1;
        format!("{}:{line}: {what}", self.file)
    }

    fn pool(
        &self,
        table: &Value<'_>,
        position: usize,
        mistakes: &mut Vec<String>,
    ) -> Result<Pool, String> {
        let at = table.span().start;
        let entries = table
            .get_ref()
            .as_table()
            .ok_or_else(|| self.error(at, "'pool' is not a row of tables [[pool]]"))?;
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

    /// Of a pool with mistakes there is what has none.
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
            if key.get_ref() == "options"
                && let Ok(table) = self.table(key, value)
            {
                for (key, value) in table {
                    let name = key.get_ref().as_ref();
                    mistakes.extend(self.option(&mut pool.options, name, key, value).err());
                }
                continue;
            }
            mistakes.extend(self.entry(&mut pool, key, value).err());
        }
        for (key, missing) in [
            ("name", pool.name.as_deref().is_none_or(str::is_empty)),
            ("listen", pool.listen.is_empty()),
            ("command", pool.command.is_empty()),
        ] {
            // One that is there and wrong has been reported.
            if missing && !(entries.contains_key(key) && mistakes.len() > before) {
                mistakes.push(self.error(at, format!("no '{key}'")));
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
            // It is no table.
            "options" => return Err(self.wrong(key, value, "a table")),
            name => self.option(&mut pool.options, name, key, value)?,
        }
        Ok(())
    }

    /// An option of the manager's table, in whatever way TOML can write its value.
    fn option(
        &self,
        options: &mut Options,
        name: &str,
        key: &Key<'_>,
        value: &Value<'_>,
    ) -> Result<(), String> {
        let at = key.span().start;
        if !TABLE.iter().any(|spec| spec.name == name) {
            let similar = if KEYS.contains(&name) {
                " does not belong here"
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
                return Err(self.wrong(key, value, "a text, a number or a flag"));
            }
        };
        let set = options.set(name, &text);
        set.map_err(|error| self.error(value.span().start, error))
    }

    fn text(&self, key: &Key<'_>, value: &Value<'_>) -> Result<String, String> {
        let text = value.get_ref().as_str().map(str::to_owned);
        text.ok_or_else(|| self.wrong(key, value, "a text"))
    }

    fn texts(&self, key: &Key<'_>, value: &Value<'_>) -> Result<Vec<String>, String> {
        let all = value.get_ref().as_array().and_then(|array| {
            let texts = array
                .iter()
                .map(|text| Some(text.get_ref().as_str()?.to_owned()));
            texts.collect::<Option<Vec<_>>>()
        });
        all.ok_or_else(|| self.wrong(key, value, "a row of texts"))
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
            format!("'{name}' must be {wanted}, and is of type {is}"),
        )
    }
}

#[cfg(test)]
mod tests {
    use fcgipm::options::Opt;

    use super::*;

    const GOOD: &str = r#"
[[pool]]
name = "shop"
listen = "/run/shop.sock"
workers = 4
command = ["shop.fcgi", "--fast"]
max_requests = 500
ready_delay = 0.25
no_new_privs = true
listen_mode = "660"
preload = false
unset = ["A"]
[pool.env]
B = "2"

[[pool]]
name = "wiki"
listen = ":9006"
command = ["php-cgi"]
options = { priority = -5 }
"#;

    #[test]
    fn every_pool_has_what_its_table_says() {
        let pools = parse("run.toml", GOOD).unwrap();
        let [shop, wiki] = &pools[..] else {
            panic!("{pools:?}")
        };
        assert!(shop.is_named("shop") && wiki.is_named("wiki"));
        assert_eq!(shop.command, ["shop.fcgi", "--fast"]);
        assert_eq!(shop.options.number(Opt::NProcesses), 4);
        assert_eq!(shop.options.number(Opt::MaxRequests), 500);
        assert!(shop.options.flag(Opt::NoNewPrivs));
        assert_eq!(shop.options.mode(Opt::ListenMode), Some(0o660));
        assert_eq!(shop.changes.set, [("B".to_owned(), "2".to_owned())]);
        assert!(!shop.changes.preload && wiki.changes.preload);
        assert_eq!(wiki.options.signed(Opt::Priority), Some(-5));
        assert_eq!(wiki.listen, ":9006");
    }

    #[test]
    fn all_mistakes_are_told() {
        let text = "[[pool]]\nname = \"a\"\nlisten = 1\nmax_request = 1\nlisten_mode = \"9\"\n\
                    [pool.options]\nnam = 1\ndie_timeout = \"soon\"\n[[pool]]\nname = \"a\"\n";
        let mistakes = parse("f", text).unwrap_err();
        let mut places: Vec<_> = mistakes
            .iter()
            .map(|line| line.split(':').nth(1).unwrap())
            .collect();
        places.sort_unstable_by_key(|place| place.parse::<u32>().unwrap());
        // The second pool lacks two keys, and has the first one's name.
        assert_eq!(
            places,
            ["1", "3", "4", "5", "7", "8", "9", "9", "9"],
            "{mistakes:#?}"
        );
    }

    #[test]
    fn a_mistake_is_told_with_its_line_its_pool_and_its_key() {
        let head = "[[pool]]\nname = \"shop\"\nlisten = \":1\"\ncommand = [\"x\"]\n";
        for (text, wanted) in [
            (
                format!("{head}max_request = 1\n"),
                "run.toml:5: pool 'shop': unknown key 'max_request'",
            ),
            (
                format!("{head}[pool.options]\nnam = 1\n"),
                "run.toml:6: pool 'shop': unknown key 'nam'",
            ),
            (
                format!("{head}max_requests = \"many\"\n"),
                "run.toml:5: pool 'shop': option max_requests: 'many' is not a whole number",
            ),
            (
                format!("{head}preload = \"yes\"\n"),
                "run.toml:5: pool 'shop': 'preload' must be true or false, and is of type string",
            ),
            (
                format!("{head}unset = [1]\n"),
                "run.toml:5: pool 'shop': 'unset' must be a row of texts, and is of type array",
            ),
            (
                format!("{head}workers = []\n"),
                "run.toml:5: pool 'shop': 'workers' must be a text, a number or a flag",
            ),
            (
                format!("{head}{head}"),
                "run.toml:5: pool 'shop': another pool has this name",
            ),
            (
                "[[pool]]\nlisten = \":1\"\n".to_owned(),
                "run.toml:1: pool number 1: no 'name'",
            ),
            (
                "[[pool]]\nname = \"a\"\nlisten = \":1\"\n".to_owned(),
                "run.toml:1: pool 'a': no 'command'",
            ),
            (
                "workers = 1\n".to_owned(),
                "run.toml:1: unknown key 'workers'",
            ),
            (
                "pool = 1\n".to_owned(),
                "run.toml:1: 'pool' is not a row of tables",
            ),
            ("\n[[pool]\n".to_owned(), "run.toml:2: "),
            (String::new(), "run.toml: no table [[pool]]"),
        ] {
            let mistakes = parse("run.toml", &text).unwrap_err();
            assert!(
                mistakes[0].starts_with(wanted),
                "{mistakes:?}, not {wanted}"
            );
        }
    }
}
