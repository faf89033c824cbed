//! `hd cas df`: who takes how much of the store.

use std::time::Duration;

use hd_actors::chunk_store::collect;
use hd_actors::chunk_store::owners::{Purpose, owners};
use hd_dag::StoreLinks;
use hd_store::{Error, Owner, Store, Usage, UsageReport};
use serde_json::{Value, json};

use super::{failed, open};
use crate::error::{CliError, Outcome};
use crate::output::Output;
use crate::output::human::bytes;
use crate::output::style::Style;
use crate::output::table::{Cell, table};
use crate::project;

/// Prints who takes how much.
pub(super) fn run(output: Output) -> Outcome {
    let store = open()?;
    let (purposes, owners): (Vec<Purpose>, Vec<Owner>) =
        owners(&store, &project::home()?)?.into_iter().unzip();
    let usage = store.usage(&StoreLinks, &owners).map_err(|e| failed(&e))?;
    let freed = foretold(&store)?;
    if output.json {
        output.value(&json(&purposes, &usage, freed))?;
    } else {
        output.data(&text(&purposes, &usage, freed, output.out))?;
    }
    Ok(0)
}

/// What `hd cas gc` would free now, in bytes: less than is unneeded, since little that is dead in much that
/// lives is not worth a copy. Unknown while another command collects.
fn foretold(store: &Store) -> Result<Option<u64>, CliError> {
    match collect::collect(store, &collect::options(Duration::ZERO, true)) {
        Ok(report) => Ok(Some(report.freed_bytes)),
        Err(Error::Busy { .. }) => Ok(None),
        Err(error) => Err(failed(&error)),
    }
}

fn json(purposes: &[Purpose], usage: &UsageReport, freed: Option<u64>) -> Value {
    let row = |(purpose, usage): (&Purpose, &Usage)| {
        json!({
            "sort": purpose.sort.word(),
            "project": purpose.project,
            "name": purpose.name,
            "unique": usage.unique,
            "shared": usage.shared,
        })
    };
    let rows: Vec<Value> = purposes.iter().zip(&usage.owners).map(row).collect();
    json!({
        "schema": 1,
        "rows": rows,
        "unique": unique(usage),
        "shared": usage.shared,
        "unneeded": usage.unowned,
        "gc_frees": freed,
        "raw": usage.raw,
        "bookkeeping": usage.bookkeeping,
        "total": usage.total,
    })
}

fn unique(usage: &UsageReport) -> u64 {
    usage.owners.iter().map(|owner| owner.unique).sum()
}

/// What becomes of what nothing needs.
fn of_unneeded(freed: Option<u64>) -> String {
    match freed {
        None => "`hd cas gc` frees what is worth a copy of the rest".to_owned(),
        Some(0) => "too little of each file of the store for `hd cas gc` to free it".to_owned(),
        Some(freed) => format!("`hd cas gc` frees {}", bytes(freed)),
    }
}

fn text(purposes: &[Purpose], usage: &UsageReport, freed: Option<u64>, style: Style) -> String {
    let name = |purpose: &Purpose| {
        let parts = [purpose.project.as_str(), purpose.name.as_str()];
        let parts: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        parts.join(" ")
    };
    let size = |size| Cell::new(format!("{:>8}", bytes(size)));
    let row = |(purpose, usage): (&Purpose, &Usage)| {
        vec![
            Cell::new(purpose.sort.word()),
            size(usage.unique),
            size(usage.shared),
            Cell::new(name(purpose)),
        ]
    };
    let mut rows: Vec<Vec<Cell>> = purposes.iter().zip(&usage.owners).map(row).collect();
    let nothing = || Cell::new("");
    let sum =
        |word, bytes, what: &str| vec![Cell::new(word), size(bytes), nothing(), Cell::new(what)];
    rows.push(sum(
        "shared",
        usage.shared,
        "needed by several, counted once",
    ));
    rows.push(sum("unneeded", usage.unowned, &of_unneeded(freed)));
    rows.push(sum(
        "raw",
        usage.raw,
        "copies that views read by themselves; a cache",
    ));
    rows.push(sum(
        "rest",
        usage.bookkeeping,
        "indexes, histories, stat caches, locks",
    ));
    rows.push(sum("total", usage.total, "on the disk"));
    table(&["FOR", "  UNIQUE", "  SHARED", "NAME"], &rows, style)
}

#[cfg(test)]
mod tests {
    use hd_actors::chunk_store::owners::Sort;

    use super::*;

    #[test]
    fn every_byte_is_in_one_row_of_the_first_column() {
        let purpose = |sort, project: &str, name: &str| Purpose {
            sort,
            project: project.to_owned(),
            name: name.to_owned(),
        };
        let purposes = [
            purpose(Sort::Project, "/p", ""),
            purpose(Sort::Step, "/p", "step-1"),
        ];
        let of = |unique, shared| Usage {
            unique,
            shared,
            apparent: 0,
        };
        let usage = UsageReport {
            owners: vec![of(1000, 500), of(2000, 500)],
            shared: 500,
            unowned: 300,
            raw: 100,
            bookkeeping: 200,
            total: 4100,
            distinct: 0,
        };
        let text = text(&purposes, &usage, Some(0), Style::new(false));
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[1], "project     1.0 kB     500 B  /p");
        assert_eq!(lines[2], "step        2.0 kB     500 B  /p step-1");
        assert!(lines[4].ends_with("for `hd cas gc` to free it"), "{text}");
        assert_eq!(lines.len(), 8);
        assert_eq!(of_unneeded(Some(2_000_000)), "`hd cas gc` frees 2.0 MB");
        let json = json(&purposes, &usage, None);
        let sum = ["unique", "shared", "unneeded", "raw", "bookkeeping"]
            .map(|key| json[key].as_u64().unwrap())
            .iter()
            .sum::<u64>();
        assert_eq!(json["total"], sum);
    }
}
