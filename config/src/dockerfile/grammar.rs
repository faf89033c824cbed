//! Which instructions and flags there are.

/// The eighteen instructions.
pub(super) const KEYWORDS: [&str; 18] = [
    "ADD",
    "ARG",
    "CMD",
    "COPY",
    "ENTRYPOINT",
    "ENV",
    "EXPOSE",
    "FROM",
    "HEALTHCHECK",
    "LABEL",
    "MAINTAINER",
    "ONBUILD",
    "RUN",
    "SHELL",
    "STOPSIGNAL",
    "USER",
    "VOLUME",
    "WORKDIR",
];

/// The flags an instruction takes.
pub(super) fn known_flags(keyword: &str) -> &'static [&'static str] {
    match keyword {
        "FROM" => &["platform"],
        "COPY" => &["from", "chown", "chmod", "link", "exclude", "parents"],
        "ADD" => &[
            "chown",
            "chmod",
            "link",
            "exclude",
            "checksum",
            "keep-git-dir",
            "unpack",
        ],
        "RUN" => &["mount", "network", "security", "device"],
        "HEALTHCHECK" => &[
            "interval",
            "timeout",
            "start-period",
            "start-interval",
            "retries",
        ],
        _ => &[],
    }
}

/// How an instruction is written, for hints.
pub(super) fn example(keyword: &str) -> &'static str {
    match keyword {
        "FROM" => "e.g. `FROM python:3.11-slim AS build`",
        "ARG" => "e.g. `ARG VERSION=1.2`",
        "ENV" => "e.g. `ENV MODE=production`",
        "COPY" | "ADD" => "e.g. `COPY src/ /app/src/`",
        "SHELL" => "e.g. `SHELL [\"/bin/bash\", \"-c\"]`",
        "HEALTHCHECK" => "e.g. `HEALTHCHECK --interval=5s CMD curl -f localhost:8080`",
        "ONBUILD" => "e.g. `ONBUILD COPY . /app`",
        _ => "",
    }
}
