//! Which services a change concerns: pure.

use std::collections::BTreeMap;

use hd_config::{Service, WatchAction, WatchSet, change};
use hd_dag::TreePath;
use hd_store::Id;

use crate::messages::RestartCause;
use crate::model::report::{StepOutcome, StepReport};

/// What a service is to do about the paths that changed, if it watches any: a restart beats all
/// that is gentler.
pub fn concerned(watch: &WatchSet, changed: &[TreePath]) -> Option<RestartCause> {
    let (mut restarting, mut acting) = (Vec::new(), Vec::new());
    let mut actions: Vec<WatchAction> = Vec::new();
    for path in changed {
        match watch.action(path.as_bytes()) {
            // It has read the file.
            None if watch.is_auto() => restarting.push(path.clone()),
            None | Some(WatchAction::None) => {}
            Some(WatchAction::Restart) => restarting.push(path.clone()),
            Some(action) => {
                acting.push(path.clone());
                if !actions.contains(action) {
                    actions.push(action.clone());
                }
            }
        }
    }
    if !restarting.is_empty() {
        return Some(RestartCause::Watched(restarting));
    }
    (!acting.is_empty()).then_some(RestartCause::Acted {
        paths: acting,
        actions,
    })
}

/// Trees that services see below the project: before, if any were started, and now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    /// The tree they were started on.
    pub before: Option<Id>,
    /// The tree they are to be started on.
    pub now: Id,
    /// Why all start anew, whatever the trees: other surroundings, or the view before was lost.
    pub anew: Option<RestartCause>,
}

/// Which services are to be restarted after a batch, and why.
///
/// A new view concerns all of them, because all see it; else what they watch decides: `edits` holds the changed
/// files each is to do something about.
pub fn causes(
    services: &[Service],
    view: &View,
    steps: &[StepReport],
    edits: &BTreeMap<String, Vec<TreePath>>,
) -> BTreeMap<String, RestartCause> {
    let all = |cause: &dyn Fn() -> RestartCause| {
        services
            .iter()
            .map(|service| (service.name.clone(), cause()))
            .collect()
    };
    match (view.before, &view.anew) {
        (None, _) => all(&|| RestartCause::Boot),
        (Some(_), Some(cause)) => all(&|| cause.clone()),
        (Some(before), None) if before != view.now => {
            let ran = steps.iter().filter(|step| step.result == StepOutcome::Ran);
            let ran: Vec<String> = ran.map(|step| step.slug.clone()).collect();
            all(&|| RestartCause::View(ran.clone()))
        }
        (Some(_), None) => {
            let cause = |service: &Service| {
                let cause = concerned(&service.watch, edits.get(&service.name)?)?;
                Some((service.name.clone(), cause))
            };
            services.iter().filter_map(cause).collect()
        }
    }
}

/// Adds what the `hd.toml` says of services now and did not say before: those that are new start,
/// those that are others start anew.
pub fn redeclared(
    before: &[Service],
    now: &[Service],
    causes: &mut BTreeMap<String, RestartCause>,
) {
    for service in now {
        let old = before.iter().find(|old| old.name == service.name);
        let keys = old.map(|old| change::of_service(old, service));
        let cause = match keys.as_deref() {
            None => RestartCause::Boot,
            Some([]) => continue,
            Some(keys) => RestartCause::Changed(keys.iter().map(|key| (*key).to_owned()).collect()),
        };
        causes.insert(service.name.clone(), cause);
    }
}

#[cfg(test)]
mod tests {
    use hd_config::{Signal, WatchRule};

    use super::*;

    #[test]
    fn a_restart_beats_what_is_gentler_and_each_action_is_taken_once() {
        let rule = |glob: &str, action: &WatchAction| WatchRule {
            glob: glob.to_owned(),
            action: action.clone(),
        };
        let hup = WatchAction::Signal(Signal::HUP);
        let rules = vec![
            rule("*.conf", &hup),
            rule("*.py", &WatchAction::Restart),
            rule("skip.py", &WatchAction::None),
        ];
        let watch = WatchSet::with_actions(rules).unwrap();
        let paths = |names: &[&str]| {
            let path = |name: &&str| TreePath::new(name.as_bytes()).unwrap();
            names.iter().map(path).collect::<Vec<_>>()
        };
        let acted = RestartCause::Acted {
            paths: paths(&["a.conf", "b.conf"]),
            actions: vec![hup],
        };
        let cases = [
            (paths(&["skip.py", "notes"]), None),
            (paths(&["a.conf", "skip.py", "b.conf"]), Some(acted)),
            (
                paths(&["a.conf", "x.py"]),
                Some(RestartCause::Watched(paths(&["x.py"]))),
            ),
        ];
        for (changed, cause) in cases {
            assert_eq!(concerned(&watch, &changed), cause, "{changed:?}");
        }
    }

    #[test]
    fn a_new_view_concerns_all_and_an_edit_those_who_watch_it() {
        let mut web = Service::new("web", "serve");
        web.watch = WatchSet::new(vec!["*.py".to_owned()]).unwrap();
        let services = [web, Service::new("worker", "work")];
        let path = |text: &str| TreePath::new(text.as_bytes()).unwrap();
        let (a, b) = (Id::of(b"a"), Id::of(b"b"));
        let names = |before, now, anew: Option<RestartCause>, changed: &[TreePath]| {
            let all = services.iter();
            let edits = all
                .map(|one| (one.name.clone(), changed.to_vec()))
                .collect();
            let causes = causes(&services, &View { before, now, anew }, &[], &edits);
            causes.into_keys().collect::<Vec<_>>()
        };
        assert_eq!(names(None, a, None, &[]), ["web", "worker"]);
        assert_eq!(names(Some(a), b, None, &[]), ["web", "worker"]);
        assert_eq!(names(Some(a), a, None, &[path("app.py")]), ["web"]);
        assert_eq!(
            names(Some(a), a, None, &[path("notes.txt")]),
            Vec::<String>::new()
        );
        let lost = Some(RestartCause::ViewLost);
        assert_eq!(names(Some(a), a, lost, &[]), ["web", "worker"]);
    }

    #[test]
    fn only_services_that_are_new_or_others_follow_an_edit_of_the_file() {
        let [web, worker, job] = ["web", "worker", "job"].map(|name| Service::new(name, "run"));
        let mut other = web.clone();
        other.port = Some(1);
        let mut causes = BTreeMap::new();
        let before = [web, worker.clone()];
        redeclared(&before, &[other, worker, job], &mut causes);
        let expected = [
            ("job".to_owned(), RestartCause::Boot),
            (
                "web".to_owned(),
                RestartCause::Changed(vec!["port".to_owned()]),
            ),
        ];
        assert_eq!(causes, BTreeMap::from(expected));
    }
}
