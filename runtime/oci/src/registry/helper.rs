//! Programs that keep credentials for others ("docker-credential-helpers").

use std::io;
use std::process::{Output, Stdio};
use std::time::Duration;

use serde::Deserialize;
use tokio::io::AsyncWriteExt;

use super::auth::Secret;
use super::body::tamed;
use super::credentials::{Credential, CredentialError};

/// How long a credential helper may take.
const HELPER_TIMEOUT: Duration = Duration::from_secs(15);
/// What helpers say when they have nothing (docker-credential-helpers, "errCredentialsNotFound").
const NOT_FOUND: &str = "credentials not found";

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct HelperAnswer {
    username: String,
    secret: String,
}

/// Asks a helper for the credentials of a registry.
pub(super) async fn ask_helper(
    name: &str,
    host: &str,
) -> Result<Option<Credential>, CredentialError> {
    let program = format!("docker-credential-{name}");
    let fail = |problem: String| CredentialError::Helper {
        program: program.clone(),
        host: host.to_owned(),
        problem,
    };
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if !name.chars().all(legal) {
        return Err(fail("its name is not a program's".to_owned()));
    }
    let output = tokio::time::timeout(HELPER_TIMEOUT, run(&program, host)).await;
    let output =
        output.map_err(|_| fail(format!("no answer within {} s", HELPER_TIMEOUT.as_secs())))?;
    let output = output.map_err(|error| fail(error.to_string()))?;
    if !output.status.success() {
        return match words(&output) {
            words if words.contains(NOT_FOUND) => Ok(None),
            words => Err(fail(format!("{}{words}", output.status))),
        };
    }
    let answer: HelperAnswer = serde_json::from_slice(&output.stdout)
        .map_err(|_| fail("its answer is not valid".to_owned()))?;
    let secret = Secret(answer.secret);
    Ok(Some(match answer.username.as_str() {
        "<token>" => Credential::Identity(secret),
        _ => Credential::Password {
            user: answer.username,
            password: secret,
        },
    }))
}

async fn run(program: &str, host: &str) -> io::Result<Output> {
    let mut child = tokio::process::Command::new(program)
        .arg("get")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        // One that ends without reading says itself why.
        let _ = stdin.write_all(host.as_bytes()).await;
    }
    child.wait_with_output().await
}

/// What a helper that failed says about it, on either of its outputs.
fn words(output: &Output) -> String {
    let text = |bytes| String::from_utf8_lossy(bytes).trim().to_owned();
    let both = format!("{} {}", text(&output.stdout), text(&output.stderr));
    match tamed(&both) {
        silent if silent.is_empty() => silent,
        said => format!(": {said}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_missing_helper_is_named() {
        let error = ask_helper("hd-no-such-helper", "h.io")
            .await
            .expect_err("missing");
        assert!(
            error
                .to_string()
                .contains("docker-credential-hd-no-such-helper"),
            "{error}"
        );
        assert!(ask_helper("../x", "h.io").await.is_err());
    }
}
