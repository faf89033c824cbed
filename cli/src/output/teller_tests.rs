use hd_actors::events::BatchLine;
use hd_store::Id;

use super::*;

fn teller() -> Teller {
    Teller::new(
        Style::new(false),
        vec!["web".to_owned(), "worker".to_owned()],
    )
}

fn texts(said: Vec<Say>) -> Vec<String> {
    let text = |say| match say {
        Say::Talk(line) | Say::Bad(line) | Say::Step(line) | Say::Tail(line) | Say::Log(line) => {
            line
        }
    };
    said.into_iter().map(text).collect()
}

fn service(name: &str, state: ServiceState, ms: Option<u64>) -> Event {
    let after = ms.map(Duration::from_millis);
    Event::Service {
        name: name.to_owned(),
        state,
        reason: String::new(),
        after,
    }
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
    Event::StepOutput {
        name: "step-1".to_owned(),
        line: format!("line {number}"),
    }
}

fn started() -> Event {
    let (name, command) = ("step-1".to_owned(), "make".to_owned());
    Event::StepStarted {
        name,
        command,
        reason: "first run".to_owned(),
    }
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
    let mut teller = teller();
    let now = Instant::now();
    assert_eq!(texts(teller.event(batch(&["web"]), now)), [""; 0]);
    assert!(teller.due().is_some());
    assert_eq!(
        texts(teller.event(service("web", ServiceState::Stopping, None), now)),
        [""; 0]
    );
    let log = Event::Log {
        service: "web".to_owned(),
        stderr: false,
        line: "* Running\u{1b}[2J".to_owned(),
    };
    assert_eq!(
        teller.event(log, now),
        [Say::Log("web    | * Running".to_owned())]
    );
    let said = texts(teller.event(service("web", ServiceState::Ready, Some(165)), now));
    let expected = "~ app.py   root 3f3f… (0.8 ms) · steps 0 ran, 2 kept · restart web · answering again after 165 ms";
    assert_eq!(said, [expected]);
    assert_eq!(teller.due(), None);
}

#[test]
fn an_edit_without_restart_is_told_at_once_and_a_second_one_pushes_the_first_out() {
    let mut teller = teller();
    let now = Instant::now();
    assert_eq!(teller.event(batch(&[]), now).len(), 1);
    assert_eq!(teller.event(batch(&["web"]), now).len(), 0);
    let said = texts(teller.event(batch(&[]), now));
    assert_eq!(said.len(), 2);
    assert!(said[0].ends_with("restart web"), "{said:?}");
}

#[test]
fn a_failed_step_is_told_with_its_last_lines_and_what_to_do() {
    let now = Instant::now();
    let mut teller = teller();
    teller.event(started(), now);
    assert_eq!(
        teller.event(output(3), now),
        [Say::Step("step-1 | line 3".to_owned())]
    );
    let expected = [Say::Bad("✗ step-1 (make) failed after 2.3 s".to_owned())];
    assert_eq!(teller.event(done(StepOutcome::Failed), now), expected);
    let failed = Event::StepFailed(StepFailure {
        advice: None,
        step: "step-1".to_owned(),
        wrong: None,
        code: 9,
        tail: (0..25).map(|number| format!("line {number}")).collect(),
        log: "/h/step-1.log".to_owned(),
    });
    let said = teller.event(failed, now);
    assert_eq!(said.len(), TAIL + 2);
    assert_eq!(said[0], Say::Tail("    line 5".to_owned()));
    let end = [
        "  exit code 9; all of its output: /h/step-1.log",
        "  next: mend it; `hd why step-1` says why it ran",
    ];
    assert_eq!(said[TAIL..], end.map(|line| Say::Bad(line.to_owned())));
}

#[test]
fn what_runs_is_live_and_never_taller_than_the_screen() {
    let mut teller = teller();
    let now = Instant::now();
    assert_eq!(teller.live(now, 10), [""; 0]);
    teller.event(started(), now);
    (0..25).for_each(|number| drop(teller.event(output(number), now)));
    teller.event(batch(&["web"]), now);
    let later = now + Duration::from_millis(1500);
    let live = teller.live(later, 24);
    assert_eq!(live.len(), 2 + LIVE_TAIL);
    assert_eq!(
        (live[0].as_str(), live[8].as_str()),
        ("▸ step-1  1.5 s  make", "  line 24")
    );
    for rows in 0..12 {
        assert!(teller.live(later, rows).len() <= rows);
    }
    assert_eq!(
        texts(teller.event(done(StepOutcome::Ran), later)),
        ["✓ step-1 (make) ran in 2.3 s"]
    );
    assert_eq!(teller.live(later, 24).len(), 1);
}

#[test]
fn a_transfer_is_told_now_and_then() {
    let mut teller = teller();
    let now = Instant::now();
    let mut told = 0;
    for second in 0..12 {
        let event = Event::Pulling {
            image: "x".to_owned(),
            received: second,
            total: 12,
        };
        told += teller.event(event, now + Duration::from_secs(second)).len();
    }
    assert_eq!(told, 3);
    let done = Event::Pulled {
        image: "x".to_owned(),
        digest: "sha256:1".to_owned(),
    };
    let said = texts(teller.event(done, now + Duration::from_secs(12)));
    assert_eq!(said, ["pulled x in 12.0 s   sha256:1"]);
}

#[test]
fn a_kept_step_and_a_starting_service_are_no_news() {
    let mut teller = teller();
    let now = Instant::now();
    for event in [
        done(StepOutcome::Kept),
        service("web", ServiceState::Starting, None),
    ] {
        assert_eq!(teller.event(event, now), []);
    }
    assert_eq!(
        texts(teller.event(service("web", ServiceState::Ready, Some(80)), now)),
        ["● web ready after 80 ms"]
    );
}
