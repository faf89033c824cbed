//! Images of the Docker engine of this machine, by its HTTP API ("Docker Engine API", v1.24 and later).

use std::error::Error;
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use reqwest::{Response, StatusCode, Url};
use serde::Deserialize;

use super::LocalError;
use crate::digest::Digest;
use crate::registry::{first_cause, near};

const SOCKET: &str = "/var/run/docker.sock";
const SILENCE: Duration = Duration::from_secs(120);
const MAX_ANSWER: usize = 4 << 20;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Inspected {
    id: String,
}

#[derive(Deserialize)]
struct Refused {
    message: String,
}

/// Says which image a name stands for now, by the engine's id of it.
pub(super) async fn resolve(name: &str) -> Result<Digest, LocalError> {
    let mut response = get(name, name, "json").await?;
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|e| broken(name, &e))? {
        body.extend_from_slice(&chunk);
        if body.len() > MAX_ANSWER {
            return Err(fail(name, "the Docker engine's answer is too long"));
        }
    }
    let strange = || fail(name, "the Docker engine's answer is not understood");
    let inspected: Inspected = serde_json::from_slice(&body).map_err(|_| strange())?;
    inspected.id.parse().map_err(|_| strange())
}

/// Has the image that a name stood for saved into a file without a name in `work`.
pub(super) async fn save(name: &str, id: &Digest, work: &Path) -> Result<File, LocalError> {
    let mut response = get(name, &id.to_string(), "get").await?;
    let write = |source| LocalError::Read {
        path: work.to_owned(),
        source,
    };
    let mut file = tempfile::tempfile_in(work).map_err(write)?;
    while let Some(chunk) = response.chunk().await.map_err(|e| broken(name, &e))? {
        file.write_all(&chunk).map_err(write)?;
    }
    Ok(file)
}

async fn get(name: &str, asked: &str, what: &str) -> Result<Response, LocalError> {
    let legal = |c: char| c.is_ascii_alphanumeric() || "._-/:@".contains(c);
    if !name.chars().all(legal) || name.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return Err(fail(name, "this is no name of an image"));
    }
    let (client, root) = client(name)?;
    let url = Url::parse(&format!("{root}/images/{asked}/{what}"));
    let url = url.map_err(|_| fail(name, "DOCKER_HOST is not valid"))?;
    let response = client.get(url).send().await;
    let response = response.map_err(|error| unanswered(name, &error.without_url()))?;
    match response.status() {
        status if status.is_success() => Ok(response),
        StatusCode::NOT_FOUND => Err(LocalError::NotInEngine {
            image: called(name),
        }),
        status => {
            let body = response.bytes().await.unwrap_or_default();
            let said = serde_json::from_slice::<Refused>(&body).map(|refused| refused.message);
            let said = said.unwrap_or_default().replace(char::is_control, " ");
            Err(fail(
                name,
                &format!("the Docker engine answered {status}: {said}"),
            ))
        }
    }
}

fn client(name: &str) -> Result<(reqwest::Client, String), LocalError> {
    let host = std::env::var("DOCKER_HOST").unwrap_or_default();
    // An engine may take its time before it begins to save a large image.
    let builder = near().map_err(|error| fail(name, &error.to_string()))?;
    let builder = builder.read_timeout(SILENCE);
    let (builder, root) = match host.split_once("://") {
        None if host.is_empty() => (builder.unix_socket(SOCKET), "http://docker".to_owned()),
        Some(("unix", path)) => (builder.unix_socket(path), "http://docker".to_owned()),
        Some(("tcp" | "http", rest)) => (builder, format!("http://{}", rest.trim_end_matches('/'))),
        _ => return Err(fail(name, "DOCKER_HOST names no unix:// or tcp:// address")),
    };
    let client = builder.build();
    client
        .map(|client| (client, root))
        .map_err(|error| fail(name, &error.to_string()))
}

fn broken(name: &str, error: &reqwest::Error) -> LocalError {
    fail(
        name,
        &format!(
            "the Docker engine's answer breaks off: {}",
            first_cause(error)
        ),
    )
}

/// Says why the engine gives no answer: what the HTTP client says of it hides the cause.
fn unanswered(name: &str, error: &reqwest::Error) -> LocalError {
    let place = std::env::var("DOCKER_HOST").unwrap_or_default();
    let place = match place.is_empty() {
        true => SOCKET.to_owned(),
        false => place,
    };
    if io_kind(error) == Some(io::ErrorKind::PermissionDenied) {
        let user = "join the group of the socket, which most often is `docker`";
        return fail(
            name,
            &format!("you may not speak to the Docker engine at {place}; {user}"),
        );
    }
    LocalError::NoEngine {
        image: called(name),
        place,
        cause: first_cause(error),
    }
}

/// Finds what kind of I/O error is behind one.
fn io_kind(error: &reqwest::Error) -> Option<io::ErrorKind> {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(inner) = cause {
        if let Some(io) = inner.downcast_ref::<io::Error>() {
            return Some(io.kind());
        }
        cause = inner.source();
    }
    None
}

fn called(name: &str) -> String {
    format!("docker-daemon:{name}")
}

fn fail(name: &str, problem: &str) -> LocalError {
    LocalError::Daemon {
        image: called(name),
        problem: problem.to_owned(),
    }
}
