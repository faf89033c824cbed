//! Probes against real sockets.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use hd_config::{Command, Probe, Service, Signal};
use hd_supervision::testkit::recorder;

use super::*;
use crate::messages::Ended;
use crate::service_supervisor::log::Output;
use crate::service_supervisor::seen::Seen;

const SOON: Duration = Duration::from_secs(20);
const MS: Duration = Duration::from_millis(1);

/// Owns everything, or nothing.
#[derive(Debug)]
struct Owner(bool);

impl Process for Owner {
    fn pid(&self) -> u32 {
        1
    }

    fn terminate(&self) {}

    fn kill(&self) {}

    fn wait(&self, _: Option<Duration>) -> Option<Ended> {
        None
    }

    fn owns(&self, _: u32) -> bool {
        self.0
    }

    fn signal(&self, _: Signal) {}

    fn beside(&self, _: &Command, _: Option<Output>, _: Duration) -> Result<(), String> {
        Ok(())
    }
}

fn listen() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

fn ask(host: &str, port: u16, path: &str, within: Duration) -> Result<(), String> {
    get(
        connect(&Reach::Host, &mut Lookup::default(), (host, port), within)?,
        "http",
        (host, port, path),
        within,
    )
}

/// Answers one request on a port of its own with these bytes.
fn serve(answer: &'static [u8]) -> (u16, thread::JoinHandle<String>) {
    let (listener, port) = listen();
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = [0; 1024];
        let length = stream.read(&mut request).unwrap();
        // The client may have gone.
        let _ = stream.write_all(answer);
        String::from_utf8_lossy(&request[..length]).into_owned()
    });
    (port, server)
}

#[test]
fn http_is_judged_by_its_status() {
    let cases: [(&[u8], Result<(), &str>); 6] = [
        (b"HTTP/1.1 200 OK\r\n\r\nhello", Ok(())),
        (b"HTTP/1.0 302 Found\r\n\r\n", Ok(())),
        (b"HTTP/1.1 404 Not Found\r\n\r\n", Err("status 404")),
        (b"HTTP/1.1 500 Oops\r\n\r\n", Err("status 500")),
        (b"SSH-2.0-OpenSSH\r\n", Err("not an HTTP answer")),
        (b"", Err("")),
    ];
    for (answer, expected) in cases {
        let (port, server) = serve(answer);
        let got = ask("localhost", port, "/health?x=1", SOON);
        match expected {
            Ok(()) => assert_eq!(got, Ok(()), "{answer:?}"),
            Err(why) => assert!(
                got.clone().is_err_and(|got| got.contains(why)),
                "{answer:?}: {got:?}"
            ),
        }
        let request = server.join().unwrap();
        assert!(
            request.starts_with("GET /health?x=1 HTTP/1.1\r\n"),
            "{request}"
        );
        assert!(
            request.contains(&format!("\r\nHost: localhost:{port}\r\n")),
            "{request}"
        );
    }
}

#[test]
fn a_silent_server_fails_in_time() {
    let (listener, port) = listen();
    let why = ask("127.0.0.1", port, "/", 50 * MS).unwrap_err();
    assert!(why.contains("no answer within"), "{why}");
    drop(listener);
    assert!(
        ask("127.0.0.1", port, "/", SOON)
            .unwrap_err()
            .contains("nothing listens")
    );
    assert!(ask("no.such.host.invalid", port, "/", SOON).is_err());
}

#[test]
fn a_port_counts_only_when_the_service_holds_it() {
    let (listener, port) = listen();
    assert_eq!(own_port(port, SOON, &Owner(true)), Ok(()));
    let why = own_port(port, SOON, &Owner(false)).unwrap_err();
    assert!(
        why.contains(&format!("(pid {})", std::process::id())),
        "{why}"
    );
    drop(listener);
    assert_eq!(
        own_port(port, SOON, &Owner(true)),
        Err(format!("nothing accepts on port {port}"))
    );
}

#[test]
fn a_port_is_seen_soon_after_it_opens() {
    hd_supervision::block_on(async {
        let (listener, port) = listen();
        drop(listener);
        let mut service = Service::new("web", "serve");
        service.port = Some(port);
        let (probed, tape) = recorder("probed", 8, |_: &Probed| ());
        let plan = || Plan::of(&service, &Seen::default()).unwrap();
        let (owner, complained) = (Arc::new(Owner(true)), Arc::default());
        let probing = Probing::start(plan(), 7, owner, complained, probed.clone()).unwrap();
        assert!(tape.is_empty());
        let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
        let opened = Instant::now();
        let answer = tape.next().await;
        assert_eq!((answer.run, answer.outcome), (7, Ok(())));
        // 100 ms between tries at most, and a busy machine.
        assert!(
            opened.elapsed() < Duration::from_secs(5),
            "{:?}",
            opened.elapsed()
        );
        drop((probing, listener));
    })
    .unwrap();
}

#[test]
fn a_check_that_ended_with_its_run_says_nothing() {
    let plan = Plan::of(
        &{
            let mut service = Service::new("web", "serve");
            service.healthcheck = Some(hd_config::Healthcheck {
                test: Probe::Exec(Command::Shell("true".to_owned())),
                interval: SOON,
                timeout: SOON,
                retries: 1,
                start_period: SOON,
            });
            service
        },
        &Seen::default(),
    )
    .unwrap();
    let (over, is_over) = bounded(0);
    drop(over);
    let complained = AtomicBool::default();
    probe(&plan, &Owner(true), &complained, &is_over, |outcome| {
        panic!("told {outcome:?} of a run that is over")
    });
}
