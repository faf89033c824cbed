//! `hd dag show`.

use hd_dag::node::Node;
use hd_dag::{Entry, StoreTrees, Target, list};
use hd_store::{Id, NodeKind, Store};
use serde_json::{Value, json};

use crate::args::Place;
use crate::commands::state;
use crate::error::{CliError, Outcome, exit};
use crate::output::Output;
use crate::output::human::{bytes, plural};
use crate::output::style::{Style, Tint, tame};
use crate::project;

/// Bytes of directories kept in memory while printing.
const CACHE: usize = 8 << 20;
/// Entries shown of one directory.
const ENTRIES_MAX: usize = 100;

/// Prints the root and what it covers, directories to a depth.
pub(crate) fn show(place: &Place, depth: usize, output: Output) -> Outcome {
    let located = project::locate(place, None)?;
    let report = state::required(&located)?.report;
    let Some(root) = report
        .root
        .as_deref()
        .and_then(|root| root.parse::<Id>().ok())
    else {
        return Err(
            CliError::new("not_running", exit::USAGE, "there is no root yet")
                .hint("`hd status` shows how far it is"),
        );
    };
    let cas = located.paths.cas();
    let store = Store::open(&cas)
        .map_err(|e| CliError::new("store", exit::INTERNAL, e).at(cas.display().to_string()))?;
    let trees = StoreTrees::read_only(store, CACHE);
    let graph = Graph { trees, depth }.environment(&root).map_err(|e| {
        CliError::new("store", exit::INTERNAL, e)
            .at(root.to_string())
            .hint("`hd build` makes it again")
    })?;
    if output.json {
        output.value(&graph.json(&root))?;
    } else {
        output.data(&graph.text(&root, output.out))?;
    }
    Ok(0)
}

struct Graph {
    trees: StoreTrees,
    depth: usize,
}

/// One thing of the graph and what it consists of.
#[derive(Debug)]
struct Shown {
    kind: &'static str,
    name: String,
    id: Id,
    /// Further facts.
    facts: Vec<(&'static str, Value)>,
    /// The same for people.
    remark: String,
    below: Vec<Shown>,
    /// Things left out of `below`.
    more: u64,
}

impl Graph {
    fn environment(&self, root: &Id) -> Result<Shown, String> {
        let Node::Env(env) = self.node(root)? else {
            return Err(format!("{root} is not an environment"));
        };
        let variables = plural(env.environment.len() as u64, "variable");
        let below = env
            .children
            .iter()
            .map(|child| self.child(child))
            .collect::<Result<_, _>>()?;
        let facts = vec![("environment", json!(env.environment))];
        Ok(Shown {
            kind: "env",
            name: env.name,
            id: *root,
            facts,
            remark: variables,
            below,
            more: 0,
        })
    }

    fn child(&self, id: &Id) -> Result<Shown, String> {
        let leaf = |kind, name: String, facts, remark| Shown {
            kind,
            name,
            id: *id,
            facts,
            remark,
            below: Vec::new(),
            more: 0,
        };
        Ok(match self.node(id)? {
            Node::Package(package) => {
                let artefact = package.artefact.map(|id| id.to_string());
                let facts = vec![
                    ("provider", json!(package.provider)),
                    ("version", json!(package.version)),
                    ("artefact", json!(artefact)),
                ];
                leaf(
                    "package",
                    package.name,
                    facts,
                    format!("{} {}", package.provider, package.version),
                )
            }
            Node::BuildStep(step) => {
                let command = step.command.join(" ");
                let facts = vec![
                    ("command", json!(step.command)),
                    ("order", json!(step.order)),
                ];
                leaf("step", step.name, facts, command)
            }
            Node::Dir(dir) => {
                let mut shown = leaf("dir", "project".to_owned(), Vec::new(), String::new());
                shown.facts.push(("tree", json!(dir.tree.to_string())));
                (shown.below, shown.more) = self.directory(&dir.tree, self.depth)?;
                shown
            }
            Node::File(file) => {
                let facts = vec![
                    ("blob", json!(file.blob.to_string())),
                    ("size", json!(file.size)),
                ];
                leaf("file", "file".to_owned(), facts, bytes(file.size))
            }
            Node::Env(env) => leaf("env", env.name, Vec::new(), String::new()),
        })
    }

    fn node(&self, id: &Id) -> Result<Node, String> {
        let bytes = self
            .trees
            .store()
            .read_node(NodeKind::Node, id)
            .map_err(|e| e.to_string())?;
        Node::decode(&bytes).map_err(|e| format!("{id}: {e}"))
    }

    fn directory(&self, tree: &Id, depth: usize) -> Result<(Vec<Shown>, u64), String> {
        let (mut shown, mut more) = (Vec::new(), 0);
        if depth == 0 {
            return Ok((shown, more));
        }
        for item in list(&self.trees, tree).map_err(|e| e.to_string())? {
            let (name, entry) = item.map_err(|e| e.to_string())?;
            if shown.len() == ENTRIES_MAX {
                more += 1;
                continue;
            }
            let name = String::from_utf8_lossy(name.as_bytes()).into_owned();
            shown.push(self.entry(name, &entry, depth)?);
        }
        Ok((shown, more))
    }

    fn entry(&self, name: String, entry: &Entry, depth: usize) -> Result<Shown, String> {
        let (mut below, mut more) = (Vec::new(), 0);
        let mut facts = vec![("mode", json!(format!("{:04o}", entry.meta.mode)))];
        let (kind, id, remark) = match &entry.target {
            Target::Regular { blob, size, .. } => {
                facts.push(("size", json!(size)));
                ("file", *blob, bytes(*size))
            }
            Target::Dir { tree, .. } => {
                (below, more) = self.directory(tree, depth - 1)?;
                ("dir", *tree, String::new())
            }
            Target::Symlink { target } => {
                let target = String::from_utf8_lossy(target).into_owned();
                facts.push(("target", json!(target)));
                ("symlink", entry.id(), format!("-> {target}"))
            }
            Target::Fifo => ("fifo", entry.id(), String::new()),
            Target::Char { .. } => ("char", entry.id(), String::new()),
            Target::Block { .. } => ("block", entry.id(), String::new()),
            Target::Whiteout => ("whiteout", entry.id(), String::new()),
        };
        Ok(Shown {
            kind,
            name,
            id,
            facts,
            remark,
            below,
            more,
        })
    }
}

impl Shown {
    fn json(&self, root: &Id) -> Value {
        let mut value = self.value();
        value["schema"] = json!(1);
        value["root"] = json!(root.to_string());
        value
    }

    fn value(&self) -> Value {
        let mut value = json!({"kind": self.kind, "name": self.name, "id": self.id.to_string()});
        for (key, fact) in &self.facts {
            value[*key] = fact.clone();
        }
        if !self.below.is_empty() {
            value["children"] = self.below.iter().map(Self::value).collect();
        }
        if self.more > 0 {
            value["more"] = json!(self.more);
        }
        value
    }

    fn text(&self, root: &Id, style: Style) -> String {
        let mut text = format!("root {}\n", style.paint(Tint::Bold, root));
        self.lines("", "", style, &mut text);
        text
    }

    fn lines(&self, first: &str, rest: &str, style: Style, text: &mut String) {
        let kind = style.paint(Tint::Dim, self.kind);
        let id = style.paint(Tint::Name, self.id.short());
        let name = style.paint(Tint::Bold, tame(&self.name, false));
        let line = format!("{first}{kind} {name}  {id}  {}", tame(&self.remark, false));
        text.push_str(line.trim_end());
        text.push('\n');
        let last = self.below.len().saturating_sub(1);
        for (index, child) in self.below.iter().enumerate() {
            let (branch, trunk) = if index == last && self.more == 0 {
                ("└─ ", "   ")
            } else {
                ("├─ ", "│  ")
            };
            child.lines(
                &format!("{rest}{branch}"),
                &format!("{rest}{trunk}"),
                style,
                text,
            );
        }
        if self.more > 0 {
            text.push_str(&format!("{rest}└─ … and {} more\n", self.more));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(kind: &'static str, name: &str, below: Vec<Shown>) -> Shown {
        let facts = vec![("mode", json!("0644"))];
        Shown {
            kind,
            name: name.to_owned(),
            id: Id::from_bytes([0x3f; 32]),
            facts,
            remark: "5 B".to_owned(),
            below,
            more: 0,
        }
    }

    #[test]
    fn a_graph_is_a_tree_of_lines() {
        let mut dir = shown(
            "dir",
            "project",
            vec![shown("file", "a", vec![]), shown("file", "b", vec![])],
        );
        dir.more = 3;
        let env = shown("env", "demo", vec![dir, shown("step", "step-1", vec![])]);
        let id = "3f3f3f3f3f3f";
        let expected = format!(
            "root {}\n\
             env demo  {id}  5 B\n\
             ├─ dir project  {id}  5 B\n\
             │  ├─ file a  {id}  5 B\n\
             │  ├─ file b  {id}  5 B\n\
             │  └─ … and 3 more\n\
             └─ step step-1  {id}  5 B\n",
            "3f".repeat(32)
        );
        assert_eq!(env.text(&env.id, Style::new(false)), expected);
        let value = env.json(&env.id);
        assert_eq!(value["children"][0]["children"][1]["name"], "b");
        assert_eq!(
            (
                value["schema"].as_u64(),
                value["children"][0]["more"].as_u64()
            ),
            (Some(1), Some(3))
        );
    }
}
