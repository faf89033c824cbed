//! RUN as the command of a step.

use super::event::Run;
use super::instruction::Form;
use crate::ingest::shell::{join, quote};

/// The command alone, as a line or script for `sh`.
pub(crate) fn text(run: &Run) -> String {
    let shell: Vec<&str> = run.shell.iter().map(String::as_str).collect();
    let line = match &run.form {
        Form::Exec(words) => return join(words.iter().map(String::as_str)),
        Form::Shell(line) => line,
    };
    let script = match run.heredocs.as_slice() {
        [only] if is_marker_alone(line, only.marker.len()) => {
            if only.body.starts_with("#!") {
                return program(&only.body);
            }
            only.body.trim_end_matches('\n').to_owned()
        }
        all => {
            let mut script = tidy(line, &run.joints);
            for doc in all {
                script.push_str(&format!("\n{}{}", doc.body, doc.name));
            }
            script
        }
    };
    match shell.as_slice() {
        ["/bin/sh" | "sh", "-c"] => script,
        shell => format!("{} {}", join(shell.iter().copied()), quote(&script)),
    }
}

fn is_marker_alone(line: &str, length: usize) -> bool {
    let line = line.trim();
    line.starts_with("<<") && line.len() == length
}

/// A script with an interpreter of its own.
fn program(body: &str) -> String {
    let end = if body.lines().any(|line| line == "SCRIPT") {
        "END_OF_SCRIPT"
    } else {
        "SCRIPT"
    };
    format!("cat > /tmp/script <<'{end}' && chmod +x /tmp/script && /tmp/script\n{body}{end}\n")
}

/// Shows joined lines with one space where their indentation was, outside of quotes.
fn tidy(line: &str, joints: &[usize]) -> String {
    let mut out = String::new();
    let mut quote = None;
    let mut escaped = false;
    let mut skipping = false;
    for (at, c) in line.char_indices() {
        if joints.contains(&at) && quote.is_none() && !escaped {
            let spaced = out.ends_with([' ', '\t']) || c == ' ' || c == '\t';
            if spaced {
                out.truncate(out.trim_end_matches([' ', '\t']).len());
                out.push(' ');
                skipping = true;
            }
        }
        if skipping && (c == ' ' || c == '\t') {
            continue;
        }
        skipping = false;
        out.push(c);
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
    out
}

#[cfg(test)]
mod tests {
    use super::tidy;

    #[test]
    fn indentation_goes_where_no_quote_holds_it() {
        let line = "a &&     b 'x   y'";
        assert_eq!(tidy(line, &[5, 13]), "a && b 'x   y'");
        assert_eq!(tidy("foobar", &[3]), "foobar");
    }
}
