//! The JSON Schemas in `docs/`, and what is held against them.

use std::path::Path;

use jsonschema::{Registry, Validator};
use serde_json::Value;

/// Each with the schema that its text names.
pub const FILES: [&str; 5] = [
    "report.schema.json",
    "reports.schema.json",
    "diff.schema.json",
    "check.schema.json",
    "import.schema.json",
];

/// One of them.
pub fn read(file: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(file);
    serde_json::from_str(&std::fs::read_to_string(path).expect("a schema")).expect("JSON")
}

/// Its validator; whatever it refers to is in `docs/`.
pub fn validator(file: &str) -> Validator {
    let report = read(FILES[0]);
    let id = report["$id"].as_str().expect("an id").to_owned();
    let registry = Registry::new().add(id, report).expect("a schema").prepare().expect("schemas");
    let options = jsonschema::options().offline().with_registry(&registry);
    options.build(&read(file)).expect("a sound schema")
}

/// Fails with everything in which `json` is not what the schema says.
pub fn hold(validator: &Validator, json: &str) {
    let json: Value = serde_json::from_str(json).expect("JSON");
    let errors = validator.iter_errors(&json);
    let errors: Vec<_> = errors.map(|e| format!("{}: {e}", e.instance_path())).collect();
    assert!(errors.is_empty(), "{}", errors.join("\n"));
}
