//! `Via` (RFC 9110, section 7.6.3): the servers that a stream has come through, by which a stream is
//! recognized that would come back to where it began.

use std::sync::OnceLock;

/// The most names that are kept. A longer way is cut at its beginning.
const MAX_NAMES: usize = 16;
/// The longest name, in bytes.
const MAX_NAME: usize = 64;

/// The name of this process in `Via`, which no other process has.
pub fn own_via_name() -> &'static str {
    static NAME: OnceLock<String> = OnceLock::new();
    NAME.get_or_init(|| {
        // Without random numbers, a loop between this server and itself is not recognized.
        let number = getrandom::u64().unwrap_or_default();
        format!("silvacast-{number:016x}")
    })
}

/// The names in the values of `Via`, the oldest first.
pub fn via_names<'v>(values: impl Iterator<Item = &'v str>) -> Vec<String> {
    let elements = values.flat_map(|value| value.split(','));
    // A protocol, a name, and perhaps a comment.
    let names = elements.filter_map(|element| element.split_whitespace().nth(1));
    let is_name = |name: &&str| {
        name.len() <= MAX_NAME
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte))
    };
    let mut names: Vec<_> = names.filter(is_name).map(ToOwned::to_owned).collect();
    names.drain(..names.len().saturating_sub(MAX_NAMES));
    names
}

/// The value of `Via` for what has come through these servers and this one.
pub fn via_value(names: &[String]) -> String {
    let names = names.iter().map(String::as_str).chain([own_via_name()]);
    names.map(|name| format!("1.1 {name}")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_way_is_read_as_it_is_written() {
        let way = vec!["a".to_owned(), "silvacast-1".to_owned()];
        let value = via_value(&way);
        assert_eq!(value, format!("1.1 a, 1.1 silvacast-1, 1.1 {}", own_via_name()));
        let names = via_names([&*value, "HTTP/1.1 proxy.example:80 (nginx)"].into_iter());
        assert_eq!(names[..2], way);
        assert_eq!(names[2..], [own_via_name(), "proxy.example:80"]);
    }

    #[test]
    fn what_is_no_name_is_left_out_and_a_long_way_is_cut() {
        let long = "x".repeat(65);
        for value in ["", "1.1", ",,", "1.1 a\u{1}b", "1.1 <script>", &format!("1.1 {long}")] {
            assert_eq!(via_names([value].into_iter()), [] as [String; 0], "{value}");
        }
        let many: Vec<_> = (0..100).map(|number| format!("1.1 {number}")).collect();
        let names = via_names(many.iter().map(String::as_str));
        assert_eq!((names.len(), names.last().map(String::as_str)), (MAX_NAMES, Some("99")));
    }
}
