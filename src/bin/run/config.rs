//! The file of `--config`: a `[[pool]]` table for each pool.

use std::fs;
use std::path::Path;

use toml::de::DeTable;

use super::pool::Pool;
use super::pool_table::Source;

/// Reads and checks the whole file.
///
/// # Errors
/// A line for each mistake: the file, the line, the pool and the cause.
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
            let what = format!("unknown key '{name}': a pool is a [[pool]] table");
            mistakes.push(source.error(at, what));
            continue;
        }
        let Some(tables) = value.get_ref().as_array() else {
            mistakes.push(source.error(at, "'pool' must be an array of tables: [[pool]]"));
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
            if let Some(name) = &pool.name {
                if pools.iter().any(|other| other.is_named(name)) {
                    let what = format!("pool '{name}': another pool has this name");
                    mistakes.push(source.error(table.span().start, what));
                }
            }
            pools.push(pool);
        }
    }
    if pools.is_empty() && mistakes.is_empty() {
        mistakes.push(format!("{file}: no [[pool]] table"));
    }
    if mistakes.is_empty() {
        Ok(pools)
    } else {
        Err(mistakes)
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
    fn every_pool_has_the_settings_of_its_table() {
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
    fn all_mistakes_are_reported() {
        let text = "[[pool]]\nname = \"a\"\nlisten = 1\nmax_request = 1\nlisten_mode = \"9\"\n\
                    [pool.options]\nnam = 1\ndie_timeout = \"soon\"\n[[pool]]\nname = \"a\"\n";
        let mistakes = parse("f", text).unwrap_err();
        let mut places: Vec<_> = mistakes
            .iter()
            .map(|line| line.split(':').nth(1).unwrap())
            .collect();
        places.sort_unstable_by_key(|place| place.parse::<u32>().unwrap());
        // The second pool lacks two keys and has the name of the first.
        assert_eq!(
            places,
            ["1", "3", "4", "5", "7", "8", "9", "9", "9"],
            "{mistakes:#?}"
        );
    }

    #[test]
    fn a_mistake_is_reported_with_its_line_its_pool_and_its_key() {
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
                "run.toml:5: pool 'shop': 'preload' must be true or false, but its type is string",
            ),
            (
                format!("{head}unset = [1]\n"),
                "run.toml:5: pool 'shop': 'unset' must be an array of strings, but its type is array",
            ),
            (
                format!("{head}workers = []\n"),
                "run.toml:5: pool 'shop': 'workers' must be a string, a number or a boolean",
            ),
            (
                format!("{head}{head}"),
                "run.toml:5: pool 'shop': another pool has this name",
            ),
            (
                "[[pool]]\nlisten = \":1\"\n".to_owned(),
                "run.toml:1: pool number 1: missing key 'name'",
            ),
            (
                "[[pool]]\nname = \"a\"\nlisten = \":1\"\n".to_owned(),
                "run.toml:1: pool 'a': missing key 'command'",
            ),
            (
                "workers = 1\n".to_owned(),
                "run.toml:1: unknown key 'workers'",
            ),
            (
                "pool = 1\n".to_owned(),
                "run.toml:1: 'pool' must be an array of tables",
            ),
            ("\n[[pool]\n".to_owned(), "run.toml:2: "),
            (String::new(), "run.toml: no [[pool]] table"),
        ] {
            let mistakes = parse("run.toml", &text).unwrap_err();
            assert!(
                mistakes[0].starts_with(wanted),
                "{mistakes:?}, not {wanted}"
            );
        }
    }
}
