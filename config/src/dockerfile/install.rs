//! Commands that only install packages: they can be said as `[dependencies]`.
//!
//! Recognised is only what a provider of `hd` would do in the same way; anything more stays a step.

use crate::ingest::shell::quote;
use crate::project::{Dependency, DependencyKind, Provider};

/// What a script does when it does nothing but install; `at_project` when it runs where the project
/// stands, `has` tells of files there.
pub(crate) fn recognise(
    script: &str,
    at_project: bool,
    has: &dyn Fn(&str) -> bool,
) -> Option<Dependency> {
    let commands: Vec<Vec<&str>> = commands(script)?;
    let words = |at: usize| commands.get(at).map_or(&[] as &[&str], Vec::as_slice);
    let dependency = |provider, kind| Some(Dependency { provider, kind });
    match (words(0), commands.len()) {
        (["apt-get" | "apt", rest @ ..], 1..) if !rest.contains(&"install") => {
            let packages = apt(&commands)?;
            dependency(Provider::Apt, DependencyKind::List(packages))
        }
        (["pip" | "pip3", "install", rest @ ..], 1) => pip(rest, at_project, has),
        (["npm", "ci"], 1) if at_project && has("package.json") && has("package-lock.json") => {
            dependency(
                Provider::Npm,
                DependencyKind::File("package.json".to_owned()),
            )
        }
        (["npm", "install" | "i"], 1)
            if at_project && has("package.json") && !has("package-lock.json") =>
        {
            dependency(
                Provider::Npm,
                DependencyKind::File("package.json".to_owned()),
            )
        }
        _ => None,
    }
}

/// Splits a script of plain commands joined by `&&`; `None` when it is anything more.
fn commands(script: &str) -> Option<Vec<Vec<&str>>> {
    let plain = |c: char| c.is_ascii_alphanumeric() || " \t_-./:=+~@,[]<>!*&".contains(c);
    if !script.chars().all(plain) || script.replace("&&", "").contains('&') {
        return None;
    }
    let split = script
        .split("&&")
        .map(|command| command.split_whitespace().collect());
    let commands: Vec<Vec<&str>> = split.collect();
    let redirects = |word: &&str| word.starts_with(['<', '>']) || word.starts_with("2>");
    let odd = commands
        .iter()
        .flatten()
        .any(|word| redirects(word) || word.contains('!') && !word.contains("!="));
    (!odd).then_some(commands)
}

/// `apt-get update && apt-get install -y --no-install-recommends … && rm -rf /var/lib/apt/lists/*`.
fn apt(commands: &[Vec<&str>]) -> Option<Vec<String>> {
    let (update, rest) = commands.split_first()?;
    let options = |word: &&&str| word.starts_with('-');
    let is_update = update
        .iter()
        .skip(1)
        .filter(|word| !options(word))
        .eq([&"update"]);
    let (install, rest) = rest.split_first()?;
    let [_, words @ ..] = install.as_slice() else {
        return None;
    };
    if !is_update || !["apt-get", "apt"].contains(install.first()?) {
        return None;
    }
    let known = [
        "-y",
        "-yq",
        "-qy",
        "-q",
        "-qq",
        "-yqq",
        "-qqy",
        "--yes",
        "--no-install-recommends",
    ];
    if !words
        .iter()
        .filter(options)
        .all(|option| known.contains(option))
    {
        return None;
    }
    // The provider leaves recommended packages out; so must the command have done.
    if !words.contains(&"--no-install-recommends") {
        return None;
    }
    let mut names = words.iter().filter(|word| !word.starts_with('-'));
    if names.next() != Some(&"install") {
        return None;
    }
    let packages: Vec<String> = names.map(|name| (*name).to_owned()).collect();
    let odd = |name: &String| name.contains(['/', '*', '[', '<', '>', '~']);
    let clean = |words: &Vec<&str>| match words.as_slice() {
        ["rm", "-rf" | "-fr" | "-r", paths @ ..] => paths.iter().all(|path| {
            path.starts_with("/var/lib/apt/lists") || path.starts_with("/var/cache/apt")
        }),
        ["apt-get" | "apt", rest @ ..] => rest
            .iter()
            .all(|word| ["clean", "autoclean", "-y"].contains(word)),
        _ => false,
    };
    (!packages.is_empty() && !packages.iter().any(odd) && rest.iter().all(clean))
        .then_some(packages)
}

fn pip(words: &[&str], at_project: bool, has: &dyn Fn(&str) -> bool) -> Option<Dependency> {
    let quiet = [
        "--no-cache-dir",
        "--no-cache",
        "--disable-pip-version-check",
        "-q",
        "--quiet",
    ];
    let words: Vec<&str> = words
        .iter()
        .copied()
        .filter(|word| !quiet.contains(word))
        .collect();
    let provider = Provider::Pip;
    if let ["-r" | "--requirement", file] = words.as_slice() {
        let file = file.trim_start_matches("./");
        let fit = at_project && has(file) && !file.starts_with(['/', '.']);
        return fit.then(|| Dependency {
            provider,
            kind: DependencyKind::File(file.to_owned()),
        });
    }
    let plain = |word: &&str| {
        !word.starts_with('-')
            && !word.contains(['/', '*'])
            && quote(word).len() < word.len() + 3
            && !word.starts_with('.')
    };
    if words.is_empty()
        || !words.iter().all(plain)
        || words.iter().any(|word| word.contains(['<', '>']))
    {
        return None;
    }
    let packages = words.iter().map(|word| (*word).to_owned()).collect();
    Some(Dependency {
        provider,
        kind: DependencyKind::List(packages),
    })
}

#[cfg(test)]
mod tests {
    use super::recognise;

    fn found(script: &str) -> String {
        let has =
            |file: &str| ["requirements.txt", "package.json", "package-lock.json"].contains(&file);
        match recognise(script, true, &has) {
            Some(found) => format!("{} {:?}", found.provider, found.kind),
            None => "-".to_owned(),
        }
    }

    #[test]
    fn only_plain_installs_are_recognised() {
        let cases = [
            (
                "apt-get update && apt-get install -y --no-install-recommends curl git && rm -rf /var/lib/apt/lists/*",
                "apt List([\"curl\", \"git\"])",
            ),
            ("apt-get update && apt-get install -y curl", "-"),
            (
                "apt-get update && apt-get install -y --no-install-recommends $X",
                "-",
            ),
            (
                "apt-get update && apt-get install -y --no-install-recommends a && make",
                "-",
            ),
            ("apt-get install -y --no-install-recommends curl", "-"),
            (
                "pip install --no-cache-dir -r requirements.txt",
                "pip File(\"requirements.txt\")",
            ),
            ("pip install -r other.txt", "-"),
            (
                "pip install flask==3.0 uvicorn[standard]",
                "pip List([\"flask==3.0\", \"uvicorn[standard]\"])",
            ),
            ("pip install -U pip", "-"),
            ("pip install .", "-"),
            ("npm ci", "npm File(\"package.json\")"),
            ("npm ci --omit=dev", "-"),
            ("npm ci && npm run build", "-"),
            ("npm install", "-"),
            ("cargo build --release", "-"),
        ];
        for (script, expected) in cases {
            assert_eq!(found(script), expected, "{script}");
        }
    }
}
