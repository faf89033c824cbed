//! Bodies of answers: read with a bound, and what of an error is fit to be shown.

use std::ops::Deref;
use std::time::Duration;

use reqwest::Response;
use serde::Deserialize;

use super::error::first_cause;

/// Longest excerpt of what a registry says, in characters.
const MAX_DETAIL: usize = 160;

#[derive(Deserialize)]
struct Errors {
    errors: Vec<ErrorItem>,
}

#[derive(Deserialize)]
struct ErrorItem {
    #[serde(default)]
    code: String,
    #[serde(default)]
    message: String,
}

/// Reads the next bytes of a body; the error says how it breaks off, which silence counts as, too.
pub(super) async fn chunk(
    response: &mut Response,
    silence: Duration,
) -> Result<Option<impl Deref<Target = [u8]> + Send + use<>>, String> {
    match tokio::time::timeout(silence, response.chunk()).await {
        Ok(chunk) => chunk.map_err(|error| first_cause(&error.without_url())),
        Err(_) => Err(format!("nothing comes for {} s", silence.as_secs_f32())),
    }
}

/// Says why a body could not be read.
#[derive(Debug)]
pub(super) enum Unread {
    /// It has more bytes than these.
    TooLong(usize),
    /// It breaks off, which may pass; the cause, in words.
    Broken(String),
}

/// Reads a body of at most `limit` bytes.
pub(super) async fn read_bounded(
    mut response: Response,
    limit: usize,
    silence: Duration,
) -> Result<Vec<u8>, Unread> {
    let mut body = Vec::new();
    loop {
        match chunk(&mut response, silence).await {
            Ok(None) => return Ok(body),
            Ok(Some(chunk)) if body.len() + chunk.len() > limit => {
                return Err(Unread::TooLong(limit));
            }
            Ok(Some(chunk)) => body.extend_from_slice(&chunk),
            Err(cause) => return Err(Unread::Broken(cause)),
        }
    }
}

/// Reads what a registry says about an error, as `: CODE message`; empty when it says nothing readable.
pub(super) async fn error_detail(response: Response, silence: Duration) -> String {
    let Ok(body) = read_bounded(response, 1 << 16, silence).await else {
        return String::new();
    };
    detail(&body)
}

fn detail(body: &[u8]) -> String {
    let Ok(answer) = serde_json::from_slice::<Errors>(body) else {
        return String::new();
    };
    let Some(first) = answer.errors.first() else {
        return String::new();
    };
    let text = tamed(&format!("{} {}", first.code, first.message));
    match text.as_str() {
        "" => text,
        _ => format!(": {text}"),
    }
}

/// Makes a stranger's text fit to end on a terminal.
pub(super) fn tamed(text: &str) -> String {
    let visible = text.chars().filter(|c| !c.is_control());
    let text: String = visible.take(MAX_DETAIL).collect();
    text.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_registries_say_is_shown_tamed() {
        let body =
            br#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"no \u001b[31mtag","detail":{}}]}"#;
        assert_eq!(detail(body), ": MANIFEST_UNKNOWN no [31mtag");
        for silent in [
            &b"<html>"[..],
            b"{}",
            br#"{"errors":[]}"#,
            br#"{"errors":[{}]}"#,
        ] {
            assert_eq!(detail(silent), "");
        }
        let long = format!(r#"{{"errors":[{{"code":"{}"}}]}}"#, "x".repeat(1000));
        assert!(detail(long.as_bytes()).len() <= MAX_DETAIL + 2);
    }
}
