//! Words for a POSIX shell.

/// Quotes a word unless it is plain.
pub(crate) fn quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./:=@%+,".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

/// Quotes what is no wildcard, so that `*`, `?` and `[…]` still work.
pub(crate) fn quote_glob(pattern: &str) -> String {
    let mut out = String::new();
    for c in pattern.chars() {
        let plain = c.is_ascii_alphanumeric() || "_-./:=@%+,*?[]!^".contains(c) || !c.is_ascii();
        if !plain && c == '\n' {
            out.push_str("'\n'");
            continue;
        }
        if !plain {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

/// Quotes words and joins them.
pub(crate) fn join<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    words.into_iter().map(quote).collect::<Vec<_>>().join(" ")
}

/// Tells whether a word holds a wildcard.
pub(crate) fn is_glob(word: &str) -> bool {
    word.contains(['*', '?', '['])
}

#[cfg(test)]
mod tests {
    use super::{join, quote, quote_glob};

    #[test]
    fn words_survive_the_shell() {
        let cases = [
            ("a/b.c", "a/b.c"),
            ("", "''"),
            ("a b", "'a b'"),
            ("it's", "'it'\\''s'"),
            ("$x", "'$x'"),
        ];
        for (word, expected) in cases {
            assert_eq!(quote(word), expected);
        }
        assert_eq!(join(["a", "b c"]), "a 'b c'");
        assert_eq!(quote_glob("a b/*.tx?"), "a\\ b/*.tx?");
    }
}
