use std::path::Path;

use hd_actors::events::BatchLine;
use hd_store::Id;

use super::*;

const PLAIN: Shows = Shows { logs: true, step_output: true, talk: true };
const LIVE: Shows = Shows { step_output: false, ..PLAIN };

fn teller(shows: Shows) -> Teller {
    let paths = InstancePaths::new(Path::new("/h"), Path::new("/p/demo"));
    Teller::new(Style::new(false), shows, vec!["web".to_owned(), "worker".to_owned()], paths)
}

fn texts(said: Vec<Say>) -> Vec<String> {
    said.into_iter().map(|(Say::Talk(line) | Say::Log(line))| line).collect()
}

fn service(name: &str, state: ServiceState, ms: Option<u64>) -> Event {
    let after = ms.map(Duration::from_millis);
    Event::Service { name: name.to_owned(), state, reason: String::new(), after }
}

fn batch(restarting: &[&str]) -> Event {
    Event::Batch(BatchLine {
        changed: vec![('~', "app.py".to_owned())],
        more: 0,
        root: Id::from_bytes([0x3f; 32]),
        took: Duration::from_micros(800),
        ran: Vec::new(),
        kept: 2,
        restarting: restarting.iter().map(|name| (*name).to_owned()).collect(),
        failed: None,
    })
}

fn output(number: usize) -> Event {
    Event::StepOutput { name: "step-1".to_owned(), line: format!("line {number}") }
}

fn started() -> Event {
    let (name, command) = ("step-1".to_owned(), "make".to_owned());
    Event::StepStarted { name, command, reason: "first run".to_owned() }
}

fn done(result: StepOutcome) -> Event {
    Event::StepDone(StepReport {
        name: "step-1".to_owned(),
        result,
        ms: 2300.0,
        reason: "exit code 9".to_owned(),
        slug: "make".to_owned(),
        command: "make".to_owned(),
    })
}

#[test]
fn an_edit_is_told_once_its_service_answers() {
    let mut teller = teller(PLAIN);
    let now = Instant::now();
    assert_eq!(texts(teller.event(batch(&["web"]), now)), [""; 0]);
    assert!(teller.due().is_some());
    assert_eq!(texts(teller.event(service("web", ServiceState::Stopping, None), now)), [""; 0]);
    let log = Event::Log { service: "web".to_owned(), stderr: false, line: "* Running\u{1b}[2J".to_owned() };
    assert_eq!(teller.event(log, now), [Say::Log("web    | * Running".to_owned())]);
    let said = texts(teller.event(service("web", ServiceState::Ready, Some(165)), now));
    let expected =
        "~ app.py   root 3f3f… (0.8 ms) · steps 0 ran, 2 kept · restart web · answering again after 165 ms";
    assert_eq!(said, [expected]);
    assert_eq!(teller.due(), None);
}

#[test]
fn an_edit_without_restart_is_told_at_once_and_a_second_one_pushes_the_first_out() {
    let mut teller = teller(PLAIN);
    let now = Instant::now();
    assert_eq!(teller.event(batch(&[]), now).len(), 1);
    assert_eq!(teller.event(batch(&["web"]), now).len(), 0);
    let said = texts(teller.event(batch(&[]), now));
    assert_eq!(said.len(), 2);
    assert!(said[0].ends_with("restart web"), "{said:?}");
}

#[test]
fn a_failed_step_shows_its_last_lines_where_they_were_not_shown_before() {
    let now = Instant::now();
    let run = |shows| {
        let mut teller = teller(shows);
        teller.event(started(), now);
        let lines: Vec<Say> = (0..25).flat_map(|number| teller.event(output(number), now)).collect();
        (lines.len(), texts(teller.event(done(StepOutcome::Failed), now)))
    };
    let (before, end) = run(PLAIN);
    assert_eq!((before, end.len()), (25, 3));
    let (before, end) = run(LIVE);
    assert_eq!((before, end.len()), (0, 23));
    assert_eq!((end[0].as_str(), end[1].as_str()), ("✗ step-1 failed after 2.3 s: exit code 9", "    line 5"));
    assert!(end[21].starts_with("  log: /h/instances/demo-") && end[21].ends_with("/step-1.log"));
    let (_, quiet) = run(Shows { talk: false, ..LIVE });
    assert_eq!(quiet, end, "failures are told even when nothing else is");
}

#[test]
fn what_runs_is_live_and_never_taller_than_the_screen() {
    let mut teller = teller(LIVE);
    let now = Instant::now();
    assert_eq!(teller.live(now, 10), [""; 0]);
    teller.event(started(), now);
    (0..25).for_each(|number| drop(teller.event(output(number), now)));
    teller.event(batch(&["web"]), now);
    let later = now + Duration::from_millis(1500);
    let live = teller.live(later, 24);
    assert_eq!(live.len(), 2 + LIVE_TAIL);
    assert_eq!((live[0].as_str(), live[8].as_str()), ("▸ step-1  1.5 s  make", "  line 24"));
    for rows in 0..12 {
        assert!(teller.live(later, rows).len() <= rows);
    }
    assert_eq!(texts(teller.event(done(StepOutcome::Ran), later)), ["✓ step-1 ran in 2.3 s"]);
    assert_eq!(teller.live(later, 24).len(), 1);
}

#[test]
fn a_transfer_is_told_now_and_then() {
    let mut teller = teller(PLAIN);
    let now = Instant::now();
    let mut told = 0;
    for second in 0..12 {
        let event = Event::Pulling { image: "x".to_owned(), received: second, total: 12 };
        told += teller.event(event, now + Duration::from_secs(second)).len();
    }
    assert_eq!(told, 3);
    let done = Event::Pulled { image: "x".to_owned(), digest: "sha256:1".to_owned() };
    let said = texts(teller.event(done, now + Duration::from_secs(12)));
    assert_eq!(said, ["pulled x in 12.0 s   sha256:1"]);
}

#[test]
fn a_kept_step_and_a_starting_service_are_no_news() {
    let mut teller = teller(PLAIN);
    let now = Instant::now();
    for event in [done(StepOutcome::Kept), service("web", ServiceState::Starting, None)] {
        assert_eq!(teller.event(event, now), []);
    }
    assert_eq!(texts(teller.event(service("web", ServiceState::Ready, Some(80)), now)), ["● web ready after 80 ms"]);
}
