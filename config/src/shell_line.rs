//! A line for the shell whose last command takes the place of the shell.
//!
//! Signals and the exit code are then those of the program itself, with no shell between. Where that is not
//! certain the line stays as it is, which is always right: the shell then stays too.

/// Words that begin more than a simple command.
const GRAMMAR: [&str; 19] = [
    "!", "{", "}", "[[", "case", "do", "done", "elif", "else", "esac", "fi", "for", "function",
    "if", "in", "then", "until", "while", "time",
];

/// What the shell does itself: there may be no program of that name, or it would do nothing.
const BUILT_IN: [&str; 30] = [
    ".", ":", "[", "alias", "break", "cd", "command", "continue", "echo", "eval", "exec", "exit",
    "export", "false", "kill", "local", "printf", "read", "readonly", "return", "set", "shift",
    "source", "test", "trap", "true", "ulimit", "umask", "unset", "wait",
];

/// What only a shell that stays can do: it acts after the last command, or on a signal.
const TRAP: &str = "trap";

/// Puts `exec` before the last command of a list of simple ones: `cd a && exec b`.
pub(crate) fn executing(line: &str) -> String {
    let at = last_command(line).filter(|at| is_program(&line[*at..]));
    match at {
        Some(at) => {
            let (before, last) = line.split_at(at);
            format!("{before}exec {last}")
        }
        None => line.to_owned(),
    }
}

/// Where the last command begins, after its assignments; nothing where the line is more than a list
/// of simple commands joined by `&&`, `;` and line ends.
fn last_command(line: &str) -> Option<usize> {
    let mut scan = Scan::default();
    let mut chars = line.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        let next = chars.peek().map(|(_, next)| *next);
        match scan.step(line, at, c, next) {
            Step::On => {}
            Step::Skip => drop(chars.next()),
            Step::Lost => return None,
        }
    }
    let whole = scan.quote.is_none() && scan.depth == 0;
    let first_words = scan.begins.iter().map(|begin| first_word(&line[*begin..]));
    let plain = first_words
        .rev()
        .skip(1)
        .all(|word| !word.is_empty() && !GRAMMAR.contains(&word) && word != TRAP);
    let begin = *scan.begins.last()?;
    (whole && plain).then(|| begin + assignments(&line[begin..]))
}

enum Step {
    On,
    /// The next character belongs to this one.
    Skip,
    /// More than is understood here.
    Lost,
}

struct Scan {
    quote: Option<char>,
    /// How many `$(` are open.
    depth: usize,
    /// Where commands begin.
    begins: Vec<usize>,
    last: char,
}

impl Default for Scan {
    fn default() -> Self {
        Self {
            quote: None,
            depth: 0,
            begins: vec![0],
            last: ' ',
        }
    }
}

impl Scan {
    fn step(&mut self, line: &str, at: usize, c: char, next: Option<char>) -> Step {
        let last = std::mem::replace(&mut self.last, c);
        match (self.quote, c) {
            (Some('\''), '\'') | (Some('"'), '"') => self.quote = None,
            (Some('\''), _) => {}
            (_, '\\') => return Step::Skip,
            (_, '`') => return Step::Lost,
            (Some(_), '$') if next == Some('(') => return Step::Lost,
            (Some(_), _) => {}
            (None, '\'' | '"') => self.quote = Some(c),
            (None, '$') if next == Some('(') => {
                self.depth += 1;
                return Step::Skip;
            }
            (None, '(') if self.depth == 0 => return Step::Lost,
            (None, '(') => self.depth += 1,
            (None, ')') if self.depth == 0 => return Step::Lost,
            (None, ')') => self.depth -= 1,
            _ if self.depth > 0 => {}
            (None, '|') => return Step::Lost,
            (None, '<') if next == Some('<') => return Step::Lost,
            (None, '#') if last.is_whitespace() || at == 0 => return Step::Lost,
            (None, '&') if matches!(last, '>' | '<') => {}
            (None, '&') if next == Some('&') => {
                self.begins.push(at + 2);
                return Step::Skip;
            }
            (None, '&') => return Step::Lost,
            (None, ';') if next == Some(';') => return Step::Lost,
            // A separator at the very end separates nothing.
            (None, ';' | '\n') if !line[at + 1..].trim().is_empty() => self.begins.push(at + 1),
            _ => {}
        }
        Step::On
    }
}

fn first_word(command: &str) -> &str {
    command.split_whitespace().next().unwrap_or_default()
}

/// Tells whether a command, without assignments, is a program's and not the shell's.
fn is_program(command: &str) -> bool {
    let word = first_word(command).trim_end_matches(';');
    let of_shell = GRAMMAR.contains(&word) || BUILT_IN.contains(&word);
    // `> file` alone, and what only an expansion would tell, are left to the shell.
    !word.is_empty() && !of_shell && !word.starts_with(['<', '>', '$'])
}

/// The length of the assignments and blanks that a command begins with.
fn assignments(command: &str) -> usize {
    let mut rest = command.trim_start();
    while let Some(length) = assignment(rest) {
        rest = rest[length..].trim_start();
    }
    command.len() - rest.len()
}

/// The length of `NAME=value`, quotes in the value included.
fn assignment(text: &str) -> Option<usize> {
    let (name, value) = text.split_once('=')?;
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if name.is_empty() || !name.chars().all(plain) || name.starts_with(|c: char| c.is_ascii_digit())
    {
        return None;
    }
    let mut quote = None;
    let mut escaped = false;
    let end = value.char_indices().find(|(_, c)| {
        match (quote, *c) {
            _ if std::mem::take(&mut escaped) => {}
            (None | Some('"'), '\\') => escaped = true,
            (None, '\'' | '"') => quote = Some(*c),
            (Some(open), c) if open == c => quote = None,
            (None, c) => return c.is_whitespace(),
            _ => {}
        }
        false
    });
    let end = end.map_or(value.len(), |(at, _)| at);
    Some(name.len() + 1 + end)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::executing;

    #[test]
    fn the_last_of_simple_commands_takes_the_place_of_the_shell() {
        let cases = [
            ("python app.py", "exec python app.py"),
            ("cd app && npm start", "cd app && exec npm start"),
            ("A=1 B='x y' npm start", "A=1 B='x y' exec npm start"),
            ("export A=1; npm start", "export A=1; exec npm start"),
            (
                "set -e\ncd a\nnpm start\n",
                "set -e\ncd a\nexec npm start\n",
            ),
            (
                "web -w $(nproc | head -1) > log 2>&1",
                "exec web -w $(nproc | head -1) > log 2>&1",
            ),
            (
                "echo 'a && b' && web \"a;b\"",
                "echo 'a && b' && exec web \"a;b\"",
            ),
            (". ./env && web ;", ". ./env && exec web ;"),
        ];
        for (line, expected) in cases {
            assert_eq!(executing(line), expected);
        }
    }

    #[test]
    fn what_is_more_than_that_is_left_to_the_shell() {
        let cases = [
            "while :; do web; done",
            "if true; then web; fi",
            "for i in 1 2; do web; done",
            "web | tee log",
            "web || other",
            "web & wait",
            "(cd app; web)",
            "{ web; }",
            "exec web",
            "web && cd x",
            "trap 'rm -f pid' EXIT; web",
            "web \"$(cat x)\" && other `date`",
            "cat << END\nx\nEND",
            "A=1",
            "$WEB --port 1",
            "web 'open",
            "> log",
            "",
        ];
        for line in cases {
            assert_eq!(executing(line), line);
        }
    }

    proptest! {
        #[test]
        fn only_exec_is_ever_added(line in "(\\PC|[;&|()'\"$`= \n]|exec |cd |A=1 ){0,12}") {
            let found = executing(&line);
            prop_assert!(found == line || found.replacen("exec ", "", 1) == line || line.contains("exec"));
        }
    }
}
