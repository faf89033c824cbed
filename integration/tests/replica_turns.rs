//! Replicas start anew one after the other, and one that hangs holds the others up for a while only.

use hd_integration::poll::SHORT;
use hd_integration::{Env, files, leftovers, needs, skip_unless};

#[test]
fn one_that_does_not_come_up_keeps_the_others_waiting_for_a_while_only() {
    skip_unless!(needs::fuse());
    let env = Env::project(&[
        (
            "hd.toml",
            "[environment]\nname = \"hanging\"\n\n[services.web]\n\
         command = [\"sh\", \"-c\", \"cat answer.txt; exec sleep 1000\"]\nwatch = [\"answer.txt\"]\n\
         replicas = 3\nstop_grace = \"100ms\"\n\
         pre_start = [\"test $HD_REPLICA != 2 || ! grep -q two answer.txt || sleep 1000\"]\n\
         [services.web.healthcheck]\ntest = \"true\"\ninterval = \"100ms\"\ntimeout = \"1s\"\n\
         start_period = \"100ms\"\nretries = 1\n",
        ),
        ("answer.txt", "one\n"),
    ]);
    let mut up = env.up();
    up.wait_line(0, &["ready"]);
    env.hd(["wait"]).finish().ok();
    let from = up.so_far();
    files::write(&env.path("answer.txt"), "two\n");
    up.wait_line(from, &["web-2 has not come up", "start anew meanwhile"]);
    for name in ["web-1", "web-3"] {
        up.until("the others have started anew", || {
            let one = env.status().service(name).clone();
            let anew = one["restarts"]["watch"] == 1 && one["state"] == "ready";
            anew.then_some(())
        });
    }
    // An edit that mends it is taken up.
    files::write(&env.path("answer.txt"), "three\n");
    up.until("all are of today", || {
        let logs = env.hd(["logs", "web"]).finish().ok().stdout;
        let of = |name: &str| logs.contains(&format!("{name}  | three"));
        ["web-1", "web-2", "web-3"]
            .into_iter()
            .all(of)
            .then_some(())
    });
    up.interrupt();
    leftovers::expect_none(env.mark(), SHORT);
}
