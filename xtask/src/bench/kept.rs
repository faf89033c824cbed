//! `--keep` and `--check`: the ratios of a run, committed, and a later run held against them. Only
//! ratios to a peer are compared, for seconds are those of one machine.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::median;
use crate::shell::{Doing, Failure, root};

/// What may come between two runs besides what their intervals tell: another disk, another kernel.
const SLACK: f64 = 1.1;

/// A ratio to a peer, below 1 where hd needs less.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Ratio {
    median: f64,
    low: f64,
    high: f64,
}

type Ratios = BTreeMap<String, Ratio>;

/// Writes the ratios of a report to the file that is committed. Those of the same machine that the run
/// did not measure stay where it was a part of a group, or where their peer is absent: what a whole run
/// does not measure otherwise is no measure of the group any more.
pub(super) fn keep(group: &str, report: &Value, extent: Extent) -> Result<(), Failure> {
    keep_in(&file(group), report, extent)
}

fn keep_in(path: &Path, report: &Value, extent: Extent) -> Result<(), Failure> {
    let mut ratios = ratios(report);
    if ratios.is_empty() {
        return Err(Failure::new(
            "the report has no ratio to a peer: nothing is kept",
        ));
    }
    for (name, ratio) in kept_of(path, &report["machine"]) {
        if extent == Extent::Part || is_absent(report, &name) {
            ratios.entry(name).or_insert(ratio);
        }
    }
    let kept = json!({ "machine": report["machine"], "load": report["load"], "ratios": ratios });
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).doing(|| format!("making {}", parent.display()))?;
    }
    std::fs::write(path, format!("{kept:#}\n")).doing(|| format!("writing {}", path.display()))?;
    eprintln!("\nkept in {}", path.display());
    Ok(())
}

/// Fails when nothing is kept that a run could be held against.
pub(super) fn there_is(group: &str) -> Result<(), Failure> {
    there_is_in(&file(group), group)
}

fn there_is_in(path: &Path, group: &str) -> Result<(), Failure> {
    if path.is_file() {
        return Ok(());
    }
    let path = path.display();
    Err(Failure::new(format!(
        "no ratios of {group} are kept: `cargo xtask bench {group} --keep` writes {path}"
    )))
}

/// Gives what is kept of a machine, if anything.
fn kept_of(path: &Path, machine: &Value) -> Ratios {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let kept: Value = serde_json::from_str(&text).unwrap_or_default();
    let same = kept["machine"] == *machine;
    let ratios = same.then(|| serde_json::from_value(kept["ratios"].clone()).ok());
    ratios.flatten().unwrap_or_default()
}

/// How much of a group a run measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extent {
    /// All of it: what is missing has failed, unless its peer is absent.
    Whole,
    /// Perhaps only what was asked for.
    Part,
}

/// Fails when a ratio is worse than the kept one beyond what both runs' own spread explains, and when
/// one is missing without a reason.
pub(super) fn check(group: &str, report: &Value, extent: Extent) -> Result<(), Failure> {
    check_against(&file(group), group, report, extent)
}

fn check_against(path: &Path, group: &str, report: &Value, extent: Extent) -> Result<(), Failure> {
    there_is_in(path, group)?;
    let text = std::fs::read_to_string(path).doing(|| format!("reading {}", path.display()))?;
    let kept: Value = serde_json::from_str(&text).unwrap_or_default();
    if is_of_another_machine(&kept, report) {
        eprintln!(
            "\nwhat is kept was measured on another machine: its disk and its kernel are in the ratios"
        );
    }
    let kept: Ratios = serde_json::from_value(kept["ratios"].clone())
        .map_err(|error| Failure::new(format!("{}: {error}", path.display())))?;
    let now = ratios(report);
    let missing = kept.keys().filter(|name| !now.contains_key(*name));
    let missing: Vec<&str> = missing.map(String::as_str).collect();
    let compared = kept.len() - missing.len();
    let (excused, lost): (Vec<&str>, Vec<&str>) = missing
        .into_iter()
        .partition(|name| extent == Extent::Part || is_absent(report, name));
    if !excused.is_empty() {
        eprintln!("\nkept, and not measured now: {}", excused.join("; "));
    }
    if compared == 0 {
        return Err(Failure::new(format!(
            "{}: no ratio of it was measured",
            path.display()
        )));
    }
    let mut worse = worse(&kept, &now);
    let lost = lost.into_iter();
    worse.extend(lost.map(|name| format!("  {name}: not measured, though its peer is not absent")));
    if worse.is_empty() {
        eprintln!("\nof {compared} ratios of {group} none is worse than the kept one");
        return Ok(());
    }
    Err(Failure::new(format!(
        "worse than kept:\n{}",
        worse.join("\n")
    )))
}

fn is_of_another_machine(kept: &Value, report: &Value) -> bool {
    kept["machine"] != report["machine"]
}

fn file(group: &str) -> PathBuf {
    root().join("xtask/kept").join(format!("{group}.json"))
}

/// The rows of a report, whatever they are called.
fn rows(report: &Value) -> impl Iterator<Item = &Value> {
    let lists = ["rows", "measures", "benches"].map(|list| report[list].as_array());
    lists.into_iter().flatten().flatten()
}

/// Collects the ratios of a report.
fn ratios(report: &Value) -> Ratios {
    rows(report)
        .filter_map(|row| Some((name(row), ratio(row)?)))
        .collect()
}

/// Tells whether a report says why it has no such ratio: in a row, or of a peer that it left out.
fn is_absent(report: &Value, wanted: &str) -> bool {
    let is_told = |row: &Value| row["absent"].is_string() || row["peer"]["absent"].is_string();
    let left_out = report["left_out"].as_array().into_iter().flatten();
    // `Docker: no engine answers`, `pull by Docker: …`.
    let before_colon = left_out.filter_map(|text| Some(text.as_str()?.split_once(':')?.0));
    let mut peers = before_colon.filter_map(|text| text.split(' ').next_back());
    let in_small = wanted.to_lowercase();
    rows(report).any(|row| is_told(row) && name(row) == wanted)
        || peers.any(|peer| in_small.contains(&peer.to_lowercase()))
}

fn name(row: &Value) -> String {
    let parts = ["set", "name", "measure", "target"].map(|key| row[key].as_str());
    let peer = row["peer"].as_str().or(row["peer"]["name"].as_str());
    let own: Vec<&str> = parts.into_iter().flatten().collect();
    format!("{} ÷ {}", own.join(" "), peer.unwrap_or("nothing"))
}

fn ratio(row: &Value) -> Option<Ratio> {
    let median = row["ratio"].as_f64()?;
    if let Some([low, high]) = row["ratio_interval"].as_array().map(Vec::as_slice) {
        let (low, high) = (low.as_f64()?, high.as_f64()?);
        return Some(Ratio { median, low, high });
    }
    let ours = row["hd"]["all"]
        .as_array()
        .or(row["hd_ms"]["all"].as_array())?;
    let peers = row["peer"]["all"]
        .as_array()
        .or(row["peer_ms"]["all"].as_array())?;
    let ((our_low, our_high), (low, high)) = (quartiles(ours)?, quartiles(peers)?);
    Some(Ratio {
        median,
        low: our_low / high,
        high: our_high / low,
    })
}

/// The medians of the lower and of the upper half.
fn quartiles(samples: &[Value]) -> Option<(f64, f64)> {
    let mut samples: Vec<f64> = samples.iter().filter_map(Value::as_f64).collect();
    samples.sort_by(f64::total_cmp);
    let half = samples.len().div_ceil(2);
    let (lower, upper) = (samples.get(..half)?, samples.get(samples.len() - half..)?);
    (half > 0).then(|| (median(lower), median(upper)))
}

fn worse(kept: &Ratios, now: &Ratios) -> Vec<String> {
    let both = kept
        .iter()
        .filter_map(|(name, kept)| Some((name, kept, now.get(name)?)));
    both.filter(|(_, kept, now)| now.low > kept.high * SLACK && now.median > kept.median * SLACK)
        .map(|(name, kept, now)| {
            format!(
                "  {name}: {:.3} ({:.3}–{:.3}), kept {:.3} ({:.3}–{:.3})",
                now.median, now.low, now.high, kept.median, kept.low, kept.high
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(ours: &[f64], peers: &[f64]) -> Value {
        json!({
            "set": "c", "measure": "cold",
            "hd": { "all": ours }, "peer": { "name": "git", "all": peers },
            "ratio": median(ours) / median(peers),
        })
    }

    #[test]
    fn every_kind_of_row_has_a_name_and_an_interval() {
        let report = json!({
            "rows": [row(&[2.0, 4.0, 6.0], &[10.0, 10.0, 10.0]), { "measure": "alone" }],
            "measures": [{
                "measure": "stat", "target": "view", "peer": "ext4", "ratio": 1.5,
                "ratio_interval": [1.2, 1.9],
            }],
            "benches": [{
                "name": "cold", "peer": "tar", "ratio": 0.5,
                "hd_ms": { "all": [1.0] }, "peer_ms": { "all": [2.0] },
            }],
        });
        let found = ratios(&report);
        let shown: Vec<(&str, [f64; 3])> = found
            .iter()
            .map(|(name, ratio)| (name.as_str(), [ratio.median, ratio.low, ratio.high]))
            .collect();
        let expected = [
            ("c cold ÷ git", [0.4, 0.4, 0.6]),
            ("cold ÷ tar", [0.5, 0.5, 0.5]),
            ("stat view ÷ ext4", [1.5, 1.2, 1.9]),
        ];
        assert_eq!(shown, expected);
    }

    #[test]
    fn only_what_noise_does_not_explain_is_worse() {
        let of = |ours: &[f64]| ratios(&json!({ "rows": [row(ours, &[10.0, 10.0, 10.0])] }));
        let kept = of(&[4.0, 5.0, 6.0]);
        assert!(worse(&kept, &of(&[5.0, 5.6, 6.0])).is_empty());
        assert!(worse(&kept, &of(&[1.0, 1.0, 1.0])).is_empty());
        let told = worse(&kept, &of(&[9.0, 9.5, 10.0]));
        assert_eq!(told.len(), 1);
        assert!(told[0].starts_with("  c cold ÷ git: 0.950"), "{told:?}");
        assert!(worse(&kept, &Ratios::new()).is_empty());
    }

    #[test]
    fn a_run_is_held_against_the_file_that_another_wrote() {
        let place = std::env::temp_dir().join(format!("hd-kept-{}", std::process::id()));
        let file = place.join("group.json");
        let of = |ours: &[f64]| json!({ "rows": [row(ours, &[10.0, 10.0, 10.0])], "load": 1 });
        let told = there_is_in(&file, "group").expect_err("nothing is kept");
        assert!(told.to_string().contains("bench group --keep"), "{told}");
        keep_in(&file, &of(&[4.0, 5.0, 6.0]), Extent::Whole).expect("written");
        there_is_in(&file, "group").expect("kept");
        check_against(&file, "group", &of(&[4.0, 5.0, 6.0]), Extent::Whole).expect("as before");
        let told = check_against(&file, "group", &of(&[9.0, 9.5, 10.0]), Extent::Whole)
            .expect_err("worse");
        assert!(told.to_string().contains("c cold ÷ git: 0.950"), "{told}");
        let other = json!({ "rows": [{ "measure": "warm", "peer": "git", "absent": "no git" }] });
        let told =
            check_against(&file, "group", &other, Extent::Whole).expect_err("nothing to compare");
        assert!(
            told.to_string().ends_with("no ratio of it was measured"),
            "{told}"
        );
        let part = |machine: &str| {
            let rows =
                json!([{ "measure": "new", "peer": "git", "ratio": 1, "ratio_interval": [1, 1] }]);
            json!({ "machine": machine, "rows": rows })
        };
        let names = |machine: &str| {
            kept_of(&file, &machine.into())
                .into_keys()
                .collect::<Vec<_>>()
        };
        keep_in(&file, &part("other"), Extent::Part).expect("written");
        assert_eq!(names("other"), ["new ÷ git"], "another machine begins anew");
        let mut whole = of(&[4.0, 5.0, 6.0]);
        whole["machine"] = "other".into();
        keep_in(&file, &whole, Extent::Part).expect("written");
        assert_eq!(names("other"), ["c cold ÷ git", "new ÷ git"]);
        whole["left_out"] = json!(["new by Git: not installed"]);
        keep_in(&file, &whole, Extent::Whole).expect("written");
        assert_eq!(names("other"), ["c cold ÷ git", "new ÷ git"], "absent");
        whole["left_out"] = json!([]);
        keep_in(&file, &whole, Extent::Whole).expect("written");
        assert_eq!(names("other"), ["c cold ÷ git"], "not measured any more");
        let kept = json!({ "machine": "other" });
        assert!(is_of_another_machine(&kept, &of(&[1.0])));
        assert!(!is_of_another_machine(&kept, &whole));
        let nothing = json!({ "machine": "other", "rows": [] });
        keep_in(&file, &nothing, Extent::Part).expect_err("nothing to keep");
        std::fs::remove_dir_all(&place).expect("removed");
    }

    #[test]
    fn what_is_not_measured_any_more_is_worse_unless_its_peer_is_absent() {
        let place = std::env::temp_dir().join(format!("hd-lost-{}", std::process::id()));
        let file = place.join("group.json");
        let of = |measure: &str| {
            let mut row = row(&[4.0, 5.0, 6.0], &[10.0, 10.0, 10.0]);
            row["measure"] = measure.into();
            row
        };
        keep_in(
            &file,
            &json!({ "rows": [of("cold"), of("warm")] }),
            Extent::Whole,
        )
        .expect("written");
        let check = |report: &Value, extent| check_against(&file, "group", report, extent);
        let half = json!({ "rows": [of("cold")] });
        let told = check(&half, Extent::Whole).expect_err("warm is lost");
        assert!(
            told.to_string().contains("c warm ÷ git: not measured"),
            "{told}"
        );
        check(&half, Extent::Part).expect("only that part was asked for");
        let peers = [
            json!({ "set": "c", "measure": "warm", "peer": "git", "absent": "no git" }),
            json!({ "set": "c", "measure": "warm", "peer": { "name": "git", "absent": "no git" } }),
        ];
        for absent in peers {
            let report = json!({ "rows": [of("cold"), absent] });
            check(&report, Extent::Whole).expect("git is absent");
        }
        let left_out = json!({ "rows": [of("cold")], "left_out": ["pull by Git: not installed"] });
        check(&left_out, Extent::Whole).expect("git is left out");
        std::fs::remove_dir_all(&place).expect("removed");
    }
}
