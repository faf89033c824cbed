//! Short names for steps, from their first words.
//!
//! The rule: take the first command of the line (up to `&&`, `||`, `;` or `|`; a leading `cd` is
//! passed over), leave out assignments (`A=b`), wrappers (`env`, `exec`, `sudo`, `time`), options,
//! the values of `-r -f -C -o -j -t`, numbers, and words that look like files (with `/` or `.`); the
//! program counts by its file name. The first three words that remain, joined by `-`, in lower case,
//! are the slug: `pip install -r requirements.txt` → `pip-install`, `.venv/bin/pip install x` →
//! `pip-install-x`, `python3 -I -m venv .venv` → `python3-venv`. When only the program remains, the
//! first file is added without its extension: `python3 setup.py` → `python3-setup`.

use std::collections::BTreeSet;

const MAX_WORDS: usize = 3;
const MAX_CHARS: usize = 32;
const WRAPPERS: &[&str] = &["env", "exec", "sudo", "time"];
const OPTIONS_WITH_VALUE: &[&str] = &["-r", "-f", "-C", "-o", "-j", "-t"];

/// Makes the slug of one command; it may equal that of another.
#[must_use]
pub fn slug(command: &str) -> String {
    let words = first_command(command);
    let mut words = words
        .into_iter()
        .skip_while(|word| WRAPPERS.contains(word) || is_assignment(word) || word.starts_with('-'));
    let Some(program) = words.next() else {
        return "run".to_owned();
    };
    let (names, file) = arguments(words);
    let mut parts = vec![clean(stem(program))];
    parts.extend(names);
    if parts.len() == 1
        && let Some(file) = file
    {
        parts.push(clean(stem(file)));
    }
    parts.retain(|part| !part.is_empty());
    parts.truncate(MAX_WORDS);
    let joined: String = parts.join("-").chars().take(MAX_CHARS).collect();
    let joined = joined.trim_matches('-');
    if joined.is_empty() {
        "run".to_owned()
    } else {
        joined.to_owned()
    }
}

/// Makes slugs that differ from each other and from `step-1`…: a repeated one gets `-2`, `-3`.
#[must_use]
pub fn unique_slugs<'a>(commands: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let commands: Vec<&str> = commands.into_iter().collect();
    let mut taken: BTreeSet<String> = (1..=commands.len()).map(|n| format!("step-{n}")).collect();
    let mut slugs = Vec::with_capacity(commands.len());
    for command in commands {
        let base = slug(command);
        let mut candidate = base.clone();
        let mut number = 1;
        while !taken.insert(candidate.clone()) {
            number += 1;
            candidate = format!("{base}-{number}");
        }
        slugs.push(candidate);
    }
    slugs
}

/// The words of the first command that is not `cd`.
fn first_command(line: &str) -> Vec<&str> {
    let commands = line.split(['&', '|', ';', '\n']);
    let mut commands = commands.map(|command| command.split_whitespace().collect::<Vec<_>>());
    commands
        .find(|words| words.first().is_some_and(|word| *word != "cd"))
        .unwrap_or_default()
}

/// Separates what names the work from options and files; also gives the first file.
fn arguments<'a>(words: impl Iterator<Item = &'a str>) -> (Vec<String>, Option<&'a str>) {
    let mut names = Vec::new();
    let mut file = None;
    let mut is_value = false;
    for word in words {
        let skip = std::mem::replace(&mut is_value, OPTIONS_WITH_VALUE.contains(&word));
        if skip || word.starts_with('-') || is_assignment(word) {
            continue;
        }
        if word.contains(['/', '.']) {
            file = file.or(Some(word));
            continue;
        }
        let name = clean(word);
        if !name.is_empty() && !name.chars().all(|c| c.is_ascii_digit()) {
            names.push(name);
        }
    }
    (names, file)
}

fn is_assignment(word: &str) -> bool {
    word.split_once('=')
        .is_some_and(|(name, _)| name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'))
}

/// The file name without directories and extension: `./build.sh` is `build`.
fn stem(word: &str) -> &str {
    let name = word
        .trim_end_matches('/')
        .rsplit('/')
        .next()
        .unwrap_or(word);
    match name.rsplit_once('.') {
        Some((stem, extension))
            if !stem.is_empty() && extension.chars().all(char::is_alphabetic) =>
        {
            stem
        }
        _ => name,
    }
}

/// Lower case letters, digits and single dashes.
fn clean(word: &str) -> String {
    let mut out = String::new();
    for c in word.chars() {
        if c.is_ascii_alphanumeric() {
            out.push(c.to_ascii_lowercase());
        } else if !out.is_empty() && !out.ends_with('-') && !matches!(c, '\'' | '"') {
            out.push('-');
        }
    }
    out.trim_end_matches('-').to_owned()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::{slug, unique_slugs};

    #[test]
    fn slugs_are_short_and_readable() {
        let cases = [
            ("pip install -r requirements.txt", "pip-install"),
            (".venv/bin/pip install -r x", "pip-install"),
            ("python3 -I -m venv .venv", "python3-venv"),
            ("npm ci", "npm-ci"),
            ("npm run build", "npm-run-build"),
            ("npm run build:prod -- --watch", "npm-run-build-prod"),
            ("cd web && npm ci", "npm-ci"),
            ("NODE_ENV=production npm run build", "npm-run-build"),
            ("cargo build --release", "cargo-build"),
            ("make -j4 all", "make-all"),
            ("make -j 4", "make"),
            ("./scripts/build.sh", "build"),
            ("python3 setup.py", "python3-setup"),
            (
                "apt-get update && apt-get install -y curl",
                "apt-get-update",
            ),
            ("sh -c 'npm ci'", "sh-npm-ci"),
            ("true", "true"),
            ("&&", "run"),
            ("日本", "run"),
        ];
        for (command, expected) in cases {
            assert_eq!(slug(command), expected, "{command}");
        }
    }

    #[test]
    fn repeated_slugs_are_numbered() {
        let slugs = unique_slugs(["npm ci", "npm ci", "npm ci -2", "step-2", "npm ci"]);
        assert_eq!(
            slugs,
            ["npm-ci", "npm-ci-2", "npm-ci-3", "step-2-2", "npm-ci-4"]
        );
    }

    proptest! {
        #[test]
        fn slugs_are_distinct_and_safe(commands in prop::collection::vec(".{0,40}", 0..12)) {
            let slugs = unique_slugs(commands.iter().map(String::as_str));
            let distinct: BTreeSet<&String> = slugs.iter().collect();
            prop_assert_eq!(distinct.len(), commands.len());
            for slug in &slugs {
                prop_assert!(!slug.is_empty());
                prop_assert!(slug.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'));
            }
        }
    }
}
