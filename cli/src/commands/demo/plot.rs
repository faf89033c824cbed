//! Bars of medians with a dot for each run, as SVG. Pure.

use std::fmt::Write as _;

use super::report::{Phase, Report, Side, What};
use super::table::factor;
use crate::output::human::ms;

/// Width of a plot, in the units of its view box.
pub(super) const WIDTH: f64 = 720.0;
/// Where bars begin: names stand left of it.
const LEFT: f64 = 190.0;
/// Room at the right for the figure of the longest bar.
const RIGHT: f64 = 150.0;
/// Height of one bar with its gap.
const LINE: f64 = 26.0;

/// Height of the title of a phase, where it stands in the picture.
const TITLE: f64 = 30.0;

/// Colours of a picture that stands alone: readable on white and on black.
const STYLE: &str = "text{font:13px system-ui,sans-serif;fill:#6d7b75}.title{font-weight:600}\
.own{fill:#2a9d74}.other{fill:#9aa8a1}circle{fill:#44524c;opacity:.6}";

/// The bars of one phase; they begin at the left edge of the picture, at its top.
#[derive(Debug)]
pub(super) struct Plot {
    /// What it shows.
    pub(super) what: What,
    /// Its height.
    pub(super) height: f64,
    /// The elements.
    pub(super) body: String,
}

/// Draws all phases that were measured.
pub(super) fn plots(report: &Report) -> Vec<Plot> {
    let phases = What::ALL.into_iter();
    phases.filter_map(|what| plot(report, what)).collect()
}

/// Draws one picture of all phases.
pub(super) fn picture(report: &Report) -> String {
    let plots = plots(report);
    let height: f64 = plots.iter().map(|plot| TITLE + plot.height).sum();
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\">\n<style>{STYLE}</style>\n"
    );
    let mut top = 0.0;
    for plot in plots {
        // Writing to a String cannot fail; so everywhere here.
        let _ = writeln!(
            out,
            "<g transform=\"translate(0 {top})\"><text class=\"title\" x=\"0\" y=\"20\">{}</text>\n\
             <g transform=\"translate(0 {TITLE})\">\n{}</g></g>",
            escape(plot.what.label()),
            plot.body
        );
        top += TITLE + plot.height;
    }
    out.push_str("</svg>\n");
    out
}

fn plot(report: &Report, what: What) -> Option<Plot> {
    let sides = report.sides.iter();
    let measured: Vec<(&Side, &Phase)> = sides
        .filter_map(|side| Some((side, side.phase(what)?)))
        .collect();
    let most = measured.iter().map(|(_, phase)| phase.max_ms);
    let most = most.fold(0.0, f64::max);
    if measured.is_empty() || most <= 0.0 {
        return None;
    }
    let own = report.sides.first().and_then(|side| side.phase(what));
    let mut body = String::new();
    let scale = (WIDTH - LEFT - RIGHT) / most;
    for (index, (side, phase)) in measured.iter().enumerate() {
        let top = LINE * index as f64 + 4.0;
        let own = own.filter(|own| !std::ptr::eq(*own, *phase));
        bar(&mut body, side, phase, own, (top, scale));
    }
    Some(Plot {
        what,
        height: LINE * measured.len() as f64 + 4.0,
        body,
    })
}

fn bar(
    out: &mut String,
    side: &Side,
    phase: &Phase,
    own: Option<&Phase>,
    (top, scale): (f64, f64),
) {
    let class = if own.is_none() { "own" } else { "other" };
    let times = own.filter(|own| own.median_ms > 0.0);
    let times = times.map(|own| format!(" · {}×", factor(phase.median_ms / own.median_ms)));
    let (text, middle) = (top + 14.0, top + 9.0);
    let _ = writeln!(
        out,
        "<text x=\"0\" y=\"{text}\">{}</text><rect class=\"{class}\" x=\"{LEFT}\" y=\"{top}\" \
         width=\"{:.1}\" height=\"18\" rx=\"2\"/>",
        escape(&side.name),
        (phase.median_ms * scale).max(1.0),
    );
    for sample in &phase.samples_ms {
        let at = LEFT + sample * scale;
        let _ = write!(out, "<circle cx=\"{at:.1}\" cy=\"{middle}\" r=\"2.5\"/>");
    }
    let _ = writeln!(
        out,
        "<text class=\"figure\" x=\"{:.1}\" y=\"{text}\">{}{}</text>",
        LEFT + phase.max_ms * scale + 9.0,
        ms(phase.median_ms),
        times.unwrap_or_default(),
    );
}

/// Writes text as HTML and SVG have it.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_no_markup() {
        assert_eq!(escape("a<b> & \"c\""), "a&lt;b&gt; &amp; &quot;c&quot;");
    }
}
