//! `.dockerignore` as the globs of `[files] exclude`.
//!
//! Its patterns begin at the root of the context and the last match wins; those of `hd.toml` follow
//! gitignore, so each one is anchored. Below a hidden directory gitignore shows nothing again.

/// Translates the lines for a context at `prefix` of the project, empty where it is the project; also
/// gives those that cannot mean the same.
pub(crate) fn globs(text: &str, prefix: &str) -> (Vec<String>, Vec<String>) {
    let (globs, weaker) = of_context(text);
    let below = |glob: String| {
        let (not, pattern) = match glob.strip_prefix('!') {
            Some(pattern) => ("!", pattern),
            None => ("", glob.as_str()),
        };
        let pattern = pattern.trim_start_matches('/');
        format!("{not}/{prefix}/{pattern}")
    };
    match prefix.is_empty() {
        true => (globs, weaker),
        false => (globs.into_iter().map(below).collect(), weaker),
    }
}

fn of_context(text: &str) -> (Vec<String>, Vec<String>) {
    let mut globs: Vec<String> = Vec::new();
    let mut weaker = Vec::new();
    for line in text.trim_start_matches('\u{feff}').lines() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (not, pattern) = match line.strip_prefix('!') {
            Some(pattern) => ("!", pattern.trim()),
            None => ("", line),
        };
        let pattern = pattern.trim_start_matches("./").trim_matches('/');
        if pattern.is_empty() || pattern == "." {
            continue;
        }
        let hidden = |glob: &String| {
            let dir = glob.trim_start_matches('/');
            !glob.starts_with('!')
                && pattern
                    .strip_prefix(dir)
                    .is_some_and(|rest| rest.starts_with('/'))
        };
        let all = globs
            .iter()
            .any(|glob| glob == "/*" || glob == "**" || glob == "/**");
        if not == "!" && (globs.iter().any(hidden) || all && pattern.contains('/')) {
            weaker.push(line.to_owned());
        }
        let anchored = if pattern.starts_with("**") {
            pattern.to_owned()
        } else {
            format!("/{pattern}")
        };
        // A `**` alone would hide what a later line takes back from below.
        let anchored = if anchored == "**" {
            "/*".to_owned()
        } else {
            anchored
        };
        globs.push(format!("{not}{anchored}"));
    }
    (globs, weaker)
}

#[cfg(test)]
mod tests {
    use super::globs;

    #[test]
    fn patterns_are_anchored() {
        let (found, weaker) = globs(
            "# x\nnode_modules\n*.md\n!README.md\n**/*.pyc\n/dist/\n./a\n\ndocs\n!docs/x.md\n",
            "",
        );
        assert_eq!(
            found,
            [
                "/node_modules",
                "/*.md",
                "!/README.md",
                "**/*.pyc",
                "/dist",
                "/a",
                "/docs",
                "!/docs/x.md"
            ]
        );
        assert_eq!(weaker, ["!docs/x.md"]);
        assert_eq!(globs("*\n!src\n", "").0, ["/*", "!/src"]);
        assert_eq!(
            globs("*\n!src\n**/*.pyc\n**\n", "back").0,
            ["/back/*", "!/back/src", "/back/**/*.pyc", "/back/*"]
        );
    }
}
