//! `hd top`: what runs, on the whole screen.

mod draw;
mod feed;
mod model;
mod used;

use std::io::IsTerminal;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use self::feed::{Feed, News};
use self::model::{Act, App, Key};
use crate::args::Place;
use crate::error::{CliError, Outcome, exit};
use crate::output::Output;
use crate::project::{self, Located};
use crate::signals;

/// How long a key is waited for before news is looked at.
const TICK: Duration = Duration::from_millis(200);
/// What makes another key of a letter.
const COMMAND: KeyModifiers = KeyModifiers::CONTROL.union(KeyModifiers::ALT);

/// Shows it until a key ends it.
pub(crate) fn run(place: &Place, output: Output) -> Outcome {
    let located = project::locate(place, None)?;
    if output.json || !std::io::stdin().is_terminal() || !std::io::stdout().is_terminal() {
        let message = "`hd top` draws on a terminal, and there is none";
        return Err(CliError::new("usage", exit::USAGE, message)
            .hint("`hd status --json` and `hd events` tell programs the same"));
    }
    let over = Arc::new(AtomicBool::new(false));
    let told = over.clone();
    let signal = signals::handle(move |_, _| told.store(true, Ordering::Relaxed))?;
    let feed = Feed::start(&located)?;
    let terminal = ratatui::try_init().map_err(broken)?;
    let done = show(terminal, &located, &feed, &over, output);
    ratatui::restore();
    done?;
    Ok(signal.exit().unwrap_or(0))
}

fn broken(error: std::io::Error) -> CliError {
    CliError::new(
        "io",
        exit::INTERNAL,
        format!("the terminal refuses: {error}"),
    )
}

fn show(
    mut terminal: DefaultTerminal,
    located: &Located,
    feed: &Feed,
    over: &AtomicBool,
    output: Output,
) -> Result<(), CliError> {
    let mut app = App::default();
    // The first key means what it says: it acts on what is there.
    app.take(feed::state(located), Instant::now());
    let mut stale = true;
    while !over.load(Ordering::Relaxed) {
        let (changed, more) = hear(feed, &mut app);
        stale |= changed;
        if std::mem::take(&mut stale) {
            let colour = output.out.colour();
            terminal
                .draw(|frame| draw::draw(frame, &mut app, colour))
                .map_err(broken)?;
        }
        if !event::poll(if more { Duration::ZERO } else { TICK }).map_err(broken)? {
            continue;
        }
        stale = true;
        let Event::Key(pressed) = event::read().map_err(broken)? else {
            continue;
        };
        match key(pressed).map(|key| app.key(key)) {
            Some(Act::Quit) => return Ok(()),
            Some(Act::Service(action, name)) => feed.ask(action, name),
            Some(Act::Shell(name)) => {
                ratatui::restore();
                app.said = shell(located, &name);
                terminal = ratatui::try_init().map_err(broken)?;
            }
            Some(Act::Nothing) | None => {}
        }
    }
    Ok(())
}

/// Takes news, but no more than could wait: keys are looked at however fast a service talks. Tells
/// whether anything else is to be seen now, and whether more may wait.
fn hear(feed: &Feed, app: &mut App) -> (bool, bool) {
    let (mut stale, mut taken) = (false, 0);
    for news in feed.news.try_iter().take(feed::WAITING_MAX) {
        taken += 1;
        stale |= match news {
            News::State(report) => app.take(report.map(|report| *report), Instant::now()),
            News::Line(line) => {
                app.push(line);
                true
            }
            News::Said(said) => {
                app.said = said;
                true
            }
        }
    }
    (stale, taken == feed::WAITING_MAX)
}

fn key(pressed: KeyEvent) -> Option<Key> {
    if pressed.kind == KeyEventKind::Release {
        return None;
    }
    Some(match pressed.code {
        KeyCode::Char('c') if pressed.modifiers.contains(KeyModifiers::CONTROL) => Key::Interrupt,
        // Who presses Ctrl-S means the terminal, not the letter that stops a service.
        KeyCode::Char(letter) if !pressed.modifiers.intersects(COMMAND) => Key::Char(letter),
        KeyCode::Up => Key::Up,
        KeyCode::Down => Key::Down,
        KeyCode::PageUp => Key::PageUp,
        KeyCode::PageDown => Key::PageDown,
        KeyCode::Tab => Key::Tab,
        KeyCode::Enter => Key::Enter,
        KeyCode::Esc => Key::Escape,
        KeyCode::Backspace => Key::Backspace,
        _ => return None,
    })
}

/// Opens a shell beside a service, on the terminal as it was; answers what is to be said of it.
fn shell(located: &Located, service: &str) -> String {
    let program = match std::env::current_exe() {
        Ok(program) => program,
        Err(error) => return format!("no shell: {error}"),
    };
    let mut command = Command::new(program);
    command
        .args(["shell", service, "--file"])
        .arg(&located.config);
    if let Some(name) = located.paths.name() {
        command.args(["--instance", name]);
    }
    match command.status() {
        Ok(status) => format!("the shell ended: {status}"),
        Err(error) => format!("no shell: {error}"),
    }
}
