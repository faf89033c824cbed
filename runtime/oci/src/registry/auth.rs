//! `WWW-Authenticate` challenges (RFC 9110 §11.6.1, the distribution project's token scheme).

use std::fmt;

/// Is a way in that a registry offers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Challenge {
    /// A token from another server.
    Bearer {
        realm: String,
        service: Option<String>,
        scope: Option<String>,
    },
    /// Name and password in each request.
    Basic,
}

/// Holds what must never be shown.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret(pub(crate) String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

/// Is what a request carries to be let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Authorization {
    Basic {
        user: String,
        password: Secret,
    },
    Bearer {
        token: Secret,
        /// It was given to somebody who showed nothing.
        is_anonymous: bool,
    },
}

impl Authorization {
    pub(crate) fn apply(&self, request: reqwest::RequestBuilder) -> reqwest::RequestBuilder {
        match self {
            Authorization::Basic { user, password } => request.basic_auth(user, Some(&password.0)),
            Authorization::Bearer { token, .. } => request.bearer_auth(&token.0),
        }
    }

    /// Says whether a credential is behind it.
    pub(crate) fn is_credential(&self) -> bool {
        !matches!(
            self,
            Authorization::Bearer {
                is_anonymous: true,
                ..
            }
        )
    }
}

/// Reads the challenges of all `WWW-Authenticate` lines and returns the best that is understood.
pub(crate) fn best_challenge<'a>(lines: impl Iterator<Item = &'a str>) -> Option<Challenge> {
    let all: Vec<Challenge> = lines.flat_map(challenges).collect();
    let bearer = all.iter().find(|c| matches!(c, Challenge::Bearer { .. }));
    bearer.or(all.first()).cloned()
}

fn challenges(line: &str) -> Vec<Challenge> {
    let mut found = Vec::new();
    let mut rest = line.trim_start();
    while let Some((scheme, after)) = token(rest) {
        let (parameters, after) = parameters(after.trim_start());
        let value = |name: &str| {
            let hit = parameters
                .iter()
                .find(|(key, _)| key.eq_ignore_ascii_case(name));
            hit.map(|(_, value)| value.clone())
        };
        if scheme.eq_ignore_ascii_case("basic") {
            found.push(Challenge::Basic);
        } else if scheme.eq_ignore_ascii_case("bearer")
            && let Some(realm) = value("realm")
        {
            let (service, scope) = (value("service"), value("scope"));
            found.push(Challenge::Bearer {
                realm,
                service,
                scope,
            });
        }
        rest = after.trim_start_matches([',', ' ', '\t']);
        if rest.len() == line.len() {
            break;
        }
    }
    found
}

/// Splits a leading token off.
fn token(text: &str) -> Option<(&str, &str)> {
    let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c)));
    let (head, tail) = text.split_at(end.unwrap_or(text.len()));
    (!head.is_empty()).then_some((head, tail))
}

/// Reads `name=value` pairs up to the next scheme, and returns what follows.
fn parameters(mut text: &str) -> (Vec<(String, String)>, &str) {
    let mut pairs = Vec::new();
    loop {
        let Some((name, after)) = token(text) else {
            return (pairs, text);
        };
        let Some(after) = after.trim_start().strip_prefix('=') else {
            // No `=`: this is the next scheme.
            return (pairs, text);
        };
        let after = after.trim_start();
        let (value, after) = match after.strip_prefix('"') {
            Some(quoted) => quoted_string(quoted),
            None => token(after).map_or((String::new(), after), |(v, rest)| (v.to_owned(), rest)),
        };
        pairs.push((name.to_owned(), value));
        match after.trim_start().strip_prefix(',') {
            Some(next) => text = next.trim_start(),
            None => return (pairs, after),
        }
    }
}

/// Reads up to the closing quote, taking backslash escapes.
fn quoted_string(text: &str) -> (String, &str) {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return (value, &text[at + 1..]),
            '\\' => value.extend(characters.next().map(|(_, escaped)| escaped)),
            other => value.push(other),
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bearer(realm: &str, service: Option<&str>, scope: Option<&str>) -> Challenge {
        Challenge::Bearer {
            realm: realm.to_owned(),
            service: service.map(str::to_owned),
            scope: scope.map(str::to_owned),
        }
    }

    #[test]
    fn challenges_are_read() {
        let table: &[(&[&str], Option<Challenge>)] = &[
            (
                &[
                    r#"Bearer realm="https://auth.example/token",service="registry",scope="repository:a/b:pull,push""#,
                ],
                Some(bearer(
                    "https://auth.example/token",
                    Some("registry"),
                    Some("repository:a/b:pull,push"),
                )),
            ),
            (&[r#"Basic realm="x""#], Some(Challenge::Basic)),
            (
                &[r#"Basic realm="a, b=c", Bearer realm=r"#],
                Some(bearer("r", None, None)),
            ),
            (
                &["Basic realm=x", r#"bearer Realm="q\"x""#],
                Some(bearer("q\"x", None, None)),
            ),
            (&["Negotiate", "NTLM"], None),
            (&["Bearer service=x"], None),
            (&["", ",", "=", "\"", "é"], None),
        ];
        for (lines, wanted) in table {
            assert_eq!(best_challenge(lines.iter().copied()), *wanted, "{lines:?}");
        }
    }

    #[test]
    fn secrets_do_not_show() {
        let password = Secret("hunter2".to_owned());
        let shown = format!(
            "{:?}",
            Authorization::Basic {
                user: "me".to_owned(),
                password
            }
        );
        assert!(!shown.contains("hunter2"), "{shown}");
    }

    proptest! {
        #[test]
        fn no_header_hangs_or_panics(line in "[Bb=,\"\\\\ a-z]{0,40}|\\PC{0,40}") {
            let _ = best_challenge([line.as_str()].into_iter());
        }
    }
}
