//! Base64 of something within anything (RFC 4648): what `curl -v -u`, npm and docker make of a password.

use base64::Engine;
use base64::alphabet::{Alphabet, STANDARD, URL_SAFE};
use base64::engine::GeneralPurpose;
use base64::engine::general_purpose::NO_PAD;

/// Shorter ones have forms of a few characters, which stand in ordinary text too.
const MIN: usize = 8;

/// Gives what base64 of any text holds in which these bytes stand: a form for each place that they may have in
/// a group of three bytes, in both alphabets. Characters that neighbours have a part in are left out.
pub(super) fn forms(bytes: &[u8]) -> Vec<Vec<u8>> {
    if bytes.len() < MIN {
        return Vec::new();
    }
    let mut forms = Vec::new();
    for alphabet in [&STANDARD, &URL_SAFE] {
        for before in 0..3 {
            let form = form(alphabet, before, bytes);
            if !forms.contains(&form) {
                forms.push(form);
            }
        }
    }
    forms
}

fn form(alphabet: &Alphabet, before: usize, bytes: &[u8]) -> Vec<u8> {
    let group = [&vec![0; before][..], bytes].concat();
    let encoded = GeneralPurpose::new(alphabet, NO_PAD).encode(&group);
    let own = (before * 8).div_ceil(6)..group.len() * 8 / 6;
    encoded.as_bytes()[own].to_vec()
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::{STANDARD, URL_SAFE};
    use proptest::prelude::*;

    use super::*;

    fn holds(encoded: &str, secret: &[u8]) -> bool {
        let stands = |form: &Vec<u8>| {
            let mut windows = encoded.as_bytes().windows(form.len());
            windows.any(|window| window == form)
        };
        forms(secret).iter().any(stands)
    }

    #[test]
    fn a_password_is_found_behind_any_user() {
        // By `printf USER:hunter2hunter | base64`.
        let table = [
            ("dXNlcjpodW50ZXIyaHVudGVy", true),
            ("dTpodW50ZXIyaHVudGVy", true),
            ("dXM6aHVudGVyMmh1bnRlcg==", true),
            ("dXNlcjpodW50ZXIzaHVudGVy", false),
        ];
        for (text, found) in table {
            assert_eq!(holds(text, b"hunter2hunter"), found, "{text}");
        }
        assert_eq!(forms(b"hunter2"), Vec::<Vec<u8>>::new());
    }

    proptest! {
        #[test]
        fn base64_of_a_text_around_it_holds_one_of_its_forms(
            before in proptest::collection::vec(any::<u8>(), 0..10),
            secret in proptest::collection::vec(any::<u8>(), 8..40),
            after in proptest::collection::vec(any::<u8>(), 0..10),
        ) {
            let text = [&before[..], &secret, &after].concat();
            prop_assert!(holds(&STANDARD.encode(&text), &secret));
            prop_assert!(holds(&URL_SAFE.encode(&text), &secret));
        }
    }
}
