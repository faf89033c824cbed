//! The figures as a table with everything needed to judge them. Pure.

use super::report::{Phase, Report, What};
use crate::output::human::ms;
use crate::output::style::{Style, Tint, tame};
use crate::output::table::{Cell, table};

/// Writes the whole report.
pub(super) fn text(report: &Report, style: Style) -> String {
    let base = report.base.as_deref();
    let mut out = format!(
        "{} on {}\n\n",
        style.paint(Tint::Bold, &report.project),
        base.unwrap_or("this machine's own system")
    );
    out.push_str(&figures(report, style));
    out.push('\n');
    for missing in &report.missing {
        let line = format!("no figures for {}: {}\n", missing.side, missing.reason);
        out.push_str(&tame(line.trim_end(), false));
        out.push('\n');
    }
    if report.sides.len() > 1 {
        out.push_str("× is the time as a multiple of hd's: above 1 hd is faster, below 1 slower\n");
    }
    out.push_str(
        "median (least–most) of n runs, from the start of the command or the edit to its end\n",
    );
    out.push_str(&what_was_done(report));
    for side in &report.sides {
        out.push_str(&format!(
            "\n{}: {}\n",
            style.paint(Tint::Bold, &side.name),
            side.tool
        ));
        for phase in &side.phases {
            for (index, command) in phase.commands.iter().enumerate() {
                let label = if index == 0 { phase.phase.label() } else { "" };
                out.push_str(&format!("  {label:<10}  {}\n", tame(command, false)));
            }
        }
    }
    out
}

fn figures(report: &Report, style: Style) -> String {
    let mut header = vec!["PHASE", "N"];
    header.extend(report.sides.iter().map(|side| side.name.as_str()));
    let mut rows = Vec::new();
    for what in What::ALL {
        let phases: Vec<Option<&Phase>> =
            report.sides.iter().map(|side| side.phase(what)).collect();
        let count = phases
            .iter()
            .flatten()
            .map(|phase| phase.samples_ms.len())
            .max();
        if count.is_none() {
            continue;
        }
        let own = phases.first().copied().flatten();
        let mut row = vec![Cell::new(what.label()), Cell::maybe(count)];
        row.extend(phases.iter().enumerate().map(|(index, phase)| {
            Cell::maybe(phase.map(|phase| cell(phase, own.filter(|_| index > 0))))
        }));
        rows.push(row);
    }
    table(&header, &rows, style)
}

fn cell(phase: &Phase, own: Option<&Phase>) -> String {
    let mut text = ms(phase.median_ms);
    if phase.samples_ms.len() > 1 {
        text.push_str(&format!(" ({}–{})", ms(phase.min_ms), ms(phase.max_ms)));
    }
    if let Some(own) = own.filter(|own| own.median_ms > 0.0) {
        text.push_str(&format!(" {}×", factor(phase.median_ms / own.median_ms)));
    }
    text
}

/// Two digits that matter: `0.45`, `5.2`, `53`.
fn factor(factor: f64) -> String {
    let digits = match factor {
        ..0.995 => 2,
        ..9.95 => 1,
        _ => 0,
    };
    format!("{factor:.digits$}")
}

fn what_was_done(report: &Report) -> String {
    let mut out = format!("answer: {}\nedit: {}\n", report.asked, report.edit);
    out.push_str(&format!("machine: {}\n", report.machine));
    for note in &report.notes {
        out.push_str(&format!("note: {}\n", tame(note, false)));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::machine::Machine;
    use super::super::report::{Missing, SCHEMA, Side};
    use super::*;

    fn side(name: &str, phases: &[(What, &[f64])]) -> Side {
        let phase = |(what, samples): &(What, &[f64])| {
            Phase::new(
                *what,
                samples.to_vec(),
                vec![format!("{name} build"), "then this".to_owned()],
            )
        };
        Side {
            name: name.to_owned(),
            tool: format!("{name} 1.0"),
            phases: phases.iter().filter_map(phase).collect(),
        }
    }

    fn report(sides: Vec<Side>, missing: Vec<Missing>) -> Report {
        Report {
            schema: SCHEMA,
            project: "shop".to_owned(),
            base: None,
            asked: "GET /version".to_owned(),
            edit: "a version".to_owned(),
            machine: Machine {
                cores: 2,
                kernel: "Linux 6".to_owned(),
                processor: None,
                load: Some(0.5),
            },
            sides,
            missing,
            notes: vec!["a note".to_owned()],
        }
    }

    #[test]
    fn a_phase_where_hd_loses_is_printed_like_any_other() {
        let hd = side(
            "hd",
            &[
                (What::Cold, &[9000.0]),
                (What::Edit, &[100.0, 120.0, 400.0]),
            ],
        );
        let docker = side(
            "docker naive",
            &[(What::Cold, &[4500.0]), (What::Edit, &[1200.0])],
        );
        let shown = text(&report(vec![hd, docker], Vec::new()), Style::new(false));
        let expected = "shop on this machine's own system\n\n\
            PHASE     N  hd                   docker naive\n\
            cold      1  9.0 s                4.5 s 0.50×\n\
            one edit  3  120 ms (100 ms–400 ms)  1.2 s 10×\n";
        let squeezed = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(squeezed(&shown).starts_with(&squeezed(expected)), "{shown}");
        for part in [
            "× is the time",
            "note: a note",
            "2 cores, Linux 6, load 0.5",
            "  cold        hd build\n              then this\n",
        ] {
            assert!(shown.contains(part), "{part} is missing in {shown}");
        }
    }

    #[test]
    fn a_missing_side_says_why_and_there_is_nothing_to_compare() {
        let missing = Missing {
            side: "docker".to_owned(),
            reason: "there is no docker in PATH".to_owned(),
        };
        let hd = side("hd", &[(What::NoChange, &[10.0])]);
        let shown = text(&report(vec![hd], vec![missing]), Style::new(false));
        assert!(
            shown.contains("\nno figures for docker: there is no docker in PATH\n"),
            "{shown}"
        );
        assert!(
            !shown.contains('×') && !shown.contains("base image"),
            "{shown}"
        );
    }

    #[test]
    fn factors_have_two_digits() {
        let shown = [0.449, 0.996, 5.24, 9.96, 53.4].map(factor);
        assert_eq!(shown, ["0.45", "1.0", "5.2", "10", "53"]);
    }
}
