//! A part of the shell of the conductor: services that write what a step reads.
//!
//! The step runs for what a service wrote, its output is another, so all services start anew in a new view,
//! and the one writes again. After a few rounds services stay in the view they have until somebody else
//! edits something: no other view is made meanwhile, so all go on to speak of that one, and whatever comes next
//! finds it behind and moves all services.

use std::collections::BTreeMap;

use hd_config::Service;
use hd_dag::{Change, TreePath};

use super::actor::Invalidator;
use super::batch::is_plain_dir;
use super::loops::{QUIET, Verdict, Writer};
use super::suspend::now;
use super::writers::Writers;
use crate::events::Event;
use crate::model::report::{StepOutcome, StepReport};

impl Invalidator {
    /// Tells whether services are to stay in the view they have, because another one would come of nothing but
    /// what they keep writing themselves.
    pub(super) fn stay(
        &mut self,
        services: &[Service],
        changes: &[Change],
        steps: &[StepReport],
    ) -> bool {
        let files = |change: &&Change| !is_plain_dir(change);
        let changed = changes.iter().filter(files);
        let changed: Vec<TreePath> = changed.map(|change| change.path.clone()).collect();
        let mut writers = Writers::new(services, self.shared.clone());
        let (mut stay, mut news) = (!changed.is_empty(), None);
        for path in &changed {
            let at = now();
            let by =
                |service: &Service| (writers.of(service, path, at), service.declared().to_owned());
            let Some((writer, name)) = services
                .iter()
                .map(by)
                .min_by_key(|(writer, _)| rank(*writer))
            else {
                return false;
            };
            match self.knows.step_loops.judge(&name, path, writer, at) {
                Verdict::Follow => stay = false,
                Verdict::Withhold => {}
                Verdict::Suspend => news = Some(name),
            }
        }
        if let Some(name) = news {
            let ran = steps.iter().filter(|step| step.result == StepOutcome::Ran);
            let ran: Vec<&str> = ran.map(|step| step.slug.as_str()).collect();
            let words = self.step_loops().remove(&name).unwrap_or_default();
            let note = format!("{words} (ran: {})", ran.join(", "));
            self.shared.events.tell(Event::Note(note));
        }
        stay
    }

    /// What is to be said of services that write what steps read, by their names in the `hd.toml`.
    pub(super) fn step_loops(&self) -> BTreeMap<String, String> {
        let loops = &self.knows.step_loops;
        // As long as services are left behind it is to be said why, though the rule may hold again.
        let held = match self.knows.is_behind() {
            true => loops.withheld(),
            false => loops.suspended(),
        };
        let words = held.into_iter().map(|(name, files)| {
            let words = told(&name, &files);
            (name, words)
        });
        words.collect()
    }
}

/// Who is the likeliest to have written comes first.
fn rank(writer: Writer) -> u8 {
    match writer {
        Writer::Itself => 0,
        Writer::Perhaps => 1,
        Writer::Other => 2,
    }
}

fn told(name: &str, files: &[(TreePath, bool)]) -> String {
    let paths: Vec<String> = files.iter().map(|(path, _)| path.to_string()).collect();
    let exclude: Vec<String> = paths.iter().map(|path| format!("\"/{path}\"")).collect();
    let (paths, exclude) = (paths.join(", "), exclude.join(", "));
    let (what, quiet) = match files.iter().all(|(_, known)| *known) {
        true => (
            format!("{name} wrote {paths}, which a step reads"),
            String::new(),
        ),
        false => (
            format!("{paths}, which a step reads, changes right after each start of {name}"),
            format!(" or it has been quiet for {} s", QUIET.as_secs()),
        ),
    };
    format!(
        "{what}; the step runs, but services stay in the view they have until somebody else edits something{quiet}; \
         [files] exclude = [{exclude}] leaves it out, or `hd watch resume` tries again"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_said_who_wrote_what_and_what_helps() {
        let path = TreePath::new(b"data/stamp").unwrap();
        let text = told("web", &[(path.clone(), true)]);
        assert!(
            text.starts_with("web wrote data/stamp, which a step reads; "),
            "{text}"
        );
        assert!(text.contains("exclude = [\"/data/stamp\"]"), "{text}");
        let text = told("web", &[(path, false)]);
        assert!(
            text.starts_with("data/stamp, which a step reads, changes right"),
            "{text}"
        );
        assert!(
            text.contains("something or it has been quiet for 10 s; "),
            "{text}"
        );
    }
}
