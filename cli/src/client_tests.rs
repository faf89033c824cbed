use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::thread::JoinHandle;

use hd_actors::model::report::ErrorReport;

use super::*;

/// A runtime that answers one request with these bytes, and gives back what it was asked.
fn runtime(answer: &'static [u8]) -> (tempfile::TempDir, PathBuf, JoinHandle<String>) {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("control.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let thread = std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        let mut line = String::new();
        BufReader::new(&stream).read_line(&mut line).unwrap();
        (&stream).write_all(answer).unwrap();
        line
    });
    (place, path, thread)
}

fn client(path: &Path) -> Client {
    open(path).unwrap().unwrap()
}

#[test]
fn a_request_is_a_line_and_so_is_the_answer() {
    let (_place, path, thread) = runtime(b"{\"reply\":\"done\"}\n");
    client(&path)
        .done(&Request::Down { now: true }, false)
        .unwrap();
    assert_eq!(thread.join().unwrap(), "{\"verb\":\"down\",\"now\":true}\n");
}

#[test]
fn an_error_keeps_its_exit_code() {
    let error = Reply::Error {
        error: ErrorReport {
            code: "step".to_owned(),
            message: "m".to_owned(),
            ..ErrorReport::default()
        },
        exit: 3,
    };
    let line = serde_json::to_string(&error).unwrap() + "\n";
    let (_place, path, _thread) = runtime(line.leak().as_bytes());
    let error = client(&path)
        .report(&Request::Status, Some(PROMPT))
        .unwrap_err();
    assert_eq!((error.exit(), error.report().message.as_str()), (3, "m"));
}

#[test]
fn a_runtime_that_goes_is_gone_or_done() {
    for answer in [b"".as_slice(), b"{\"reply\":\"do"] {
        let (_place, path, _thread) = runtime(answer);
        assert_eq!(
            client(&path)
                .ask(&Request::Status, None)
                .unwrap_err()
                .report()
                .code,
            "gone"
        );
        let (_place, path, _thread) = runtime(answer);
        client(&path)
            .done(&Request::Down { now: false }, true)
            .unwrap();
    }
}

#[test]
fn words_of_another_version_are_named_as_such() {
    let (_place, path, _thread) = runtime(b"{\"reply\":\"hologram\"}\n");
    let error = client(&path).ask(&Request::Status, None).unwrap_err();
    assert_eq!(error.report().code, "protocol");
}

#[test]
fn events_are_followed_to_the_end() {
    let (_place, path, _thread) = runtime(
        b"{\"reply\":\"event\",\"line\":\"one\"}\n{\"reply\":\"event\",\"line\":\"two\"}\n",
    );
    let mut lines = Vec::new();
    let each = |line: &str| {
        lines.push(line.to_owned());
        Ok(())
    };
    client(&path).follow(&Request::Attach, each).unwrap();
    assert_eq!(lines, ["one", "two"]);
}

#[test]
fn a_runtime_that_does_not_answer_is_not_waited_for() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("control.sock");
    let _listener = UnixListener::bind(&path).unwrap();
    let error = client(&path)
        .ask(&Request::Status, Some(Duration::from_millis(20)))
        .unwrap_err();
    assert_eq!((error.exit(), error.report().code.as_str()), (6, "timeout"));
}

#[test]
fn no_socket_and_a_dead_one_are_no_runtime() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("control.sock");
    assert!(open(&path).unwrap().is_none());
    drop(UnixListener::bind(&path).unwrap());
    assert!(open(&path).unwrap().is_none());
}

#[test]
fn a_long_path_is_no_obstacle() {
    let place = tempfile::tempdir().unwrap();
    let directory = place.path().join("d".repeat(100)).join("e".repeat(100));
    std::fs::create_dir_all(&directory).unwrap();
    let short = place.path().join("s");
    let _listener = UnixListener::bind(&short).unwrap();
    let long = directory.join("control.sock");
    std::fs::rename(&short, &long).unwrap();
    assert!(open(&long).unwrap().is_some());
}
