//! Dockerfiles translated: what is said and what is refused.

mod importing;

use hd_config::ingest::Verdict;
use hd_config::{Project, SecretSource, dockerfile, parse};
use importing::{FILES, imported, options};

fn project(text: &str) -> Project {
    parse(&imported(text).toml, "hd.toml").unwrap_or_else(|e| panic!("{e}"))
}

fn refused(text: &str) -> String {
    let Err(error) = dockerfile::translate(text, &options(), &FILES) else {
        panic!("translated: {text}")
    };
    format!("{error} | {}", error.hint().unwrap_or_default())
}

/// Verdict and notes of the line that begins with `start`.
fn said(text: &str, start: &str) -> (Verdict, String) {
    let lines = imported(text).lines;
    let line = lines.iter().find(|line| line.text.starts_with(start));
    let Some(line) = line else {
        panic!("no line {start}")
    };
    (line.verdict, line.notes.join("; "))
}

#[test]
fn every_line_is_reported_once_with_its_place() {
    let text = "# syntax=docker/dockerfile:1\nARG A=1\nFROM base:$A\nLABEL x=y\nRUN a \\\n  b\nEXPOSE 80\n";
    let lines = imported(text).lines;
    let places: Vec<(usize, usize)> = lines.iter().map(|line| (line.line, line.column)).collect();
    assert_eq!(places, [(1, 1), (2, 1), (3, 1), (4, 1), (5, 1), (7, 1)]);
    assert_eq!(lines[3].verdict, Verdict::NotSupported);
    assert!(!lines[3].needed && imported(text).is_complete());
}

#[test]
fn the_project_is_where_copy_puts_it() {
    let cases = [
        ("WORKDIR /app\nCOPY . .", "/app", 0),
        ("WORKDIR /app\nCOPY src src\nCOPY a.txt ./", "/app", 0),
        ("WORKDIR /app\nCOPY a.txt /etc/a.txt", "/workspace", 2),
        ("COPY . /srv/x/", "/srv/x", 0),
        ("WORKDIR /app\nCOPY --chmod=755 start.sh .", "/app", 0),
        ("COPY src /opt/src", "/workspace", 1),
        ("WORKDIR /app\nCOPY a.txt b.txt\nCOPY src src", "/app", 1),
        ("WORKDIR /app\nCOPY a.txt /app\nCOPY . /app", "/app", 0),
    ];
    for (body, workdir, steps) in cases {
        let text = format!("FROM base:1\n{body}\n");
        let project = project(&text);
        assert_eq!(project.workdir.as_deref(), Some(workdir), "{body}");
        assert_eq!(project.steps.len(), steps, "{body}: {:?}", project.steps);
    }
}

#[test]
fn copies_and_downloads_become_commands() {
    let cases = [
        (
            "COPY a.txt /etc/",
            "mkdir -p /etc && cp -aL a.txt /etc/a.txt",
        ),
        (
            "COPY src/ /opt/src/",
            "mkdir -p /opt/src/ && cp -a src/. /opt/src/",
        ),
        (
            "COPY s* /opt/",
            "mkdir -p /opt/ && for f in s*; do if [ -d \"$f\" ]; then cp -a \"$f\"/. /opt/; \
             elif [ -e \"$f\" ] || [ -L \"$f\" ]; then cp -aL \"$f\" /opt/; fi || exit 1; done",
        ),
        (
            "COPY --parents src/deep/x.txt* /opt/",
            "mkdir -p /opt && (cp -a --parents src/deep/x.txt* /opt)",
        ),
        ("ADD x.tgz /opt/", "mkdir -p /opt && tar -xzf x.tgz -C /opt"),
        (
            "ADD --unpack=false x.tgz /opt/",
            "mkdir -p /opt && cp -aL x.tgz /opt/x.tgz",
        ),
        (
            "COPY x.tgz /opt/",
            "mkdir -p /opt && cp -aL x.tgz /opt/x.tgz",
        ),
        (
            "WORKDIR /opt/app\nCOPY a.txt /opt",
            "mkdir -p /opt && cp -aL a.txt /opt/a.txt",
        ),
    ];
    for (line, command) in cases {
        let text = format!("FROM base:1\n{line}\n");
        assert_eq!(project(&text).steps[0].run, command, "{line}");
    }
    let text = "FROM base:1\nADD --checksum=sha256:abc https://example.org/d/f.bin /opt/\n";
    let run = project(text).steps[0].run.clone();
    for part in [
        "curl -fsSL -o /opt/f.bin https://example.org/d/f.bin",
        "wget",
        "sha256sum -c -",
        "chmod 600",
    ] {
        assert!(run.contains(part), "{part}: {run}");
    }
    let text = "FROM base:1\nCOPY --exclude=*.log --exclude=**/tmp src /opt/src\n";
    let run = project(text).steps[0].run.clone();
    assert!(
        run.contains("rm -rf -- *.log") && run.contains("find . -depth -name tmp"),
        "{run}"
    );
}

#[test]
fn what_cannot_be_had_is_said_and_counts_as_missing_when_needed() {
    let cases = [
        ("COPY nowhere.txt /y", "no `nowhere.txt` in the project"),
        (
            "RUN --mount=type=secret,id=t,required=true x",
            "where the secret `t` is",
        ),
        ("RUN --security=insecure x", "sandbox"),
    ];
    for (line, note) in cases {
        let text = format!("FROM base:1\n{line}\n");
        let (verdict, notes) = said(&text, line.split(' ').next().unwrap());
        assert_eq!(verdict, Verdict::NotSupported, "{line}");
        assert!(notes.contains(note), "{line}: {notes}");
        assert!(!imported(&text).is_complete(), "{line}");
    }
    let (verdict, notes) = said("FROM unknown:1\nRUN x\n", "FROM");
    assert_eq!(verdict, Verdict::Approximated);
    assert!(notes.contains("no such host"), "{notes}");
}

#[test]
fn users_networks_and_caches_are_kept() {
    let text = "FROM base:1\nARG H=/root\nUSER app\nRUN --network=none --mount=type=cache,target=/var/lib/x,id=x \\\n --mount=type=cache,target=$H/.cache/pip make\n";
    let project = project(text);
    assert_eq!(project.steps[0].run, "cd / && make");
    assert_eq!(project.steps[0].user.as_deref(), Some("app"));
    assert_eq!(project.steps[0].network.as_str(), "none");
    assert_eq!(project.steps[0].caches, ["x"]);
    assert_eq!(project.caches[0].path, "/var/lib/x");
}

#[test]
fn secrets_are_those_that_a_source_is_given_for() {
    let text = "FROM base:1\nRUN --mount=type=secret,id=NPM,target=/etc/npmrc,required=true install\nRUN --mount=type=secret,id=key,env=KEY use\nRUN --mount=type=secret,id=absent x\n";
    let options = dockerfile::Options {
        secrets: std::collections::BTreeMap::from([
            ("NPM".to_owned(), SecretSource::File("~/.npmrc".to_owned())),
            ("key".to_owned(), SecretSource::Env("API_KEY".to_owned())),
        ]),
        ..options()
    };
    let imported = dockerfile::translate(text, &options, &FILES).unwrap();
    assert!(imported.is_complete());
    let project = parse(&imported.toml, "hd.toml").unwrap();
    let names = project.secrets.iter().map(|secret| secret.name.as_str());
    assert_eq!(names.collect::<Vec<_>>(), ["npm", "key"]);
    let used = project.steps.iter().map(|step| step.secrets.join(" "));
    assert_eq!(used.collect::<Vec<_>>(), ["npm", "key", ""]);
    let first = &project.steps[0].run;
    assert!(
        first.contains("ln -s /run/secrets/npm /etc/npmrc"),
        "{first}"
    );
    assert!(
        project.steps[1].run.contains("export KEY"),
        "{:?}",
        project.steps[1]
    );
    assert_eq!(imported.lines[3].verdict, Verdict::Approximated);
}

#[test]
fn a_variable_is_seen_by_the_steps_after_it_only() {
    let text =
        "FROM base:1\nENV A=1\nRUN one\nENV B=2\nARG V=3\nRUN two\nENV C=4\nCMD [\"serve\"]\n";
    let project = project(text);
    assert_eq!(project.env.keys().collect::<Vec<_>>(), ["A"]);
    assert!(project.steps[0].env.is_empty());
    let second: Vec<&str> = project.steps[1].env.keys().map(String::as_str).collect();
    assert_eq!(second, ["B", "V"]);
    let service: Vec<&str> = project.services[0].env.keys().map(String::as_str).collect();
    assert_eq!(service, ["B", "C"]);
}

#[test]
fn dollar_signs_reach_the_shell_and_the_environment_as_they_are() {
    let text = "FROM base:1\nENV A='$literal' B=\"q\\\"q\"\nRUN echo \"$A\" '$$' \\\n    && true\nCMD echo $A\n";
    let project = project(text);
    assert_eq!(project.env["A"], "$$literal");
    assert_eq!(project.env["B"], "q\"q");
    assert_eq!(project.steps[0].run, "cd / && echo \"$A\" '$$' && true");
    assert_eq!(project.services[0].command.to_string(), "echo $A");
    assert_eq!(project.services[0].working_dir.as_deref(), Some("/"));
}

#[test]
fn entrypoint_and_cmd_combine_as_docker_says() {
    let cases = [
        ("CMD [\"a\", \"b\"]", "a b"),
        ("CMD a b", "a b"),
        ("ENTRYPOINT [\"e\"]\nCMD [\"a\"]", "e a"),
        ("ENTRYPOINT [\"e\"]\nCMD a b", "e /bin/sh -c a b"),
        ("ENTRYPOINT e f\nCMD [\"a\"]", "e f"),
        ("CMD [\"a\"]\nENTRYPOINT [\"e\"]", "e a"),
        ("SHELL [\"/bin/bash\", \"-c\"]\nCMD a", "/bin/bash -c a"),
        ("ENTRYPOINT [\"e\"]", "e"),
    ];
    for (lines, command) in cases {
        let text = format!("FROM base:1\nWORKDIR /app\nCOPY . .\n{lines}\n");
        assert_eq!(
            project(&text).services[0].command.to_string(),
            command,
            "{lines}"
        );
    }
    assert!(
        project("FROM base:1\n").services.is_empty(),
        "a shell is no service"
    );
    assert!(
        project("FROM base:1\nCMD [\"/bin/bash\"]\n")
            .services
            .is_empty()
    );
}

#[test]
fn ports_and_health_checks_are_the_services() {
    let text = "FROM base:1\nARG P=8080\nEXPOSE 53/udp $P 9090\nHEALTHCHECK --interval=2s --retries=4 CMD [\"probe\"]\nCMD [\"serve\"]\n";
    let project = project(text);
    let service = project.service("web").unwrap();
    assert_eq!(service.port, Some(8080));
    let check = service.healthcheck.as_ref().unwrap();
    assert_eq!((check.interval.as_secs(), check.retries), (2, 4));
}

#[test]
fn triggers_of_the_base_are_carried_out() {
    assert_eq!(
        project("FROM onbuild:1\nRUN x\n").steps[0].run,
        "cd / && touch /built"
    );
    let text = "FROM base:1 AS a\nONBUILD RUN late\nFROM a\nRUN x\n";
    let steps = project(text).steps;
    let runs: Vec<&str> = steps.iter().map(|step| step.run.as_str()).collect();
    assert_eq!(runs, ["cd / && late", "cd / && x"]);
}

#[test]
fn recognised_installs_become_dependencies_while_nothing_comes_before_them() {
    let text = "FROM base:1\nWORKDIR /app\nCOPY requirements.txt .\nRUN apt-get update && apt-get install -y --no-install-recommends gcc\nRUN pip install -r requirements.txt\nCOPY . .\nRUN make\nRUN pip install late\n";
    let project = project(text);
    let providers: Vec<&str> = project
        .dependencies
        .iter()
        .map(|one| one.provider.as_str())
        .collect();
    assert_eq!(providers, ["apt", "pip"]);
    assert_eq!(project.steps.len(), 2);
}

#[test]
fn errors_name_place_and_way_out() {
    let cases = [
        (
            "",
            "Dockerfile:1:1: the file has no FROM | begin with `FROM IMAGE`",
        ),
        (
            "RUN x\n",
            "Dockerfile:1:1: only ARG may stand before the first FROM | begin with `FROM IMAGE`",
        ),
        (
            "FROM $NOPE\n",
            "Dockerfile:1:1: `$NOPE` gives no image: \"\" | set its variable with --build-arg NAME=VALUE",
        ),
        (
            "FROM scratch\n",
            "Dockerfile:1:1: every stage begins with scratch, and an environment needs a base | `--base IMAGE` names one",
        ),
        (
            "FROM a:1\nENV A=${B\n",
            "Dockerfile:2:1: `${B` must be followed by `}`, `:-`, `:+`, `:?`, `#`, `%` or `/` | variables are written `$NAME`, `${NAME}` or `${NAME:-default}`",
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(refused(text), expected, "{text}");
    }
    let target = dockerfile::Options {
        target: Some("biuld"),
        ..options()
    };
    let error = dockerfile::translate("FROM a:1 AS build\n", &target, &FILES).unwrap_err();
    assert_eq!(
        (error.message().as_str(), error.hint()),
        ("there is no stage `biuld`", Some("did you mean `build`?"))
    );
}
