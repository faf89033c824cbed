//! Project files a step read though its `inputs` do not name them.

use hd_dag::trace::{Seen, Trace};
use hd_dag::{Rooted, TreeError, TreePath, Trees};

use super::wanted::Wanted;

/// Files named in the remark at most.
const NAMED: usize = 3;

/// Gives the remark on a run, if there is one to make.
///
/// Only files of the project count: what the base or other steps brought is not for `inputs`.
pub(super) fn remark(
    trees: &dyn Trees,
    step: &Wanted,
    trace: &Trace,
    workdir: &TreePath,
    project: &Rooted,
) -> Result<Option<String>, TreeError> {
    let Some(inputs) = &step.options.inputs else {
        return Ok(None);
    };
    let mut undeclared = Vec::new();
    for (path, observed) in trace.iter() {
        let Some(path) = path.strip_prefix(workdir) else {
            continue;
        };
        let is_file = matches!(observed.lookup, Some(Seen::Entry { .. }));
        if is_file
            && !inputs.matches(path.as_bytes())
            && hd_dag::get(trees, &project.tree, &path)?.is_some()
        {
            undeclared.push(path.to_string());
        }
    }
    Ok((!undeclared.is_empty()).then(|| words(&step.slug, &undeclared)))
}

fn words(step: &str, undeclared: &[String]) -> String {
    let named = undeclared.iter().take(NAMED).cloned().collect::<Vec<_>>();
    let more = match undeclared.len() - named.len() {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!(
        "step {step} read {}{more}, which its `inputs` do not name; it runs again when they change all the same",
        named.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use hd_config::WatchSet;
    use hd_dag::trace::Observation;
    use hd_dag::{Entry, MemoryTrees, Meta, build};
    use hd_store::Id;

    use super::super::wanted::Options;
    use super::*;

    #[test]
    fn only_undeclared_files_of_the_project_are_told() {
        let trees = MemoryTrees::new();
        let path = |text: &str| TreePath::new(text.as_bytes()).unwrap();
        let entry = Entry::regular(Meta::default(), Id::of(b"x"), 1);
        let files = ["conf/x", "src/a.c", "src/b.h"].map(|name| (path(name), entry.clone(), 1));
        let project = build(&trees, files).unwrap();
        let mut trace = Trace::default();
        let seen = Seen::Entry { id: entry.id() };
        for name in [
            "w/src/a.c",
            "w/src/b.h",
            "w/conf/x",
            "w/made/by/another",
            "usr/bin/cc",
        ] {
            trace.record(path(name), Observation::Lookup(seen));
        }
        trace.record(path("w/absent"), Observation::Lookup(Seen::Absent));
        let told = |inputs: Option<&[&str]>| {
            let inputs = inputs.map(|globs| {
                WatchSet::new(globs.iter().map(|glob| (*glob).to_owned()).collect()).unwrap()
            });
            let step = Wanted {
                slug: "build".to_owned(),
                options: Options {
                    inputs,
                    ..Options::default()
                },
                ..Wanted::default()
            };
            remark(&trees, &step, &trace, &path("w"), &project).unwrap()
        };
        assert_eq!(told(None), None);
        assert_eq!(told(Some(&["src/**", "conf"])), None);
        let told = told(Some(&["*.c"])).unwrap();
        assert!(
            told.starts_with("step build read conf/x, src/b.h, which"),
            "{told}"
        );
    }
}
