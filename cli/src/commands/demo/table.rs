//! The figures as a table with bars, and everything needed to judge them. Pure.

use super::report::{Phase, Report, What};
use crate::output::human::{bytes, ms};
use crate::output::style::{Style, Tint, tame};
use crate::output::table::{Cell, table};

/// Width of the longest bar, characters.
const BAR: usize = 24;
/// Eighths of a character, from the left.
const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];

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
        "median and range of n runs, from the start of the command or the edit to its end; an edit begins a second after the last answer\n",
    );
    out.push_str(&what_was_done(report));
    for side in &report.sides {
        out.push_str(&format!(
            "\n{}: {}\n",
            style.paint(Tint::Bold, &side.name),
            tame(&side.tool, false)
        ));
        for phase in &side.phases {
            for (index, command) in phase.commands.iter().enumerate() {
                let label = if index == 0 { phase.phase.label() } else { "" };
                out.push_str(&format!("  {label:<15}  {}\n", tame(command, false)));
            }
        }
    }
    out
}

fn figures(report: &Report, style: Style) -> String {
    let times = if report.sides.len() > 1 { "×" } else { "" };
    let header = ["PHASE", "SIDE", "N", "MEDIAN", "RANGE", times, ""];
    let mut rows = Vec::new();
    for what in What::ALL {
        let own = report.sides.first().and_then(|side| side.phase(what));
        let sides = report.sides.iter();
        let measured: Vec<(&str, &Phase)> = sides
            .filter_map(|side| Some((side.name.as_str(), side.phase(what)?)))
            .collect();
        let most = measured.iter().map(|(_, phase)| phase.median_ms);
        let most = most.fold(0.0, f64::max);
        for (index, (side, phase)) in measured.into_iter().enumerate() {
            let own = own.filter(|own| !std::ptr::eq(*own, phase));
            rows.push(row(index, side, phase, own, most));
        }
    }
    for (index, side) in report.sides.iter().enumerate() {
        if let Some(disk) = side.disk_per_edit {
            let label = if index == 0 { "disk per edit" } else { "" };
            rows.push(vec![
                Cell::new(label),
                Cell::new(&side.name),
                Cell::new(""),
                Cell::new(bytes(disk)),
            ]);
        }
    }
    table(&header, &rows, style)
}

fn row(index: usize, side: &str, phase: &Phase, own: Option<&Phase>, most: f64) -> Vec<Cell> {
    let label = if index == 0 { phase.phase.label() } else { "" };
    let range = if phase.samples_ms.len() > 1 {
        format!("{}–{}", ms(phase.min_ms), ms(phase.max_ms))
    } else {
        String::new()
    };
    let times = own.filter(|own| own.median_ms > 0.0);
    let times = times.map(|own| factor(phase.median_ms / own.median_ms));
    vec![
        Cell::new(label),
        Cell::new(side),
        Cell::new(phase.samples_ms.len()),
        Cell::new(ms(phase.median_ms)),
        Cell::new(range),
        Cell::new(times.unwrap_or_default()),
        Cell::tinted(bar(phase.median_ms, most), Tint::Good),
    ]
}

/// Draws a length, `most` being the full width.
fn bar(value: f64, most: f64) -> String {
    if most <= 0.0 {
        return String::new();
    }
    let eighths = (value / most * (BAR * 8) as f64).round().max(1.0) as usize;
    let whole = "█".repeat(eighths / 8);
    format!("{whole}{}", EIGHTHS[eighths % 8])
}

/// Two digits that matter: `0.45`, `5.2`, `53`.
pub(super) fn factor(factor: f64) -> String {
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
            disk_per_edit: Some(4096),
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
        let bars = "█".repeat(BAR);
        let expected = format!(
            "shop on this machine's own system\n\n\
            PHASE SIDE N MEDIAN RANGE ×\n\
            cold hd 1 9.0 s {bars}\n docker naive 1 4.5 s 0.50 {}\n\
            one edit hd 3 120 ms 100 ms–400 ms ██▍\n docker naive 1 1.2 s 10 {bars}\n\
            disk per edit hd 4.1 kB\n docker naive 4.1 kB\n",
            "█".repeat(BAR / 2)
        );
        let squeezed = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(
            squeezed(&shown).starts_with(&squeezed(&expected)),
            "{shown}"
        );
        for part in [
            "× is the time",
            "note: a note",
            "2 cores, Linux 6, load 0.5",
            "  cold             hd build\n                   then this\n",
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
