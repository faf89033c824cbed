//! `--base`, which many verbs take.

use std::convert::Infallible;

/// Reads an image; a path begins in the directory where it is typed, one in hd.toml at the project.
///
/// Made absolute here, once: what is typed goes on to a runtime in the background, which stands elsewhere, and is
/// compared with what one runs on.
pub(super) fn base(text: &str) -> Result<String, Infallible> {
    let source = text.parse::<hd_oci::Source>();
    Ok(match (source, std::env::current_dir()) {
        (Ok(source), Ok(here)) if source.reference().is_none() => source.below(&here).to_string(),
        // What is wrong with it is said by who needs it.
        _ => text.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::base;

    #[test]
    fn only_a_path_begins_here() {
        let here = std::env::current_dir().unwrap();
        let below = format!("oci:{}:v1", here.join("a/b").display());
        for (typed, meant) in [
            ("oci:a/b:v1", below.as_str()),
            ("oci:/a/b:v1", "oci:/a/b:v1"),
            ("debian:12", "debian:12"),
            ("docker-daemon:a:1", "docker-daemon:a:1"),
            ("oci:", "oci:"),
        ] {
            assert_eq!(base(typed), Ok(meant.to_owned()));
        }
    }
}
