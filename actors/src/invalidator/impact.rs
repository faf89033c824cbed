//! Which services a change concerns: pure.

use std::collections::BTreeMap;

use hd_config::{Service, WatchSet};
use hd_dag::TreePath;
use hd_store::Id;

use crate::messages::RestartCause;
use crate::model::report::{StepOutcome, StepReport};

/// Services whose watch patterns match something that changed, each with what matched, in the
/// order of their names.
pub fn concerned<'a>(
    watches: impl IntoIterator<Item = (&'a str, &'a WatchSet)>,
    changed: &[TreePath],
) -> BTreeMap<String, Vec<TreePath>> {
    let mut concerned = BTreeMap::new();
    for (service, watch) in watches {
        let matched: Vec<TreePath> = changed
            .iter()
            .filter(|path| watch.matches(path.as_bytes()))
            .cloned()
            .collect();
        if !matched.is_empty() {
            concerned.insert(service.to_owned(), matched);
        }
    }
    concerned
}

/// Trees that services see below the project: before, if any were started, and now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct View {
    /// The tree they were started on.
    pub before: Option<Id>,
    /// The tree they are to be started on.
    pub now: Id,
}

/// Which services are to be restarted after a batch, and why.
///
/// A new view concerns all of them, because all see it; else the patterns they watch decide.
pub fn causes(
    services: &[Service],
    view: &View,
    steps: &[StepReport],
    changed: &[TreePath],
) -> BTreeMap<String, RestartCause> {
    let all = |cause: &dyn Fn() -> RestartCause| {
        services
            .iter()
            .map(|service| (service.name.clone(), cause()))
            .collect()
    };
    match view.before {
        None => all(&|| RestartCause::Boot),
        Some(before) if before != view.now => {
            let ran = steps.iter().filter(|step| step.result == StepOutcome::Ran);
            let ran: Vec<String> = ran.map(|step| step.slug.clone()).collect();
            all(&|| RestartCause::View(ran.clone()))
        }
        Some(_) => {
            let watches = services
                .iter()
                .map(|service| (service.name.as_str(), &service.watch));
            let concerned = concerned(watches, changed).into_iter();
            concerned
                .map(|(name, paths)| (name, RestartCause::Watched(paths)))
                .collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_view_concerns_all_and_an_edit_those_who_watch_it() {
        let mut web = Service::new("web", "serve");
        web.watch = WatchSet::new(vec!["*.py".to_owned()]).unwrap();
        let services = [web, Service::new("worker", "work")];
        let path = |text: &str| TreePath::new(text.as_bytes()).unwrap();
        let (a, b) = (Id::of(b"a"), Id::of(b"b"));
        let names = |before, now, changed: &[TreePath]| {
            let causes = causes(&services, &View { before, now }, &[], changed);
            causes.into_keys().collect::<Vec<_>>()
        };
        assert_eq!(names(None, a, &[]), ["web", "worker"]);
        assert_eq!(names(Some(a), b, &[]), ["web", "worker"]);
        assert_eq!(names(Some(a), a, &[path("app.py")]), ["web"]);
        assert_eq!(
            names(Some(a), a, &[path("notes.txt")]),
            Vec::<String>::new()
        );
    }
}
