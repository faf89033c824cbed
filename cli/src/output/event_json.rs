//! Events as JSON lines, for `--progress json` and `hd events`.

use std::time::Duration;

use hd_actors::events::{Event, SCHEMA};
use serde_json::{Value, json};

/// Writes an event as one object; `event` names its kind.
pub(crate) fn value(event: &Event) -> Value {
    let mut value = of(event);
    value["schema"] = json!(SCHEMA);
    value
}

fn of(event: &Event) -> Value {
    match event {
        Event::Pulling {
            image,
            received,
            total,
        } => {
            json!({"event": "pulling", "image": image, "received": received, "total": total})
        }
        Event::Pulled { image, digest } => {
            json!({"event": "pulled", "image": image, "digest": digest})
        }
        Event::Exporting {
            target,
            sent,
            total,
        } => {
            json!({"event": "exporting", "target": target, "sent": sent, "total": total})
        }
        Event::StepStarted {
            name,
            command,
            reason,
        } => {
            json!({"event": "step_started", "name": name, "command": command, "reason": reason})
        }
        Event::StepOutput { name, line } => {
            json!({"event": "step_output", "name": name, "line": line})
        }
        Event::StepDone(step) => json!({"event": "step_done", "step": step}),
        Event::StepFailed(failure) => json!({
            "event": "step_failed",
            "name": failure.step,
            "code": failure.code,
            "cause": failure.cause(),
            "tail": failure.tail,
            "log": failure.log,
        }),
        Event::Batch(batch) => json!({
            "event": "batch",
            "changed": batch.changed.iter().map(|(mark, path)| json!({"mark": mark, "path": path})).collect::<Vec<_>>(),
            "more": batch.more,
            "root": batch.root.to_string(),
            "ms": ms(batch.took),
            "ran": batch.ran,
            "kept": batch.kept,
            "restarting": batch.restarting,
            "failed": batch.failed,
        }),
        Event::Service {
            name,
            state,
            reason,
            after,
        } => {
            json!({"event": "service", "name": name, "state": state, "reason": reason, "ms": after.map(ms)})
        }
        Event::Log {
            service,
            stderr,
            line,
        } => {
            json!({"event": "log", "service": service, "stderr": stderr, "line": line})
        }
        Event::Invalid(text) => json!({"event": "invalid", "text": text}),
        Event::Note(text) => json!({"event": "note", "text": text}),
    }
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

#[cfg(test)]
mod tests {
    use hd_actors::model::report::ServiceState;

    use super::*;

    #[test]
    fn an_event_is_an_object_with_its_kind() {
        let event = Event::Service {
            name: "web".to_owned(),
            state: ServiceState::Ready,
            reason: String::new(),
            after: Some(Duration::from_millis(165)),
        };
        let expected =
            r#"{"event":"service","ms":165.0,"name":"web","reason":"","schema":1,"state":"ready"}"#;
        assert_eq!(value(&event).to_string(), expected);
    }
}
