//! `healthcheck` of a Compose service, over that of its image.

use super::service::Making;
use super::values;
use super::yaml::Node;
use crate::duration;
use crate::ingest::draft::{DraftHealth, DraftService};

impl Making<'_, '_> {
    /// Without a `test` that of the image stays, at the times that are said.
    pub(super) fn health(&mut self, line: usize, node: &Node, service: &mut DraftService) {
        let read = [
            "test",
            "interval",
            "timeout",
            "start_period",
            "retries",
            "disable",
        ];
        self.unread(line, node, &read);
        let off = node.get("disable").and_then(Node::text) == Some("true");
        let test = node.get("test").map(values::test);
        let of_image = service.healthcheck.take();
        let check = match (test, of_image) {
            (Some(Some(test)), _) if !off => DraftHealth {
                test,
                times: Vec::new(),
                retries: None,
            },
            (None, Some(of_image)) if !off => of_image,
            (None, None) if !off && !service.unprobed => {
                let note = "no `test`: a check of the image is tried at the times of the image";
                return self.book.approximated(line, note);
            }
            _ => {
                service.unprobed = true;
                return self.book.translated(line, "no health check");
            }
        };
        service.healthcheck = Some(self.at_times(line, node, check));
    }

    fn at_times(&mut self, line: usize, node: &Node, mut check: DraftHealth) -> DraftHealth {
        for key in ["interval", "timeout", "start_period"] {
            let Some(time) = node.get(key).and_then(Node::text) else {
                continue;
            };
            match duration::parse(time) {
                Ok(parsed) if !parsed.is_zero() || key == "start_period" => {
                    check.times.retain(|(known, _)| *known != key);
                    check.times.push((key, time.to_owned()));
                }
                _ => {
                    let otherwise = match check.times.iter().find(|(known, _)| *known == key) {
                        Some((_, of_image)) => format!("{of_image} of its image"),
                        None => "hd's default".to_owned(),
                    };
                    let note = format!("{key}: {time} is left at {otherwise}");
                    self.book.approximated(line, note);
                }
            }
        }
        let retries = node.get("retries").and_then(Node::text);
        let retries = retries.and_then(|text| text.parse().ok());
        check.retries = retries.filter(|n| *n > 0).or(check.retries);
        check
    }
}
