//! Several logs as one, in the order of time.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};

use hd_actors::model::log_line::LogLine;

use super::source::Source;

/// Lines read ahead per service.
const AHEAD: usize = 256;

/// Logs being merged.
#[derive(Debug)]
pub(crate) struct Merge {
    directory: PathBuf,
    parts: Vec<Part>,
}

#[derive(Debug)]
struct Part {
    name: String,
    source: Source,
    ahead: VecDeque<LogLine>,
}

impl Merge {
    /// Begins with the logs of these services.
    pub(crate) fn open(directory: &Path, names: &[String]) -> std::io::Result<Self> {
        let mut merge = Self {
            directory: directory.to_path_buf(),
            parts: Vec::new(),
        };
        names.iter().try_for_each(|name| merge.add(name))?;
        Ok(merge)
    }

    /// Leaves out all that each has now but the last lines of those that are meant.
    pub(crate) fn skip_to(
        &mut self,
        tail: usize,
        is_meant: impl Fn(&LogLine) -> bool,
    ) -> std::io::Result<()> {
        let mut parts = self.parts.iter_mut();
        parts.try_for_each(|part| part.skip_to(tail, &is_meant))
    }

    /// Adds the log of another service, unless it is there already.
    pub(crate) fn add(&mut self, name: &str) -> std::io::Result<()> {
        if self.parts.iter().any(|part| part.name == name) {
            return Ok(());
        }
        let source = Source::open(&self.directory, name)?;
        self.parts.push(Part {
            name: name.to_owned(),
            source,
            ahead: VecDeque::new(),
        });
        Ok(())
    }

    /// Gives the names, in the order in which they were added.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().map(|part| part.name.as_str())
    }

    /// Gives the next line with the position of its service; `None` when there is no more now.
    pub(crate) fn next(&mut self) -> std::io::Result<Option<(usize, LogLine)>> {
        for part in &mut self.parts {
            if part.ahead.is_empty() {
                part.ahead.extend(part.source.read(AHEAD)?);
            }
        }
        let heads = self
            .parts
            .iter()
            .enumerate()
            .filter_map(|(at, part)| Some((part.ahead.front()?.at, at)));
        let Some((_, first)) = heads.min() else {
            return Ok(None);
        };
        let line = self.parts[first].ahead.pop_front();
        Ok(line.map(|line| (first, line)))
    }
}

impl Part {
    fn skip_to(&mut self, tail: usize, is_meant: impl Fn(&LogLine) -> bool) -> std::io::Result<()> {
        loop {
            let lines = self.source.read(AHEAD)?;
            if lines.is_empty() {
                return Ok(());
            }
            self.ahead.extend(lines.into_iter().filter(&is_meant));
            let surplus = self.ahead.len().saturating_sub(tail);
            self.ahead.drain(..surplus);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use hd_actors::model::log_line::Stream;

    use super::*;

    fn write(directory: &Path, name: &str, seconds: &[u64]) {
        let line = |second: &u64| {
            let at = UNIX_EPOCH + Duration::from_secs(*second);
            LogLine {
                at,
                stream: Stream::Out,
                text: format!("{name}{second}"),
            }
            .encode()
        };
        let text: String = seconds.iter().map(line).collect();
        std::fs::write(directory.join(format!("{name}.log")), text).unwrap();
    }

    fn rest(merge: &mut Merge) -> Vec<String> {
        std::iter::from_fn(|| merge.next().unwrap())
            .map(|(_, line)| line.text)
            .collect()
    }

    #[test]
    fn lines_come_in_the_order_of_time_and_ties_in_that_of_services() {
        let place = tempfile::tempdir().unwrap();
        write(place.path(), "a", &[1, 4, 5]);
        write(place.path(), "b", &[2, 4, 9]);
        let names = ["a".to_owned(), "b".to_owned()];
        let mut merge = Merge::open(place.path(), &names).unwrap();
        assert_eq!(rest(&mut merge), ["a1", "b2", "a4", "b4", "a5", "b9"]);
        let last = |tail: usize, until: u64| {
            let until = UNIX_EPOCH + Duration::from_secs(until);
            let mut merge = Merge::open(place.path(), &names).unwrap();
            merge.skip_to(tail, |line| line.at <= until).unwrap();
            rest(&mut merge)
        };
        assert_eq!(last(1, 9), ["a5", "b9"]);
        assert_eq!(last(1, 4), ["a4", "b4"]);
        assert_eq!(last(0, 9), [""; 0]);
    }

    #[test]
    fn a_service_may_come_later() {
        let place = tempfile::tempdir().unwrap();
        let mut merge = Merge::open(place.path(), &["a".to_owned()]).unwrap();
        assert_eq!(rest(&mut merge), [""; 0]);
        write(place.path(), "a", &[1]);
        write(place.path(), "b", &[2]);
        merge.add("b").unwrap();
        merge.add("a").unwrap();
        assert_eq!(merge.names().collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(rest(&mut merge), ["a1", "b2"]);
    }
}
