//! What services use of their limits, as short cells of a table. Pure: the clock comes in as a parameter.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use hd_actors::model::report::{ServiceReport, Used};

use crate::output::human::bytes;

/// Looks that follow each other faster than this are taken for one: a rate of so short a time says nothing.
const SHORTEST: Duration = Duration::from_millis(200);

/// How busy services are: processor time between the last two looks at each.
#[derive(Debug, Default)]
pub(super) struct Rates(BTreeMap<String, Look>);

#[derive(Debug)]
struct Look {
    at: Instant,
    /// Processor time by then, milliseconds.
    time: u64,
    /// Per cent of one processor; none before the second look.
    rate: Option<u64>,
}

impl Rates {
    /// Takes in a look at all services.
    pub(super) fn take(&mut self, services: &[ServiceReport], now: Instant) {
        self.0
            .retain(|name, _| services.iter().any(|one| one.name == *name));
        for service in services {
            let time = service.resources.and_then(|of| of.cpus?.used);
            match time {
                Some(time) => self.one(&service.name, time, now),
                None => drop(self.0.remove(&service.name)),
            }
        }
    }

    fn one(&mut self, name: &str, time: u64, now: Instant) {
        let before = self.0.get(name);
        let since = before.map(|look| now.saturating_duration_since(look.at));
        let rate = match (before, since) {
            (Some(_), Some(since)) if since < SHORTEST => return,
            // Less than before: another run of it.
            (Some(look), Some(since)) => time.checked_sub(look.time).map(|more| {
                let per_cent = more as f64 / since.as_secs_f64() / 10.0;
                per_cent.round() as u64
            }),
            _ => None,
        };
        let look = Look {
            at: now,
            time,
            rate,
        };
        self.0.insert(name.to_owned(), look);
    }

    fn of(&self, name: &str) -> Option<u64> {
        self.0.get(name)?.rate
    }
}

/// One column: its head, and a cell for each service.
pub(super) type Column = (&'static str, Vec<String>);

/// Makes a column of each resource that any of these services is limited in.
pub(super) fn columns(services: &[ServiceReport], rates: &Rates) -> Vec<Column> {
    let memory = |one: &ServiceReport| {
        let Used { used, limit } = one.resources?.memory?;
        Some(of_one_unit(used.map(bytes), &bytes(limit)))
    };
    let cpu = |one: &ServiceReport| {
        let limit = one.resources?.cpus?.limit / 10;
        let now = rates.of(&one.name);
        Some(format!("{}/{limit}%", or_unknown(now)))
    };
    let pids = |one: &ServiceReport| {
        let Used { used, limit } = one.resources?.pids?;
        Some(format!("{}/{limit}", or_unknown(used)))
    };
    type Cells<'a> = &'a dyn Fn(&ServiceReport) -> Option<String>;
    let all: [(&'static str, Cells<'_>); 3] = [("MEMORY", &memory), ("CPU", &cpu), ("PIDS", &pids)];
    let filled = all.into_iter().filter_map(|(head, cell)| {
        let cells: Vec<Option<String>> = services.iter().map(cell).collect();
        let is_any = cells.iter().any(Option::is_some);
        let cells = cells.into_iter();
        is_any.then(|| {
            (
                head,
                cells
                    .map(|one| one.unwrap_or_else(|| "-".to_owned()))
                    .collect(),
            )
        })
    });
    filled.collect()
}

fn or_unknown(number: Option<u64>) -> String {
    number.map_or_else(|| "?".to_owned(), |number| number.to_string())
}

/// `45.2/101 MB`; both units where they differ.
fn of_one_unit(used: Option<String>, limit: &str) -> String {
    let used = used.unwrap_or_else(|| "?".to_owned());
    match (used.split_once(' '), limit.split_once(' ')) {
        (Some((number, unit)), Some((_, other))) if unit == other => format!("{number}/{limit}"),
        _ => format!("{used}/{limit}"),
    }
}

#[cfg(test)]
mod tests {
    use hd_actors::model::report::ResourcesReport;

    use super::*;

    fn service(name: &str, time: Option<u64>) -> ServiceReport {
        let used = |used, limit| Some(Used { used, limit });
        ServiceReport {
            name: name.to_owned(),
            resources: Some(ResourcesReport {
                memory: used(Some(45_200_000), 101_000_000),
                cpus: used(time, 1500),
                pids: None,
            }),
            ..ServiceReport::default()
        }
    }

    #[test]
    fn busy_is_what_was_used_between_two_looks_of_one_run() {
        let (mut rates, start) = (Rates::default(), Instant::now());
        let mut look = |ms: u64, time| {
            rates.take(&[service("web", time)], start + Duration::from_millis(ms));
            rates.of("web")
        };
        assert_eq!(look(0, Some(5000)), None, "nothing to compare with");
        assert_eq!(look(1000, Some(5500)), Some(50));
        assert_eq!(look(1010, Some(5510)), Some(50), "too soon to say");
        assert_eq!(look(3000, Some(8500)), Some(150));
        assert_eq!(look(4000, Some(10)), None, "it was restarted");
        assert_eq!(look(5000, Some(10)), Some(0));
        assert_eq!(look(6000, None), None, "it has ended");
        assert_eq!(look(7000, Some(2000)), None);
    }

    #[test]
    fn there_is_a_column_for_each_resource_that_is_limited_and_no_other() {
        let rates = Rates::default();
        let plain = ServiceReport::default();
        assert_eq!(columns(std::slice::from_ref(&plain), &rates), []);
        let found = columns(&[service("web", None), plain], &rates);
        let cells = |one: &str, other: &str| vec![one.to_owned(), other.to_owned()];
        let wanted = [
            ("MEMORY", cells("45.2/101 MB", "-")),
            ("CPU", cells("?/150%", "-")),
        ];
        assert_eq!(found, wanted);
        let other_unit = of_one_unit(Some("900 kB".to_owned()), "101 MB");
        assert_eq!(other_unit, "900 kB/101 MB");
        assert_eq!(of_one_unit(None, "101 MB"), "?/101 MB");
    }
}
