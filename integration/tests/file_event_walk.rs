//! The walk of one file event: each hop of an edit in order, and what an edit does to a step that runs.

use std::time::Duration;

use hd_integration::{Env, SHORT, Up, files, leftovers, needs, poll, samples, skip_unless, until};

/// Who says what, hop by hop.
const HOPS: &[(&str, &str)] = &[
    ("debouncer", "batch goes out"),
    ("invalidator", "paths settled"),
    ("invalidator", "ingested and applied"),
    ("invalidator", "steps done"),
    ("service_supervisor", "restart wished"),
];

#[test]
fn one_edit_walks_through_all_hops_in_order() {
    skip_unless!(needs::fuse());
    let mut env = samples::server_with_output();
    env.set("RUST_LOG", "hd=debug");
    let mut up = env.up();
    up.wait_http(env.port(0), "/", "one");
    let from = up.so_far();
    files::write(&env.path("source.txt"), "two\n");
    up.wait_http(env.port(0), "/", "two");
    up.wait_line(from, &["source.txt", "1 ran", "restart web"]);

    let said = up.said()[from..].to_owned();
    let (at, first) = hop(&said, HOPS[0], "what=source.txt");
    let batch = word(first, "batch").expect("the number of the batch");
    let batch = format!("batch={batch} ");
    let (mut last_at, mut last) = (at, since_event(first));
    let mut walk = format!(
        "{:>20}  {}: {last:?} after the event\n",
        HOPS[0].0, HOPS[0].1
    );
    for (actor, words) in &HOPS[1..] {
        let (at, line) = hop(&said, (actor, words), &batch);
        let since = since_event(line);
        assert!(
            at > last_at && since >= last,
            "{words} is out of order:\n{said}"
        );
        let took = since - last;
        walk += &format!("{actor:>20}  {words}: {took:?} later\n");
        (last_at, last) = (at, since);
    }
    print(&walk);
}

fn hop<'a>(said: &'a str, (actor, words): (&str, &str), mark: &str) -> (usize, &'a str) {
    let lines = said.lines().enumerate();
    let mut found = lines.filter(|(_, line)| {
        // A space at the end, lest batch=1 is found in batch=12.
        let line = format!("{line} ");
        line.contains(&format!("hd_actors::{actor}::"))
            && line.contains(words)
            && line.contains(mark)
    });
    found
        .next()
        .unwrap_or_else(|| panic!("no {actor} {words:?} with {mark} in:\n{said}"))
}

fn word<'a>(line: &'a str, key: &str) -> Option<&'a str> {
    line.split(' ')
        .find_map(|word| word.strip_prefix(key)?.strip_prefix('='))
}

fn since_event(line: &str) -> Duration {
    let text = word(line, "since_event").unwrap_or_else(|| panic!("no since_event in {line}"));
    duration(text).unwrap_or_else(|| panic!("{text:?} is no duration"))
}

/// Reads what `{:?}` writes of a duration.
fn duration(text: &str) -> Option<Duration> {
    let digits = text.find(|char: char| !char.is_ascii_digit() && char != '.')?;
    let (number, unit) = text.split_at(digits);
    let scale = match unit {
        "ns" => 1e-9,
        "µs" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        _ => return None,
    };
    Some(Duration::from_secs_f64(number.parse::<f64>().ok()? * scale))
}

#[expect(
    clippy::print_stdout,
    reason = "the figures are what somebody runs this for"
)]
fn print(walk: &str) {
    println!("{walk}");
}

#[test]
fn durations_are_read_as_they_are_written() {
    for nanos in [0, 7, 5_842_118, 151_084_678, 1_200_000_000, 458_470] {
        let written = Duration::from_nanos(nanos);
        let read = duration(&format!("{written:?}")).expect("a duration");
        assert!(
            read.abs_diff(written) < Duration::from_nanos(2),
            "{written:?}"
        );
    }
}

/// A step that has read `seen.txt` and sleeps; the number makes its command line unique.
fn napping(seconds: u32) -> (Env, String) {
    let nap = format!("sleep {seconds}.{}", std::process::id());
    let step = format!("mkdir out; cat seen.txt > out/seen; {nap}");
    (samples::observing(&step, &[("seen.txt", "one\n")]), nap)
}

fn asleep(up: &mut Up, nap: &str) -> i32 {
    let process = up.until("the step sleeps", || leftovers::command_is(nap).pop());
    process.pid
}

/// The root as `status` tells it while the first steps run: there is no view yet.
fn root(env: &Env) -> Option<String> {
    let status = env.hd(["status", "--json"]).finish().ok().json();
    status["root"].as_str().map(str::to_owned)
}

/// Waits until hd has taken in an edit: the root has changed.
fn taken_in(env: &Env, before: &str) -> String {
    until("the edit changes the root", SHORT, || {
        root(env).filter(|now| now != before)
    })
}

#[test]
fn a_running_step_is_cancelled_by_an_edit_it_has_observed_only() {
    skip_unless!(needs::fuse());
    let (env, nap) = napping(30);
    let mut up = env.up();
    let sleeper = asleep(&mut up, &nap);
    let before = root(&env).expect("a root while steps run");

    files::write(&env.path("aside.txt"), "not observed\n");
    let before = taken_in(&env, &before);
    poll::never("cancelled for nothing", Duration::from_millis(500), || {
        (!leftovers::alive(sleeper)).then(|| up.said())
    });

    files::write(&env.path("seen.txt"), "two\n");
    taken_in(&env, &before);
    up.until("the step is cancelled and starts anew", || {
        let other = leftovers::command_is(&nap).pop()?;
        (other.pid != sleeper && !leftovers::alive(sleeper)).then_some(())
    });
    up.interrupt();
    leftovers::expect_none(env.mark(), SHORT);
}

#[test]
fn a_step_that_was_left_running_is_kept_for_the_newer_tree() {
    skip_unless!(needs::fuse());
    let (env, nap) = napping(2);
    let mut up = env.up();
    asleep(&mut up, &nap);
    files::write(&env.path("aside.txt"), "not observed\n");
    up.wait_line(0, &["aside.txt", "0 ran, 1 kept"]);
    let said = up.said();
    assert_eq!(said.matches("▸ step-1").count(), 1, "{said}");
}
