//! Settings of the host that reach every command but no key: proxies, certificates, indexes.
//!
//! They say *where* bytes come from, not *which* bytes are asked for, so a change of them must
//! not run steps again.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Where the host's certificate bundle shows inside.
pub const CA_INSIDE: &str = "/run/hd/ca-certificates.crt";

/// Variables that tools read for the path of a certificate bundle.
const CA_VARIABLES: [&str; 8] = [
    "SSL_CERT_FILE",
    "CURL_CA_BUNDLE",
    "REQUESTS_CA_BUNDLE",
    "PIP_CERT",
    "NODE_EXTRA_CA_CERTS",
    "GIT_SSL_CAINFO",
    "CARGO_HTTP_CAINFO",
    "AWS_CA_BUNDLE",
];

/// Bundles where distributions keep them.
const CA_FILES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// Variables passed on as they are.
const NAMES: [&str; 22] = [
    "http_proxy",
    "https_proxy",
    "ftp_proxy",
    "all_proxy",
    "no_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "FTP_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "PIP_INDEX_URL",
    "PIP_EXTRA_INDEX_URL",
    "PIP_FIND_LINKS",
    "PIP_TRUSTED_HOST",
    "PIP_DEFAULT_TIMEOUT",
    "PIP_DISABLE_PIP_VERSION_CHECK",
    "UV_INDEX_URL",
    "UV_DEFAULT_INDEX",
    "NPM_CONFIG_REGISTRY",
    "npm_config_registry",
    "YARN_REGISTRY",
    "GOPROXY",
];

/// Tells whether a variable names what leads out to other networks, or what needs no such thing.
pub fn is_proxy(name: &str) -> bool {
    name.to_ascii_lowercase().ends_with("_proxy")
}

/// Has these hosts reached without a proxy, if there is one.
pub fn spare<'a>(env: &mut BTreeMap<String, String>, hosts: impl IntoIterator<Item = &'a str>) {
    let (mut proxies, list) = (env.keys(), ["no_proxy", "NO_PROXY"]);
    if !proxies.any(|name| is_proxy(name) && !list.contains(&name.as_str())) {
        return;
    }
    let hosts: Vec<&str> = hosts.into_iter().collect();
    // Which of the two counts depends on who reads it.
    let before = list.map(|name| env.get(name).filter(|value| !value.is_empty()).cloned());
    let either = before[0].clone().or_else(|| before[1].clone());
    for (name, own) in list.into_iter().zip(before) {
        let own = own.or_else(|| either.clone());
        let all = own.as_deref().into_iter().chain(hosts.iter().copied());
        let value = all.collect::<Vec<_>>().join(",");
        env.insert(name.to_owned(), value);
    }
}

/// Finds the host's certificate bundle.
pub fn ca_bundle(env: &BTreeMap<String, String>) -> Option<PathBuf> {
    let named = env.get("SSL_CERT_FILE").map(PathBuf::from);
    named
        .into_iter()
        .chain(CA_FILES.map(PathBuf::from))
        .find(|path| Path::is_file(path))
}

/// Gives the variables to add to a command's environment.
///
/// `env` is the caller's environment; `has_bundle` tells whether [`CA_INSIDE`] will be there.
pub fn variables(env: &BTreeMap<String, String>, has_bundle: bool) -> BTreeMap<String, String> {
    let mut passed: BTreeMap<String, String> = NAMES
        .iter()
        .filter_map(|name| {
            env.get(*name)
                .map(|value| ((*name).to_owned(), value.clone()))
        })
        .collect();
    if has_bundle {
        passed.extend(CA_VARIABLES.map(|name| (name.to_owned(), CA_INSIDE.to_owned())));
    }
    passed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_listed_variables_pass() {
        let env = BTreeMap::from(
            [
                ("HTTPS_PROXY", "http://p"),
                ("AWS_SECRET_ACCESS_KEY", "s"),
                ("LD_PRELOAD", "x"),
            ]
            .map(|(k, v)| (k.to_owned(), v.to_owned())),
        );
        let passed = variables(&env, false);
        assert_eq!(passed.keys().collect::<Vec<_>>(), ["HTTPS_PROXY"]);
        assert_eq!(variables(&env, true)["PIP_CERT"], CA_INSIDE);
    }

    #[test]
    fn hosts_are_spared_a_proxy_where_there_is_one() {
        let cases = [
            (&[("NO_PROXY", "a")][..], &[("NO_PROXY", "a")][..]),
            (
                &[("HTTP_PROXY", "p")],
                &[
                    ("HTTP_PROXY", "p"),
                    ("NO_PROXY", "db,web"),
                    ("no_proxy", "db,web"),
                ],
            ),
            (
                &[("NO_PROXY", "a,b"), ("http_proxy", "p")],
                &[
                    ("NO_PROXY", "a,b,db,web"),
                    ("http_proxy", "p"),
                    ("no_proxy", "a,b,db,web"),
                ],
            ),
            (
                &[("ALL_PROXY", "p"), ("NO_PROXY", ""), ("no_proxy", "c")],
                &[
                    ("ALL_PROXY", "p"),
                    ("NO_PROXY", "c,db,web"),
                    ("no_proxy", "c,db,web"),
                ],
            ),
        ];
        let map = |pairs: &[(&str, &str)]| {
            let owned = pairs
                .iter()
                .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
            owned.collect::<BTreeMap<String, String>>()
        };
        for (env, expected) in cases {
            let mut env = map(env);
            spare(&mut env, ["db", "web"]);
            assert_eq!(env, map(expected));
        }
    }
}
