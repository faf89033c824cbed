//! What a service finds at a path besides its view: data that lasts, a part of the host, or memory.

use std::fmt;

/// One entry of a service's `volumes`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Volume {
    /// What is there.
    pub source: VolumeSource,
    /// Where: an absolute path inside, normalised, never `/`.
    pub target: String,
    /// The service cannot write to it.
    pub read_only: bool,
}

/// What a volume is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VolumeSource {
    /// A directory of the instance, by its name in `[volumes]`; it outlives restarts, views and `down`.
    Named(String),
    /// A file or directory of the host: absolute, below the caller's home (`~/…`), or relative to the
    /// project.
    Bind(String),
    /// Memory that is empty at each start.
    Tmpfs {
        /// Bytes it may take; the kernel's default (half of the memory) when absent.
        size: Option<u64>,
    },
}

impl Volume {
    /// Gives the name in `[volumes]`, if it has one.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        match &self.source {
            VolumeSource::Named(name) => Some(name),
            VolumeSource::Bind(_) | VolumeSource::Tmpfs { .. } => None,
        }
    }
}

/// The short form: `data:/var/lib/db`, `./conf:/etc/app:ro`, `tmpfs:/scratch`.
impl fmt::Display for Volume {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let source = match &self.source {
            VolumeSource::Named(source) | VolumeSource::Bind(source) => source,
            VolumeSource::Tmpfs { .. } => TMPFS,
        };
        write!(f, "{source}:{}", self.target)?;
        if self.read_only {
            f.write_str(":ro")?;
        }
        Ok(())
    }
}

/// The source of the short form that means memory.
pub(crate) const TMPFS: &str = "tmpfs";

/// Tells whether a source is a path of the host, not a name.
pub(crate) fn is_path(source: &str) -> bool {
    source.starts_with(['.', '/', '~'])
}

/// Normalises the target of a volume.
///
/// # Errors
/// Why it is none.
pub(crate) fn target(text: &str) -> Result<String, &'static str> {
    let Some(relative) = text.strip_prefix('/') else {
        return Err("a target is an absolute path inside");
    };
    let parts: Vec<&str> = relative
        .split('/')
        .filter(|part| !part.is_empty() && *part != ".")
        .collect();
    match parts.first() {
        None => Err("the root itself is no target"),
        Some(_) if parts.contains(&"..") => Err("a target has no `..`"),
        Some(&("proc" | "sys" | "dev")) => Err("/proc, /sys and /dev are the kernel's"),
        Some(_) => Ok(format!("/{}", parts.join("/"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_absolute_and_stay_where_they_are() {
        let cases = [
            ("/data", Ok("/data")),
            ("//srv/./www/", Ok("/srv/www")),
            ("data", Err("a target is an absolute path inside")),
            ("/", Err("the root itself is no target")),
            ("/a/../etc", Err("a target has no `..`")),
            ("/proc/sys", Err("/proc, /sys and /dev are the kernel's")),
            ("/device", Ok("/device")),
        ];
        for (text, expected) in cases {
            assert_eq!(target(text), expected.map(str::to_owned), "{text}");
        }
    }

    #[test]
    fn a_volume_reads_as_it_was_written() {
        let volume = |source, read_only| Volume {
            source,
            target: "/x".to_owned(),
            read_only,
        };
        let named = VolumeSource::Named("data".to_owned());
        let bind = VolumeSource::Bind("./conf".to_owned());
        let memory = VolumeSource::Tmpfs { size: Some(1) };
        assert_eq!(volume(named.clone(), false).to_string(), "data:/x");
        assert_eq!(volume(bind, true).to_string(), "./conf:/x:ro");
        assert_eq!(volume(memory, false).to_string(), "tmpfs:/x");
        assert_eq!(volume(named, false).name(), Some("data"));
    }
}
