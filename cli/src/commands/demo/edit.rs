//! One edit of a source file with content that was never there before. Pure.

/// A line like `VERSION = "1.0.0"` in a file of the project.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct VersionLine {
    /// Number of the line, from 0.
    line: usize,
    /// What stands between the quotes.
    pub(super) value: String,
}

/// Finds the first line that gives a string to `version` (in any case, with or without underscores
/// around it).
pub(super) fn version_line(text: &str) -> Option<VersionLine> {
    let mut lines = text.lines().enumerate();
    lines.find_map(|(line, content)| {
        let (from, to) = value_span(content)?;
        Some(VersionLine {
            line,
            value: content[from..to].to_owned(),
        })
    })
}

/// Gives where the quoted value stands in `… version … = "value"`.
fn value_span(line: &str) -> Option<(usize, usize)> {
    let equals = line.find('=')?;
    let after = &line[equals + 1..];
    if after.starts_with(['=', '>']) || line[..equals].ends_with(['!', '<', '>', '+', ':']) {
        return None;
    }
    let named = line[..equals].split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    named
        .map(|word| word.trim_matches('_'))
        .find(|word| word.eq_ignore_ascii_case("version"))?;
    if line[..equals].contains(['"', '\'', '(', '#']) {
        return None;
    }
    let blanks = after.len() - after.trim_start().len();
    let quote = after[blanks..]
        .chars()
        .next()
        .filter(|c| matches!(c, '"' | '\''))?;
    let from = equals + 1 + blanks + 1;
    let length = line[from..].find(quote)?;
    (length > 0).then_some((from, from + length))
}

/// Puts `value` in place of the one that was found; `None` when the line is not there any more.
pub(super) fn with_version(text: &str, found: &VersionLine, value: &str) -> Option<String> {
    let start: usize = text
        .split_inclusive('\n')
        .take(found.line)
        .map(str::len)
        .sum();
    let line = text[start..].lines().next()?;
    let (from, to) = value_span(line)?;
    Some(format!(
        "{}{value}{}",
        &text[..start + from],
        &text[start + to..]
    ))
}

/// Adds a comment as the last line; `None` when it is not known how comments look in such a file.
pub(super) fn with_comment(name: &str, text: &str, comment: &str) -> Option<String> {
    let (_, extension) = name.rsplit_once('.')?;
    let line = match extension {
        "py" | "rb" | "sh" | "pl" | "toml" | "yml" | "yaml" | "r" | "ex" | "exs" => {
            format!("# {comment}")
        }
        "js" | "mjs" | "cjs" | "ts" | "tsx" | "jsx" | "go" | "rs" | "c" | "h" | "cc" | "cpp"
        | "java" | "kt" | "swift" | "php" | "scala" | "cs" | "dart" => format!("// {comment}"),
        "css" => format!("/* {comment} */"),
        "html" | "htm" | "md" | "svg" | "xml" | "vue" | "svelte" => format!("<!-- {comment} -->"),
        "sql" | "lua" | "hs" => format!("-- {comment}"),
        _ => return None,
    };
    let gap = if text.is_empty() || text.ends_with('\n') {
        ""
    } else {
        "\n"
    };
    Some(format!("{text}{gap}{line}\n"))
}

/// Replaces each port that stands as a number of its own; in two rounds, for a new number may be
/// one of the old.
pub(super) fn with_ports(text: &str, ports: &[(u16, u16)]) -> String {
    let mark = |index: usize| format!("\u{0}{index}\u{0}");
    let mut text = text.to_owned();
    for (index, (old, _)) in ports.iter().enumerate() {
        text = replace_number(&text, &old.to_string(), &mark(index));
    }
    for (index, (_, new)) in ports.iter().enumerate() {
        text = text.replace(&mark(index), &new.to_string());
    }
    text
}

fn replace_number(text: &str, old: &str, new: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(old) {
        let before = out.chars().next_back().filter(|_| at == 0);
        let before = rest[..at].chars().next_back().or(before);
        let after = rest[at + old.len()..].chars().next();
        let joined = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '\u{0}');
        out.push_str(&rest[..at]);
        out.push_str(if joined(before) || joined(after) {
            old
        } else {
            new
        });
        rest = &rest[at + old.len()..];
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_found_in_many_languages() {
        let found = [
            "VERSION = \"1.0.0\"",
            "__version__ = '1.0.0'",
            "export const version = \"1.0.0\";",
            "pub const VERSION: &str = \"1.0.0\";",
            "  version=\"1.0.0\",  # shown",
            "static string Version = \"1.0.0\";",
        ];
        for line in found {
            let text = format!("import os\n\n{line}\nVERSION = \"other\"\n");
            let version = version_line(&text).unwrap_or_else(|| panic!("{line}"));
            assert_eq!(
                (version.line, version.value.as_str()),
                (2, "1.0.0"),
                "{line}"
            );
            let edited = with_version(&text, &version, "new").unwrap();
            assert_eq!(edited, text.replacen("1.0.0", "new", 1), "{line}");
            assert_eq!(version_line(&edited).unwrap().value, "new");
        }
        let not = [
            "VERSION = 3",
            "if version == \"1.0.0\":",
            "conversion = \"1.0.0\"",
            "print(\"version = '1'\")",
            "VERSION = \"\"",
            "# version = \"1\"",
            "f(version=\"1\")",
            "version",
        ];
        for line in not {
            assert_eq!(version_line(line), None, "{line}");
        }
    }

    #[test]
    fn a_version_line_that_went_away_is_not_edited() {
        let found = version_line("a\nVERSION = \"1\"\n").unwrap();
        assert_eq!(with_version("a\n", &found, "2"), None);
        assert_eq!(with_version("a\nb\n", &found, "2"), None);
    }

    #[test]
    fn comments_look_as_in_the_language() {
        let cases = [
            ("app.py", "x = 1\n", Some("x = 1\n# c\n")),
            ("a.ts", "x", Some("x\n// c\n")),
            ("i.html", "", Some("<!-- c -->\n")),
            ("data.json", "{}", None),
            ("Makefile", "", None),
        ];
        for (name, text, expected) in cases {
            assert_eq!(with_comment(name, text, "c").as_deref(), expected, "{name}");
        }
    }

    #[test]
    fn only_whole_numbers_are_ports() {
        let text = "port = 80\nenv = { PORT = \"80\", URL = \"http://h:8000/80a\" } # 800, 80\nport = 8000\n";
        let moved = with_ports(text, &[(80, 8000), (8000, 80)]);
        let expected = "port = 8000\nenv = { PORT = \"8000\", URL = \"http://h:80/80a\" } # 800, 8000\nport = 80\n";
        assert_eq!(moved, expected);
        assert_eq!(with_ports("8080 80", &[(80, 1)]), "8080 1");
    }
}
