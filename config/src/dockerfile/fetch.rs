//! ADD of what has to be fetched.

use super::event::Copy;
use super::files::Files;
use super::placing::parent;
use crate::ingest::shell::quote;

impl Files<'_, '_> {
    pub(super) fn download(&mut self, copy: &Copy, url: &str) -> String {
        let dest = quote(&copy.dest);
        let is_git = url.starts_with("git")
            || url.starts_with("ssh:")
            || url
                .split('#')
                .next()
                .is_some_and(|url| url.ends_with(".git"));
        if is_git {
            self.book
                .approximated(self.line, "cloned by the `git` of the base");
            let (repository, branch) = url.split_once('#').unwrap_or((url, ""));
            let (branch, below) = branch.split_once(':').unwrap_or((branch, ""));
            let branch = if branch.is_empty() {
                String::new()
            } else {
                format!(" --branch {}", quote(branch))
            };
            let from = if below.is_empty() {
                String::new()
            } else {
                format!("/{}", quote(below))
            };
            return format!(
                "t=$(mktemp -d) && git clone --depth 1{branch} {} \"$t/x\" && rm -rf \"$t/x/.git\" && mkdir -p {dest} && cp -a \"$t/x\"{from}/. {dest}/",
                quote(repository)
            );
        }
        self.book
            .approximated(self.line, "downloaded by the `curl` or `wget` of the base");
        let name = url
            .split(['?', '#'])
            .next()
            .and_then(|path| path.rsplit('/').next())
            .unwrap_or("file");
        let file = if copy.into {
            format!("{}/{name}", copy.dest.trim_end_matches('/'))
        } else {
            copy.dest.clone()
        };
        let (parent, file, url) = (quote(parent(&file)), quote(&file), quote(url));
        let mut commands = vec![format!(
            "mkdir -p {parent} && if command -v curl >/dev/null; then curl -fsSL -o {file} {url}; else wget -q -O {file} {url}; fi"
        )];
        match copy.checksum.as_deref().map(|sum| sum.split_once(':')) {
            Some(Some((kind @ ("sha256" | "sha384" | "sha512"), sum))) => {
                let line = quote(&format!("{sum}  {}", file.trim_matches('\'')));
                commands.push(format!("printf '%s\\n' {line} | {kind}sum -c -"));
            }
            Some(_) => self
                .book
                .missing(self.line, "the checksum is none of sha256, sha384, sha512"),
            None => {}
        }
        commands.push(format!(
            "chmod {} {file}",
            copy.mode.as_deref().map_or_else(|| "600".to_owned(), quote)
        ));
        if let Some(owner) = &copy.owner {
            commands.push(format!("chown {} {file}", quote(owner)));
        }
        commands.join(" && ")
    }
}
