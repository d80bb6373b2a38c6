//! `include/fcgipm.h`: its comments and what they describe. The build generates it, so its form is known.

/// What a comment of the header describes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Constant,
    Type,
    Function,
}

#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) kind: Kind,
    pub(crate) name: String,
    /// The comment, line by line.
    pub(crate) about: Vec<String>,
    /// The declaration, line by line.
    pub(crate) declaration: Vec<String>,
}

#[derive(Debug)]
pub(crate) struct Header {
    /// The comment at the top.
    pub(crate) about: Vec<String>,
    pub(crate) entries: Vec<Entry>,
}

pub(crate) fn parse(text: &str) -> Result<Header, String> {
    let mut lines = text.lines();
    let mut about = None;
    let mut entries = Vec::new();
    while let Some(line) = lines.next() {
        if line.starts_with("/* ") && about.is_none() {
            about = Some(comment(line, &mut lines));
        } else if line.starts_with("/**") {
            let about = comment(line, &mut lines);
            entries.push(entry(about, &mut lines)?);
        }
    }
    let about = about.ok_or("include/fcgipm.h: no comment at the top")?;
    Ok(Header { about, entries })
}

/// The text of the comment that begins with this line.
fn comment<'t>(first: &'t str, lines: &mut impl Iterator<Item = &'t str>) -> Vec<String> {
    let mut text = Vec::new();
    let mut line = Some(first.trim_start_matches(['/', '*']));
    while let Some(content) = line {
        let ended = content.strip_suffix("*/");
        let content = ended.unwrap_or(content).trim_end();
        let content = content.strip_prefix(" *").unwrap_or(content);
        text.push(content.strip_prefix(' ').unwrap_or(content).to_owned());
        line = if ended.is_some() { None } else { lines.next() };
    }
    text
}

/// What follows a comment.
fn entry<'t>(
    about: Vec<String>,
    lines: &mut impl Iterator<Item = &'t str>,
) -> Result<Entry, String> {
    let mut declaration: Vec<String> = Vec::new();
    for line in lines {
        declaration.push(line.to_owned());
        let opens = declaration[0].ends_with('{');
        let is_whole = line.starts_with("#define")
            || (line.ends_with(';') && (!opens || line.starts_with('}')));
        if is_whole {
            break;
        }
    }
    let text = declaration.join(" ");
    let is_of_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let (kind, before) = if let Some(rest) = text.strip_prefix("#define ") {
        (Kind::Constant, rest.split(' ').next())
    } else if text.starts_with("typedef") {
        (Kind::Type, text.strip_suffix(';'))
    } else {
        (Kind::Function, text.split('(').next())
    };
    let name = before.and_then(|before| before.rsplit(|c| !is_of_name(c)).next());
    match name {
        Some(name) if !name.is_empty() => Ok(Entry {
            kind,
            name: name.to_owned(),
            about,
            declaration,
        }),
        _ => Err(format!("include/fcgipm.h: '{text}' declares nothing")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_declarations_are_paired() {
        let header = parse(
            "/* x.h: about\n *\n * More. */\n\n/** One. */\n#define FCGIPM_E (-1)\n\n/**\n * A.\n *\n *   b\n */\n\
             typedef struct {\n  /**\n   * F.\n   */\n  int f;\n} fcgipm_t;\n/**\n * G.\n */\nint fcgipm_g(int a,\n      int b);\n",
        );
        let header = header.unwrap();
        assert_eq!(header.about, ["x.h: about", "", "More."]);
        let found: Vec<_> = header
            .entries
            .iter()
            .map(|entry| {
                (
                    entry.kind,
                    entry.name.as_str(),
                    entry.about.join("/"),
                    entry.declaration.len(),
                )
            })
            .collect();
        assert_eq!(
            found,
            [
                (Kind::Constant, "FCGIPM_E", "One.".to_owned(), 1),
                (Kind::Type, "fcgipm_t", "/A.//  b/".to_owned(), 6),
                (Kind::Function, "fcgipm_g", "/G./".to_owned(), 2),
            ]
        );
    }
}
