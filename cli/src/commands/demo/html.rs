//! The report as one page that needs nothing beside it. Pure.

use std::fmt::Write as _;

use super::plot::{WIDTH, escape, plots};
use super::report::Report;
use crate::output::human::bytes;

const STYLE: &str = "\
:root{color-scheme:light dark;--ink:#1c2420;--dim:#5c6a64;--line:#d9dfdb;--own:#1f7a5c;--other:#9aa8a1;--paper:#fbfcfb}\
@media(prefers-color-scheme:dark){:root{--ink:#e6ece9;--dim:#94a29c;--line:#2d3733;--own:#46b48c;--other:#5f6d67;--paper:#141917}}\
*{box-sizing:border-box}body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.5 system-ui,sans-serif}\
main{max-width:56rem;margin:0 auto;padding:2.5rem 1.25rem 4rem}h1{font-size:1.7rem;margin:0 0 .25rem}h2{font-size:1.1rem;margin:2.2rem 0 .4rem}\
p{margin:.3rem 0}.dim{color:var(--dim)}svg{width:100%;height:auto;display:block}svg text{font:13px system-ui,sans-serif;fill:var(--ink)}\
svg .figure{fill:var(--dim)}svg .own{fill:var(--own)}svg .other{fill:var(--other)}svg circle{fill:var(--ink);opacity:.55}\
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}th,td{text-align:left;padding:.3rem .6rem .3rem 0;border-bottom:1px solid var(--line);vertical-align:top}\
th{color:var(--dim);font-weight:500}code{font:13px/1.45 ui-monospace,monospace;overflow-wrap:anywhere}.scroll{overflow-x:auto}";

/// Writes the page.
pub(super) fn page(report: &Report) -> String {
    let base = report.base.as_deref();
    let base = base.unwrap_or("this machine's own system");
    let mut out = format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n\
         <title>{0}: hd demo</title>\n<style>{STYLE}</style>\n<main>\n\
         <h1>{0}</h1>\n<p class=\"dim\">hd demo, on {1}; {2}</p>\n",
        escape(&report.project),
        escape(base),
        escape(&report.machine.to_string()),
    );
    let asked = format!("Answer: {}. Edit: {}.", report.asked, report.edit);
    paragraph(&mut out, &asked);
    paragraph(
        &mut out,
        "Bars are medians, dots single runs; × is the time as a multiple of hd's.",
    );
    for note in &report.notes {
        paragraph(&mut out, &format!("Note: {note}."));
    }
    for missing in &report.missing {
        let line = format!("No figures for {}: {}.", missing.side, missing.reason);
        paragraph(&mut out, &line);
    }
    for plot in plots(report) {
        let label = escape(plot.what.label());
        let (height, body) = (plot.height, plot.body);
        let _ = writeln!(
            out,
            "<h2>{label}</h2>\n<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"{label}\">\n{body}</svg>"
        );
    }
    disk(&mut out, report);
    commands(&mut out, report);
    out.push_str("</main>\n</html>\n");
    out
}

fn paragraph(out: &mut String, text: &str) {
    // Writing to a String cannot fail; so everywhere here.
    let _ = writeln!(out, "<p>{}</p>", escape(text));
}

fn disk(out: &mut String, report: &Report) {
    let sides = report.sides.iter();
    let rows: String = sides
        .filter_map(|side| {
            let disk = bytes(side.disk_per_edit?);
            let name = escape(&side.name);
            Some(format!("<tr><td>{name}</td><td>{disk}</td></tr>\n"))
        })
        .collect();
    if !rows.is_empty() {
        let _ = writeln!(out, "<h2>disk per edit</h2>\n<table>\n{rows}</table>");
    }
}

fn commands(out: &mut String, report: &Report) {
    out.push_str("<h2>commands and samples</h2>\n<div class=\"scroll\"><table>\n");
    out.push_str("<tr><th>side</th><th>phase</th><th>commands</th><th>samples, ms</th></tr>\n");
    for side in &report.sides {
        for phase in &side.phases {
            let commands: Vec<String> = phase.commands.iter().map(|line| escape(line)).collect();
            let samples = phase.samples_ms.iter().map(|ms| format!("{ms:.1}"));
            let _ = writeln!(
                out,
                "<tr><td>{}</td><td>{}</td><td><code>{}</code></td><td>{}</td></tr>",
                escape(&side.name),
                escape(phase.phase.label()),
                commands.join("<br>"),
                samples.collect::<Vec<_>>().join(" "),
            );
        }
    }
    out.push_str("</table></div>\n<h2>tools</h2>\n<table>\n");
    for side in &report.sides {
        let (name, tool) = (escape(&side.name), escape(&side.tool));
        let _ = writeln!(out, "<tr><td>{name}</td><td>{tool}</td></tr>");
    }
    out.push_str("</table>\n");
}

#[cfg(test)]
mod tests {
    use super::super::machine::Machine;
    use super::super::plot::picture;
    use super::super::report::{Missing, Phase, SCHEMA, Side, What};
    use super::*;

    fn side(name: &str, samples: &[f64]) -> Side {
        let commands = vec!["run <it> & \"wait\"".to_owned()];
        let phase = Phase::new(What::Edit, samples.to_vec(), commands);
        Side {
            name: name.to_owned(),
            tool: "1.0".to_owned(),
            phases: phase.into_iter().collect(),
            disk_per_edit: Some(8192),
        }
    }

    #[test]
    fn every_run_is_a_dot_and_nothing_is_fetched() {
        let report = Report {
            schema: SCHEMA,
            project: "a<b>".to_owned(),
            base: None,
            asked: "GET /version".to_owned(),
            edit: "a version".to_owned(),
            machine: Machine {
                cores: 2,
                kernel: "Linux 6".to_owned(),
                processor: None,
                load: None,
            },
            sides: vec![side("hd", &[100.0, 200.0, 120.0]), side("other", &[1200.0])],
            missing: vec![Missing::new("podman", "there is none")],
            notes: Vec::new(),
        };
        let page = page(&report);
        assert_eq!(page.matches("<circle").count(), 4);
        assert_eq!(page.matches("<rect class=\"own\"").count(), 1);
        for part in [
            "<title>a&lt;b&gt;: hd demo</title>",
            "1.2 s · 10×",
            "run &lt;it&gt; &amp; &quot;wait&quot;",
            "100.0 200.0 120.0",
            "No figures for podman: there is none.",
            "8.2 kB",
        ] {
            assert!(page.contains(part), "{part} is missing in {page}");
        }
        assert!(!page.contains("http") && !page.contains("a<b>"), "{page}");
        let picture = picture(&report);
        assert_eq!(picture.matches("<circle").count(), 4);
        assert!(picture.contains("one edit") && picture.contains("1.2 s · 10×"));
    }
}
