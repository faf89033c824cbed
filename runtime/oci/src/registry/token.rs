//! Getting in: basic authentication and the token scheme of the distribution project ("token.md", "oauth.md").

use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, WWW_AUTHENTICATE};
use reqwest::{Method, RequestBuilder, Response, StatusCode, Url};
use serde::Deserialize;

use super::ask::Failure;
use super::auth::{Authorization, Challenge, Secret, best_challenge};
use super::body::{self, Unread};
use super::credentials::Credential;
use super::error::RegistryError;
use super::http::{Http, authority};
use super::tries::{self, Tries};
use crate::reference::Reference;

const MAX_ANSWER: usize = 1 << 20;

#[derive(Deserialize)]
struct TokenAnswer {
    token: Option<String>,
    access_token: Option<String>,
}

/// Answers a 401: returns what to send instead, or `None` when nothing is at hand that could help.
pub(super) async fn authorize(
    http: &Http,
    (image, writes): (&Reference, bool),
    refusal: &Response,
    credential: Option<Credential>,
) -> Result<Option<Authorization>, RegistryError> {
    let lines = refusal.headers().get_all(WWW_AUTHENTICATE);
    let lines = lines.iter().filter_map(|value| value.to_str().ok());
    match (best_challenge(lines), credential) {
        (Some(Challenge::Basic), Some(Credential::Password { user, password })) => {
            Ok(Some(Authorization::Basic { user, password }))
        }
        (
            Some(Challenge::Bearer {
                realm,
                service,
                scope,
            }),
            credential,
        ) => {
            let rights = if writes { "pull,push" } else { "pull" };
            let scope =
                scope.unwrap_or_else(|| format!("repository:{}:{rights}", image.repository()));
            let ask = TokenRequest {
                image,
                realm,
                service,
                scope,
            };
            ask.send(http, credential).await.map(Some)
        }
        _ => Ok(None),
    }
}

struct TokenRequest<'a> {
    image: &'a Reference,
    realm: String,
    service: Option<String>,
    scope: String,
}

impl TokenRequest<'_> {
    fn error(&self, realm: &Url, problem: impl Into<String>) -> RegistryError {
        RegistryError::Token {
            host: self.image.api_host().to_owned(),
            realm: authority(realm),
            problem: problem.into(),
        }
    }

    /// Fetches a token, with what credentials there are, else anonymously; tries failures of the moment again.
    async fn send(
        self,
        http: &Http,
        credential: Option<Credential>,
    ) -> Result<Authorization, RegistryError> {
        let url = self.address(http, credential.as_ref())?;
        let mut tries = Tries::new(http.retry());
        loop {
            let request = self.request(http, &url, credential.as_ref())?;
            let problem = match http.answer(&url, request, 0).await {
                Ok(response) if response.status() == StatusCode::TOO_MANY_REQUESTS => {
                    if tries.again_as_told(tries::told(&response)).await {
                        continue;
                    }
                    let tries = tries.limited;
                    let problem = format!("it limits requests (429), still after {tries} tries");
                    return Err(self.error(&url, problem));
                }
                Ok(response) => {
                    let silence = http.retry().silence;
                    match self
                        .read(&url, response, credential.is_some(), silence)
                        .await
                    {
                        Ok(way) => return Ok(way),
                        Err(Failure::Final(error)) => return Err(error),
                        Err(Failure::Passing(problem)) => problem,
                    }
                }
                Err(Failure::Final(error)) => return Err(error),
                Err(Failure::Passing(cause)) => cause,
            };
            if !tries.again().await {
                let problem = format!("{problem}, in {} tries", tries.failed);
                return Err(self.error(&url, problem));
            }
        }
    }

    /// Returns where to ask, with what is asked for, unless a form holds it.
    fn address(&self, http: &Http, shown: Option<&Credential>) -> Result<Url, RegistryError> {
        let mut url = Url::parse(&self.realm).map_err(|_| RegistryError::Token {
            host: self.image.api_host().to_owned(),
            realm: "(none)".to_owned(),
            problem: "the registry names no valid address for it".to_owned(),
        })?;
        // The password goes there, so it is not to travel in plain text.
        http.check_plain(&url)
            .map_err(|problem| self.error(&url, format!("it leads {problem}")))?;
        if !matches!(shown, Some(Credential::Identity(_))) {
            if let Some(service) = &self.service {
                url.query_pairs_mut().append_pair("service", service);
            }
            url.query_pairs_mut().append_pair("scope", &self.scope);
        }
        Ok(url)
    }

    fn request(
        &self,
        http: &Http,
        url: &Url,
        shown: Option<&Credential>,
    ) -> Result<RequestBuilder, RegistryError> {
        let get = || http.request(Method::GET, url.clone());
        match shown {
            Some(Credential::Identity(token)) => Ok(http
                .request(Method::POST, url.clone())?
                .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
                .body(self.refresh_form(token))),
            Some(Credential::Password { user, password }) => {
                Ok(get()?.basic_auth(user, Some(&password.0)))
            }
            None => get(),
        }
    }

    fn refresh_form(&self, token: &Secret) -> String {
        let mut form = Url::parse("x:").ok();
        if let Some(form) = &mut form {
            let mut pairs = form.query_pairs_mut();
            pairs.append_pair("grant_type", "refresh_token");
            pairs.append_pair("client_id", "hd");
            pairs.append_pair("service", self.service.as_deref().unwrap_or_default());
            pairs.append_pair("scope", &self.scope);
            pairs.append_pair("refresh_token", &token.0);
        }
        form.and_then(|form| form.query().map(str::to_owned))
            .unwrap_or_default()
    }

    async fn read(
        &self,
        url: &Url,
        response: Response,
        given: bool,
        silence: Duration,
    ) -> Result<Authorization, Failure> {
        let status = response.status();
        if matches!(status.as_u16(), 400 | 401 | 403) {
            return Err(Failure::Final(RegistryError::Unauthorized {
                host: self.image.api_host().to_owned(),
                what: self.image.to_string(),
                given,
                detail: format!(", {} by {}", status.as_u16(), authority(url)),
            }));
        }
        if !status.is_success() {
            let problem = format!("status {}", status.as_u16());
            return Err(match status.is_server_error() {
                true => Failure::Passing(problem),
                false => self.error(url, problem).into(),
            });
        }
        let body = body::read_bounded(response, MAX_ANSWER, silence).await;
        let body = body.map_err(|unread| match unread {
            Unread::Broken(cause) => Failure::Passing(format!("it breaks off ({cause})")),
            Unread::TooLong(limit) => {
                let problem = format!("it is longer than {limit} bytes");
                self.error(url, problem).into()
            }
        })?;
        // The reader's own message could quote the token.
        let answer: TokenAnswer = serde_json::from_slice(&body)
            .map_err(|_| self.error(url, "it is not the JSON of a token"))?;
        let token = answer
            .token
            .filter(|token| !token.is_empty())
            .or(answer.access_token);
        let token = token.ok_or_else(|| self.error(url, "it holds no token"))?;
        Ok(Authorization::Bearer {
            token: Secret(token),
            is_anonymous: !given,
        })
    }
}
