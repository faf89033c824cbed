//! Shell patterns of `*` and `?` for cutting values.

/// Tells whether the whole text matches.
fn matches(text: &[char], pattern: &[char]) -> bool {
    // The usual two-finger walk: it goes back to the last `*` only, so it stays quadratic.
    let (mut t, mut p) = (0, 0);
    let mut star = None;
    while t < text.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(c) if *c == '?' || text.get(t) == Some(c) => {
                t += 1;
                p += 1;
            }
            _ => {
                let Some((at, from)) = star else { return false };
                star = Some((at, from + 1));
                (p, t) = (at + 1, from + 1);
            }
        }
    }
    pattern
        .get(p..)
        .is_some_and(|rest| rest.iter().all(|c| *c == '*'))
}

fn chars(text: &str) -> Vec<char> {
    text.chars().collect()
}

/// Tells whether a name may fit a wildcard of COPY; a class of characters counts as any of them.
pub(super) fn may_fit(name: &str, wildcard: &str) -> bool {
    let mut pattern = Vec::new();
    let mut rest = wildcard.chars();
    while let Some(c) = rest.next() {
        match c {
            '[' => {
                rest.by_ref().find(|c| *c == ']');
                pattern.push('?');
            }
            '\\' => pattern.extend(rest.next()),
            c => pattern.push(c),
        }
    }
    matches(&chars(name), &pattern)
}

/// Removes the shortest or longest beginning that matches.
pub(super) fn remove_prefix(value: &str, pattern: &str, longest: bool) -> String {
    let (value, pattern) = (chars(value), chars(pattern));
    let hit = |end: &usize| {
        value
            .get(..*end)
            .is_some_and(|part| matches(part, &pattern))
    };
    let mut ends = 0..=value.len();
    let end = if longest {
        ends.rev().find(hit)
    } else {
        ends.find(hit)
    };
    value.iter().skip(end.unwrap_or(0)).collect()
}

/// Removes the shortest or longest end that matches.
pub(super) fn remove_suffix(value: &str, pattern: &str, longest: bool) -> String {
    let (value, pattern) = (chars(value), chars(pattern));
    let hit = |start: &usize| {
        value
            .get(*start..)
            .is_some_and(|part| matches(part, &pattern))
    };
    let mut starts = 0..=value.len();
    let start = if longest {
        starts.find(hit)
    } else {
        starts.rev().find(hit)
    };
    value.iter().take(start.unwrap_or(value.len())).collect()
}

/// Replaces the first match, the longest at its place, or all of them.
pub(super) fn replace(value: &str, pattern: &str, with: &str, all: bool) -> String {
    let (value, pattern) = (chars(value), chars(pattern));
    let mut out = String::new();
    let mut at = 0;
    let mut done = pattern.is_empty();
    while at < value.len() {
        let hit = |end: &usize| {
            value
                .get(at..*end)
                .is_some_and(|part| matches(part, &pattern))
        };
        let end = if done {
            None
        } else {
            (at + 1..=value.len()).rev().find(hit)
        };
        match end {
            Some(end) => {
                out.push_str(with);
                at = end;
                done = !all;
            }
            None => {
                out.extend(value.get(at));
                at += 1;
            }
        }
    }
    out
}
