//! Dockerfiles translated: stages, users, and what comes from elsewhere.

mod importing;

use hd_config::ingest::Verdict;
use hd_config::{Project, dockerfile, parse};
use importing::{FILES, imported, options};

fn project(text: &str) -> Project {
    parse(&imported(text).toml, "hd.toml").unwrap_or_else(|e| panic!("{e}"))
}

/// Where each step runs, and its command.
fn placed(project: &Project) -> Vec<(Option<&str>, &str)> {
    let steps = project.steps.iter();
    steps
        .map(|step| (step.stage.as_deref(), step.run.as_str()))
        .collect()
}

#[test]
fn only_needed_stages_are_translated() {
    let text = "FROM base:1 AS one\nRUN one\nFROM base:1 AS two\nRUN two\nFROM base:1 AS three\nCOPY --from=one /o /o\nRUN three\nFROM scratch\nCOPY --from=three /t /u\n";
    let translated = |target: Option<&str>| {
        let options = dockerfile::Options {
            target,
            ..options()
        };
        let imported = dockerfile::translate(text, &options, &FILES).unwrap();
        assert_eq!(imported.lines.len(), 9, "{target:?}");
        parse(&imported.toml, "hd.toml").unwrap()
    };
    assert_eq!(placed(&translated(Some("TWO"))), [(None, "cd / && two")]);
    assert_eq!(placed(&translated(Some("0"))), [(None, "cd / && one")]);
    let all = translated(None);
    let places: Vec<_> = placed(&all).iter().map(|(stage, _)| *stage).collect();
    assert_eq!(places, [Some("one"), Some("three"), Some("three"), None]);
    let last = all.steps.last().unwrap();
    let copied =
        last.run.starts_with("f=/stages/three/t && ") && last.run.contains("cp -a \"$f\" /u;");
    assert!(copied, "{last:?}");
    assert_eq!(last.from, ["three"]);
    assert_eq!(all.base.as_deref(), Some("base:1"), "scratch has no shell");
}

#[test]
fn stages_on_other_images_and_images_alone_are_stages() {
    let text = "FROM base:1 AS common\nRUN setup\nFROM common AS build\nWORKDIR /src\nCOPY . .\nRUN make\nFROM onbuild:1\nCOPY --from=build /src/x /x\nCOPY --from=ghcr.io/astral/uv:0.4 /uv /bin/\nCOPY --from=quay.io/other/uv@sha256:1 / /\nRUN --mount=from=common,source=/etc,target=/mnt/etc z\n";
    assert!(imported(text).is_complete());
    let project = project(text);
    let stages: Vec<_> = project
        .stages
        .iter()
        .map(|stage| {
            let image = hd_config::step::stage_image(&project.stages, &stage.name);
            (stage.name.as_str(), image.unwrap_or_default())
        })
        .collect();
    let expected = [
        ("common", "base:1"),
        ("build", "base:1"),
        ("uv", "ghcr.io/astral/uv:0.4"),
        ("uv-2", "quay.io/other/uv@sha256:1"),
    ];
    assert_eq!(stages, expected);
    assert_eq!(project.stages[1].workdir.as_deref(), Some("/src"));
    assert_eq!(project.base.as_deref(), Some("onbuild:1"));
    let placed = placed(&project);
    assert_eq!(placed[0], (Some("common"), "cd / && setup"));
    assert_eq!(placed[1], (Some("build"), "make"));
    assert_eq!(
        placed[2],
        (None, "cd / && touch /built"),
        "ONBUILD of the base"
    );
    assert!(placed[4].1.contains("cp -a \"$f\" /bin/uv;"), "{placed:?}");
    assert!(placed[5].1.contains("tar -C /stages/uv-2 "), "{placed:?}");
    assert!(
        placed[6].1.contains("ln -s /stages/common/etc /mnt/etc"),
        "{placed:?}"
    );
    assert_eq!(project.steps[6].from, ["common"]);
}

#[test]
fn a_stage_that_the_target_goes_on_from_is_both() {
    let text = "FROM base:1 AS common\nRUN pip install flask\nFROM common AS build\nRUN make\nFROM common\nCOPY --from=build /x /x\n";
    let project = project(text);
    let placed = placed(&project);
    assert_eq!(placed.len(), 4, "{placed:?}");
    assert_eq!(placed[0], (Some("common"), "cd / && pip install flask"));
    assert_eq!(placed[1], (None, "cd / && pip install flask"));
    assert_eq!(placed[2], (Some("build"), "cd / && make"));
    assert!(
        project.dependencies.is_empty(),
        "its result is shared as a step"
    );
}

#[test]
fn variables_of_the_environment_stay_out_of_stages() {
    let text = "FROM base:1 AS build\nENV A=1\nRUN make\nFROM base:1\nENV NODE_ENV=production\nCOPY --from=build /x /x\nRUN y\nCMD [\"serve\"]\n";
    let project = project(text);
    assert_eq!(project.env.keys().collect::<Vec<_>>(), ["NODE_ENV"]);
    assert_eq!(project.steps[0].env.keys().collect::<Vec<_>>(), ["A"]);
}

#[test]
fn users_are_those_of_the_file() {
    let text = "FROM base:1\nRUN useradd app\nUSER app\nWORKDIR /data\nRUN touch x\nCOPY a.txt /etc/\nUSER root\nRUN chown app /data\nUSER app:app\nCMD [\"serve\"]\n";
    let project = project(text);
    let users = project.steps.iter().map(|step| step.user.as_deref());
    let expected = [None, None, Some("app"), None, None];
    assert_eq!(users.collect::<Vec<_>>(), expected);
    assert_eq!(
        project.steps[1].run, "mkdir -p /data",
        "by root, as WORKDIR"
    );
    assert_eq!(project.services[0].user.as_deref(), Some("app:app"));
    // Where the project's files were to be the user's, the service is their owner.
    let text = "FROM base:1\nUSER app\nWORKDIR /app\nCOPY --chown=app . .\nCMD [\"serve\"]\n";
    assert_eq!(self::project(text).services[0].user, None);
    let lines = imported(text).lines;
    let line = lines
        .iter()
        .find(|line| line.text.starts_with("USER"))
        .unwrap();
    assert_eq!(line.verdict, Verdict::Approximated);
    let note = "owner of the project directory";
    assert!(line.notes[0].contains(note), "{:?}", line.notes);
}
