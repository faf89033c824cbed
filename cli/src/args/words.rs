//! Words that a shell completes: names of the hd.toml that is found from the working directory.

use clap_complete::engine::{ArgValueCandidates, CompletionCandidate};
use hd_config::{Project, Service};

use super::Place;

/// Completes names of services, and of all replicas of one.
pub(super) fn services() -> ArgValueCandidates {
    of_project(|project| {
        let candidate = |service: &Service| {
            let command = service.command.to_string();
            CompletionCandidate::new(&service.name).help(Some(command.into()))
        };
        let group = |service: &Service| {
            let first = service
                .replica
                .as_ref()
                .filter(|replica| replica.number == 1)?;
            let all = CompletionCandidate::new(&first.of);
            Some(all.help(Some("all its replicas".into())))
        };
        let services = project.services.iter();
        let groups = services.clone().filter_map(group);
        services.map(candidate).chain(groups).collect()
    })
}

/// Completes names of volumes.
pub(super) fn volumes() -> ArgValueCandidates {
    of_project(|project| {
        let names = project.volumes.iter();
        names.map(CompletionCandidate::new).collect()
    })
}

/// Completes names of what steps keep between runs.
pub(super) fn caches() -> ArgValueCandidates {
    of_project(|project| {
        let named = project.caches.iter().map(|cache| &cache.name);
        let names = named.chain(&project.cache);
        names.map(CompletionCandidate::new).collect()
    })
}

fn of_project(
    words: impl Fn(&Project) -> Vec<CompletionCandidate> + Send + Sync + 'static,
) -> ArgValueCandidates {
    ArgValueCandidates::new(move || {
        let located = crate::project::locate(&Place::default(), None);
        let loaded = located.and_then(|located| located.load());
        // There is nobody to tell of an error while words are completed.
        loaded.map_or_else(|_| Vec::new(), |loaded| words(&loaded.project))
    })
}
