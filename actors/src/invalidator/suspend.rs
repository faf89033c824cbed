//! A part of the shell of the conductor: which changes concern a service, and which it made itself.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use hd_config::{Service, WatchAction};
use hd_dag::TreePath;
use hd_supervision::actix::{AsyncContext, Context, Handler};

use super::actor::Invalidator;
use super::loops::{Lifted, QUIET, Verdict, Writer};
use super::writers::Writers;
use crate::events::Event;
use crate::messages::{Origin, Paths, RestartCause, RestartFor, ResumeRules};
use crate::witness::Witness;

impl Invalidator {
    /// Gives the changed files each of these services is to do something about: those it watches, without those that
    /// it keeps writing itself. `all` are the services there are.
    pub(super) fn edits(
        &mut self,
        all: &[Service],
        services: &[Service],
        changed: &[TreePath],
    ) -> BTreeMap<String, Vec<TreePath>> {
        let (mut edits, mut found) = (BTreeMap::new(), Vec::new());
        let mut writers = Writers::new(services, self.shared.clone());
        for service in services {
            let witness = self.shared.witnesses.of(&service.name);
            let mut mine: Vec<TreePath> = changed.to_vec();
            mine.retain(|path| watches(service, &witness, path));
            mine.retain(|path| match self.judge(service, &mut writers, path) {
                Verdict::Follow => true,
                Verdict::Withhold => false,
                Verdict::Suspend => {
                    found.push(service.name.clone());
                    false
                }
            });
            edits.insert(service.name.clone(), mine);
        }
        let told = self.show_suspended(all);
        // Replicas have the same to say.
        let texts: BTreeSet<&String> = found.iter().filter_map(|name| told.get(name)).collect();
        for text in texts {
            self.shared.events.tell(Event::Note(text.clone()));
        }
        edits
    }

    fn judge(&mut self, service: &Service, writers: &mut Writers<'_>, path: &TreePath) -> Verdict {
        let now = now();
        let writer = writers.of(service, path, now);
        if service.watch.is_auto() {
            // What it reads it may well write, too.
            return if writer == Writer::Itself {
                Verdict::Withhold
            } else {
                Verdict::Follow
            };
        }
        self.knows.loops.judge(&service.name, path, writer, now)
    }

    /// Publishes what is suspended; gives the words by service.
    pub(super) fn show_suspended(&self, services: &[Service]) -> BTreeMap<String, String> {
        let suspended = self.knows.loops.suspended();
        let words = services.iter().filter_map(|service| {
            let files = suspended.get(&service.name)?;
            Some((service.name.clone(), told(service, files)))
        });
        let mut words: BTreeMap<String, String> = words.collect();
        let of_steps = self.step_loops();
        for service in services {
            if let Some(more) = of_steps.get(service.declared()) {
                words.insert(service.name.clone(), more.clone());
            }
        }
        if let Some(roster) = &self.edges.roster {
            roster.suspend(words.clone());
        }
        words
    }

    /// Looks again when a rule may hold again.
    pub(super) fn arm_lift(&mut self, ctx: &mut Context<Self>) {
        let due = [self.knows.loops.due(), self.knows.step_loops.due()];
        let due = due.into_iter().flatten().min();
        let Some(due) = due.filter(|_| !self.knows.lifting) else {
            return;
        };
        self.knows.lifting = true;
        ctx.run_later(due.saturating_duration_since(now()), |this, ctx| {
            this.knows.lifting = false;
            let watched = this.knows.loops.lift(now());
            let of_steps = this.knows.step_loops.lift(now());
            this.lifted(&watched, &of_steps);
            if of_steps.iter().any(|rule| rule.may_be_stale) {
                this.catch_up(ctx);
            }
            this.arm_lift(ctx);
        });
    }

    /// Lets all rules hold again: a person asked, or the `hd.toml` was edited.
    pub(super) fn resume_rules(&mut self) {
        let watched = self.knows.loops.resume();
        let of_steps = self.knows.step_loops.resume();
        self.lifted(&watched, &of_steps);
    }

    fn lifted(&self, watched: &[Lifted], of_steps: &[Lifted]) {
        if watched.is_empty() && of_steps.is_empty() {
            return;
        }
        let declared = self.asked();
        self.show_suspended(&declared.project.services);
        // Who wrote is not known for certain: it might have been a person.
        let stale = watched.iter().filter(|rule| rule.may_be_stale);
        let restarts = stale.filter_map(|rule| {
            let restart = RestartFor {
                origin: by_itself(),
                cause: RestartCause::Watched(vec![rule.path.clone()]),
                view: self.knows.views.as_ref()?.of(&rule.service).clone(),
            };
            Some((rule.service.clone(), restart))
        });
        self.edges.services.restart_all(restarts.collect());
    }

    /// Makes services that stayed in the view they had start in that of the newest outcome, all of them, the way
    /// any outcome is acted on: no file changed for it, so nothing holds them back.
    fn catch_up(&mut self, ctx: &mut Context<Self>) {
        if self.knows.is_behind() {
            self.ask_again(by_itself(), Paths::These(BTreeSet::new()), ctx);
        }
    }
}

/// Where a chain of messages begins that no batch of edits began.
fn by_itself() -> Origin {
    let (batch, seen_at) = (0, now());
    Origin { batch, seen_at }
}

impl Handler<ResumeRules> for Invalidator {
    type Result = ();

    fn handle(&mut self, _: ResumeRules, ctx: &mut Self::Context) {
        self.resume_rules();
        self.catch_up(ctx);
    }
}

fn watches(service: &Service, witness: &Witness, path: &TreePath) -> bool {
    if service.watch.is_auto() {
        return witness.has_read(path);
    }
    let action = service.watch.action(path.as_bytes());
    action.is_some_and(|action| *action != WatchAction::None)
}

/// Says what is suspended and what to do about it.
fn told(service: &Service, files: &[(TreePath, bool)]) -> String {
    let name = service.declared();
    let paths: Vec<String> = files.iter().map(|(path, _)| path.to_string()).collect();
    let first = files.first();
    let glob = first.and_then(|(path, _)| service.watch.matched_by(path.as_bytes()));
    let rule = glob.map_or(String::new(), |glob| format!(" (`{glob}`)"));
    let take_out = paths.iter().map(|path| format!("\"!/{path}\""));
    let take_out = take_out.collect::<Vec<_>>().join(", ");
    let paths = paths.join(", ");
    let what = if files.iter().all(|(_, known)| *known) {
        format!(
            "{name} wrote {paths}, which its own watch matches{rule}; what {name} writes there restarts it no \
             more, edits by others do"
        )
    } else {
        format!(
            "{paths} changes right after each start of {name}, and its own watch matches that{rule}; changes \
             there restart it no more until it has been quiet for {} s",
            QUIET.as_secs()
        )
    };
    format!("{what}; add {take_out} to its watch, or `hd watch resume` tries again")
}

/// The time, which tests may hold.
pub(super) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

#[cfg(test)]
mod tests {
    use hd_config::WatchSet;

    use super::*;

    #[test]
    fn it_is_said_who_wrote_what_by_which_rule_and_what_helps() {
        let mut web = Service::new("web", "serve");
        web.watch = WatchSet::new(vec!["data".to_owned()]).unwrap();
        let path = TreePath::new(b"data/x.db").unwrap();
        let text = told(&web, &[(path.clone(), true)]);
        assert!(text.starts_with("web wrote data/x.db, which its own watch matches (`data`); "));
        assert!(text.contains("add \"!/data/x.db\" to its watch"), "{text}");
        let text = told(&web, &[(path, false)]);
        assert!(text.starts_with("data/x.db changes right after each start of web"));
    }
}
