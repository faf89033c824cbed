//! The platform an image is made for, and the choice among several.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Names an operating system and a processor in Go's words, as images do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Platform {
    /// Operating system, for example `linux`.
    #[serde(default)]
    pub os: String,
    /// Processor, for example `amd64` or `arm64`.
    #[serde(default)]
    pub architecture: String,
    /// Version of the processor, for example `v8`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
}

impl Platform {
    /// Returns Linux on the processor this program was built for.
    pub fn host() -> Platform {
        let (architecture, variant) = match std::env::consts::ARCH {
            "x86_64" => ("amd64", None),
            "aarch64" => ("arm64", Some("v8")),
            "arm" => ("arm", Some("v7")),
            "x86" => ("386", None),
            "powerpc64" if cfg!(target_endian = "little") => ("ppc64le", None),
            other => (other, None),
        };
        Platform {
            os: "linux".to_owned(),
            architecture: architecture.to_owned(),
            variant: variant.map(str::to_owned),
        }
    }

    /// Fills in the variant that an absent one means, as containerd's platform rules do.
    fn variant_or_default(&self) -> Option<&str> {
        match (self.architecture.as_str(), self.variant.as_deref()) {
            ("arm64", None) => Some("v8"),
            ("arm", None) => Some("v7"),
            ("amd64", Some("v1")) => None,
            (_, variant) => variant.filter(|text| !text.is_empty()),
        }
    }

    /// Ranks how well an image for `offered` runs here; lower is better, `None` is not at all.
    pub fn rank(&self, offered: &Platform) -> Option<u8> {
        if self.os != offered.os || self.architecture != offered.architecture {
            return None;
        }
        let (mine, theirs) = (self.variant_or_default(), offered.variant_or_default());
        if mine == theirs {
            return Some(0);
        }
        let number =
            |text: Option<&str>| text.and_then(|v| v.strip_prefix('v')?.parse::<u8>().ok());
        match (self.architecture.as_str(), number(mine), number(theirs)) {
            ("arm", Some(mine), Some(theirs)) => mine.checked_sub(theirs),
            // A later level runs the code of an earlier one, and none stands for the first.
            ("amd64", Some(mine), theirs) => mine.checked_sub(theirs.unwrap_or(1)),
            _ => None,
        }
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        match &self.variant {
            Some(variant) => write!(f, "/{variant}"),
            None => Ok(()),
        }
    }
}

impl std::str::FromStr for Platform {
    type Err = String;

    /// Reads `os/architecture[/variant]`.
    fn from_str(text: &str) -> Result<Platform, String> {
        let parts: Vec<&str> = text.split('/').collect();
        let (os, architecture, variant) = match parts.as_slice() {
            [os, architecture] => (*os, *architecture, None),
            [os, architecture, variant] => (*os, *architecture, Some((*variant).to_owned())),
            _ => {
                return Err(format!(
                    "platform `{text}` is not `os/architecture[/variant]`"
                ));
            }
        };
        if parts.iter().any(|part| part.is_empty()) {
            return Err(format!("platform `{text}` has an empty part"));
        }
        Ok(Platform {
            os: os.to_owned(),
            architecture: architecture.to_owned(),
            variant,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offers_are_ranked() {
        let table = [
            ("linux/amd64", "linux/amd64", Some(0)),
            ("linux/amd64", "linux/amd64/v1", Some(0)),
            ("linux/amd64", "linux/amd64/v3", None),
            ("linux/amd64/v3", "linux/amd64", Some(2)),
            ("linux/amd64", "linux/arm64", None),
            ("linux/amd64", "windows/amd64", None),
            ("linux/arm64/v8", "linux/arm64", Some(0)),
            ("linux/arm/v7", "linux/arm/v6", Some(1)),
            ("linux/arm/v6", "linux/arm/v7", None),
            ("linux/amd64", "unknown/unknown", None),
        ];
        for (mine, offered, wanted) in table {
            let parse = |text: &str| text.parse::<Platform>().expect("platform");
            assert_eq!(
                parse(mine).rank(&parse(offered)),
                wanted,
                "{mine} {offered}"
            );
        }
        assert!("linux".parse::<Platform>().is_err());
        assert!("linux//v8".parse::<Platform>().is_err());
    }
}
