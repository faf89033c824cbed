//! What `hd top` shows and what its keys do. Pure.

use std::collections::VecDeque;
use std::time::Instant;

use hd_actors::control::protocol::ServiceAction;
use hd_actors::model::report::{Report, ServiceReport};

use super::used::Rates;

/// Lines of logs that are kept to be shown.
const LINES_MAX: usize = 2000;

/// Which table is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Pane {
    #[default]
    Services,
    Steps,
    Actors,
}

/// A line of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) service: String,
    pub(super) text: String,
}

/// A key that means something here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    Up,
    Down,
    PageUp,
    PageDown,
    Tab,
    Enter,
    Escape,
    Backspace,
    Interrupt,
    Char(char),
}

/// What is to be done elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Act {
    Nothing,
    Quit,
    Service(ServiceAction, String),
    Shell(String),
}

/// Everything on the screen.
#[derive(Debug, Default)]
pub(super) struct App {
    /// The last state; none before the first.
    pub(super) report: Option<Report>,
    /// How busy services are.
    pub(super) rates: Rates,
    /// Somebody stands behind it.
    pub(super) running: bool,
    pub(super) pane: Pane,
    /// The service that keys act on.
    pub(super) selected: usize,
    /// Only lines that contain this are shown, whatever their case.
    pub(super) filter: String,
    /// Keys go into the filter.
    pub(super) typing: bool,
    /// Only the selected service's lines are shown.
    pub(super) one: bool,
    /// How many of the newest lines are below the screen.
    pub(super) back: usize,
    /// What the last key led to.
    pub(super) said: String,
    lines: VecDeque<Line>,
}

impl App {
    /// Takes a state; `None` when nobody answers: the last one stays in sight. Answers whether
    /// anything else is to be seen now.
    pub(super) fn take(&mut self, report: Option<Report>, now: Instant) -> bool {
        let was = std::mem::replace(&mut self.running, report.is_some());
        let mut news = was != self.running;
        if let Some(mut report) = report {
            // Time goes on, and is not shown.
            report.ms = 0.0;
            self.rates.take(&report.services, now);
            news |= self.report.as_ref() != Some(&report);
            let last = report.services.len().saturating_sub(1);
            // The same service, wherever it stands now.
            let name = self.service().map(|service| service.name.as_str());
            let mut names = report.services.iter().map(|service| service.name.as_str());
            let at = name.and_then(|name| names.position(|one| one == name));
            self.selected = at.unwrap_or(self.selected).min(last);
            self.report = Some(report);
        }
        news
    }

    /// Takes a line of a log.
    pub(super) fn push(&mut self, line: Line) {
        // Who has scrolled back goes on looking at the same lines.
        self.back += usize::from(self.back > 0 && self.is_shown(&line));
        self.lines.push_back(line);
        if self.lines.len() > LINES_MAX {
            self.lines.pop_front();
        }
    }

    /// Looks no further back than to the oldest lines, of which so many are on the screen.
    pub(super) fn fit(&mut self, height: usize) {
        if self.back > 0 {
            let all = self.lines.iter().filter(|line| self.is_shown(line)).count();
            self.back = self.back.min(all.saturating_sub(height));
        }
    }

    /// Gives the newest lines that are to be shown, at most `count`, oldest first.
    pub(super) fn shown(&self, count: usize) -> Vec<&Line> {
        let newest = self.lines.iter().rev().filter(|line| self.is_shown(line));
        let mut shown: Vec<&Line> = newest.skip(self.back).take(count).collect();
        shown.reverse();
        shown
    }

    /// Gives the service that keys act on.
    pub(super) fn service(&self) -> Option<&ServiceReport> {
        self.report.as_ref()?.services.get(self.selected)
    }

    fn is_shown(&self, line: &Line) -> bool {
        let chosen = !self.one || self.service().is_none_or(|one| one.name == line.service);
        chosen
            && line
                .text
                .to_lowercase()
                .contains(&self.filter.to_lowercase())
    }

    /// Does what a key means.
    pub(super) fn key(&mut self, key: Key) -> Act {
        match key {
            Key::Interrupt => return Act::Quit,
            _ if self.typing => self.typed(key),
            Key::Up => self.selected = self.selected.saturating_sub(1),
            Key::Down => {
                let count = self.report.as_ref().map_or(0, |one| one.services.len());
                self.selected = (self.selected + 1).min(count.saturating_sub(1));
            }
            Key::PageUp => self.back = (self.back + 10).min(self.lines.len()),
            Key::PageDown => self.back = self.back.saturating_sub(10),
            Key::Tab => {
                self.pane = match self.pane {
                    Pane::Services => Pane::Steps,
                    Pane::Steps => Pane::Actors,
                    Pane::Actors => Pane::Services,
                }
            }
            Key::Escape => (self.filter, self.one, self.back) = (String::new(), false, 0),
            Key::Enter | Key::Backspace => {}
            Key::Char(letter) => return self.letter(letter),
        }
        Act::Nothing
    }

    fn typed(&mut self, key: Key) {
        self.back = 0;
        match key {
            Key::Char(letter) => self.filter.push(letter),
            Key::Backspace => drop(self.filter.pop()),
            Key::Enter => self.typing = false,
            Key::Escape => (self.typing, self.filter) = (false, String::new()),
            _ => {}
        }
    }

    fn letter(&mut self, letter: char) -> Act {
        let named = self.service().map(|one| one.name.clone());
        match (letter, named) {
            ('q', _) => return Act::Quit,
            ('/', _) => self.typing = true,
            ('l', _) => (self.one, self.back) = (!self.one, 0),
            ('k', _) => return self.key(Key::Up),
            ('j', _) => return self.key(Key::Down),
            ('r' | 's' | 'a' | 'e', _) if !self.running => {
                "hd is not running".clone_into(&mut self.said);
            }
            ('r', Some(name)) => return self.acts(ServiceAction::Restart, "restarting", name),
            ('s', Some(name)) => return self.acts(ServiceAction::Stop, "stopping", name),
            ('a', Some(name)) => return self.acts(ServiceAction::Start, "starting", name),
            ('e', Some(name)) => return Act::Shell(name),
            _ => {}
        }
        Act::Nothing
    }

    fn acts(&mut self, action: ServiceAction, word: &str, name: String) -> Act {
        self.said = format!("{word} {name}");
        Act::Service(action, name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(names: &[&str]) -> Report {
        let service = |name: &&str| ServiceReport {
            name: (*name).to_owned(),
            ..ServiceReport::default()
        };
        Report {
            services: names.iter().map(service).collect(),
            ..Report::default()
        }
    }

    fn app() -> App {
        let mut app = App::default();
        app.take(Some(report(&["db", "web"])), Instant::now());
        for (service, text) in [("db", "Ready"), ("web", "GET /"), ("web", "error: no")] {
            app.push(Line {
                service: service.to_owned(),
                text: text.to_owned(),
            });
        }
        app
    }

    fn texts(app: &App) -> Vec<&str> {
        app.shown(10).into_iter().map(|line| &*line.text).collect()
    }

    #[test]
    fn keys_act_on_the_selected_service() {
        let mut app = app();
        assert_eq!(app.key(Key::Up), Act::Nothing);
        let restart = |name: &str| Act::Service(ServiceAction::Restart, name.to_owned());
        assert_eq!(app.key(Key::Char('r')), restart("db"));
        app.key(Key::Down);
        app.key(Key::Down);
        assert_eq!(app.key(Key::Char('r')), restart("web"));
        assert_eq!(app.key(Key::Char('e')), Act::Shell("web".to_owned()));
        // Another one comes before it, and all others go.
        for names in [&["api", "db", "web"][..], &["web"]] {
            app.take(Some(report(names)), Instant::now());
            assert_eq!(app.key(Key::Char('r')), restart("web"));
        }
        app.take(None, Instant::now());
        assert_eq!(app.key(Key::Char('r')), Act::Nothing);
        assert_eq!(app.said, "hd is not running");
        assert_eq!(app.key(Key::Char('q')), Act::Quit);
        assert_eq!(app.key(Key::Interrupt), Act::Quit);
    }

    #[test]
    fn lines_are_filtered_by_what_is_typed_and_by_service() {
        let mut app = app();
        for key in "/REA".chars().map(Key::Char) {
            app.key(key);
        }
        assert_eq!(texts(&app), ["Ready"]);
        app.key(Key::Char('q'));
        assert_eq!(texts(&app), [""; 0], "letters go into the filter");
        app.key(Key::Escape);
        app.key(Key::Down);
        app.key(Key::Char('l'));
        assert_eq!(texts(&app), ["GET /", "error: no"]);
        app.key(Key::Escape);
        assert_eq!(texts(&app).len(), 3);
        assert_eq!(app.shown(1)[0].text, "error: no");
    }

    #[test]
    fn who_scrolled_back_stays_there_and_old_lines_are_let_go() {
        let mut app = app();
        app.back = 1;
        app.push(Line {
            service: "db".to_owned(),
            text: "late".to_owned(),
        });
        assert_eq!(texts(&app), ["Ready", "GET /"]);
        for number in 0..LINES_MAX + 5 {
            let text = number.to_string();
            app.push(Line {
                service: "db".to_owned(),
                text,
            });
        }
        assert_eq!(app.lines.len(), LINES_MAX);
        app.key(Key::Escape);
        assert_eq!(app.shown(1)[0].text, (LINES_MAX + 4).to_string());
    }
}
