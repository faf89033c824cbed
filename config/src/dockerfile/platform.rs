//! The platform arguments BuildKit sets by itself; here both platforms are this machine's.

/// Platform as Docker writes it.
pub(crate) fn docker() -> String {
    format!("linux/{}", architecture())
}

fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "386",
        other => other,
    }
}

/// Value of a platform argument.
pub(crate) fn argument(name: &str) -> Option<String> {
    let name = name
        .strip_prefix("TARGET")
        .or_else(|| name.strip_prefix("BUILD"))?;
    match name {
        "PLATFORM" => Some(docker()),
        "OS" => Some("linux".to_owned()),
        "ARCH" => Some(architecture().to_owned()),
        "VARIANT" => Some(String::new()),
        _ => None,
    }
}
