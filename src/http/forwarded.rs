//! Reads the forwarding fields of proxies: `X-Forwarded-…`, and `Forwarded` (RFC 7239).

#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]

use super::RequestHead;

/// The elements of a list field, from the last to the first. Each proxy appends its own, so the
/// last one comes from the nearest proxy. An element that is not UTF-8 is empty.
pub fn elements<'h>(head: &'h RequestHead, name: &str) -> impl Iterator<Item = &'h str> {
    // Split as bytes, because elements that the client sent need not be UTF-8.
    let elements = head.values(name).rev().flat_map(|value| value.rsplit(|&byte| byte == b','));
    elements.map(|element| std::str::from_utf8(element).unwrap_or_default().trim())
}

/// The value of a parameter in one element of `Forwarded` (RFC 7239, section 4), without quotes.
pub fn forwarded_parameter<'e>(element: &'e str, name: &str) -> Option<&'e str> {
    let mut pairs = element.split(';').filter_map(|pair| pair.trim().split_once('='));
    let (_, value) = pairs.find(|(found, _)| found.eq_ignore_ascii_case(name))?;
    Some(value.trim_matches('"'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_element_comes_first() {
        let head = b"GET / HTTP/1.1\r\nA: 1, \xff\r\nB: x\r\na:  2 ,3\r\n\r\n";
        let head = RequestHead::take(&mut head.to_vec()).unwrap().unwrap();
        assert_eq!(elements(&head, "A").collect::<Vec<_>>(), ["3", "2", "", "1"]);
        assert_eq!(elements(&head, "C").count(), 0);
    }

    #[test]
    fn parameters_have_names_in_any_case_and_values_with_or_without_quotes() {
        let element = "for=192.0.2.1; Proto=https;HOST=\"birds.example:8443\"";
        assert_eq!(forwarded_parameter(element, "proto"), Some("https"));
        assert_eq!(forwarded_parameter(element, "host"), Some("birds.example:8443"));
        assert_eq!(forwarded_parameter(element, "by"), None);
    }
}
