//! Proxies that the environment names, by the names that curl and others read.
//!
//! A name that is set but empty says nothing, as for Go and Python: the same name in the other case is looked at.

use reqwest::{ClientBuilder, NoProxy, Proxy};

use super::error::RegistryError;

/// Lets a client take the proxies that variables name; `read` reads one.
///
/// # Errors
/// Fails when a value is no URL; it is not told, since it may hold a password.
pub(super) fn set(
    builder: ClientBuilder,
    read: impl Fn(&str) -> Option<String>,
) -> Result<ClientBuilder, RegistryError> {
    let first = |name: &'static str| {
        let all = [name.to_owned(), name.to_lowercase()].into_iter();
        let mut said = all.filter_map(|name| Some((read(&name)?, name)));
        said.find(|(value, _)| !value.trim().is_empty())
    };
    let without = first("NO_PROXY").and_then(|(hosts, _)| NoProxy::from_string(&hosts));
    let mut builder = builder.no_proxy();
    // A server sets HTTP_PROXY of a CGI program to what a client sent as `Proxy:`.
    let is_cgi = read("REQUEST_METHOD").is_some();
    type Make = fn(String) -> reqwest::Result<Proxy>;
    let of: [(&'static str, Make); 3] = [
        ("HTTPS_PROXY", Proxy::https),
        ("HTTP_PROXY", Proxy::http),
        ("ALL_PROXY", Proxy::all),
    ];
    for (name, make) in of {
        if let Some((value, name)) = first(name).filter(|_| !is_cgi || name != "HTTP_PROXY") {
            let cause = format!("{name} is not the URL of a proxy, such as http://proxy:3128");
            let proxy = make(value).map_err(|_| RegistryError::Setup { cause })?;
            builder = builder.proxy(proxy.no_proxy(without.clone()));
        }
    }
    Ok(builder)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a client with these variables looks like when it is printed for debugging.
    fn client(variables: &[(&str, &str)]) -> Result<String, RegistryError> {
        let read = |name: &str| {
            let found = variables.iter().find(|(one, _)| *one == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        let tls = super::super::connect::near()?;
        Ok(format!("{:?}", set(tls, read)?))
    }

    #[test]
    fn what_is_empty_hides_nothing() {
        let found = client(&[("HTTPS_PROXY", ""), ("https_proxy", "http://b:3128")]).unwrap();
        assert!(found.contains("b:3128"), "{found}");
        let found = client(&[("HTTPS_PROXY", "http://a:1"), ("https_proxy", "http://b:2")]);
        let found = found.unwrap();
        assert!(found.contains("a:1") && !found.contains("b:2"), "{found}");
        let found = client(&[
            ("ALL_PROXY", " "),
            ("all_proxy", "c:8080"),
            ("NO_PROXY", ""),
            ("no_proxy", "here.test"),
        ]);
        let found = found.unwrap();
        assert!(
            found.contains("c:8080") && found.contains("here.test"),
            "{found}"
        );
    }

    #[test]
    fn a_cgi_program_takes_no_proxy_from_its_client_and_what_is_no_url_is_refused_untold() {
        let found = client(&[("REQUEST_METHOD", "GET"), ("HTTP_PROXY", "http://evil:1")]);
        assert!(!found.unwrap().contains("evil"));
        let error = client(&[("HTTPS_PROXY", "http://me:hunter2@[")]).unwrap_err();
        let error = error.to_string();
        assert!(
            error.contains("HTTPS_PROXY") && !error.contains("hunter2"),
            "{error}"
        );
    }
}
