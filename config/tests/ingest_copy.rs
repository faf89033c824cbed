//! COPY of several sources: wildcards and heredocs.

mod importing;

use hd_config::ingest::Verdict;
use hd_config::parse;
use importing::imported;

/// The commands of a Dockerfile's steps, on lines of their own.
fn run(text: &str) -> String {
    let project = parse(&imported(text).toml, "hd.toml").unwrap_or_else(|e| panic!("{e}\n{text}"));
    let steps: Vec<_> = project.steps.iter().map(|step| step.run.clone()).collect();
    steps.join("\n")
}

#[test]
fn each_heredoc_has_the_body_that_follows_its_marker() {
    let text = "FROM base:1\nCOPY <<app <<app.conf a.txt <<'b' /etc/x/\nof app\napp\nof conf\napp.conf\nof $b\nb\n";
    let run = run(text);
    for (name, body) in [("app.conf", "of conf"), ("app", "of app"), ("b", "of $b")] {
        let written = format!("cat > /etc/x/{name} <<");
        let rest = run
            .split_once(&written)
            .unwrap_or_else(|| panic!("{name}: {run}"))
            .1;
        assert_eq!(rest.lines().nth(1), Some(body), "{name}: {run}");
    }
}

#[test]
fn a_wildcard_is_in_place_where_it_matches_no_directory() {
    // There is `src/` and `start.sh`: what is in the first would be beside the second.
    let head = "FROM base:1\nWORKDIR /app\nCOPY a.txt package.json ./\n";
    let spread = run(&format!("{head}COPY s* ./\n"));
    assert!(
        spread.contains("for f in s*; do if [ -d \"$f\" ]; then cp -a \"$f\"/. /app/; fi"),
        "{spread}"
    );
    assert!(run(&format!("{head}COPY [r-t]* ./\n")).contains("for f in [r-t]*"));
    for files in ["package*.json", "yarn.lock*", "st*"] {
        assert_eq!(run(&format!("{head}COPY {files} ./\n")), "", "{files}");
    }
}

#[test]
fn what_a_wildcard_leaves_out_is_told() {
    let noted = |copy: &str| {
        let text = format!("FROM base:1 AS b\nRUN x\nFROM base:1\n{copy}\n");
        let lines = imported(&text).lines;
        let line = lines.iter().find(|line| line.text == copy).unwrap();
        line.verdict == Verdict::Approximated && line.notes.join("").contains("begin with a dot")
    };
    assert!(noted("COPY --from=b /dist/* /srv/") && noted("COPY *.txt /srv/"));
    assert!(!noted("COPY --from=b /dist/x* /srv/"));
}
