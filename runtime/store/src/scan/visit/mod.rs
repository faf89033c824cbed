//! Looks at the names of one directory.

mod leaf;

use std::os::fd::{AsFd, OwnedFd};

use rustix::io::Errno;

use crate::scan::cache::{Dir, Row, RowKind, StatCache, StatKey};
use crate::scan::dirs::{Listed, list, read_ignore_file, stat_name};
use crate::scan::types::{DirFilter, Note, NoteReason};
use crate::scan::walk::{Found, FoundRow, Task, Walk, join};
use crate::stat::FileStat;

/// One directory while it is being looked at.
pub(super) struct Visit<'w, 'a> {
    walk: &'w Walk<'a>,
    task: &'w Task,
    dir: OwnedFd,
    found: &'w mut Found,
    more: &'w mut Vec<Task>,
    /// The rows so far; `None` as long as all are as in the cache and that is left out.
    rows: Option<Vec<FoundRow>>,
    /// What the rows of the cache are that were passed while `rows` is `None`.
    passed: Vec<RowKind>,
    /// The filter would decide here as it did when the cache was saved.
    rules_stand: bool,
    ignore_files: Vec<String>,
    filter: Option<Box<dyn DirFilter + 'w>>,
}

/// A row of the cache and its place in its directory.
type Known<'r> = Option<(usize, Row<'r>)>;

impl<'w, 'a> Visit<'w, 'a> {
    pub(super) fn new(
        walk: &'w Walk<'a>,
        task: &'w Task,
        dir: OwnedFd,
        found: &'w mut Found,
        more: &'w mut Vec<Task>,
    ) -> Visit<'w, 'a> {
        Visit {
            walk,
            task,
            dir,
            found,
            more,
            rows: (!walk.only_changes).then(Vec::new),
            passed: Vec::new(),
            rules_stand: task.same_rules,
            ignore_files: Vec::new(),
            filter: None,
        }
    }

    /// The names are as the cache has them; only what they stand for is asked.
    pub(super) fn cached_names(
        &mut self,
        cache: &StatCache,
        cached: &Dir,
    ) -> rustix::io::Result<()> {
        let ignore_names = self.walk.filter.ignore_file_names();
        for row in cache.rows(cached) {
            if ignore_names.iter().any(|name| name.as_bytes() == row.name) {
                self.ignore_file(row.name, Some(&row));
            }
        }
        for (number, row) in cache.rows(cached).enumerate() {
            self.name(row.name, Some(row.is_dir), Some((number, row)))?;
        }
        self.finish();
        Ok(())
    }

    pub(super) fn listed_names(
        &mut self,
        opened: &OwnedFd,
        cache: Option<(&StatCache, Dir)>,
    ) -> rustix::io::Result<()> {
        self.found.listed = true;
        let names = list(opened.as_fd())?;
        // Of a million files, room for rows that never come would be a tenth of all memory.
        self.rows.get_or_insert_default().reserve_exact(names.len());
        let rows = cache.map(|(cache, dir)| cache.rows(&dir));
        let mut rows = rows.into_iter().flatten().enumerate().peekable();
        let known: Vec<Row<'_>> = rows.clone().map(|(_, row)| row).collect();
        self.found.changed |= known.len() != names.len();
        self.rules_of_listing(&names, &known);
        for listed in &names {
            let Listed { name, is_dir, .. } = listed;
            // Both are sorted: what the cache has before this name is there no more.
            while let Some((_, row)) = rows.next_if(|(_, row)| row.name < name.as_slice()) {
                self.gone(&row);
            }
            let row = rows.next_if(|(_, row)| row.name == name.as_slice());
            match row {
                None if listed.is_regular => self.new_file(name)?,
                row => self.name(name, *is_dir, row)?,
            }
        }
        rows.for_each(|(_, row)| self.gone(&row));
        self.finish();
        Ok(())
    }

    fn finish(&mut self) {
        self.found.rows = self.rows.take();
    }

    fn rules_of_listing(&mut self, names: &[Listed], known: &[Row<'_>]) {
        for ignore in self.walk.filter.ignore_file_names() {
            let name = ignore.as_bytes();
            let row = known.binary_search_by(|row| row.name.cmp(name)).ok();
            let row = row.and_then(|place| known.get(place));
            let listed = names.binary_search_by(|listed| listed.name.as_slice().cmp(name));
            match (listed.is_ok(), row) {
                (true, row) => self.ignore_file(name, row),
                (false, Some(_)) => self.rules_stand = false,
                (false, None) => {}
            }
        }
    }

    /// Takes note of an ignore file that is there; the rules stand if it is as it was.
    fn ignore_file(&mut self, name: &[u8], row: Option<&Row<'_>>) {
        if let Ok(name) = std::str::from_utf8(name) {
            self.ignore_files.push(name.to_owned());
        }
        let row = row.filter(|row| row.kind == RowKind::Regular && !row.racy);
        let same = row.is_some_and(|row| {
            self.found.stated += 1;
            stat_name(self.dir.as_fd(), name).is_ok_and(|stat| StatKey::of(&stat) == row.key)
        });
        self.rules_stand &= same;
    }

    /// Says whether a name belongs to the project, asking the filter only where it may have changed.
    fn keeps(&mut self, name: &[u8], is_dir: bool, row: Known<'_>) -> rustix::io::Result<bool> {
        if let Some((_, row)) = row
            && self.rules_stand
            && row.is_dir == is_dir
        {
            return Ok(row.kind != RowKind::Excluded);
        }
        if let Some(filter) = &self.filter {
            return Ok(filter.keep(name, is_dir));
        }
        if !self.task.entered {
            self.walk.enter_above(&self.task.path)?;
        }
        // In the order of the filter, which is that of their precedence.
        let names = self.walk.filter.ignore_file_names().iter();
        let present = names.filter(|name| self.ignore_files.contains(name));
        let ignore: Vec<_> = present
            .filter_map(|name| {
                let bytes = read_ignore_file(self.dir.as_fd(), name.as_bytes())?;
                Some((name.clone(), bytes))
            })
            .collect();
        let filter = self.walk.filter.enter(&self.task.path, &ignore);
        let kept = filter.keep(name, is_dir);
        self.filter = Some(filter);
        Ok(kept)
    }

    /// A file that the cache does not have: whoever reads it asks about it too.
    fn new_file(&mut self, name: &[u8]) -> rustix::io::Result<()> {
        if self.keeps(name, false, None)? {
            self.unread(name, &FileStat::default(), StatKey::default());
        } else {
            self.excluded(name, false, None);
        }
        Ok(())
    }

    fn name(
        &mut self,
        name: &[u8],
        is_dir: Option<bool>,
        row: Known<'_>,
    ) -> rustix::io::Result<()> {
        let mut stat = None;
        let mut is_dir = match is_dir {
            Some(is_dir) => is_dir,
            None => {
                stat = self.stat(name, row)?;
                let Some(stat) = &stat else { return Ok(()) };
                stat.is_dir()
            }
        };
        let mut kept = self.keeps(name, is_dir, row)?;
        if kept && !is_dir && stat.is_none() {
            stat = self.stat(name, row)?;
            let Some(stat) = &stat else { return Ok(()) };
            if stat.is_dir() {
                // It was replaced by a directory since it was listed.
                (is_dir, kept) = (true, self.keeps(name, true, row)?);
            }
        }
        let stat = stat.unwrap_or_default();
        match (kept, is_dir) {
            (false, _) => self.excluded(name, is_dir, row),
            (true, true) => self.child(name, row)?,
            (true, false) => self.leaf(name, stat, row)?,
        }
        Ok(())
    }

    /// Asks about a name; one that went away is noted.
    fn stat(&mut self, name: &[u8], row: Known<'_>) -> rustix::io::Result<Option<FileStat>> {
        self.found.stated += 1;
        match stat_name(self.dir.as_fd(), name) {
            Ok(stat) => Ok(Some(stat)),
            Err(Errno::NOENT) => {
                self.vanished(name, row);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    fn vanished(&mut self, name: &[u8], row: Known<'_>) {
        self.differs();
        self.note(name, NoteReason::Vanished);
        if let Some((_, row)) = row {
            self.gone(&row);
        }
    }

    fn note(&mut self, name: &[u8], reason: NoteReason) {
        self.found.notes.push(Note {
            path: join(&self.task.path, name),
            reason,
        });
    }

    /// What a cached row stood for is no more.
    fn gone(&mut self, row: &Row<'_>) {
        self.found.changed = true;
        if row.kind.is_answered() {
            self.found.gone.push(join(&self.task.path, row.name));
        }
    }

    /// Something is not as in the cache: from here on each row is told.
    fn differs(&mut self) {
        self.found.changed = true;
        self.told();
    }

    fn told(&mut self) -> &mut Vec<FoundRow> {
        let passed = &mut self.passed;
        self.rows.get_or_insert_with(|| {
            let passed = passed.drain(..).enumerate();
            passed
                .map(|(number, kind)| as_cached(kind, number))
                .collect()
        })
    }

    /// A row that is as in the cache and needs no answer.
    fn pass(&mut self, kind: RowKind, number: usize) {
        match &mut self.rows {
            None => self.passed.push(kind),
            Some(rows) => rows.push(as_cached(kind, number)),
        }
    }

    fn excluded(&mut self, name: &[u8], is_dir: bool, row: Known<'_>) {
        if let Some((number, row)) = row {
            if row.kind == RowKind::Excluded && row.is_dir == is_dir {
                return self.pass(RowKind::Excluded, number);
            }
            self.gone(&row);
        }
        self.differs();
        self.told().push(FoundRow {
            is_dir,
            ..plain_row(name, RowKind::Excluded)
        });
    }

    fn child(&mut self, name: &[u8], row: Known<'_>) -> rustix::io::Result<()> {
        let number = self.walk.new_number();
        self.found.children.push(number);
        let mut task = Task {
            id: number,
            path: join(&self.task.path, name),
            cached: None,
            attributes: Vec::new(),
            same_rules: self.rules_stand,
            entered: self.filter.is_some(),
        };
        match row {
            Some((place, row)) if row.kind == RowKind::Dir => {
                task.cached = Some(row.child);
                task.attributes = row.extra.to_vec();
                self.pass(RowKind::Dir, place);
            }
            row => {
                if let Some((_, row)) = row {
                    self.gone(&row);
                }
                self.differs();
                self.told().push(FoundRow {
                    is_dir: true,
                    ..plain_row(name, RowKind::Dir)
                });
            }
        }
        self.more.push(task);
        Ok(())
    }
}

fn as_cached(kind: RowKind, number: usize) -> FoundRow {
    FoundRow {
        as_cached: u32::try_from(number).ok(),
        ..plain_row(b"", kind)
    }
}

fn plain_row(name: &[u8], kind: RowKind) -> FoundRow {
    FoundRow {
        name: name.into(),
        kind,
        is_dir: kind == RowKind::Dir,
        key: StatKey::default(),
        racy: false,
        as_cached: None,
        scanned: None,
        wanted: false,
    }
}
