//! `hd logs` of a service that has replicas now.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::process::Stdio;

use hd_integration::{Env, SHORT, leftovers, needs, skip_unless, until};

const TOML: &str = r#"[environment]
name = "several"
[services.job]
command = "echo I am $HD_REPLICA.; exec sleep 1000"
[services.job-x]
command = "echo other; exec sleep 1000"
"#;

#[test]
fn the_logs_of_a_service_are_those_of_its_replicas_too() {
    skip_unless!(needs::fuse());
    let env = Env::project(&[("hd.toml", TOML)]);
    env.hd(["up", "--wait"]).finish().ok();
    let mut follow = env.hd(["logs", "-f", "--no-prefix", "job"]).into_command();
    let mut follow = follow.stdout(Stdio::piped()).spawn().unwrap();
    let followed = BufReader::new(follow.stdout.take().unwrap()).lines();
    // What hd itself remarks stands among it.
    let mut followed = followed
        .map_while(Result::ok)
        .filter(|line| !line.starts_with("hd:"));
    assert_eq!(followed.next().as_deref(), Some("I am ."));
    env.hd(["scale", "job=2"]).finish().ok();
    env.hd(["wait"]).finish().ok();
    let logs = || env.hd(["logs", "job", "--json"]).finish().ok().stdout;
    let said = || {
        let logs = logs();
        let lines = logs.lines().map(|line| -> serde_json::Value {
            serde_json::from_str(line).expect("a JSON object")
        });
        let own = lines.filter(|line| line["stream"] == "stdout");
        own.map(|line| line["text"].as_str().map(str::to_owned))
            .collect::<Option<BTreeSet<_>>>()
    };
    let all = ["I am .", "I am 1.", "I am 2."].map(str::to_owned);
    until("both have said so", SHORT, || {
        (said()? == BTreeSet::from(all.clone())).then_some(())
    });
    env.hd(["down"]).finish().ok();
    // What is followed ends with hd, so it is all there.
    assert!(follow.wait().unwrap().success());
    let rest: BTreeSet<String> = followed.collect();
    assert!(all[1..].iter().all(|line| rest.contains(line)), "{rest:?}");
    // Nothing runs any more, and the file has never said how many there were.
    assert_eq!(said().unwrap(), BTreeSet::from(all));
    leftovers::expect_none(env.mark(), SHORT);
}
