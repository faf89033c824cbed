//! Logs through real pipes into real files.

use std::io::Write;

use super::*;
use crate::service_supervisor::fake_tests::Heard;

const SOON: Duration = Duration::from_secs(60);

fn read(dir: &std::path::Path) -> Vec<LogLine> {
    let text = std::fs::read_to_string(dir.join("web.log")).unwrap();
    text.lines()
        .map(|line| LogLine::decode(line).expect("a line"))
        .collect()
}

#[test]
fn both_streams_and_remarks_reach_the_file_and_the_listener() {
    let dir = tempfile::tempdir().unwrap();
    let heard = Heard::default();
    let log = ServiceLog::new(
        dir.path().to_owned(),
        "web",
        Events::new(Arc::new(heard.clone())),
    );
    log.remark("started, pid 1");
    let (output, drained) = log.pipes(&Default::default()).unwrap();
    let (mut out, mut err) = (File::from(output.stdout), File::from(output.stderr));
    out.write_all(b"hello\nhalf").unwrap();
    err.write_all(b"warning\n").unwrap();
    assert!(!drained.wait(Duration::ZERO), "writers are there");
    drop((out, err));
    assert!(drained.wait(SOON));
    log.remark("exited with code 0");
    let lines = read(dir.path());
    let of = |stream| {
        lines
            .iter()
            .filter(|line| line.stream == stream)
            .map(|line| &*line.text)
            .collect::<Vec<_>>()
    };
    assert_eq!(of(Stream::Out), ["hello", "half"]);
    assert_eq!(of(Stream::Err), ["warning"]);
    assert_eq!(of(Stream::Hd), ["started, pid 1", "exited with code 0"]);
    assert_eq!(
        lines.last().unwrap().text,
        "exited with code 0",
        "the end comes last"
    );
    let mut told = heard.lines();
    told.sort();
    assert_eq!(
        told,
        ["half", "hello", "warning"],
        "remarks are told as events of their own"
    );
}

#[test]
fn a_flood_is_taken_whole_and_the_disk_stays_bounded() {
    let dir = tempfile::tempdir().unwrap();
    let log = ServiceLog::new(
        dir.path().to_owned(),
        "web",
        Events::new(Arc::new(crate::events::Silence)),
    );
    let (output, drained) = log.pipes(&Default::default()).unwrap();
    let mut out = File::from(output.stdout);
    let block = "0123456789abcdef\n".repeat(4096);
    for _ in 0..120 {
        out.write_all(block.as_bytes()).unwrap();
    }
    out.write_all(b"the end").unwrap();
    drop((out, output.stderr));
    assert!(drained.wait(SOON));
    assert_eq!(read(dir.path()).last().unwrap().text, "the end");
    let bytes: u64 = std::fs::read_dir(dir.path())
        .unwrap()
        .map(|file| file.unwrap().metadata().unwrap().len())
        .sum();
    assert!(bytes <= 2 * FILE_MAX && bytes > FILE_MAX, "{bytes}");
}

#[test]
fn a_disk_that_refuses_does_not_stop_the_service_and_the_gap_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let heard = Heard::default();
    let log = ServiceLog::new(
        dir.path().to_owned(),
        "web",
        Events::new(Arc::new(heard.clone())),
    );
    std::fs::create_dir(dir.path().join("web.log")).unwrap();
    let (output, drained) = log.pipes(&Default::default()).unwrap();
    let mut out = File::from(output.stdout);
    out.write_all(b"a\nb\n").unwrap();
    drop((out, output.stderr));
    assert!(drained.wait(SOON));
    assert_eq!(heard.lines(), ["a", "b"], "whoever watches sees them");
    std::fs::remove_dir(dir.path().join("web.log")).unwrap();
    log.remark("back");
    let texts: Vec<String> = read(dir.path()).into_iter().map(|line| line.text).collect();
    assert_eq!(
        texts,
        [
            "2 lines are missing here: they could not be written",
            "back"
        ]
    );
}
