//! In which order services start.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use crate::service::Service;

/// Services that wait for each other.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("services wait for each other: {}", .chain.join(" -> "))]
pub struct Cycle {
    /// The circle; each waits for the next, first and last are the same.
    pub chain: Vec<String>,
}

/// Orders services so that each comes after all it depends on; among those that are free, the one
/// declared first comes first. Stop in reverse. Names that are no service are passed over.
///
/// # Errors
/// A cycle, with its chain.
pub fn start_order(services: &[Service]) -> Result<Vec<&Service>, Cycle> {
    let index: BTreeMap<&str, usize> = services
        .iter()
        .enumerate()
        .map(|(at, service)| (service.name.as_str(), at))
        .collect();
    let needs: Vec<Vec<usize>> = services
        .iter()
        .map(|service| {
            let names = service.depends_on.iter().map(|one| one.service.as_str());
            names.filter_map(|name| index.get(name).copied()).collect()
        })
        .collect();
    let order = kahn(&needs);
    if order.len() < services.len() {
        let chain = cycle(&needs, &order);
        let named = chain.into_iter().filter_map(|at| services.get(at));
        return Err(Cycle {
            chain: named.map(|service| service.name.clone()).collect(),
        });
    }
    Ok(order
        .into_iter()
        .filter_map(|at| services.get(at))
        .collect())
}

/// Topological order by Kahn's algorithm, smallest index first; shorter than the input on a cycle.
fn kahn(needs: &[Vec<usize>]) -> Vec<usize> {
    let mut dependants: Vec<Vec<usize>> = vec![Vec::new(); needs.len()];
    let mut open: Vec<usize> = Vec::with_capacity(needs.len());
    for (at, need) in needs.iter().enumerate() {
        open.push(need.len());
        for on in need {
            dependants[*on].push(at);
        }
    }
    let free = open.iter().enumerate().filter(|(_, count)| **count == 0);
    let mut free: BinaryHeap<Reverse<usize>> = free.map(|(at, _)| Reverse(at)).collect();
    let mut order = Vec::with_capacity(needs.len());
    while let Some(Reverse(at)) = free.pop() {
        order.push(at);
        for dependant in &dependants[at] {
            open[*dependant] -= 1;
            if open[*dependant] == 0 {
                free.push(Reverse(*dependant));
            }
        }
    }
    order
}

/// Walks from an unordered service along unordered dependencies until one is met again.
fn cycle(needs: &[Vec<usize>], order: &[usize]) -> Vec<usize> {
    let mut ordered = vec![false; needs.len()];
    for at in order {
        ordered[*at] = true;
    }
    let mut walk: Vec<usize> = Vec::new();
    let mut position: Vec<Option<usize>> = vec![None; needs.len()];
    let mut next = ordered.iter().position(|done| !done);
    while let Some(at) = next {
        if let Some(start) = position[at] {
            walk.push(at);
            return walk.split_off(start);
        }
        position[at] = Some(walk.len());
        walk.push(at);
        next = needs[at].iter().copied().find(|on| !ordered[*on]);
    }
    walk
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::start_order;
    use crate::service::{Condition, DependsOn, Service};

    fn service(name: &str, on: &[&str]) -> Service {
        let mut service = Service::new(name, "true");
        service.depends_on = on
            .iter()
            .map(|on| DependsOn {
                service: (*on).to_owned(),
                condition: Condition::Healthy,
            })
            .collect();
        service
    }

    fn names(services: &[Service]) -> Result<Vec<&str>, String> {
        start_order(services)
            .map(|order| order.iter().map(|service| service.name.as_str()).collect())
            .map_err(|cycle| cycle.to_string())
    }

    #[test]
    fn a_diamond_starts_from_its_foot_in_declared_order() {
        let services = [
            service("web", &["api", "worker"]),
            service("worker", &["db"]),
            service("api", &["db"]),
            service("db", &[]),
            service("lone", &[]),
        ];
        let expected = Ok(vec!["db", "worker", "api", "web", "lone"]);
        assert_eq!(names(&services), expected);
    }

    #[test]
    fn cycles_are_named_whole() {
        let services = [
            service("outside", &["a"]),
            service("a", &["b"]),
            service("b", &["c"]),
            service("c", &["a"]),
        ];
        let expected = "services wait for each other: a -> b -> c -> a";
        assert_eq!(names(&services), Err(expected.to_owned()));
        let own = "services wait for each other: a -> a";
        assert_eq!(names(&[service("a", &["a"])]), Err(own.to_owned()));
    }

    #[test]
    fn ten_thousand_services_in_one_chain_are_ordered() {
        let services: Vec<Service> = (0..10_000)
            .map(|n| service(&n.to_string(), &[&(n + 1).to_string()]))
            .collect();
        assert_eq!(names(&services).map(|order| order[0]), Ok("9999"));
    }

    proptest! {
        #[test]
        fn dependencies_come_first_or_a_true_cycle_is_named(
            edges in prop::collection::vec((0usize..8, 0usize..8), 0..16),
        ) {
            let on = |at: usize| edges.iter().filter(move |edge| edge.0 == at).map(|edge| edge.1);
            let services: Vec<Service> = (0..8)
                .map(|at| {
                    let on: Vec<String> = on(at).map(|to| to.to_string()).collect();
                    service(&at.to_string(), &on.iter().map(String::as_str).collect::<Vec<_>>())
                })
                .collect();
            match start_order(&services) {
                Ok(order) => {
                    prop_assert_eq!(order.len(), 8);
                    let at = |name: &str| order.iter().position(|one| one.name == name);
                    for one in &order {
                        for on in &one.depends_on {
                            prop_assert!(at(&on.service) < at(&one.name));
                        }
                    }
                }
                Err(cycle) => {
                    prop_assert_eq!(cycle.chain.first(), cycle.chain.last());
                    for pair in cycle.chain.windows(2) {
                        let (from, to) = (pair[0].parse().unwrap(), pair[1].parse().unwrap());
                        prop_assert!(edges.contains(&(from, to)));
                    }
                }
            }
        }
    }
}
