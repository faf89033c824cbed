//! The log of a service on disk: `NAME.log` and the one before it, `NAME.log.1`, bounded together.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use crate::model::log_line::{LogLine, Stream};

/// Bytes after which the file is set aside and a new one begun.
pub(crate) const FILE_MAX: u64 = 8 << 20;

/// Appends lines; opened with the first one.
#[derive(Debug)]
pub(crate) struct LogFile {
    path: PathBuf,
    max: u64,
    open: Option<Open>,
    /// Lines that could not be written since the last one that could.
    lost: u64,
}

#[derive(Debug)]
struct Open {
    file: File,
    len: u64,
    /// The last line lacks its end: a disk ran full, or a runtime was killed.
    torn: bool,
}

impl LogFile {
    /// A log at a path, of at most two files of `max` bytes.
    pub(crate) fn new(path: PathBuf, max: u64) -> Self {
        Self {
            path,
            max,
            open: None,
            lost: 0,
        }
    }

    /// Gives how many lines of the service were lost since the last one written.
    pub(crate) fn lost(&self) -> u64 {
        self.lost
    }

    /// Appends lines, each whole or, with a disk that refuses, not at all: then it counts them and
    /// goes on. What it lost is for the caller to say, see [`LogFile::lost`].
    pub(crate) fn append(&mut self, lines: &[LogLine]) {
        let mut batch = String::new();
        let mut count = 0;
        for line in lines {
            let text = line.encode();
            let held = self.open.as_ref().map_or(0, |open| open.len);
            if held + (batch.len() + text.len()) as u64 > self.max && held + batch.len() as u64 > 0
            {
                self.flush(&mut batch, &mut count);
                self.rotate();
            }
            batch.push_str(&text);
            count += u64::from(line.stream != Stream::Hd);
        }
        self.flush(&mut batch, &mut count);
    }

    fn flush(&mut self, batch: &mut String, count: &mut u64) {
        if batch.is_empty() {
            return;
        }
        match self.write(batch.as_bytes()) {
            Ok(()) => self.lost = 0,
            Err(error) => {
                if self.lost == 0 {
                    tracing::warn!(path = %self.path.display(), %error, "the log of a service cannot be written");
                }
                self.lost += *count;
            }
        }
        batch.clear();
        *count = 0;
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let open = match &mut self.open {
            Some(open) => open,
            closed => closed.insert(Open::at(&self.path)?),
        };
        if open.torn {
            open.file.write_all(b"\n")?;
            open.len += 1;
            open.torn = false;
        }
        let written = open.file.write_all(bytes);
        if written.is_err() {
            // Part of it may stand there; reading back says so, and how long the file is now.
            self.open = None;
            return written;
        }
        open.len += bytes.len() as u64;
        Ok(())
    }

    fn rotate(&mut self) {
        // Without the lock of a full disk this is two directory operations; when they fail, lines
        // are lost rather than the bound.
        let aside = aside(&self.path);
        self.open = None;
        if let Err(error) = fs::rename(&self.path, &aside)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(path = %self.path.display(), %error, "the log of a service cannot be set aside; it is begun anew");
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Gives the path of the file before the current one.
pub(crate) fn aside(path: &Path) -> PathBuf {
    let mut aside = path.as_os_str().to_owned();
    aside.push(".1");
    aside.into()
}

impl Open {
    fn at(path: &Path) -> io::Result<Self> {
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        let mut file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .open(path)?;
        let len = file.seek(SeekFrom::End(0))?;
        let mut last = [b'\n'];
        if len > 0 {
            file.seek(SeekFrom::End(-1))?;
            file.read_exact(&mut last)?;
        }
        Ok(Self {
            file,
            len,
            torn: last != [b'\n'],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::UNIX_EPOCH;

    fn line(text: &str) -> LogLine {
        LogLine {
            at: UNIX_EPOCH,
            stream: Stream::Out,
            text: text.to_owned(),
        }
    }

    fn texts(path: &Path) -> Vec<String> {
        let text = fs::read_to_string(path).unwrap_or_default();
        text.lines()
            .filter_map(LogLine::decode)
            .map(|line| line.text)
            .collect()
    }

    #[test]
    fn two_files_hold_the_newest_lines_and_no_more() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("logs/web.log");
        let mut log = LogFile::new(path.clone(), 1000);
        for number in 0..200 {
            log.append(&[line(&format!("line {number}")), line("second of a batch")]);
        }
        let all: Vec<String> = texts(&aside(&path))
            .into_iter()
            .chain(texts(&path))
            .collect();
        assert_eq!(&all[all.len() - 2..], ["line 199", "second of a batch"]);
        let first: usize = all
            .iter()
            .find_map(|text| text.strip_prefix("line "))
            .unwrap()
            .parse()
            .unwrap();
        let expected = (first..200).map(|number| format!("line {number}"));
        let numbered = all.iter().filter(|text| text.starts_with("line")).cloned();
        assert!(
            expected.eq(numbered),
            "a line is lost or doubled at a rotation: {all:?}"
        );
        for file in [&path, &aside(&path)] {
            assert!(fs::metadata(file).unwrap().len() <= 1000);
        }
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 2);
    }

    #[test]
    fn a_log_goes_on_where_a_killed_runtime_tore_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("web.log");
        fs::write(&path, format!("{}2026-01-31T12:0", line("whole").encode())).unwrap();
        LogFile::new(path.clone(), 1000).append(&[line("next")]);
        assert_eq!(texts(&path), ["whole", "next"]);
    }

    #[test]
    fn lines_that_cannot_be_written_are_counted_and_writing_goes_on() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("web.log");
        fs::create_dir(&path).unwrap();
        let mut log = LogFile::new(path.clone(), 1000);
        log.append(&[line("a"), line("b")]);
        assert_eq!(log.lost(), 2);
        fs::remove_dir(&path).unwrap();
        log.append(&[line("c")]);
        assert_eq!((log.lost(), texts(&path)), (0, vec!["c".to_owned()]));
    }

    #[test]
    fn a_full_disk_loses_lines_only() {
        // Every write to this device fails as on a full disk.
        let mut log = LogFile::new("/dev/full".into(), u64::MAX);
        log.append(&[line("a")]);
        log.append(&[line("b"), line("c")]);
        assert_eq!(log.lost(), 3);
    }
}
