//! `hd cas verify`.

use std::collections::BTreeSet;

use hd_actors::chunk_store::users::{self, Users};
use hd_actors::model::instance::SNAPSHOT_PREFIX;
use hd_dag::{StoreLinks, StoreTrees};
use hd_store::{BadCopy, BadRef, Damage, Repaired, Store, VerifyOptions, VerifyReport};
use serde_json::{Value, json};

use super::{failed, open};
use crate::error::Outcome;
use crate::output::Output;
use crate::output::human::{bytes, plural};
use crate::output::style::{Style, Tint};

/// Something is damaged.
const DAMAGED: i32 = 1;
/// It could not be checked.
const UNCHECKED: i32 = 2;
/// Bytes of decoded nodes kept while paths are looked for.
const NODE_BYTES: usize = 16 << 20;

/// Looks for damage, and takes it out of sight if that is asked for.
pub(super) fn run(read_data: bool, repair: bool, output: Output) -> Outcome {
    let checked = open().and_then(|store| {
        let repaired = check(&store, read_data, repair).map_err(|e| failed(&e))?;
        let users = paths_of(&store, &repaired.report).map_err(|e| failed(&e))?;
        Ok((repaired, users))
    });
    let (repaired, users) = checked.map_err(|e| e.with_exit(UNCHECKED))?;
    let report = &repaired.report;
    if output.json {
        let mut value = verify_json(report, &users);
        if repair {
            value["repaired"] = json!({
                "quarantined": repaired.quarantined,
                "segments_rewritten": repaired.segments_rewritten,
                "segments_left": repaired.segments_left,
                "refs_removed": repaired.refs_removed,
            });
        }
        output.value(&value)?;
    } else {
        let mut text = verify_text(report, &users, output.out);
        if repair && !(report.damages.is_empty() && report.bad_refs.is_empty()) {
            text.push_str(&repair_text(&repaired));
        }
        output.data(&text)?;
    }
    Ok(if report.is_clean() { 0 } else { DAMAGED })
}

fn check(store: &Store, read_data: bool, repair: bool) -> hd_store::Result<Repaired> {
    if repair {
        return store.repair(&StoreLinks);
    }
    let options = VerifyOptions {
        read_data,
        links: Some(&StoreLinks),
    };
    let report = store.verify(&options)?;
    Ok(Repaired {
        report,
        ..Repaired::default()
    })
}

/// The paths that need what is lost.
fn paths_of(store: &Store, report: &VerifyReport) -> hd_store::Result<Users> {
    let lost = report.damages.iter().filter(|damage| !damage.has_good_copy);
    let lost: BTreeSet<_> = lost.filter_map(|damage| damage.id).collect();
    users::paths_of(
        store,
        &StoreTrees::read_only(store.clone(), NODE_BYTES),
        &lost,
    )
}

fn paths_for<'a>(users: &'a Users, damage: &Damage) -> Vec<&'a str> {
    let paths = damage.id.and_then(|id| users.get(&id));
    paths.into_iter().flatten().map(String::as_str).collect()
}

fn repair_text(repaired: &Repaired) -> String {
    let mut text = format!(
        "repaired: {} out of sight, {} rewritten\n",
        plural(repaired.quarantined, "damaged copy").replace("copys", "copies"),
        plural(repaired.segments_rewritten, "segment"),
    );
    if repaired.refs_removed > 0 {
        text.push_str(&format!(
            "{} removed: the next collection takes what only that kept, unless `hd build` in its project or \
             `hd image pull` names it again before\n",
            plural(repaired.refs_removed, "damaged reference")
        ));
    }
    if repaired.segments_left > 0 {
        text.push_str(&format!(
            "{} left as it is, another command writes there: repair again later\n",
            plural(repaired.segments_left, "segment")
        ));
    }
    text
}

fn verify_json(report: &VerifyReport, users: &Users) -> Value {
    let damage = |damage: &Damage| {
        json!({
            "id": damage.id.map(|id| id.to_string()),
            "segment": damage.segment,
            "offset": damage.offset,
            "reason": damage.reason,
            "reached_by": damage.reached_by,
            "paths": paths_for(users, damage),
            "has_good_copy": damage.has_good_copy,
        })
    };
    let bad_copy = |copy: &BadCopy| json!({"id": copy.id.to_string(), "made_anew": copy.made_anew});
    let bad_ref =
        |one: &BadRef| json!({"path": one.path.display().to_string(), "reason": one.reason});
    json!({
        "schema": 1,
        "clean": report.is_clean(),
        "copies": report.copies,
        "bad_copies": report.bad_copies.iter().map(bad_copy).collect::<Vec<_>>(),
        "bad_refs": report.bad_refs.iter().map(bad_ref).collect::<Vec<_>>(),
        "records": report.records,
        "objects": report.objects,
        "bytes": report.bytes,
        "damages": report.damages.iter().map(damage).collect::<Vec<_>>(),
    })
}

/// What to do about damage: what was made from a project or a registry is made again, a snapshot never is.
fn remedy(report: &VerifyReport) -> String {
    let again = "`hd build` makes what is missing again";
    let mut snapshots = BTreeSet::new();
    let mut others = false;
    for damage in report.damages.iter().filter(|one| !one.has_good_copy) {
        others |= damage.reached_by.is_empty();
        for root in &damage.reached_by {
            let snapshot = root.strip_prefix(SNAPSHOT_PREFIX);
            others |= snapshot.is_none();
            // Behind the project's id stands the name that was given.
            snapshots.extend(snapshot.and_then(|name| name.rsplit('/').next()));
        }
    }
    let names: Vec<&str> = snapshots.into_iter().collect();
    let names = names.join(", ");
    match (others, names.is_empty()) {
        (false, true) => {
            "a good copy of each is there, `--repair` takes the bad ones out of sight".to_owned()
        }
        (true, true) => again.to_owned(),
        (false, false) => format!(
            "nothing makes what the snapshots need again ({names}); `hd snapshot rm` drops them"
        ),
        (true, false) => format!(
            "{again}, but nothing what the snapshots need ({names}); `hd snapshot rm` drops them"
        ),
    }
}

fn verify_text(report: &VerifyReport, users: &Users, style: Style) -> String {
    let mut text = String::new();
    for damage in &report.damages {
        let id = damage
            .id
            .map_or_else(|| "a record".to_owned(), |id| id.to_string());
        let place = if damage.segment.is_empty() {
            String::new()
        } else {
            format!(" in segment {} at offset {}", damage.segment, damage.offset)
        };
        let copy = if damage.has_good_copy {
            "; a good copy is there"
        } else {
            ""
        };
        let needed = match damage.reached_by.as_slice() {
            [] => String::new(),
            roots => format!("; needed by {}", roots.join(", ")),
        };
        let used = match paths_for(users, damage).as_slice() {
            [] => String::new(),
            paths => format!("; used by {}", paths.join(", ")),
        };
        text.push_str(&format!(
            "{} {id}{place}: {}{copy}{needed}{used}\n",
            style.paint(Tint::Bad, "damaged"),
            damage.reason
        ));
    }
    for copy in &report.bad_copies {
        let then = if copy.made_anew {
            "removed and made anew"
        } else {
            "removed"
        };
        text.push_str(&format!(
            "{} raw copy of {}: {then}\n",
            style.paint(Tint::Bad, "damaged"),
            copy.id
        ));
    }
    for one in &report.bad_refs {
        text.push_str(&format!(
            "{} reference {}: {}; nothing is collected while it is there, `--repair` removes it\n",
            style.paint(Tint::Bad, "damaged"),
            one.path.display(),
            one.reason
        ));
    }
    let copies = match report.copies {
        0 => String::new(),
        some => format!(
            " and {}",
            plural(some, "raw copy").replace("copys", "copies")
        ),
    };
    let read = format!(
        "{}{copies} in {}",
        plural(report.objects, "object"),
        bytes(report.bytes)
    );
    if report.is_clean() {
        text.push_str(&format!(
            "{}: read {read}\n",
            style.paint(Tint::Good, "clean")
        ));
    } else if report.damages.is_empty() {
        text.push_str(&format!("nothing is lost of {read}\n"));
    } else {
        let damages = plural(report.damages.len() as u64, "damage");
        text.push_str(&format!("{damages} in {read}; {}\n", remedy(report)));
    }
    text
}

#[cfg(test)]
mod tests {
    use hd_store::Id;

    use super::*;

    #[test]
    fn damage_is_named_with_what_needs_it() {
        let damage = Damage {
            id: Some(Id::from_bytes([0xab; 32])),
            segment: "s1".to_owned(),
            offset: 32,
            reason: "does not match its id".to_owned(),
            reached_by: vec!["instance-a".to_owned()],
            has_good_copy: false,
        };
        let report = VerifyReport {
            damages: vec![damage],
            objects: 3,
            ..VerifyReport::default()
        };
        let id = Id::from_bytes([0xab; 32]);
        let users = Users::from([(id, BTreeSet::from(["app.py".to_owned()]))]);
        let text = verify_text(&report, &users, Style::new(false));
        assert!(
            text.contains(
                "in segment s1 at offset 32: does not match its id; needed by instance-a; used by app.py"
            ),
            "{text}"
        );
        assert_eq!(verify_json(&report, &users)["clean"], false);
        assert!(
            verify_text(&VerifyReport::default(), &users, Style::new(false)).starts_with("clean: ")
        );
    }

    #[test]
    fn a_remedy_is_named_for_what_can_be_made_again_only() {
        let damage = |roots: &[&str], has_good_copy| Damage {
            id: None,
            segment: String::new(),
            offset: 0,
            reason: String::new(),
            reached_by: roots.iter().map(ToString::to_string).collect(),
            has_good_copy,
        };
        let cases = [
            (vec![damage(&["instance-a"], false)], (true, false)),
            (vec![damage(&[], false)], (true, false)),
            (vec![damage(&["snapshot/a-1/s1"], false)], (false, true)),
            (
                vec![damage(&["instance-a", "snapshot/a-1/s1"], false)],
                (true, true),
            ),
            (vec![damage(&["instance-a"], true)], (false, false)),
        ];
        for (damages, (build, snapshot)) in cases {
            let report = VerifyReport {
                damages,
                ..VerifyReport::default()
            };
            let text = remedy(&report);
            let says = (
                text.contains("`hd build`"),
                text.contains("(s1); `hd snapshot rm`"),
            );
            assert_eq!(says, (build, snapshot), "{text}");
        }
    }
}
