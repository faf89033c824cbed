//! Replicas: several equal services made of one declaration.

use crate::service::{DependsOn, Service};

/// Which of several equal services one is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replica {
    /// The name they have in common, that of `[services.NAME]`.
    pub of: String,
    /// Its number, from 1.
    pub number: u32,
}

impl Replica {
    /// Name of the variable that tells a replica its number.
    pub const VARIABLE: &'static str = "HD_REPLICA";
}

/// The name of a replica: `web-2`.
#[must_use]
pub fn name(of: &str, number: u32) -> String {
    format!("{of}-{number}")
}

/// Makes the replicas of each service that has a count, in its place; who depends on it depends on all
/// of them. `counts` are those of `services`, in the same order.
pub(crate) fn expand(services: Vec<Service>, counts: &[Option<u32>]) -> Vec<Service> {
    let names: Vec<(String, Option<u32>)> = services
        .iter()
        .zip(counts)
        .map(|(service, count)| (service.name.clone(), *count))
        .collect();
    let count_of = |name: &str| {
        let found = names.iter().find(|(known, _)| known == name);
        found.and_then(|(_, count)| *count)
    };
    let mut all = Vec::with_capacity(services.len());
    for (mut service, (_, count)) in services.into_iter().zip(&names) {
        let needs = std::mem::take(&mut service.depends_on).into_iter();
        service.depends_on = needs.flat_map(|need| each(need, count_of)).collect();
        match count {
            None => all.push(service),
            Some(count) => all.extend((1..=*count).map(|number| replica(&service, number))),
        }
    }
    all
}

fn each(need: DependsOn, count_of: impl Fn(&str) -> Option<u32>) -> Vec<DependsOn> {
    let Some(count) = count_of(&need.service) else {
        return vec![need];
    };
    let one = |number| DependsOn {
        service: name(&need.service, number),
        condition: need.condition,
    };
    (1..=count).map(one).collect()
}

fn replica(service: &Service, number: u32) -> Service {
    Service {
        name: name(&service.name, number),
        replica: Some(Replica {
            of: service.name.clone(),
            number,
        }),
        ..service.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::Condition;

    #[test]
    fn each_replica_is_a_service_and_who_depends_on_them_depends_on_all() {
        let mut api = Service::new("api", "serve");
        api.depends_on = ["db", "web"]
            .map(|service| DependsOn {
                service: service.to_owned(),
                condition: Condition::Started,
            })
            .into();
        let services = vec![Service::new("web", "serve"), api, Service::new("db", "db")];
        let all = expand(services, &[Some(2), Some(1), None]);
        let names: Vec<&str> = all.iter().map(|one| one.name.as_str()).collect();
        assert_eq!(names, ["web-1", "web-2", "api-1", "db"]);
        let needs: Vec<&str> = all[2]
            .depends_on
            .iter()
            .map(|one| one.service.as_str())
            .collect();
        assert_eq!(needs, ["db", "web-1", "web-2"]);
        assert_eq!((all[1].declared(), all[3].declared()), ("web", "db"));
        assert!(all[1].is_named("web") && all[1].is_named("web-2") && !all[1].is_named("web-1"));
        assert_eq!(all[1].port_variable(), "HD_PORT_WEB_2");
    }
}
