//! The environment of commands: built from nothing, in a documented order.
//!
//! Later wins: hd's own (PATH, HOME, …), base image, `[environment] env_file`, `[environment]
//! env`, and for services their own `env`. Pass-through settings come last and are in no key.

use std::collections::BTreeMap;

use crate::base::Base;
use crate::base::account::Account;

/// Fixed moment that build tools put into what they make: 1980-01-01, the first that zip knows.
const SOURCE_DATE_EPOCH: &str = "315532800";

/// Environment that steps and services have in common.
pub fn common(
    base: &Base,
    account: &Account,
    declared: &BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    let mut env = BTreeMap::from(
        [
            ("PATH", base.path()),
            ("HOME", account.home.clone()),
            ("USER", account.name.clone()),
            ("LOGNAME", account.name.clone()),
            ("LANG", "C.UTF-8".to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value)),
    );
    let holds = |(name, value): &(String, String)| match name.as_str() {
        "HOME" | "USER" | "LOGNAME" if account.is_hds_choice => false,
        // Engines take a home that is set to nothing for none.
        "HOME" => !value.is_empty(),
        _ => true,
    };
    env.extend(base.env().into_iter().filter(holds));
    env.extend(
        declared
            .iter()
            .map(|(name, value)| (name.clone(), value.clone())),
    );
    env
}

/// Environment of a service, before its own `env`.
///
/// On a live project what Python compiles is kept beside the sources, and taken away when they are edited: see
/// [`Compiled`](crate::model::compiled::Compiled). Where edits are written through it is told not to write any. What
/// steps installed is compiled already.
pub fn of_service(
    base: &Base,
    account: &Account,
    declared: &BTreeMap<String, String>,
    is_live: bool,
) -> BTreeMap<String, String> {
    let compiles_none = ("PYTHONDONTWRITEBYTECODE".to_owned(), "1".to_owned());
    let mut env: BTreeMap<String, String> =
        (!is_live).then_some(compiles_none).into_iter().collect();
    env.extend(common(base, account, declared));
    env
}

/// Environment of a build step, as it enters the key.
pub fn of_step(
    base: &Base,
    account: &Account,
    declared: &BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    let mut env = BTreeMap::from([
        ("SOURCE_DATE_EPOCH".to_owned(), SOURCE_DATE_EPOCH.to_owned()),
        ("PYTHONHASHSEED".to_owned(), "0".to_owned()),
    ]);
    env.extend(common(base, account, declared));
    env
}
