//! How each error reads: place, message, hint. The cases and their answers stand in `errors.txt`:
//! `===` begins a case, `---` its answer, a second line of the answer is the hint.

use hd_config::{ConfigError, parse};
use miette::{Diagnostic, GraphicalReportHandler, GraphicalTheme};

const CASES: &str = include_str!("errors.txt");

fn answer(error: &ConfigError) -> String {
    let hint = error.hint().map(|hint| format!("\n{hint}"));
    format!("{error}{}", hint.unwrap_or_default())
}

#[test]
fn errors_read_as_written_down() {
    let (mut count, mut wrong) = (0, Vec::new());
    for case in CASES.split("===\n").skip(1) {
        let (toml, expected) = case.split_once("--- ").expect("a case has an answer");
        let answer = answer(&parse(toml, "hd.toml").expect_err(toml));
        if answer != expected.trim_end() {
            wrong.push(format!("===\n{toml}--- {answer}\n"));
        }
        count += 1;
    }
    assert!(wrong.is_empty(), "they read otherwise:\n{}", wrong.concat());
    assert!(count > 80, "only {count} cases were found");
}

#[test]
fn errors_offer_their_parts_to_programs() {
    let toml = "[environment]\nname = \"x\"\n[services.web]\n  prot = 1\n";
    let error = parse(toml, "sub/hd.toml").unwrap_err();
    assert_eq!(error.code(), "config.unknown_key");
    assert_eq!(error.place().to_string(), "sub/hd.toml:4:3");
    assert_eq!((error.place().line, error.place().column), (4, 3));
    assert_eq!(error.place().span, 42..46);
    assert_eq!(error.message(), "unknown key `prot` in [services.web]");
    assert_eq!(error.hint(), Some("did you mean `port`?"));
    assert_eq!(error.source_line(), "  prot = 1");
    assert_eq!(
        Diagnostic::code(error.report()).unwrap().to_string(),
        error.code()
    );
}

#[test]
fn errors_render_with_their_source_line() {
    let toml = "[environment]\nname = \"x\"\n[services.web]\ncommand = \"a\"\nport = 70000\n";
    let error = parse(toml, "hd.toml").unwrap_err();
    let theme = GraphicalTheme::unicode_nocolor();
    let handler = GraphicalReportHandler::new_themed(theme).with_links(false);
    let mut out = String::new();
    handler.render_report(&mut out, error.report()).unwrap();
    let lines: Vec<&str> = out.lines().map(str::trim_end).collect();
    insta::assert_snapshot!(lines.join("\n"), @r#"
    config.invalid_value

      × `services.web.port`: 70000 is no port
       ╭─[hd.toml:5:8]
     4 │ command = "a"
     5 │ port = 70000
       ·        ─────
       ╰────
      help: ports are 1 to 65535
    "#);
}
