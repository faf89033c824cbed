//! `hd config`: what hd.toml comes to, and where each value came from.

mod image;
mod service;
mod values;

use serde_json::json;

use self::values::{Entry, entries};
use crate::args::ConfigArgs;
use crate::args::Place;
use crate::error::{CliError, Outcome, exit};
use crate::output::Output;
use crate::output::style::{Style, Tint, tame};
use crate::project;
use crate::verbs::nearest;

/// Columns up to which sources line up.
const SOURCES_AT: usize = 56;

/// Prints every value, or those at and below a key.
pub(crate) fn run(args: &ConfigArgs, outer: Place, output: Output) -> Outcome {
    let located = project::locate(&args.place.clone().or(outer), None)?;
    let mut loaded = located.load()?;
    loaded.tell(output);
    let pulled = image::fill_in(&mut loaded, &located.directory)?;
    let mut all = entries(&loaded, &pulled);
    if let Some(key) = &args.key {
        let known: Vec<String> = all.iter().map(|entry| entry.key.clone()).collect();
        all.retain(|entry| is_below(&entry.key, key) || is_of_replica(&entry.key, key));
        if all.is_empty() {
            let near = nearest(key, known.iter().map(String::as_str));
            let hint = near.map_or_else(
                || "`hd config` prints all of them".to_owned(),
                |near| format!("did you mean `{near}`?"),
            );
            return Err(
                CliError::new("usage", exit::USAGE, format!("nothing is set at `{key}`"))
                    .hint(hint),
            );
        }
    }
    if output.json {
        let object =
            |entry: &Entry| json!({"key": entry.key, "value": entry.value, "from": entry.from});
        let values: Vec<_> = all.iter().map(object).collect();
        let profiles = &located.profiles;
        output.value(
            &json!({"schema": 1, "file": located.config, "profiles": profiles, "values": values}),
        )?;
    } else {
        let lines: Vec<String> = all.iter().map(|entry| line(entry, output.out)).collect();
        output.data(&lines.concat())?;
    }
    Ok(0)
}

fn is_below(key: &str, above: &str) -> bool {
    key.strip_prefix(above)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

/// Tells whether a key is that of a replica, where the service is asked for: `services.web.port`.
fn is_of_replica(key: &str, above: &str) -> bool {
    let parts = above
        .strip_prefix("services.")
        .and_then(|rest| rest.split_once('.'));
    parts.is_some_and(|(service, setting)| {
        let own = key
            .strip_prefix("services.")
            .and_then(|rest| rest.strip_prefix(service));
        let own = own
            .and_then(|rest| rest.strip_prefix('-'))
            .and_then(|rest| rest.split_once('.'));
        own.is_some_and(|(number, rest)| number.parse::<u32>().is_ok() && is_below(rest, setting))
    })
}

fn line(entry: &Entry, style: Style) -> String {
    let text = tame(&format!("{} = {}", entry.key, entry.value), false);
    let pad = SOURCES_AT.saturating_sub(text.chars().count()).max(2);
    let from = style.paint(Tint::Dim, format!("# {}", entry.from));
    format!("{text}{}{from}\n", " ".repeat(pad))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_stands_for_all_below_it() {
        for (key, above, expected) in [
            ("services.web.port", "services.web", true),
            ("services.web.port", "services.web.port", true),
            ("build.steps[0]", "build.steps", true),
            ("services.website.port", "services.web", false),
            ("services", "services.web", false),
        ] {
            assert_eq!(is_below(key, above), expected, "{key} {above}");
        }
    }
}
