use std::fs::{OpenOptions, rename};
use std::io::Write;
use std::time::{Duration, UNIX_EPOCH};

use hd_actors::model::log_line::Stream;
use proptest::prelude::*;

use super::*;

/// Writes a log as the runtime does: appends, and rotates by renaming.
struct Writer {
    directory: tempfile::TempDir,
    next: u64,
}

impl Writer {
    fn new() -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
            next: 0,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn raw(&self, bytes: &[u8]) {
        let mut open = OpenOptions::new();
        let mut file = open
            .create(true)
            .append(true)
            .open(self.path("web.log"))
            .unwrap();
        file.write_all(bytes).unwrap();
    }

    fn write(&mut self, count: usize) {
        for _ in 0..count {
            let at = UNIX_EPOCH + Duration::from_secs(self.next);
            let line = LogLine {
                at,
                stream: Stream::Out,
                text: self.next.to_string(),
            };
            self.raw(line.encode().as_bytes());
            self.next += 1;
        }
    }

    fn rotate(&self, keep: u32) {
        if !self.path("web.log").exists() {
            return;
        }
        for number in (1..keep).rev() {
            let from = self.path(&format!("web.log.{number}"));
            let _ = rename(from, self.path(&format!("web.log.{}", number + 1)));
        }
        let _ = rename(self.path("web.log"), self.path("web.log.1"));
    }

    fn source(&self) -> Source {
        Source::open(self.directory.path(), "web").unwrap()
    }
}

fn texts(source: &mut Source) -> Vec<String> {
    let lines = source.read(usize::MAX).unwrap();
    lines.into_iter().map(|line| line.text).collect()
}

#[test]
fn generations_are_read_oldest_first() {
    let mut log = Writer::new();
    log.write(2);
    log.rotate(5);
    log.write(2);
    log.rotate(5);
    log.write(1);
    assert_eq!(texts(&mut log.source()), ["0", "1", "2", "3", "4"]);
    assert_eq!(names(log.directory.path()).unwrap(), ["web"]);
    assert_eq!(names(&log.path("none")).unwrap(), [""; 0]);
}

#[test]
fn a_line_counts_when_its_end_is_written() {
    let log = Writer::new();
    let mut source = log.source();
    log.raw(b"1970-01-01T00:00:00.000000Z o be");
    assert_eq!(texts(&mut source), [""; 0]);
    log.raw(b"gun\nnot a line of a log\n");
    assert_eq!(texts(&mut source), ["begun"]);
    assert_eq!(texts(&mut source), [""; 0]);
}

#[test]
fn a_rotation_half_done_hides_nothing() {
    let mut log = Writer::new();
    for _ in 0..2 {
        log.write(1);
        log.rotate(5);
    }
    log.write(1);
    for (from, to) in [
        ("web.log.2", "web.log.3"),
        ("web.log.1", "web.log.2"),
        ("web.log", "web.log.1"),
    ] {
        rename(log.path(from), log.path(to)).unwrap();
        assert_eq!(texts(&mut log.source()), ["0", "1", "2"], "after {from}");
    }
}

#[test]
fn a_line_without_end_does_not_fill_the_memory() {
    let log = Writer::new();
    log.raw(b"1970-01-01T00:00:00.000000Z o ");
    log.raw(&vec![b'x'; (LINE_MAX as usize) * 2]);
    let lines = log.source().read(usize::MAX).unwrap();
    assert_eq!(lines.len(), 1);
    assert!(lines[0].text.len() < LINE_MAX as usize);
}

proptest! {
    /// Following loses and doubles nothing, whatever the order of writing, rotating and reading.
    #[test]
    fn each_line_comes_once(acts in prop::collection::vec(0..4usize, 1..40)) {
        let mut log = Writer::new();
        let mut source = log.source();
        let mut read = Vec::new();
        for act in acts {
            match act {
                0 => log.write(3),
                1 => log.rotate(50),
                2 => read.extend(texts(&mut source)),
                _ => read.extend(source.read(1).unwrap().into_iter().map(|line| line.text)),
            }
        }
        read.extend(texts(&mut source));
        let expected: Vec<String> = (0..log.next).map(|number| number.to_string()).collect();
        prop_assert_eq!(read, expected);
    }
}
