//! The manual page silvacast.toml(5): every key, from the list with which the program checks a
//! configuration.

use silvacast::config::KEYS;

use super::page::Page;

pub(crate) fn page() -> String {
    let mut page = Page::new("silvacast.toml", "5", "the configuration of silvacast(8)");
    page.heading("DESCRIPTION")
        .paragraph(
            "A TOML file. Durations and sizes take units: `200ms`, `10s`, `5m`, `256KiB`, `1MiB`. \
             An unknown key is an error that names the nearest known key. `silvacast check \
             --config` FILE reports every error of a file, or the most memory that the \
             configuration can take.",
        )
        .paragraph(
            "Each `[[mount]]` also takes every key of `[mount-defaults]`, for the mounts that \
             match its name.",
        );
    page.heading("KEYS");
    let mut section = "";
    for key in KEYS {
        if key.section != section {
            section = key.section;
            let brackets = if section == "mount" { ("[[", "]]") } else { ("[", "]") };
            page.subheading(&format!("{}{section}{}", brackets.0, brackets.1));
        }
        let default = match key.default {
            "required" => "required".to_owned(),
            "none" => "no default".to_owned(),
            default => format!("default `{default}`"),
        };
        page.item(&format!("`{}` ({default})", key.name), key.about);
    }
    page.heading("EXAMPLE").verbatim(include_str!("../../systemd/silvacast.toml"));
    page.heading("SEE ALSO").paragraph("`silvacast`(8)");
    page.finish()
}
