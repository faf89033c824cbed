//! Mutilated Dockerfiles and Compose files: translated or refused, never a panic.

mod importing;

use hd_config::{dockerfile, parse};
use importing::{COMPOSE, FILES, composed, options};
use proptest::prelude::*;

/// Texts that have everything in them, to be mutilated.
const CORPUS: [&str; 6] = [
    include_str!("../../integration/ingest/heredocs/Dockerfile"),
    include_str!("../../integration/ingest/build-args/Dockerfile"),
    include_str!("../../integration/ingest/cache-mounts/Dockerfile"),
    include_str!("../../integration/ingest/busybox-files/Dockerfile"),
    include_str!("../../integration/ingest/node-stages/Dockerfile"),
    include_str!("../../integration/ingest/server-entrypoint/Dockerfile"),
];

fn mutilated(text: &str, cuts: &[(usize, usize, String)]) -> String {
    let mut chars: Vec<char> = text.chars().collect();
    for (at, length, with) in cuts {
        let start = at % (chars.len() + 1);
        let end = (start + length).min(chars.len());
        chars.splice(start..end, with.chars());
    }
    chars.into_iter().collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn a_mutilated_dockerfile_is_translated_or_refused(
        which in 0..CORPUS.len(),
        cuts in prop::collection::vec((any::<usize>(), 0..40usize, "[ \\\\\n\"'$<>{}\\[\\]=:,/#`-]{0,6}|.{0,4}"), 0..6),
    ) {
        let text = mutilated(CORPUS[which], &cuts);
        if let Ok(imported) = dockerfile::translate(&text, &options(), &FILES) {
            prop_assert!(parse(&imported.toml, "hd.toml").is_ok());
        }
    }

    #[test]
    fn a_mutilated_compose_file_is_translated_or_refused(
        cuts in prop::collection::vec((any::<usize>(), 0..40usize, "[ \n\"'$<>{}\\[\\]=:,/#&*-]{0,6}|.{0,4}"), 0..6),
    ) {
        let _ = composed(&mutilated(COMPOSE, &cuts));
    }

    #[test]
    fn any_text_is_refused_or_translated(text in ".{0,200}") {
        let _ = dockerfile::translate(&text, &options(), &FILES);
        let _ = composed(&text);
    }
}
