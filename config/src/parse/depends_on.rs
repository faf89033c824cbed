//! `depends_on`, once all services are known.

use std::collections::BTreeSet;

use toml::de::DeValue;

use crate::error::Problem;
use crate::keys;
use crate::order::start_order;
use crate::read::{Item, Result};
use crate::service::{Condition, DependsOn, Kind, RestartPolicy, Service};

/// A name in `depends_on` and, in table form, its condition.
struct Wish<'a> {
    service: String,
    named_at: Item<'a>,
    condition: Option<(Item<'a>, Condition)>,
}

/// Fills in `depends_on` of all services and refuses unknown names, conditions that can never hold,
/// and cycles.
pub(super) fn resolve(declared: &[Item<'_>], services: &mut [Service]) -> Result<()> {
    for (at, item) in declared.iter().enumerate() {
        let Some(list) = item.section()?.get("depends_on") else {
            continue;
        };
        let mut dependencies = Vec::new();
        let mut seen = BTreeSet::new();
        for wish in wishes(&list)? {
            if seen.insert(wish.service.clone()) {
                dependencies.push(dependency(wish, item.key(), services)?);
            }
        }
        if let Some(service) = services.get_mut(at) {
            service.depends_on = dependencies;
        }
    }
    let Err(cycle) = start_order(services) else {
        return Ok(());
    };
    let first = cycle.chain.first().map(String::as_str);
    let at = declared.iter().find(|item| Some(item.key()) == first);
    let list = match at {
        Some(item) => item.section()?.get("depends_on"),
        None => None,
    };
    let problem = Problem::Cycle { chain: cycle.chain };
    match list.as_ref().or(declared.first()) {
        Some(item) => Err(item.error(problem)),
        None => Ok(()),
    }
}

fn wishes<'a>(list: &Item<'a>) -> Result<Vec<Wish<'a>>> {
    let DeValue::Table(_) = list.value() else {
        let elements = list.elements()?.into_iter();
        let wish = |named_at: Item<'a>| {
            Ok(Wish {
                service: named_at.text()?.to_owned(),
                named_at,
                condition: None,
            })
        };
        return elements.map(wish).collect();
    };
    let words = [
        ("started", Condition::Started),
        ("healthy", Condition::Healthy),
        ("completed", Condition::Completed),
    ];
    let wish = |named_at: Item<'a>| {
        let section = named_at.section()?;
        section.check(&keys::DEPENDS_ON)?;
        let condition = match section.get("condition") {
            Some(item) => {
                let condition = item.one_of(&words)?;
                Some((item, condition))
            }
            None => None,
        };
        Ok(Wish {
            service: named_at.key().to_owned(),
            named_at,
            condition,
        })
    };
    list.section()?.items().into_iter().map(wish).collect()
}

fn dependency(wish: Wish<'_>, service: &str, services: &[Service]) -> Result<DependsOn> {
    let Some(target) = services.iter().find(|one| one.name == wish.service) else {
        let others = services.iter().map(|one| one.name.as_str());
        let others = others.filter(|name| *name != service);
        return Err(wish.named_at.key_error(Problem::UnknownDependency {
            service: service.to_owned(),
            hint: keys::name_advice(&wish.service, others),
            name: wish.service,
        }));
    };
    let condition = match wish.condition {
        Some((item, condition)) => {
            possible(&item, target, condition)?;
            condition
        }
        None if target.kind == Kind::Oneshot => Condition::Completed,
        None => Condition::Healthy,
    };
    Ok(DependsOn {
        service: wish.service,
        condition,
    })
}

/// Refuses a condition its service can never reach.
fn possible(item: &Item<'_>, target: &Service, condition: Condition) -> Result<()> {
    let name = &target.name;
    let probed = target.has_port() || target.healthcheck.is_some();
    match condition {
        Condition::Completed if target.restart == RestartPolicy::Always => {
            let why = format!("`{name}` restarts whenever it ends, so it never completes");
            Err(item.invalid(why, format!("set kind = \"oneshot\" in [services.{name}]")))
        }
        Condition::Healthy if target.kind == Kind::Oneshot && !probed => {
            let why = format!("`{name}` is a one-shot without `port` or `healthcheck`");
            Err(item.invalid(why, "\"completed\" waits for its end"))
        }
        _ => Ok(()),
    }
}
