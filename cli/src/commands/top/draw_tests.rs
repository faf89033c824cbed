use std::time::{Duration, Instant};

use hd_actors::model::report::{
    ActorReport, ResourcesReport, Restarts, ServiceReport, StepReport, Used,
};
use ratatui::Terminal;
use ratatui::backend::TestBackend;

use super::super::model::{Key, Line};
use super::*;

fn app() -> App {
    let service = |name: &str, state, reason: &str| ServiceReport {
        name: name.to_owned(),
        state,
        pid: Some(4711),
        restarts: Restarts { crash: 1, watch: 2 },
        reason: reason.to_owned(),
        ..ServiceReport::default()
    };
    let mut app = App::default();
    let report = Report {
        name: "shop".to_owned(),
        root: Some("3f".repeat(32)),
        files: 12,
        steps: vec![StepReport {
            name: "step-1".to_owned(),
            result: StepOutcome::Kept,
            ms: 0.2,
            reason: "nothing it read changed".to_owned(),
            slug: "npm-ci".to_owned(),
            command: "npm ci".to_owned(),
        }],
        services: vec![
            service("db", ServiceState::Ready, "ready"),
            service(
                "web",
                ServiceState::Backoff,
                "exited with code 1; starting again in 100 ms, which is long",
            ),
        ],
        actors: Some(vec![ActorReport {
            name: "service_supervisor.web".to_owned(),
            state: ActorState::Busy,
            restarts: 1,
            queued: 3,
        }]),
        ..Report::default()
    };
    app.take(Some(report), Instant::now());
    for number in 0..40 {
        app.push(Line {
            service: if number % 2 == 0 { "db" } else { "web" }.to_owned(),
            text: format!("line {number} \u{1b}[31mred\u{1b}[0m"),
        });
    }
    app
}

fn screen(app: &mut App, colour: bool) -> Terminal<TestBackend> {
    let mut terminal = Terminal::new(TestBackend::new(80, 24)).unwrap();
    terminal.draw(|frame| draw(frame, app, colour)).unwrap();
    terminal
}

fn text(app: &mut App) -> String {
    let buffer = screen(app, false).backend().buffer().clone();
    let rows = (0..24).map(|y| (0..80).map(|x| buffer[(x, y)].symbol()).collect::<String>());
    rows.map(|row| row.trim_end().to_owned() + "\n").collect()
}

#[test]
fn the_screen_is_right_at_80_by_24_without_colour() {
    let mut app = app();
    insta::assert_snapshot!("services", text(&mut app));
    for cell in screen(&mut app, false).backend().buffer().content() {
        assert!(
            cell.fg == Color::Reset && cell.bg == Color::Reset,
            "{cell:?}"
        );
    }
    app.key(Key::Tab);
    for letter in "/line 3".chars() {
        app.key(Key::Char(letter));
    }
    insta::assert_snapshot!("steps_filtered", text(&mut app));
    app.key(Key::Escape);
    app.key(Key::Tab);
    app.take(None, Instant::now());
    insta::assert_snapshot!("actors_gone", text(&mut app));
}

#[test]
fn who_scrolled_back_sees_the_oldest_lines_once_those_looked_at_are_gone() {
    let mut app = app();
    app.key(Key::PageUp);
    assert!(text(&mut app).contains("10 lines back"));
    for number in 0..5000 {
        app.push(Line {
            service: "db".to_owned(),
            text: format!("late {number}"),
        });
    }
    let page = text(&mut app);
    assert!(
        page.contains("| late 3000\n") && page.contains("| late 3010\n"),
        "{page}"
    );
    app.key(Key::PageDown);
    let page = text(&mut app);
    assert!(page.contains("| late 3020\n"), "{page}");
}

#[test]
fn what_is_used_of_limits_has_its_place_at_80_by_24() {
    let (mut app, start) = (app(), Instant::now());
    for (after, time) in [(0, 100), (2, 1300)] {
        let mut report = app.report.clone().unwrap();
        report.services[1].resources = Some(ResourcesReport {
            memory: Some(Used {
                used: Some(45_200_000),
                limit: 512 << 20,
            }),
            cpus: Some(Used {
                used: Some(time),
                limit: 1500,
            }),
            pids: Some(Used {
                used: Some(4),
                limit: 200,
            }),
        });
        app.take(Some(report), start + Duration::from_secs(after));
    }
    insta::assert_snapshot!("services_with_limits", text(&mut app));
}

#[test]
fn nothing_is_known_at_first_and_small_terminals_do_not_break_it() {
    for (width, height) in [(80, 24), (10, 3), (1, 1), (200, 60)] {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        for mut app in [App::default(), app()] {
            terminal.draw(|frame| draw(frame, &mut app, true)).unwrap();
        }
    }
}
