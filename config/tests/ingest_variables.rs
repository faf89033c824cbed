//! Variables of Compose files: those of the caller, of `.env`, and of nobody.

mod importing;

use hd_config::ingest::Verdict;
use hd_config::parse;
use importing::composed_with;

#[test]
fn what_dot_env_sets_is_read_from_there_by_hd_too() {
    let text = "services:\n  web:\n    build: .\n    environment: [PASSWORD, 'PORT=${PORT:-3000}', MODE=x]\n";
    let of_file = [("PASSWORD", "s3cret"), ("PORT", "4000")];
    let imported = composed_with(text, &[], &of_file).unwrap();
    let project = parse(&imported.toml, "hd.toml").unwrap();
    assert_eq!(project.env_file, [".env"]);
    let web = project.service("web").unwrap();
    assert_eq!(web.env["PASSWORD"], "${PASSWORD:-}");
    assert_eq!(web.env["PORT"], "${PORT:-3000}");
    assert!(!imported.toml.contains("s3cret"), "{}", imported.toml);
    let mut lines = imported.lines.iter();
    let line = lines.find(|line| line.text.starts_with("environment:"));
    let line = line.unwrap();
    assert_eq!(line.verdict, Verdict::Approximated);
    assert!(line.notes[0].contains("every step and service"), "{line:?}");

    // A nested default counts; what the caller has, or nobody, does not.
    let nested = text.replace("3000", "${PASSWORD}");
    for (text, of_caller, of_file, wanted) in [
        (text, &of_file[..], &[][..], false),
        (text, &[], &[], false),
        (text, &[], &[("OTHER", "1")], false),
        (nested.as_str(), &[], &of_file[..1], true),
    ] {
        let imported = composed_with(text, of_caller, of_file).unwrap();
        let project = parse(&imported.toml, "hd.toml").unwrap();
        assert_eq!(!project.env_file.is_empty(), wanted, "{text}");
    }
}

#[test]
fn a_build_argument_without_a_value_is_the_callers_or_the_dockerfiles() {
    let forms = ["[TAG, MODE]", "{ TAG: , MODE: ~ }"];
    for form in forms {
        let text = format!(
            "services:\n  web:\n    build: {{ context: ., dockerfile: Dockerfile.arguments, args: {form} }}\n"
        );
        let made = |of_caller: &[(&str, &str)], of_file: &[(&str, &str)]| {
            let imported = composed_with(&text, of_caller, of_file).unwrap();
            let project = parse(&imported.toml, "hd.toml").unwrap();
            let mode = project.env.get("MODE").cloned();
            (project.base.unwrap(), mode.unwrap())
        };
        let pair = |base: &str, mode: &str| (base.to_owned(), mode.to_owned());
        assert_eq!(made(&[], &[]), pair("base:1", "plain"));
        assert_eq!(
            made(&[("TAG", "2")], &[("MODE", "loud")]),
            pair("base:2", "loud")
        );
        assert_eq!(made(&[("MODE", "")], &[]), pair("base:1", ""));
    }
}
