//! Heredoc markers: `<<EOF`, `<<-EOF`, `<<"EOF"`, `3<<EOF` as words of RUN, COPY and ADD.

use std::ops::Range;

/// One heredoc of an instruction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Heredoc {
    /// The word that ends it; the name of the file for COPY.
    pub(crate) name: String,
    /// Whether variables in it are expanded (the name was not quoted).
    pub(crate) expand: bool,
    /// Whether tabs at the beginning of its lines are left out (`<<-`).
    pub(crate) strip_tabs: bool,
    /// The marker in the arguments of the instruction.
    pub(crate) marker: Range<usize>,
    /// Its lines, each with `\n`.
    pub(crate) body: String,
}

/// Finds the markers in the arguments of an instruction; their bodies are still empty.
pub(crate) fn markers(keyword: &str, args: &str) -> Vec<Heredoc> {
    let takes = |word: &str| ["RUN", "COPY", "ADD"].contains(&word);
    let inner = args.split_whitespace().next().unwrap_or_default();
    let takes = takes(keyword) || keyword == "ONBUILD" && takes(&inner.to_uppercase());
    if !takes || is_json(args) {
        return Vec::new();
    }
    let words = raw_words(args).into_iter();
    words.filter_map(|range| marker(args, range)).collect()
}

fn is_json(args: &str) -> bool {
    let args = args.trim();
    args.starts_with('[') && args.ends_with(']')
}

/// Tells a word that begins a heredoc.
pub(crate) fn is_marker(word: &str) -> bool {
    marker(word, 0..word.len()).is_some()
}

fn marker(args: &str, range: Range<usize>) -> Option<Heredoc> {
    let word = args.get(range.clone())?;
    let rest = word.trim_start_matches(|c: char| c.is_ascii_digit());
    let rest = rest.strip_prefix("<<")?;
    let (strip_tabs, rest) = match rest.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, rest),
    };
    // What the shell reads as the next operator is no part of the name.
    let end = rest.find(['<', '>', '|', '&', ';', ')', '(']);
    let quoted = rest.get(..end.unwrap_or(rest.len()))?;
    let name: String = quoted
        .chars()
        .filter(|c| !matches!(c, '"' | '\'' | '\\'))
        .collect();
    (!name.is_empty() && !rest.starts_with('<')).then(|| Heredoc {
        expand: name.len() == quoted.len(),
        strip_tabs,
        marker: range,
        body: String::new(),
        name,
    })
}

/// Ranges of words as a shell separates them, quotes left in place.
pub(crate) fn raw_words(text: &str) -> Vec<Range<usize>> {
    let mut words = Vec::new();
    let mut start = None;
    let mut quote = None;
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        if quote.is_none() && !escaped && c.is_whitespace() {
            words.extend(start.take().map(|start| start..at));
            continue;
        }
        start.get_or_insert(at);
        if escaped {
            escaped = false;
        } else if c == '\\' && quote != Some('\'') {
            escaped = true;
        } else if quote == Some(c) {
            quote = None;
        } else if quote.is_none() && matches!(c, '"' | '\'') {
            quote = Some(c);
        }
    }
    words.extend(start.map(|start| start..text.len()));
    words
}

#[cfg(test)]
mod tests {
    use super::markers;

    #[test]
    fn markers_are_words_of_their_own() {
        type Case = (
            &'static str,
            &'static str,
            &'static [(&'static str, bool, bool)],
        );
        let cases: [Case; 9] = [
            ("RUN", "<<EOF", &[("EOF", true, false)]),
            ("RUN", "cat <<-'X Y' > f", &[("X Y", false, true)]),
            ("RUN", "python3 <<EOF>out", &[("EOF", true, false)]),
            (
                "COPY",
                "<<a <<b /d/",
                &[("a", true, false), ("b", true, false)],
            ),
            ("RUN", "cat <<< word", &[]),
            ("RUN", "echo '<<EOF'", &[]),
            ("RUN", "[\"sh\", \"-c\", \"cat <<EOF\"]", &[]),
            ("CMD", "cat <<EOF", &[]),
            ("ONBUILD", "RUN cat <<EOF", &[("EOF", true, false)]),
        ];
        for (keyword, args, expected) in cases {
            let found = markers(keyword, args);
            let found: Vec<_> = found
                .iter()
                .map(|doc| (doc.name.as_str(), doc.expand, doc.strip_tabs))
                .collect();
            assert_eq!(found, expected, "{keyword} {args}");
        }
    }
}
