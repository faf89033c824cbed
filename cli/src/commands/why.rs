//! `hd why`.

pub(super) mod observations;

use hd_actors::model::report::{Report, SCHEMA, ServiceReport, StepOutcome, StepReport};
use hd_config::Project;
use serde_json::json;

use super::state::{self, Known};
use crate::args::Place;
use crate::error::{CliError, Outcome, exit};
use crate::output::Output;
use crate::output::human::{ms, there_are};
use crate::output::lines::word;
use crate::output::style::{Style, Tint};
use crate::project;
use crate::verbs::nearest;

/// Says why a step (or a service) is as it is; without a name, of every step.
pub(crate) fn run(place: &Place, name: Option<&str>, output: Output) -> Outcome {
    let located = project::locate(place, None)?;
    let found = state::required(&located);
    let is_told = |report: &Report, name| {
        let (steps, services) = chosen(report, Some(name));
        !(steps.is_empty() && services.is_empty())
    };
    if let Some(name) = name
        && !found.as_ref().is_ok_and(|known| is_told(&known.report, name))
        // A file that cannot be read now does not keep the last state from being explained.
        && let Ok(loaded) = located.load()
    {
        // What is neither there nor in the file is a slip of the pen, whether anything ran or not.
        known(&loaded.project, name)?;
    }
    let Known { report, running } = found?;
    let (steps, services) = chosen(&report, name);
    if let (Some(name), true) = (name, steps.is_empty() && services.is_empty()) {
        let message = format!("{name} has not been reached yet");
        return Err(CliError::new("not_running", exit::USAGE, message)
            .hint("`hd status` shows how far it is"));
    }
    if output.json {
        let steps = match name {
            Some(_) => observations::of_steps(&located.paths, &steps)?,
            None => json!(steps),
        };
        output.value(
            &json!({"schema": SCHEMA, "running": running, "steps": steps, "services": services}),
        )?;
    } else {
        let style = output.out;
        let lines = steps.iter().map(|step| of_step(step, style));
        let text: String = lines
            .chain(services.iter().map(|service| of_service(service, style)))
            .collect();
        output.data(&text)?;
        if !running && !services.is_empty() {
            output.data("  hd is not running: that is how it was last\n")?;
        }
    }
    Ok(0)
}

fn known(project: &Project, name: &str) -> Result<(), CliError> {
    if project.step(name).is_some() || project.named(name).next().is_some() {
        return Ok(());
    }
    let steps = project
        .steps
        .iter()
        .flat_map(|step| [step.name.as_str(), step.slug.as_str()]);
    let names: Vec<&str> = steps
        .chain(project.services.iter().map(|service| service.name.as_str()))
        .collect();
    // Steps made of [dependencies] come first, and have names of their own, known once they have run.
    let has_more = !project.dependencies.is_empty();
    if has_more && (!name.starts_with("step-") || name[5..].parse::<usize>().is_ok()) {
        return Ok(());
    }
    let hint = match nearest(name, names.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None if names.is_empty() => "there are no steps and no services in the file".to_owned(),
        None => there_are(&names),
    };
    Err(CliError::new(
        "usage",
        exit::USAGE,
        format!("there is no step or service `{name}`"),
    )
    .hint(hint))
}

fn chosen<'r>(
    report: &'r Report,
    name: Option<&str>,
) -> (Vec<&'r StepReport>, Vec<&'r ServiceReport>) {
    let step = |step: &&StepReport| name.is_none_or(|name| step.name == name || step.slug == name);
    let steps: Vec<_> = report.steps.iter().filter(step).collect();
    let service = |service: &&ServiceReport| {
        steps.is_empty() && name.is_some_and(|name| service.is_named(name))
    };
    let services = report.services.iter().filter(service).collect();
    (steps, services)
}

fn of_step(step: &StepReport, style: Style) -> String {
    let (tint, word) = match step.result {
        StepOutcome::Ran => (Tint::Good, "ran"),
        StepOutcome::Kept => (Tint::Dim, "kept"),
        StepOutcome::Failed => (Tint::Bad, "failed"),
    };
    let word = style.paint(tint, word);
    let name = style.paint(Tint::Bold, &step.name);
    format!(
        "{name} ({})  {word} in {}\n  $ {}\n  {}\n",
        step.slug,
        ms(step.ms),
        step.command,
        step.reason
    )
}

fn of_service(service: &ServiceReport, style: Style) -> String {
    let name = style.paint(Tint::Bold, &service.name);
    let (crash, watch) = (service.restarts.crash, service.restarts.watch);
    let reason = if service.reason.is_empty() {
        "no reason given"
    } else {
        &service.reason
    };
    let suspended = service.suspended.as_ref();
    let suspended = suspended.map_or(String::new(), |words| format!("  suspended: {words}\n"));
    format!(
        "{name}  {}\n  $ {}\n  {reason}\n{suspended}  restarts: {crash} crash, {watch} watch\n",
        word(service.state),
        service.command
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let step = |name: &str, slug: &str| StepReport {
            name: name.to_owned(),
            result: StepOutcome::Ran,
            ms: 1234.0,
            reason: "requirements.txt changed 8a1c… → 77d0…".to_owned(),
            slug: slug.to_owned(),
            command: "pip install".to_owned(),
        };
        let web = ServiceReport {
            name: "web".to_owned(),
            ..ServiceReport::default()
        };
        Report {
            steps: vec![step("step-1", "venv"), step("step-2", "pip-install")],
            services: vec![web],
            ..Report::default()
        }
    }

    #[test]
    fn a_step_has_two_names_and_a_service_one() {
        let report = report();
        let names = |name| {
            let (steps, services) = chosen(&report, name);
            (steps.len(), services.len())
        };
        assert_eq!(names(Some("step-2")), (1, 0));
        assert_eq!(names(Some("pip-install")), (1, 0));
        assert_eq!(names(Some("web")), (0, 1));
        assert_eq!(names(Some("x")), (0, 0));
        assert_eq!(names(None), (2, 0));
    }

    #[test]
    fn the_reason_is_told_in_full() {
        let shown = of_step(&report().steps[1], Style::new(false));
        let expected = "step-2 (pip-install)  ran in 1.2 s\n  $ pip install\n  requirements.txt changed 8a1c… → 77d0…\n";
        assert_eq!(shown, expected);
    }

    #[test]
    fn a_slip_of_the_pen_is_a_usage_error() {
        let toml = "[environment]\nname = \"x\"\n[build]\nsteps = [\"npm ci\"]\n";
        let project = hd_config::parse(toml, "hd.toml").unwrap();
        assert!(known(&project, "step-1").is_ok() && known(&project, "npm-ci").is_ok());
        let error = known(&project, "npmci").unwrap_err();
        assert_eq!(
            (error.exit(), error.report().hint.as_str()),
            (2, "did you mean `npm-ci`?")
        );
    }
}
