//! The `FORMAT` file: which layout a store has, frozen when it is created.

use std::fs;
use std::io;
use std::path::Path;

use crate::cut::CutSizes;
use crate::durable::{Durability, replace, sync_dir};
use crate::{Error, Result};

/// The format this program writes, and the newest it reads.
const VERSION: u32 = 1;
const FILE_NAME: &str = "FORMAT";
const TITLE: &str = "hd content store";

/// What is frozen at the creation of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Format {
    pub(crate) cut: CutSizes,
}

impl Format {
    /// Reads the format of a store, or writes the current one into a new store.
    pub(crate) fn open_or_create(cas: &Path) -> Result<Format> {
        let path = cas.join(FILE_NAME);
        match fs::read(&path) {
            Ok(bytes) => Format::parse(&bytes, cas),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let format = Format {
                    cut: CutSizes::DEFAULT,
                };
                // Two processes that create at once write the same bytes.
                replace(&path, format.render().as_bytes(), Durability::Synced)?;
                cas.parent().map_or(Ok(()), sync_dir)?;
                Ok(format)
            }
            Err(error) => Err(Error::io("read", &path)(error)),
        }
    }

    fn render(&self) -> String {
        let CutSizes { min, avg, max } = self.cut;
        format!(
            "{TITLE}\nversion {VERSION}\nhash blake3\n\
             cut fastcdc-2020 normalization 2 seed 0 sizes {min} {avg} {max}\n\
             codecs raw zstd\n"
        )
    }

    fn parse(bytes: &[u8], cas: &Path) -> Result<Format> {
        let bad = |reason: &str| Error::BadFormat {
            path: cas.join(FILE_NAME),
            reason: reason.to_owned(),
        };
        let text = std::str::from_utf8(bytes).map_err(|_| bad("it is not text"))?;
        let mut lines = text.lines();
        if lines.next() != Some(TITLE) {
            return Err(bad("the first line is not the one of a store"));
        }
        let version = lines.next().and_then(|line| line.strip_prefix("version "));
        let version: u32 = version
            .and_then(|number| number.parse().ok())
            .ok_or_else(|| bad("there is no version"))?;
        if version > VERSION {
            let path = cas.to_owned();
            return Err(Error::NewerFormat {
                path,
                found: version,
                supported: VERSION,
            });
        }
        let sizes = lines
            .find_map(|line| line.strip_prefix("cut fastcdc-2020 normalization 2 seed 0 sizes "))
            .ok_or_else(|| bad("there are no cut sizes"))?;
        let sizes: Vec<u32> = sizes
            .split(' ')
            .filter_map(|size| size.parse().ok())
            .collect();
        let cut = match sizes[..] {
            [min, avg, max] => CutSizes { min, avg, max },
            _ => return Err(bad("the cut sizes are not three numbers")),
        };
        if !cut.is_legal() {
            return Err(bad("the cut sizes are out of range"));
        }
        Ok(Format { cut })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let cas = tempfile::tempdir().unwrap();
        let made = Format::open_or_create(cas.path()).unwrap();
        assert_eq!(Format::open_or_create(cas.path()).unwrap(), made);
        let text = fs::read_to_string(cas.path().join("FORMAT")).unwrap();
        assert_eq!(
            text,
            "hd content store\nversion 1\nhash blake3\n\
             cut fastcdc-2020 normalization 2 seed 0 sizes 8192 32768 131072\n\
             codecs raw zstd\n"
        );
    }

    #[test]
    fn the_published_cut_sizes_are_a_legal_setting() {
        let cut = CutSizes {
            min: 4096,
            avg: 16384,
            max: 65536,
        };
        let text = Format { cut }.render();
        assert_eq!(
            Format::parse(text.as_bytes(), Path::new("/c")).unwrap().cut,
            cut
        );
    }

    #[test]
    fn a_newer_store_is_refused_naming_both_versions() {
        let error = Format::parse(b"hd content store\nversion 7\n", Path::new("/c")).unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains("format 7") && text.contains("up to 1"),
            "{text}"
        );
    }

    #[test]
    fn garbage_is_an_error_that_names_the_file() {
        let good = Format {
            cut: CutSizes::DEFAULT,
        }
        .render();
        for bad in [
            "",
            "x",
            "hd content store\nversion x\n",
            &good.replace("8192", "9"),
            &good[..60],
        ] {
            let error = Format::parse(bad.as_bytes(), Path::new("/c")).unwrap_err();
            assert!(error.to_string().contains("/c/FORMAT"), "{error}");
        }
    }
}
