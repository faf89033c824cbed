//! How a service is held, ended and started again: `socket`, `stop_signal`, `restart`.

use std::net::{IpAddr, Ipv4Addr};

use toml::de::DeValue;

use crate::keys;
use crate::read::{Item, Result, Section};
use crate::service::{Backoff, Kind};
use crate::signal::Signal;

/// Longest `factor`: more is a typing error.
const FACTOR_MAX: f64 = 100.0;

pub(super) fn signal(item: &Item<'_>) -> Result<Signal> {
    let named = match item.value() {
        DeValue::Integer(_) => item.integer()?.to_string(),
        _ => item.text()?.to_owned(),
    };
    Signal::parse(&named)
        .ok_or_else(|| item.invalid(format!("{named:?} is no signal"), Signal::names()))
}

/// `true`, or the address to listen at.
pub(super) fn socket(section: &Section<'_>, has_port: bool, kind: Kind) -> Result<Option<IpAddr>> {
    let Some(item) = section.get("socket") else {
        return Ok(None);
    };
    let address = match item.value() {
        DeValue::Boolean(true) => IpAddr::from(Ipv4Addr::LOCALHOST),
        DeValue::Boolean(false) => return Ok(None),
        DeValue::String(text) => text.parse().map_err(|_| {
            item.invalid(format!("{text:?} is no IP address"), "true, or \"0.0.0.0\"")
        })?,
        _ => return Err(item.wrong_type("true or an IP address", "socket = true")),
    };
    if !has_port {
        let hint = "add port = 3000 (or \"auto\") to the service";
        return Err(item.invalid_key("a held socket needs the service's `port`", hint));
    }
    if kind == Kind::Oneshot {
        return Err(item.invalid_key("a one-shot listens to nobody", "leave `socket` out"));
    }
    Ok(Some(address))
}

pub(super) fn backoff(item: &Item<'_>) -> Result<Backoff> {
    if let DeValue::String(_) = item.value() {
        let hint = "restart_policy = \"on_failure\" says when; \
                    restart = { max = 5, min_delay = \"1s\" } how often";
        return Err(item.wrong_type("a table", hint));
    }
    let section = item.section()?;
    section.check(&keys::RESTART)?;
    let default = Backoff::default();
    let duration = |key: &str| section.optional(key, Item::duration);
    let backoff = Backoff {
        max: section.optional("max", max)?.unwrap_or(default.max),
        min_delay: duration("min_delay")?.unwrap_or(default.min_delay),
        max_delay: duration("max_delay")?.unwrap_or(default.max_delay),
        factor: section
            .optional("factor", factor)?
            .unwrap_or(default.factor),
        reset_after: duration("reset_after")?.unwrap_or(default.reset_after),
    };
    if let Some(item) = section.get("max_delay")
        && backoff.max_delay < backoff.min_delay
    {
        return Err(item.invalid("it is shorter than `min_delay`", ""));
    }
    Ok(backoff)
}

fn max(item: &Item<'_>) -> Result<Option<u32>> {
    if let DeValue::String(text) = item.value()
        && text == "unlimited"
    {
        return Ok(None);
    }
    let number = item.integer()?;
    match u32::try_from(number) {
        Ok(max) => Ok(Some(max)),
        Err(_) => Err(item.invalid(
            format!("{number} is no number of tries"),
            "5, or \"unlimited\"",
        )),
    }
}

fn factor(item: &Item<'_>) -> Result<f64> {
    let text = match item.value() {
        DeValue::Float(number) => number.as_str().to_owned(),
        DeValue::Integer(_) => item.integer()?.to_string(),
        _ => return Err(item.wrong_type("a number", "factor = 2")),
    };
    match text.replace('_', "").parse::<f64>() {
        Ok(factor) if (1.0..=FACTOR_MAX).contains(&factor) => Ok(factor),
        _ => Err(item.invalid(format!("{text} is no factor"), "a number from 1 to 100")),
    }
}
