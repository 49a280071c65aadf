//! Generates the README's table and the JSON schema for editors from the table of keys. `docs/manual`
//! generates the manual page from the same rows.

use serde_json::{Map, Value, json};

use super::keys::{Row, Table};
use super::rows::KEYS;

/// The README's table of keys, in Markdown.
pub fn markdown() -> String {
    let mut text =
        String::from("| key | default | allowed | reload | meaning |\n|---|---|---|---|---|\n");
    for row in KEYS.all() {
        let default = row
            .default()
            .map_or_else(|| row.without_default().to_owned(), |default| format!("`{default}`"));
        let cells = [
            format!("`{}`", row.path()),
            default,
            row.allowed(),
            row.reload().name().to_owned(),
            row.doc().to_owned(),
        ];
        text.extend(["| ", &cells.join(" | "), " |\n"]);
    }
    text
}

/// The JSON schema of a configuration, for editors that complete and check TOML by one.
pub fn schema() -> Value {
    let mut properties = properties(KEYS.of(Table::Top));
    for table in &Table::ALL[1..] {
        properties.insert(table.name().to_owned(), table_schema(*table));
    }
    json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "silvacast configuration",
        "type": "object",
        "properties": properties,
        "additionalProperties": false,
    })
}

fn table_schema(table: Table) -> Value {
    let required: Vec<_> = KEYS.of(table).filter(|row| row.is_required()).map(Row::name).collect();
    let mut schema = json!({
        "type": "object",
        "properties": properties(KEYS.accepted(table)),
        "additionalProperties": false,
    });
    if !required.is_empty() {
        schema["required"] = json!(required);
    }
    match table {
        table if table.is_repeated() => json!({ "type": "array", "items": schema }),
        _ => schema,
    }
}

fn properties(rows: impl Iterator<Item = &'static dyn Row>) -> Map<String, Value> {
    rows.map(|row| {
        let mut schema = row.schema();
        schema["description"] = json!(format!(
            "{}\n\nAllowed: {}. Reload: {}.",
            row.doc(),
            row.allowed(),
            row.reload().name()
        ));
        // Every default that the table has is JSON as well.
        if let Some(default) = row.default() {
            schema["default"] = serde_json::from_str(&default).unwrap_or_default();
        }
        (row.name().to_owned(), schema)
    })
    .collect()
}
