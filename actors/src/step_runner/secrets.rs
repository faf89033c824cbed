//! Secrets of one run: shown to its command, struck from what it prints, searched for in what it
//! leaves.

use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use aho_corasick::{AhoCorasick, AhoCorasickBuilder, MatchKind};
use hd_config::{Secret, SecretSource};
use hd_sandbox::MountOp;

use super::encoded;
use super::wanted::Wanted;
use crate::base::account::Account;
use crate::base::mounts::inside;
use crate::messages::BatchError;
use crate::model::settings::Settings;
use crate::shared::Shared;

/// Directory in which a command finds its secrets, each a file of its name (as `docker build` has it).
const PLACE: &str = "/run/secrets";
/// What a secret reads like where it was struck out.
const STRUCK: &[u8] = b"***";
/// Shorter ones would be struck from, and found in, ordinary text.
const MIN: usize = 4;
/// Longest value of which the forms in base64 are known too, bytes.
const ENCODED_MAX: usize = 16 << 10;
/// Bytes of a file searched at a time.
const WINDOW: usize = 256 << 10;
/// Room for all of them in memory, bytes.
const ROOM: u64 = 4 << 20;

/// What one run may read and nobody may keep.
#[derive(Clone, Default)]
pub(super) struct Secrets {
    values: Vec<Value>,
    /// What is struck and searched for: lines of values, so that one that is passed on without the others is
    /// known too, and what base64 makes of them. With the number of the value.
    parts: Vec<(Vec<u8>, usize)>,
    /// Finds all of them at once; nothing where there are none.
    finder: Option<AhoCorasick>,
}

#[derive(Clone)]
struct Value {
    name: String,
    bytes: Vec<u8>,
}

impl Secrets {
    /// Reads those that a step asks for.
    pub(super) fn read(shared: &Shared, step: &Wanted) -> Result<Self, BatchError> {
        let (settings, declared) = (&shared.settings, shared.declared());
        let declared = declared.project.secrets.iter();
        let asked = declared.filter(|secret| step.options.secrets.contains(&secret.name));
        let values = asked.map(|secret| value(settings, secret).map_err(|e| e.at(&*step.name)));
        Self::new(values.collect::<Result<_, _>>()?)
    }

    fn new(values: Vec<Value>) -> Result<Self, BatchError> {
        let mut parts = Vec::new();
        for (number, value) in values.iter().enumerate() {
            for line in value.lines() {
                parts.push((line.to_vec(), number));
                if value.bytes.len() <= ENCODED_MAX {
                    parts.extend(encoded::forms(line).into_iter().map(|form| (form, number)));
                }
            }
        }
        let finder = AhoCorasickBuilder::new()
            .match_kind(MatchKind::LeftmostLongest)
            .build(parts.iter().map(|(part, _)| part));
        let finder = finder.map_err(|e| BatchError::new("config", format!("secrets: {e}")))?;
        Ok(Self {
            finder: (!parts.is_empty()).then_some(finder),
            values,
            parts,
        })
    }

    /// Gives the mounts that show them, to this account only.
    pub(super) fn mounts(&self, account: &Account) -> Vec<MountOp> {
        if self.is_empty() {
            return Vec::new();
        }
        let mut ops = vec![
            MountOp::Tmpfs {
                at: inside(PLACE),
                size: Some(ROOM),
                mode: 0o500,
            },
            MountOp::Mkdir {
                at: inside(PLACE),
                mode: 0o500,
                owner: Some((account.uid, account.gid)),
            },
        ];
        ops.extend(self.values.iter().map(|value| MountOp::WriteFile {
            at: inside(&format!("{PLACE}/{}", value.name)),
            bytes: value.bytes.clone(),
            mode: 0o444,
        }));
        ops.push(MountOp::ReadOnly { at: inside(PLACE) });
        ops
    }

    /// Tells whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Strikes them from output; answers how many bytes at its end may be the beginning of one.
    pub(super) fn strike(&self, text: &mut Vec<u8>) -> usize {
        if let Some(finder) = &self.finder
            && finder.is_match(&*text)
        {
            *text = finder.replace_all_bytes(text, &vec![STRUCK; self.parts.len()]);
        }
        self.begun(text)
    }

    fn begun(&self, text: &[u8]) -> usize {
        let begun = |part: &[u8]| {
            let most = (part.len() - 1).min(text.len());
            (1..=most).rev().find(|len| text.ends_with(&part[..*len]))
        };
        let parts = self.parts.iter();
        parts.filter_map(|(part, _)| begun(part)).max().unwrap_or(0)
    }

    /// Searches the files below a write layer; answers the secret and the file that holds it.
    pub(super) fn found_in(&self, upper: &Path) -> std::io::Result<Option<(String, PathBuf)>> {
        if self.is_empty() {
            return Ok(None);
        }
        let mut pending = vec![upper.to_path_buf()];
        while let Some(dir) = pending.pop() {
            for entry in std::fs::read_dir(&dir)? {
                let entry = entry?;
                let (path, kind) = (entry.path(), entry.file_type()?);
                if kind.is_dir() {
                    pending.push(path);
                    continue;
                }
                let found = if kind.is_file() {
                    self.found_by(std::fs::File::open(&path)?)?
                } else if kind.is_symlink() {
                    use std::os::unix::ffi::OsStrExt;
                    self.found_by(std::fs::read_link(&path)?.as_os_str().as_bytes())?
                } else {
                    None
                };
                if let Some(name) = found {
                    let below = path.strip_prefix(upper).unwrap_or(&path);
                    return Ok(Some((name, Path::new("/").join(below))));
                }
            }
        }
        Ok(None)
    }

    /// Searches a stream, window by window, each with the end of the one before.
    pub(super) fn found_by(&self, stream: impl Read) -> std::io::Result<Option<String>> {
        let Some(finder) = &self.finder else {
            return Ok(None);
        };
        let mut stream = BufReader::with_capacity(WINDOW, stream);
        let overlap = finder.max_pattern_len() - 1;
        let mut window = Vec::new();
        loop {
            let read = stream
                .by_ref()
                .take(WINDOW as u64)
                .read_to_end(&mut window)?;
            if let Some(found) = finder.find(&window) {
                let (_, value) = self.parts[found.pattern().as_usize()];
                return Ok(Some(self.values[value].name.clone()));
            }
            if read == 0 {
                return Ok(None);
            }
            window.drain(..window.len().saturating_sub(overlap));
        }
    }
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names = self.values.iter().map(|value| &value.name);
        f.debug_list().entries(names).finish()
    }
}

impl Value {
    fn lines(&self) -> impl Iterator<Item = &[u8]> {
        let lines = self.bytes.split(|byte| matches!(byte, b'\n' | b'\r'));
        lines.filter(|line| line.len() >= MIN)
    }
}

fn value(settings: &Settings, secret: &Secret) -> Result<Value, BatchError> {
    let name = secret.name.clone();
    let refused = |why: String, hint: &str| {
        BatchError::new(
            "config",
            format!("the secret `{name}` cannot be had: {why}"),
        )
        .hint(hint)
    };
    let bytes = match &secret.source {
        SecretSource::Env(variable) => match settings.host_env.get(variable) {
            Some(value) => value.clone().into_bytes(),
            None => {
                return Err(refused(
                    format!("{variable} is not set"),
                    "set it before `hd` starts",
                ));
            }
        },
        SecretSource::File(file) => {
            let path = place(settings, file);
            let why = |e| format!("{}: {e}", path.display());
            std::fs::read(&path).map_err(|e| refused(why(e), "make the file, or name another"))?
        }
    };
    let value = Value {
        name: name.clone(),
        bytes,
    };
    if value.lines().next().is_none() || value.bytes.len() as u64 > ROOM / 8 {
        let why = format!("its value is not of {MIN} bytes to {} KiB", ROOM >> 13);
        return Err(refused(
            why,
            "a shorter one could not be told from ordinary output",
        ));
    }
    Ok(value)
}

/// Gives the file of a secret on the host.
pub fn place(settings: &Settings, file: &str) -> PathBuf {
    match file.strip_prefix("~/") {
        Some(rest) => {
            let home = settings
                .host_env
                .get("HOME")
                .map_or("/root", String::as_str);
            Path::new(home).join(rest)
        }
        None => settings.project_dir.join(file),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secrets(values: &[&str]) -> Secrets {
        let value = |text: &&str| Value {
            name: format!("s-{}", text.len()),
            bytes: text.as_bytes().to_vec(),
        };
        Secrets::new(values.iter().map(value).collect()).unwrap()
    }

    #[test]
    fn output_is_struck_and_a_beginning_at_its_end_is_told() {
        let secrets = secrets(&["hunter2hunter", "line one\nline two\n\n"]);
        let cases = [
            ("a hunter2hunter.", "a ***.", 0),
            ("hunter2hunterhunter2hunter", "******", 0),
            ("only line two of it.", "only *** of it.", 0),
            ("nothing.", "nothing.", 0),
            ("it is hunter2", "it is hunter2", 7),
            ("hunter2hun", "hunter2hun", 10),
            ("Basic dTpodW50ZXIyaHVudGVy", "Basic dTp***", 0),
        ];
        for (text, expected, begun) in cases {
            let mut bytes = text.as_bytes().to_vec();
            assert_eq!(secrets.strike(&mut bytes), begun, "{text}");
            assert_eq!(String::from_utf8_lossy(&bytes), expected);
        }
        assert_eq!(format!("{secrets:?}"), r#"["s-13", "s-19"]"#);
    }

    #[test]
    fn a_value_across_two_windows_is_found() {
        let secrets = secrets(&["hunter2hunter"]);
        for start in [0, 10, WINDOW - 5, WINDOW, 3 * WINDOW - 1] {
            let mut bytes = vec![b'h'; start];
            bytes.extend_from_slice(b"hunter2hunter");
            bytes.extend(vec![b'x'; 100]);
            let found = secrets.found_by(&*bytes).unwrap();
            assert_eq!(found.as_deref(), Some("s-13"), "{start}");
        }
        assert_eq!(secrets.found_by(&b"hunter2hunte"[..]).unwrap(), None);
    }
}
