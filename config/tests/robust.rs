//! Whatever the text, the parser answers, and an error names a place that exists.

use hd_config::parse;
use proptest::prelude::*;

const FULL: &str = include_str!("full.toml");

const SNIPPETS: [&str; 12] = [
    "[",
    "]",
    "\"",
    "= 3",
    "\n",
    "[services.web]",
    "${",
    "!",
    "é",
    "\u{0}",
    "depends_on = [\"db\"]\n",
    "'''",
];

fn check(text: &str) -> Result<(), TestCaseError> {
    let Err(error) = parse(text, "hd.toml") else {
        return Ok(());
    };
    let place = error.place();
    prop_assert!(
        text.get(place.span.clone()).is_some(),
        "{:?} of {:?}",
        place,
        text
    );
    prop_assert!(place.line <= text.matches('\n').count() + 1);
    prop_assert!(
        !error.message().contains('\n') || text.contains("\\n"),
        "{}",
        error
    );
    prop_assert!(!error.message().is_empty() && !error.code().is_empty());
    Ok(())
}

fn boundary(text: &str, at: usize) -> usize {
    (0..=at.min(text.len()))
        .rev()
        .find(|at| text.is_char_boundary(*at))
        .unwrap_or(0)
}

proptest! {
    #[test]
    fn any_text_is_answered(text in ".*") {
        check(&text)?;
    }

    #[test]
    fn a_damaged_file_is_answered(
        edits in prop::collection::vec((0usize..1400, 0usize..40, 0usize..SNIPPETS.len()), 1..4),
    ) {
        let mut text = FULL.to_owned();
        for (at, length, snippet) in edits {
            let start = boundary(&text, at);
            let end = boundary(&text, start + length).max(start);
            text.replace_range(start..end, SNIPPETS[snippet]);
        }
        check(&text)?;
    }

    #[test]
    fn lines_of_any_order_are_answered(lines in Just(FULL.lines().collect::<Vec<_>>()).prop_shuffle()) {
        check(&lines.join("\n"))?;
    }

    #[test]
    fn any_value_at_any_key_is_answered(
        line in 0usize..60,
        value in prop::sample::select(vec![
            "0", "-1", "1e9", "true", "\"\"", "\" \"", "\"..\"", "\"/\"", "[]", "[[]]", "{}", "[\"\"]", "[1]",
            "{ a = {} }", "1979-05-27", "\"a\\u0000b\"", "99999999999999999999999999999999999999999", "\"[\"",
        ]),
    ) {
        let lines = FULL.lines().enumerate().map(|(at, text)| match text.split_once(" = ") {
            Some((key, _)) if at == line => format!("{key} = {value}"),
            _ => text.to_owned(),
        });
        check(&lines.collect::<Vec<_>>().join("\n"))?;
    }
}
