//! The frozen JSON of `up --once --json` and `status --json` (schema 1), read strictly.

use serde_json::Value;

/// One such object, its shape already checked.
#[derive(Debug, Clone)]
pub struct Report(Value);

type Fits = fn(&Value) -> bool;

const KEYS: &[(&str, Fits)] = &[
    ("name", Value::is_string),
    ("base", |value| value.is_string() || value.is_null()),
    ("root", is_id),
    ("view", is_id),
    ("files", Value::is_u64),
    ("bytes", Value::is_u64),
    ("ms", Value::is_number),
    ("steps", Value::is_array),
    ("services", Value::is_array),
];
const STEP_KEYS: &[&str] = &["name", "result", "ms", "reason"];
const STEP_RESULTS: &[&str] = &["ran", "kept", "failed"];
const SERVICE_KEYS: &[&str] = &[
    "name", "state", "pid", "port", "command", "watch", "restarts", "reason",
];
const SERVICE_STATES: &[&str] = &[
    "waiting", "starting", "ready", "stopping", "backoff", "failed", "exited",
];
const ACTOR_KEYS: &[&str] = &["name", "state", "restarts", "queued"];
const ERROR_KEYS: &[&str] = &["code", "message", "place", "hint"];

impl Report {
    /// Takes an object; panics when it has not the frozen shape.
    #[track_caller]
    pub fn new(value: Value) -> Self {
        assert_eq!(value["schema"], 1, "schema of {value:#}");
        if value.get("error").is_none_or(Value::is_null) {
            for (key, fits) in KEYS {
                assert!(value.get(key).is_some_and(fits), "key {key:?} of {value:#}");
            }
        } else {
            has_keys(&value["error"], ERROR_KEYS);
        }
        for step in items(&value, "steps") {
            has_keys(step, STEP_KEYS);
            one_of(step, "result", STEP_RESULTS);
        }
        for service in items(&value, "services") {
            has_keys(service, SERVICE_KEYS);
            one_of(service, "state", SERVICE_STATES);
            has_keys(&service["restarts"], &["crash", "watch"]);
        }
        for actor in items(&value, "actors") {
            has_keys(actor, ACTOR_KEYS);
            one_of(actor, "state", &["alive", "busy", "dead"]);
        }
        Self(value)
    }

    /// The whole object.
    pub fn value(&self) -> &Value {
        &self.0
    }

    /// The root of the environment: 64 hex digits.
    #[track_caller]
    pub fn root(&self) -> &str {
        self.0["root"]
            .as_str()
            .expect("a report of success has a root")
    }

    /// The composed tree with outputs: 64 hex digits.
    #[track_caller]
    pub fn view(&self) -> &str {
        self.0["view"]
            .as_str()
            .expect("a report of success has a view")
    }

    /// The names of the steps with this result, in order.
    pub fn steps(&self, result: &str) -> Vec<&str> {
        let named = items(&self.0, "steps").filter(|step| step["result"] == result);
        named.filter_map(|step| step["name"].as_str()).collect()
    }

    /// One service.
    #[track_caller]
    pub fn service(&self, name: &str) -> &Value {
        let mut found = items(&self.0, "services").filter(|service| service["name"] == name);
        found
            .next()
            .unwrap_or_else(|| panic!("no service {name} in {:#}", self.0))
    }

    /// The error's message, place and hint in one line, to look words up in.
    #[track_caller]
    pub fn error_text(&self) -> String {
        let error = &self.0["error"];
        assert!(
            error.is_object(),
            "a report of failure has an error: {:#}",
            self.0
        );
        ["message", "place", "hint"]
            .map(|key| error[key].as_str().unwrap_or_default())
            .join(" | ")
    }

    /// Fails the test unless exactly these steps ran and all others were kept.
    #[track_caller]
    pub fn ran(&self, expected: &[&str]) -> &Self {
        assert_eq!(
            self.steps("ran"),
            expected,
            "steps that ran in {:#}",
            self.0
        );
        assert_eq!(
            self.steps("failed"),
            [""; 0],
            "steps that failed in {:#}",
            self.0
        );
        self
    }
}

fn items<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    value[key].as_array().into_iter().flatten()
}

fn is_id(value: &Value) -> bool {
    let lower_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    value
        .as_str()
        .is_some_and(|id| id.len() == 64 && id.bytes().all(lower_hex))
}

#[track_caller]
fn has_keys(value: &Value, keys: &[&str]) {
    for key in keys {
        assert!(
            value.get(key).is_some(),
            "key {key:?} is missing in {value:#}"
        );
    }
}

#[track_caller]
fn one_of(value: &Value, key: &str, words: &[&str]) {
    let word = value[key].as_str().unwrap_or_default();
    assert!(
        words.contains(&word),
        "{key} is {word:?}, not one of {words:?}, in {value:#}"
    );
}
