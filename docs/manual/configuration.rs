//! silvacast.toml(5): every key, from the rows by which the program reads a configuration.

use silvacast::config::{KEYS, Row, Table};

use super::page::Page;

pub(crate) fn page() -> String {
    let mut page = Page::new("silvacast.toml", "5", "the configuration of silvacast(8)");
    page.heading("DESCRIPTION")
        .paragraph(
            "A TOML file. Durations and sizes are text with a unit: `ms`, `s`, `m` (minutes), `h` or `d`; `B`, `KiB`, \
             `MiB` or `GiB` in steps of 1024, `KB`, `MB` or `GB` in steps of 1000, such as `10s` or `256KiB`. An \
             unknown key is an error, and its message names the nearest known key. `silvacast check --config` FILE reports every error of a \
             file, and prints the most memory that the server can use with it.",
        )
        .paragraph(
            "Each `[[mount]]` also takes the keys of `[mount-defaults]`, which then apply to the mounts that it names. The \
             first `[[mount]]` whose name or pattern matches a mount applies to it. One that can never apply is an error.",
        )
        .paragraph(
            "`Reload` says when a changed value takes effect after a reload: at once; when the mount's next stream begins; \
             when the mount is created the next time; or when the server is started the next time.",
        );
    page.heading("KEYS");
    for table in Table::ALL {
        if table != Table::Top {
            page.subheading(&table.heading());
        }
        for row in KEYS.of(table) {
            item(&mut page, row);
        }
    }
    page.heading("EXAMPLE").verbatim(include_str!("../../systemd/silvacast.toml"));
    page.heading("SEE ALSO").paragraph("`silvacast`(8)");
    page.finish()
}

fn item(page: &mut Page, row: &dyn Row) {
    let default = match row.default() {
        Some(default) => format!("default `{default}`"),
        None => row.without_default().to_owned(),
    };
    let text =
        format!("{} Allowed: {}. Reload: {}.", row.doc(), row.allowed(), row.reload().name());
    page.item(&format!("`{}` ({default})", row.name()), &text);
}
