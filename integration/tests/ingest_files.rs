//! `hd ingest`: what COPY and mounts of a Dockerfile leave behind in the file system.

use hd_integration::{Env, needs, skip_unless};

/// A project of this Dockerfile, in which `BASE` is the small image, and these files.
fn project(dockerfile: &str, files: &[(&str, &str)]) -> Env {
    let base = needs::registry().expect("checked by skip_unless");
    let dockerfile = dockerfile.replace("BASE", &format!("{base}/busybox:1"));
    let mut all = vec![("Dockerfile", dockerfile.as_str())];
    all.extend(files);
    Env::project(&all)
}

/// Translates and builds it.
fn build(env: &Env) {
    env.hd(["ingest"]).finish().ok();
    env.once();
}

/// What a line of shell says in the environment.
fn said(env: &Env, line: &str) -> String {
    env.hd(["run", "sh", "-c", line]).finish().ok().stdout
}

#[test]
fn a_link_to_a_file_is_copied_as_the_file() {
    skip_unless!(needs::fuse(), needs::root(), needs::registry());
    let dockerfile = "FROM BASE AS b
RUN mkdir -p /o/dir /else && echo one > /o/lib.so.1 && ln -s lib.so.1 /o/lib.so && echo far > /else/tool-2 \\
    && ln -s tool-2 /else/tool && ln -s /else/tool /o/tool && ln -s lib.so /o/dir/inner && ln -s /o/dir /o/to-dir
FROM BASE
COPY --from=b /o/lib.so /plain/
COPY --from=b /o/tool /plain
COPY --from=b --chown=7:7 /o/tool /owned/
COPY --from=b /o/lib.so* /o/t* /all/
COPY --from=b /o/to-dir /contents/
COPY link /etc/of-project
COPY li*k /etc/matched/
";
    let env = project(dockerfile, &[("real", "mine\n")]);
    std::os::unix::fs::symlink("real", env.path("link")).expect("a link");
    build(&env);
    let files = "cd / && for f in plain/lib.so plain/tool owned/tool all/lib.so all/lib.so.1 all/tool all/inner \
                 contents/inner etc/of-project etc/matched/link; do \
                 if [ -L $f ]; then echo $f link; else echo $f $(cat $f); fi; done; stat -c %u /owned/tool";
    let expected = "plain/lib.so one\nplain/tool far\nowned/tool far\nall/lib.so one\nall/lib.so.1 one\n\
                    all/tool far\nall/inner link\ncontents/inner link\netc/of-project mine\n\
                    etc/matched/link mine\n7\n";
    assert_eq!(said(&env, files), expected);
}

#[test]
fn what_is_excluded_is_so_at_any_depth() {
    skip_unless!(needs::fuse(), needs::root(), needs::registry());
    let dockerfile = "FROM BASE AS b
RUN mkdir -p /o/src/x/y && touch /o/src/a.test.js /o/src/x/y/b.test.js /o/src/x/c.js /o/d.test.js
FROM BASE
COPY --from=b --exclude=src/**/*.test.js /o /copied/
";
    let env = project(dockerfile, &[]);
    build(&env);
    let left = said(&env, "cd /copied && find . -type f | sort");
    assert_eq!(left, "./d.test.js\n./src/x/c.js\n");
}

#[test]
fn what_a_mount_hides_is_there_again_after_it() {
    skip_unless!(needs::fuse(), needs::root(), needs::registry());
    let dockerfile = "FROM BASE AS b
RUN mkdir /o && echo theirs > /o/file
FROM BASE
RUN mkdir -p /kept/deep && echo kept > /kept/file && echo kept > /kept/deep/file && echo kept > /one
RUN --mount=type=tmpfs,target=/kept test ! -e /kept/file
RUN --mount=type=bind,source=list,target=/one grep mine /one
RUN --mount=from=b,source=/o,target=/kept --mount=type=bind,source=list,target=/new grep theirs /kept/file
RUN --mount=type=bind,source=dir,target=/kept --mount=type=tmpfs,target=/kept/deep grep inner /kept/file
";
    let files = [("list", "mine\n"), ("dir/file", "inner\n")];
    let env = project(dockerfile, &files);
    build(&env);
    let seen = said(
        &env,
        "cat /kept/file /kept/deep/file /one; for f in /new /*.hd-aside /kept/*.hd-aside; do [ ! -e $f ] || echo $f; done",
    );
    assert_eq!(seen, "kept\nkept\nkept\n");
}

#[test]
fn what_is_mounted_over_the_project_leaves_the_project() {
    skip_unless!(needs::fuse(), needs::root(), needs::registry());
    let dockerfile = "FROM BASE
WORKDIR /app
COPY . .
RUN --mount=type=bind,source=sub,target=. cat inner > /seen
RUN cat kept >> /seen
";
    let env = project(dockerfile, &[("sub/inner", "in\n"), ("kept", "kept\n")]);
    build(&env);
    assert_eq!(said(&env, "cat /seen kept"), "in\nkept\nkept\n");
}
