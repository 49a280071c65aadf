//! Reads what `silvacast share` prints.

/// The link of this form, which is `page`, `stream` or `playlist`.
///
/// # Panics
/// If none was printed.
pub(crate) fn link<'a>(printed: &'a str, form: &str) -> &'a str {
    let line = printed.lines().find_map(|line| line.strip_prefix(form)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {form} in {printed}")).trim_start()
}

/// The path and the query of this link; the server's URL is `base`.
///
/// # Panics
/// If no such link was printed, or if it is on another server.
pub(crate) fn path<'a>(printed: &'a str, form: &str, base: &str) -> &'a str {
    link(printed, form).strip_prefix(base).unwrap_or_else(|| panic!("not at {base}: {printed}"))
}
