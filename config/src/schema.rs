//! The JSON Schema of `hd.toml`, for editors. The parser is the judge: it also checks what no schema
//! can say, and says it better.

/// The schema, draft 2020-12.
pub const SCHEMA: &str = include_str!("../schema/hd.schema.json");

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::SCHEMA;
    use crate::keys::{self, Keys};

    #[test]
    fn the_schema_has_the_keys_that_work_and_no_other() {
        let schema: Value = serde_json::from_str(SCHEMA).unwrap();
        let tables: [(&str, &Keys); 17] = [
            ("", &keys::ROOT),
            ("/$defs/environment", &keys::ENVIRONMENT),
            ("/$defs/build", &keys::BUILD),
            ("/$defs/step", &keys::BUILD_STEP),
            ("/$defs/service", &keys::SERVICE),
            ("/$defs/service/properties/restart", &keys::RESTART),
            ("/$defs/watch_rule", &keys::WATCH_RULE),
            ("/$defs/healthcheck_table", &keys::HEALTHCHECK),
            ("/$defs/files_table", &keys::FILES),
            ("/$defs/options", &keys::OPTIONS),
            ("/$defs/gc", &keys::GC),
            ("/$defs/secret", &keys::SECRET),
            ("/$defs/stage", &keys::BUILD_STAGE),
            ("/$defs/profile", &keys::PROFILE),
            ("/$defs/volume", &keys::VOLUME),
            ("/$defs/service/properties/resources", &keys::RESOURCES),
            ("/$defs/service_volume/anyOf/1", &keys::SERVICE_VOLUME),
        ];
        for (place, keys) in tables {
            let properties = schema.pointer(&format!("{place}/properties"));
            let properties = properties.and_then(Value::as_object).unwrap();
            let in_schema: BTreeSet<&str> = properties.keys().map(String::as_str).collect();
            let in_parser: BTreeSet<&str> = keys.known.iter().copied().collect();
            assert_eq!(in_schema, in_parser, "{place}");
        }
    }
}
