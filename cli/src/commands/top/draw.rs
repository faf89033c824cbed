//! The screen of `hd top`: a table, the logs, a line of keys.

use hd_actors::model::report::{ActorState, Report, ServiceState, StepOutcome};
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line as Text, Span};
use ratatui::widgets::{Paragraph, Row, Table};

use super::model::{App, Pane};
use super::used;
use crate::output::human::{ms, short};
use crate::output::lines::{mark, word};
use crate::output::style::{self, tame};

/// Most rows of the table: the logs want their place.
const ROWS_MAX: usize = 9;

/// Styles, all the same where no colour is wanted but for what is selected.
struct Look(bool);

impl Look {
    fn tint(&self, colour: Color) -> Style {
        if self.0 {
            Style::new().fg(colour)
        } else {
            Style::new()
        }
    }

    fn dim(&self) -> Style {
        if self.0 {
            Style::new().add_modifier(Modifier::DIM)
        } else {
            Style::new()
        }
    }
}

/// Draws everything.
pub(super) fn draw(frame: &mut Frame<'_>, app: &mut App, colour: bool) {
    let look = Look(colour);
    let [head, table, rule, logs, keys] = areas(frame.area(), app);
    app.fit(usize::from(logs.height));
    let app = &*app;
    let empty = Report::default();
    let report = app.report.as_ref().unwrap_or(&empty);
    frame.render_widget(Paragraph::new(header(report, app, &look)), head);
    match app.pane {
        Pane::Services => services(frame, table, report, app, &look),
        Pane::Steps => steps(frame, table, report, &look),
        Pane::Actors => actors(frame, table, report, &look),
    }
    frame.render_widget(Paragraph::new(divider(app, rule.width, &look)), rule);
    frame.render_widget(Paragraph::new(lines(app, logs, report, &look)), logs);
    frame.render_widget(Paragraph::new(footer(app, &look)), keys);
}

/// Head, table, rule, logs and keys.
fn areas(area: Rect, app: &App) -> [Rect; 5] {
    let rows = app.report.as_ref().map_or(0, |report| match app.pane {
        Pane::Services => report.services.len(),
        Pane::Steps => report.steps.len(),
        Pane::Actors => report.actors.as_ref().map_or(0, Vec::len),
    });
    let rows = u16::try_from(rows.clamp(1, ROWS_MAX)).unwrap_or(1);
    let parts = [
        Constraint::Length(1),
        Constraint::Length(rows + 1),
        Constraint::Length(1),
        Constraint::Min(1),
        Constraint::Length(1),
    ];
    Layout::vertical(parts).areas(area)
}

fn header<'a>(report: &'a Report, app: &App, look: &Look) -> Text<'a> {
    let state = if app.running {
        Span::styled("running", look.tint(Color::Green))
    } else {
        Span::styled("not running", look.tint(Color::Yellow))
    };
    let root = report
        .root
        .as_deref()
        .map_or_else(|| "none yet".to_owned(), short);
    let mut spans = vec![
        Span::styled(
            report.name.as_str(),
            Style::new().add_modifier(Modifier::BOLD),
        ),
        Span::raw("  "),
        state,
        Span::styled(format!("  root {root}  {} files", report.files), look.dim()),
    ];
    if let Some(error) = &report.error {
        let text = format!("  {}: {}", error.place, error.message);
        spans.push(Span::styled(tame(&text, false), look.tint(Color::Red)));
    }
    Text::from(spans)
}

fn table<'a>(head: &[&'a str], rows: Vec<Row<'a>>, widths: &[u16], look: &Look) -> Table<'a> {
    let fixed = widths.iter().map(|width| Constraint::Length(*width));
    let all: Vec<Constraint> = fixed.chain([Constraint::Min(8)]).collect();
    let head = Row::new(head.to_vec()).style(look.dim());
    Table::new(rows, all).header(head).column_spacing(1)
}

/// The longest of these names, within bounds.
fn width<'a>(names: impl Iterator<Item = &'a str>, longest: u16) -> u16 {
    let width = names.map(|name| name.chars().count()).max().unwrap_or(0);
    u16::try_from(width).unwrap_or(longest).clamp(8, longest)
}

fn services(frame: &mut Frame<'_>, area: Rect, report: &Report, app: &App, look: &Look) {
    let used = used::columns(&report.services, &app.rates);
    let row = |(at, one): (usize, &hd_actors::model::report::ServiceReport)| {
        let colour = match one.state {
            ServiceState::Ready => Color::Green,
            ServiceState::Failed => Color::Red,
            ServiceState::Backoff => Color::Yellow,
            _ => Color::Reset,
        };
        let state = format!(
            "{} {}",
            mark(one.state, style::Style::new(false)),
            word(one.state)
        );
        let or_none = |value: Option<String>| Text::raw(value.unwrap_or_else(|| "-".to_owned()));
        let restarts = one.restarts.crash + one.restarts.watch;
        let selected = at == app.selected;
        let mut cells = vec![
            Text::raw(one.name.clone()),
            Text::styled(state, look.tint(colour)),
            or_none(one.pid.map(|pid| pid.to_string())),
            or_none(one.port.map(|port| port.to_string())),
            Text::raw(restarts.to_string()),
        ];
        cells.extend(used.iter().map(|(_, of)| or_none(of.get(at).cloned())));
        cells.push(Text::raw(tame(&one.reason, false)));
        let row = Row::new(cells);
        row.style(if selected {
            Style::new().add_modifier(Modifier::REVERSED)
        } else {
            Style::new()
        })
    };
    // Where there are more than fit, the selected one is in sight.
    let hidden = app
        .selected
        .saturating_sub(usize::from(area.height).saturating_sub(2));
    let rows = report.services.iter().enumerate().skip(hidden).map(row);
    let names = width(report.services.iter().map(|one| one.name.as_str()), 20);
    let mut head = vec!["SERVICE", "STATE", "PID", "PORT", "RESTARTS"];
    let mut widths = vec![names, 10, 7, 5, 8];
    for (title, cells) in &used {
        head.push(title);
        let all = cells.iter().map(|cell| cell.chars().count());
        let longest = all.chain([title.len()]).max().unwrap_or(0);
        widths.push(u16::try_from(longest).unwrap_or(u16::MAX));
    }
    head.push("WHY");
    frame.render_widget(table(&head, rows.collect(), &widths, look), area);
}

fn steps(frame: &mut Frame<'_>, area: Rect, report: &Report, look: &Look) {
    let row = |one: &hd_actors::model::report::StepReport| {
        let (word, colour) = match one.result {
            StepOutcome::Ran => ("ran", Color::Green),
            StepOutcome::Kept => ("kept", Color::Reset),
            StepOutcome::Failed => ("failed", Color::Red),
        };
        Row::new([
            Text::raw(one.name.clone()),
            Text::raw(one.slug.clone()),
            Text::styled(word, look.tint(colour)),
            Text::raw(ms(one.ms)),
            Text::raw(tame(&one.reason, false)),
        ])
    };
    let names = width(report.steps.iter().map(|one| one.slug.as_str()), 20);
    let head = ["STEP", "NAME", "RESULT", "TIME", "WHY"];
    let rows = report.steps.iter().map(row).collect();
    frame.render_widget(table(&head, rows, &[8, names, 6, 8], look), area);
}

fn actors(frame: &mut Frame<'_>, area: Rect, report: &Report, look: &Look) {
    let all = report.actors.as_deref().unwrap_or_default();
    let row = |one: &hd_actors::model::report::ActorReport| {
        let (word, colour) = match one.state {
            ActorState::Alive => ("alive", Color::Green),
            ActorState::Busy => ("busy", Color::Yellow),
            ActorState::Dead => ("dead", Color::Red),
        };
        Row::new([
            Text::raw(one.name.clone()),
            Text::styled(word, look.tint(colour)),
            Text::raw(one.restarts.to_string()),
            Text::raw(one.queued.to_string()),
        ])
    };
    let names = width(all.iter().map(|one| one.name.as_str()), 40);
    let head = ["ACTOR", "STATE", "RESTARTS", "QUEUED"];
    let rows = all.iter().map(row).collect();
    frame.render_widget(table(&head, rows, &[names, 6, 8], look), area);
}

fn divider(app: &App, width: u16, look: &Look) -> Text<'static> {
    let whose = match app.service() {
        Some(service) if app.one => service.name.clone(),
        _ => "all services".to_owned(),
    };
    let mut title = format!("── logs of {whose} ");
    if app.typing || !app.filter.is_empty() {
        let cursor = if app.typing { "_" } else { "" };
        title.push_str(&format!("with \"{}{cursor}\" ", app.filter));
    }
    if app.back > 0 {
        title.push_str(&format!("{} lines back ", app.back));
    }
    let rest = usize::from(width).saturating_sub(title.chars().count());
    title.push_str(&"─".repeat(rest));
    Text::styled(title, look.dim())
}

fn lines<'a>(app: &'a App, area: Rect, report: &Report, look: &Look) -> Vec<Text<'a>> {
    const COLOURS: [Color; 5] = [
        Color::Cyan,
        Color::Yellow,
        Color::Magenta,
        Color::Green,
        Color::Blue,
    ];
    let names = width(report.services.iter().map(|one| one.name.as_str()), 20);
    let one = |line: &'a super::model::Line| {
        let at = report
            .services
            .iter()
            .position(|one| one.name == line.service);
        let colour = COLOURS[at.unwrap_or(0) % COLOURS.len()];
        let name = format!("{:width$} | ", line.service, width = usize::from(names));
        Text::from(vec![
            Span::styled(name, look.tint(colour)),
            Span::raw(tame(&line.text, false)),
        ])
    };
    app.shown(usize::from(area.height))
        .into_iter()
        .map(one)
        .collect()
}

fn footer(app: &App, look: &Look) -> Text<'static> {
    if app.typing {
        return Text::raw("type to filter · Enter keeps it · Esc clears it");
    }
    let keys = "↑↓ service  r restart  s stop  a start  e shell  l its logs  / filter  Tab  q";
    if app.said.is_empty() {
        return Text::styled(keys, look.dim());
    }
    Text::from(vec![
        Span::raw(tame(&app.said, false)),
        Span::styled(format!("  {keys}"), look.dim()),
    ])
}

#[cfg(test)]
#[path = "draw_tests.rs"]
mod tests;
