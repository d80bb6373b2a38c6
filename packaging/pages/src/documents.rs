//! Sections 5 and 7: documents of `docs`.

use crate::block::{Block, Item};
use crate::inline::Inline;
use crate::markdown;
use crate::page::Page;
use crate::read;

/// Pages of section 7: the document, the page, what it describes.
const PAGES: [(&str, &str, &str); 5] = [
    (
        "docs/SIGNALS.md",
        "fcgipm-signals",
        "what each signal does to a manager and to a worker",
    ),
    (
        "docs/SYSTEMD.md",
        "fcgipm-systemd",
        "a manager as a service of systemd",
    ),
    (
        "docs/PROGRAMS.md",
        "fcgipm-programs",
        "programs that fcgipm run supervises, with recipes",
    ),
    (
        "docs/FORKING.md",
        "fcgipm-forking",
        "fork(2) while a request is served",
    ),
    (
        "docs/LOG.md",
        "fcgipm-log",
        "the lines of the log, and what to do about each",
    ),
];

const RELATED: [(&str, u8); 10] = [
    ("fcgipm", 1),
    ("fcgipm-run", 1),
    ("fcgipm", 3),
    ("fcgipm.toml", 5),
    ("fcgipm-forking", 7),
    ("fcgipm-log", 7),
    ("fcgipm-options", 7),
    ("fcgipm-programs", 7),
    ("fcgipm-signals", 7),
    ("fcgipm-systemd", 7),
];

/// The example of the configuration, as it is installed.
const EXAMPLE: &str = "packaging/systemd/fcgipm.toml.in";

/// The section of docs/PROGRAMS.md on the file.
const OF_FILE: &str = "Several pools: --config";

pub(crate) fn pages(date: &str) -> Result<Vec<Page>, String> {
    let mut pages = vec![configuration(date)?, options(date)?];
    for (document, name, summary) in PAGES {
        let mut page = Page::new(&[name], 7, date, summary);
        introduced(&mut page, &markdown::blocks(&read(document)?));
        page.see_also(&RELATED);
        pages.push(page);
    }
    Ok(pages)
}

/// What comes before the first heading is the description.
fn introduced(page: &mut Page, blocks: &[Block]) {
    let is_section = |block: &Block| matches!(block, Block::Section(_));
    let first = blocks.iter().position(is_section).unwrap_or(blocks.len());
    page.section("Description", &blocks[..first]);
    page.render(&blocks[first..]);
}

/// fcgipm.toml(5): a section of docs/PROGRAMS.md, the options, the example.
fn configuration(date: &str) -> Result<Page, String> {
    let mut page = Page::new(
        &["fcgipm.toml"],
        5,
        date,
        "pools of FastCGI programs, for fcgipm run --config",
    );
    let document = markdown::blocks(&read("docs/PROGRAMS.md")?);
    let is_it = |block: &Block| matches!(block, Block::Section(title) if title == OF_FILE);
    let mut rest = document.into_iter().skip_while(|block| !is_it(block));
    if rest.next().is_none() {
        return Err(format!("docs/PROGRAMS.md: no section '{OF_FILE}'"));
    }
    let own: Vec<_> = rest
        .take_while(|block| !matches!(block, Block::Section(_)))
        .collect();
    page.section("Description", &own);
    page.section("Options", &[keys(&rows(&read("docs/OPTIONS.md")?))]);
    let example = read(EXAMPLE)?.replace("@SYSCONFDIR@", "/etc");
    let lines = example.lines().map(str::to_owned).collect();
    page.section("Examples", &[Block::Literal(lines)]);
    page.see_also(&RELATED);
    Ok(page)
}

/// One row of docs/OPTIONS.md.
struct Row {
    name: String,
    variable: String,
    value: String,
    default: String,
    meaning: String,
}

/// The rows of the table, without the marks of code.
fn rows(document: &str) -> Vec<Row> {
    let cells = |line: &str| -> Option<[String; 5]> {
        let line = line.strip_prefix("| `")?.strip_suffix(" |")?;
        let cells: Vec<_> = line
            .split(" | ")
            .map(|cell| cell.trim().replace('`', ""))
            .collect();
        cells.try_into().ok()
    };
    let all = document.lines().filter_map(cells);
    all.map(|[name, variable, value, default, meaning]| Row {
        name,
        variable,
        value,
        default,
        meaning,
    })
    .collect()
}

/// The options by name: what they mean is on their own page.
fn keys(rows: &[Row]) -> Block {
    let mut text = Inline::new().text("These keys of a pool are options, described in ");
    text = text.reference("fcgipm-options", 7).text(":");
    for (position, row) in rows.iter().enumerate() {
        text = text
            .text(if position == 0 { " " } else { ", " })
            .bold(&row.name);
    }
    Block::Paragraph(text.text("."))
}

/// fcgipm-options(7): docs/OPTIONS.md, whose table has one row for each option.
fn options(date: &str) -> Result<Page, String> {
    let text = read("docs/OPTIONS.md")?;
    let mut page = Page::new(
        &["fcgipm-options"],
        7,
        date,
        "options of programs on libfcgipm and of fcgipm run",
    );
    let about = |block: &Block| !matches!(block, Block::List(_));
    let introduction: Vec<_> = markdown::blocks(&text)
        .into_iter()
        .filter(about)
        // The first tells who changes the document where it comes from.
        .skip(1)
        .collect();
    page.section("Description", &introduction);
    let rows = rows(&text);
    if rows.is_empty() {
        return Err("docs/OPTIONS.md: no table of options".to_owned());
    }
    let items = rows.iter().map(|row| {
        let term = Inline::new()
            .bold(&row.name)
            .text(" (")
            .bold(&row.variable)
            .text(")");
        let mut value = Inline::new().text("Value: ").text(&row.value).text(".");
        if !row.default.is_empty() {
            value = value.text(" Default: ").bold(&row.default).text(".");
        }
        Item::term(
            term,
            vec![Block::text(&row.meaning), Block::Paragraph(value)],
        )
    });
    page.section("Options", &[Block::List(items.collect())]);
    page.see_also(&RELATED);
    Ok(page)
}
