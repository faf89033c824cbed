//! What became of each line, for people and for programs.

use std::path::Path;

use hd_config::ingest::{Imported, Line, Verdict};
use serde_json::{Value, json};

use crate::error::CliError;
use crate::output::Output;
use crate::project::shown;

/// Prints the report; `check` says that nothing was written.
pub(super) fn print(
    imported: &Imported,
    check: bool,
    file: &Path,
    output: Output,
) -> Result<(), CliError> {
    let missing = imported.lines.iter().filter(|line| line.needed).count();
    if output.json {
        let lines: Vec<Value> = imported.lines.iter().map(line_json).collect();
        let written = (!check).then(|| file.display().to_string());
        return output.value(&json!({
            "schema": 1,
            "file": written,
            "complete": imported.is_complete(),
            "toml": imported.toml,
            "lines": lines,
        }));
    }
    output.data(&text(&imported.lines))?;
    let end = if missing > 0 {
        format!("; {missing} of its lines need something that cannot be had, see `not supported`")
    } else {
        String::new()
    };
    if check {
        output.talk(&format!("nothing written{end}"));
    } else {
        let next = if missing > 0 {
            ""
        } else {
            "; look at it, then `hd up`"
        };
        output.talk(&format!("wrote {}{next}{end}", shown(file)));
    }
    Ok(())
}

fn line_json(line: &Line) -> Value {
    json!({
        "place": format!("{}:{}:{}", line.file, line.line, line.column),
        "text": line.text,
        "verdict": line.verdict.as_str(),
        "needed": line.needed,
        "notes": line.notes,
    })
}

/// One line each, and below it what is to be said about it.
fn text(lines: &[Line]) -> String {
    let mut text = String::new();
    let mut rest = lines.iter().peekable();
    while let Some(line) = rest.next() {
        let verdict = line.verdict.as_str();
        text.push_str(&format!(
            "{verdict:<13}  {}:{}  {}\n",
            line.file, line.line, line.text
        ));
        // What holds of several lines in a row stands below the last of them.
        let goes_on = rest
            .peek()
            .is_some_and(|next| next.verdict == line.verdict && next.notes == line.notes);
        if line.verdict != Verdict::Translated && !goes_on {
            for note in &line.notes {
                text.push_str(&format!("{:15}- {note}\n", ""));
            }
        }
    }
    let count = |verdict| lines.iter().filter(|line| line.verdict == verdict).count();
    text.push_str(&format!(
        "{} translated, {} approximated, {} not supported\n",
        count(Verdict::Translated),
        count(Verdict::Approximated),
        count(Verdict::NotSupported)
    ));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_of_several_lines_is_said_once() {
        let line = |number, note: &str| Line {
            file: "compose.yaml".to_owned(),
            line: number,
            column: 1,
            text: format!("key{number}:"),
            verdict: Verdict::NotSupported,
            notes: vec![note.to_owned()],
            needed: false,
        };
        let lines = [line(1, "left out"), line(2, "left out"), line(3, "other")];
        let text = text(&lines);
        assert_eq!(text.matches("left out").count(), 1, "{text}");
        let at = |part: &str| text.find(part).expect(part);
        assert!(at("key2") < at("left out") && at("left out") < at("key3"));
        assert!(text.contains("3 not supported"), "{text}");
    }
}
