//! `hd dag diff`: what differs between two roots.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use hd_dag::node::{Env, Node};
use hd_dag::{Change, Entry, Kind, TreeError, Trees, diff, empty_tree};
use hd_store::{Id, NodeKind};
use serde_json::{Value, json};

use crate::args::DagDiffArgs;
use crate::commands::up::Plan;
use crate::commands::{plan, state};
use crate::error::{CliError, Outcome, exit};
use crate::output::Output;
use crate::output::style::{Style, Tint, tame};
use crate::project::{self, Located};

/// Prints the difference.
pub(crate) fn run(args: &DagDiffArgs, output: Output, started: Instant) -> Outcome {
    let located = project::locate(&args.place, None)?;
    let from = match &args.from {
        Some(text) => root(text)?,
        None => last(&located)?,
    };
    let plan = Plan {
        located,
        base: args.base.clone(),
        jobs: None,
        services: Vec::new(),
        started,
    };
    let now = plan::look(&plan, output)?;
    let to = match &args.to {
        Some(text) => root(text)?,
        None => now.root(),
    };
    let trees = now.trees();
    let lines = compared(
        trees,
        &environment(trees, &from)?,
        &environment(trees, &to)?,
    )
    .map_err(|e| CliError::new("store", exit::INTERNAL, e))?;
    if output.json {
        let changes = lines.iter().filter(|line| line.mark != Mark::Same);
        output.value(&json!({
            "schema": 1,
            "from": from.to_string(),
            "to": to.to_string(),
            "changes": changes.map(Line::value).collect::<Vec<_>>(),
        }))?;
    } else {
        output.data(&text(&from, &to, &lines, output.out))?;
    }
    Ok(0)
}

fn root(text: &str) -> Result<Id, CliError> {
    text.parse().map_err(|_| {
        CliError::new("usage", exit::USAGE, format!("{text:?} is no root"))
            .hint("a root is 64 hex digits, as `hd status` prints it")
    })
}

fn last(located: &Located) -> Result<Id, CliError> {
    let report = state::required(located)?.report;
    let root = report.root.as_deref().and_then(|root| root.parse().ok());
    root.ok_or_else(|| {
        CliError::new("not_running", exit::USAGE, "there is no root yet")
            .hint("`hd status` shows how far it is")
    })
}

fn environment(trees: &dyn Trees, root: &Id) -> Result<Whole, CliError> {
    let broken = |why: String| {
        CliError::new("store", exit::INTERNAL, why)
            .at(root.to_string())
            .hint("a root nobody uses any more may have been collected; `hd build` makes one anew")
    };
    let node = |id: &Id| {
        let bytes = trees
            .load(NodeKind::Node, id)
            .map_err(|e| broken(e.to_string()))?;
        Node::decode(&bytes).map_err(|e| broken(e.to_string()))
    };
    let Node::Env(env) = node(root)? else {
        return Err(broken(format!("{root} is no environment")));
    };
    let children = env.children.iter().map(node).collect::<Result<_, _>>()?;
    Ok(Whole { env, children })
}

/// An environment with the nodes it consists of.
struct Whole {
    env: Env,
    children: Vec<Node>,
}

/// How something differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mark {
    Added,
    Changed,
    Removed,
    Same,
}

/// One thing, and how it differs.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Line {
    mark: Mark,
    kind: &'static str,
    name: String,
    /// What it was and what it is, in short.
    old: Option<String>,
    new: Option<String>,
}

impl Line {
    /// Compares two states of one thing; none when it is on neither side.
    fn of(kind: &'static str, name: &str, old: Option<String>, new: Option<String>) -> Self {
        let mark = match (&old, &new) {
            (None, _) => Mark::Added,
            (_, None) => Mark::Removed,
            (old, new) if old == new => Mark::Same,
            _ => Mark::Changed,
        };
        Self {
            mark,
            kind,
            name: name.to_owned(),
            old,
            new,
        }
    }

    fn value(&self) -> Value {
        let change = match self.mark {
            Mark::Added => "added",
            Mark::Changed => "changed",
            Mark::Removed => "removed",
            Mark::Same => "same",
        };
        json!({"kind": self.kind, "name": self.name, "change": change, "old": self.old, "new": self.new})
    }

    fn text(&self, style: Style) -> String {
        let (sign, tint) = match self.mark {
            Mark::Added => ('+', Tint::Good),
            Mark::Changed => ('~', Tint::Warn),
            Mark::Removed => ('-', Tint::Bad),
            Mark::Same => ('=', Tint::Dim),
        };
        let what = match (&self.old, &self.new) {
            (Some(old), Some(new)) if old != new => format!("{old} → {new}"),
            (_, Some(one)) | (Some(one), None) => one.clone(),
            (None, None) => String::new(),
        };
        let line = format!("{sign} {} {}  {what}", self.kind, self.name);
        style.paint(tint, tame(line.trim_end(), false))
    }
}

fn text(from: &Id, to: &Id, lines: &[Line], style: Style) -> String {
    let mut text = format!(
        "{} → {}\n",
        style.paint(Tint::Bold, from.short()),
        style.paint(Tint::Bold, to.short())
    );
    for line in lines {
        text.push_str(&line.text(style));
        text.push('\n');
    }
    if from == to {
        text.push_str("nothing differs\n");
    }
    text
}

/// Compares all that two environments consist of; what is the same of the project is left out.
fn compared(trees: &dyn Trees, from: &Whole, to: &Whole) -> Result<Vec<Line>, TreeError> {
    let mut lines = vec![Line::of(
        "env",
        "name",
        Some(from.env.name.clone()),
        Some(to.env.name.clone()),
    )];
    lines.extend(by_name(
        "variable",
        &from.env.environment,
        &to.env.environment,
    ));
    lines.extend(by_name("package", &packages(from), &packages(to)));
    lines.extend(by_name("step", &steps(from), &steps(to)));
    let changes = diff(trees, &project(from), &project(to))?;
    lines.extend(changes.iter().filter(|change| !is_way(change)).map(file));
    Ok(lines)
}

fn by_name(
    kind: &'static str,
    from: &BTreeMap<String, String>,
    to: &BTreeMap<String, String>,
) -> Vec<Line> {
    let names: BTreeSet<&String> = from.keys().chain(to.keys()).collect();
    let line = |name: &String| Line::of(kind, name, from.get(name).cloned(), to.get(name).cloned());
    names.into_iter().map(line).collect()
}

fn packages(whole: &Whole) -> BTreeMap<String, String> {
    let packages = whole.children.iter().filter_map(|node| match node {
        Node::Package(package) => Some((
            format!("{}/{}", package.provider, package.name),
            package.version.clone(),
        )),
        _ => None,
    });
    packages.collect()
}

/// Steps by name, each with its command and whatever else is declared of it.
fn steps(whole: &Whole) -> BTreeMap<String, String> {
    let steps = whole.children.iter().filter_map(|node| match node {
        Node::BuildStep(step) => {
            let command = step.command.last().cloned().unwrap_or_default();
            let facts = step.environment.iter().chain(&step.settings);
            let facts: Vec<String> = facts
                .map(|(name, value)| format!("{name}={value}"))
                .collect();
            Some((
                step.name.clone(),
                format!("{command} ({})", facts.join(" ")),
            ))
        }
        _ => None,
    });
    steps.collect()
}

fn project(whole: &Whole) -> Id {
    let tree = whole.children.iter().find_map(|node| match node {
        Node::Dir(dir) => Some(dir.tree),
        _ => None,
    });
    tree.unwrap_or_else(empty_tree)
}

/// A directory that only changed because something below it did.
fn is_way(change: &Change) -> bool {
    match (&change.old, &change.new) {
        (Some(old), Some(new)) => {
            old.kind() == Kind::Dir && new.kind() == Kind::Dir && old.meta == new.meta
        }
        _ => false,
    }
}

fn file(change: &Change) -> Line {
    let short = |entry: &Entry| match entry.kind() {
        Kind::Dir => format!("directory {:04o}", entry.meta.mode),
        _ => entry.id().short(),
    };
    let (old, new) = (
        change.old.as_ref().map(short),
        change.new.as_ref().map(short),
    );
    Line::of("file", &change.path.to_string(), old, new)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        pairs.iter().map(own).collect()
    }

    #[test]
    fn each_side_of_a_name_gives_its_mark() {
        let from = map(&[("A", "1"), ("B", "2"), ("C", "3")]);
        let to = map(&[("A", "1"), ("B", "9"), ("D", "4")]);
        let lines = by_name("variable", &from, &to);
        let plain: Vec<String> = lines
            .iter()
            .map(|line| line.text(Style::new(false)))
            .collect();
        let expected = [
            "= variable A  1",
            "~ variable B  2 → 9",
            "- variable C  3",
            "+ variable D  4",
        ];
        assert_eq!(plain, expected);
        assert_eq!(lines[1].value()["change"], "changed");
        let green = lines[3].text(Style::new(true));
        assert!(green.starts_with("\u{1b}[32m"), "{green:?}");
    }
}
