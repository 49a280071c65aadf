//! The document of a configuration as it may be shown: without its secrets and its comments, in which there
//! could be others.

use std::fmt::Write;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::keys::Table;
use super::rows::KEYS;

/// What is shown in place of a secret.
const MASK: &str = "\"***\"";

/// The keys that the document `text` sets, in the order of the manual.
pub(super) fn masked(text: &str, document: &DeTable<'_>) -> String {
    let mut shown = String::new();
    for table in Table::ALL {
        if table == Table::Top {
            write_keys(&mut shown, text, table, document);
            continue;
        }
        let value = document.get(table.name()).map(Spanned::get_ref);
        let one = value.and_then(DeValue::as_table);
        let all = value.and_then(DeValue::as_array).into_iter().flat_map(|all| all.iter());
        let all = all.filter_map(|value| value.get_ref().as_table());
        for values in one.into_iter().chain(all) {
            let space = if shown.is_empty() { "" } else { "\n" };
            // Writing to a String cannot fail.
            _ = writeln!(shown, "{space}{}", table.heading());
            write_keys(&mut shown, text, table, values);
        }
    }
    shown
}

fn write_keys(shown: &mut String, text: &str, table: Table, values: &DeTable<'_>) {
    for row in KEYS.accepted(table) {
        let Some(value) = values.get(row.name()) else { continue };
        let value = if row.is_secret() { MASK.to_owned() } else { written(text, value) };
        _ = writeln!(shown, "{} = {value}", row.name());
    }
}

/// A value as the document has it. A list may have comments between its items.
fn written(text: &str, value: &Spanned<DeValue<'_>>) -> String {
    match value.get_ref().as_array() {
        Some(items) => {
            let items: Vec<_> = items.iter().map(|item| written(text, item)).collect();
            format!("[{}]", items.join(", "))
        }
        None => text.get(value.span()).unwrap_or_default().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Config, Environment};

    #[test]
    fn neither_secrets_nor_comments_are_shown() {
        let text = "# hunter2\nlisten = [\"127.0.0.1:0\", # hunter2\n \"[::1]:0\"]\n\
            [auth] # hunter2\nsource_password = \"hunter2\"\nadmin_password = \"hunter2\"\n\
            share_key = \"hunter2hunter2hunter2hunter2hunter2\"\n[limits]\nlisteners = 7\n\
            [[mount]]\nname = \"/a\"\nhold = \"5s\"\nsource_password = \"\"\"hunter2\"\"\"\n\
            [[mount]]\nname = \"/b\"\n";
        let shown = Config::parse(text, &Environment::default()).unwrap().shown.in_force;
        assert!(!shown.contains("hunter2"), "{shown}");
        let expected = "listen = [\"127.0.0.1:0\", \"[::1]:0\"]\n\n[auth]\n\
            source_password = \"***\"\nadmin_password = \"***\"\nshare_key = \"***\"\n\n\
            [limits]\nlisteners = 7\n\n[[mount]]\n";
        assert!(shown.starts_with(expected), "{shown}");
        assert!(shown.contains("hold = \"5s\"") && shown.ends_with("[[mount]]\nname = \"/b\"\n"));
        Config::parse(&shown.replace("***", &"x".repeat(32)), &Environment::default())
            .expect("what is shown is a configuration");
    }
}
