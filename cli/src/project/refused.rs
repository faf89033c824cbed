//! What is wrong with an hd.toml in this environment, in words and with its place.

use hd_config::{Place as At, Project, Service};
use miette::{LabeledSpan, MietteDiagnostic, NamedSource, Report};

use crate::error::{CliError, exit};
use crate::output::human::there_are;
use crate::verbs::nearest;

/// Says that a variable became nothing.
pub(super) fn nothing(place: &str, name: &str) -> String {
    format!(
        "{place}: {name} is not set and has no default: it is empty here (`${{{name}:-}}` if that is meant)"
    )
}

/// Makes the error of a file that is no UTF-8, at the first byte that is not.
pub(super) fn no_text(name: &str, error: &std::string::FromUtf8Error) -> CliError {
    let good = error.utf8_error().valid_up_to();
    let before = error.as_bytes().iter().take(good);
    let line = before.filter(|byte| **byte == b'\n').count() + 1;
    let message = format!("{name}:{line}: this line is no UTF-8 text");
    CliError::new("config.syntax", exit::USAGE, message)
        .at(format!("{name}:{line}"))
        .hint("save the file as UTF-8")
}

pub(super) fn no_profile(name: &str, project: &Project, file: &str) -> CliError {
    let hint = match project.profiles.as_slice() {
        [] => "no service has `profiles`, and there is no [profiles.NAME]".to_owned(),
        known => there_are(&known.iter().map(String::as_str).collect::<Vec<_>>()),
    };
    let message = format!("there is no profile `{name}`");
    CliError::new("usage", exit::USAGE, message)
        .at(file)
        .hint(hint)
}

pub(super) fn no_service(name: &str, project: &Project) -> CliError {
    let mut known: Vec<&str> = project.services.iter().map(Service::declared).collect();
    known.dedup();
    let hint = match nearest(name, known.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None if known.is_empty() => "the file has no services".to_owned(),
        None => there_are(&known),
    };
    let message = format!("there is no service `{name}` to have replicas");
    CliError::new("usage", exit::USAGE, message).hint(hint)
}

/// Makes an error of something that shows only after the file was parsed.
pub(super) fn at(
    place: Option<&At>,
    text: &str,
    key: &str,
    message: String,
    hint: &str,
) -> CliError {
    let mut diagnostic = MietteDiagnostic::new(message.clone()).with_code("config.invalid_value");
    if !hint.is_empty() {
        diagnostic = diagnostic.with_help(hint);
    }
    let error = CliError::new("config.invalid_value", exit::USAGE, message).hint(hint);
    let Some(place) = place else {
        return error.at(key);
    };
    let label = LabeledSpan::new_primary_with_span(Some("here".to_owned()), place.span.clone());
    let source = NamedSource::new(&place.file, text.to_owned());
    let report = Report::new(diagnostic.with_label(label)).with_source_code(source);
    error.at(place.to_string()).diagnostic(report)
}
