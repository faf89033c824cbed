//! The conductor reads the `hd.toml` anew: what is declared now holds from the next root on, and an
//! edit that is no use changes nothing.

use std::sync::Arc;

use hd_supervision::Port;

use super::actor::{Invalidator, Why};
use super::ask;
use crate::base::Bases;
use crate::events::Event;
use crate::messages::{BatchError, FetchImage, Paths, WatchAnew};
use crate::model::declared::{Declared, Invalid};
use crate::model::state::Failure;
use crate::shared::Shared;
use crate::witness::refuse_blind;

/// A reading that says something new.
#[derive(Debug)]
pub(super) struct News {
    declared: Arc<Declared>,
    /// The bases, when one is another.
    base: Option<Arc<Bases>>,
}

/// Reads the `hd.toml` where that is due; nothing when it says what it said before.
pub(super) async fn read(
    is_due: bool,
    shared: Arc<Shared>,
    fetch: Port<FetchImage>,
    known: Arc<Bases>,
) -> Result<Option<News>, Invalid> {
    if !is_due {
        return Ok(None);
    }
    let reading = shared.clone();
    // Short, but a package manager may be asked.
    let job = move || {
        let read = reading.settings.reader.read()?;
        refuse_blind(&read.project).map_err(|error| Invalid::from(&error))?;
        Declared::new(&reading.settings, read).map_err(|error| Invalid::from(&error))
    };
    let read = tokio::task::spawn_blocking(job).await;
    let read = read.map_err(|e| Invalid::from(&BatchError::new("internal", e)))??;
    let before = shared.declared();
    let same_images = before.images() == read.images();
    let read = match same_images {
        true => read.completed(&known),
        false => Ok(read),
    };
    let read = read.map_err(|error| Invalid::from(&error))?;
    if before.same(&read) {
        return Ok(None);
    }
    if !before.same_secret_files(&read) {
        let error = BatchError::new(
            "config",
            "other files hold secrets than when hd was started",
        );
        let error = error
            .at("[secrets]")
            .hint("`hd down`, then `hd up` takes them over");
        return Err(Invalid::from(&error));
    }
    if same_images {
        return Ok(Some(News {
            declared: Arc::new(read),
            base: None,
        }));
    }
    let wish = FetchImage {
        images: read.images(),
    };
    let fetched = fetch.ask(wish, ask::ENGINE_WITHIN).await;
    let fetched = fetched.unwrap_or_else(|error| Err(BatchError::new("image", error)));
    let completed = fetched.and_then(|base| Ok((read.completed(&base)?, base)));
    let (read, base) = completed.map_err(|error| Invalid::from(&error))?;
    Ok(Some(News {
        declared: Arc::new(read),
        base: Some(Arc::new(base)),
    }))
}

impl Invalidator {
    /// Tells whether a batch may have changed what is declared. While a reading is invalid any file
    /// may be what it lacks. A look at everything may have swallowed the name of what was edited, also while
    /// the base was not there yet; only the first one of this actor's own follows a reading at once.
    pub(super) fn may_redeclare(&self, paths: &Paths, why: Why) -> bool {
        let files = &self.shared.declared().files;
        let names = |paths: &std::collections::BTreeSet<_>| {
            paths
                .iter()
                .any(|path| files.iter().any(|file| file.starts_with(path)))
        };
        match paths {
            _ if why == Why::Asked => true,
            Paths::Rescan => why == Why::Edit || self.knows.applied.is_some(),
            Paths::These(paths) => self.knows.invalid.is_some() || names(paths),
        }
    }

    /// Numbers a reading, as it begins.
    pub(super) fn reads(&mut self) -> u64 {
        self.knows.readings.0 += 1;
        self.knows.readings.0
    }

    /// Takes a reading over, unless a later one was. Answers whether anything is declared anew, and whether other
    /// files count.
    pub(super) fn redeclare(
        &mut self,
        number: u64,
        read: Result<Option<News>, Invalid>,
    ) -> (bool, bool) {
        let taken = &mut self.knows.readings.1;
        if number < *taken {
            return (false, false);
        }
        *taken = number;
        match read {
            Err(invalid) => {
                self.refuse(invalid);
                (false, false)
            }
            Ok(news) => {
                self.accept();
                let Some(News { declared, base }) = news else {
                    return (false, false);
                };
                let other_files = !self.shared.declared().same_files(&declared);
                self.shared.declare(declared.clone());
                self.resume_rules();
                if let Some(base) = base {
                    self.knows.base = Some(base);
                }
                if other_files {
                    self.edges.anew.put(WatchAnew { declared });
                }
                (true, other_files)
            }
        }
    }

    fn refuse(&mut self, Invalid { error, text }: Invalid) {
        let failure = Failure { error, exit: 2 };
        if self.knows.invalid.as_ref() == Some(&failure) {
            return;
        }
        self.knows.invalid = Some(failure.clone());
        self.state.update(|state| state.error = Some(failure));
        self.shared.events.tell(Event::Invalid(text));
    }

    fn accept(&mut self) {
        let Some(was) = self.knows.invalid.take() else {
            return;
        };
        self.state.update(|state| {
            state.error.take_if(|error| *error == was);
        });
        let note = "hd.toml is valid again".to_owned();
        self.shared.events.tell(Event::Note(note));
    }
}
