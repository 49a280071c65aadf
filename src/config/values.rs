//! Values as the configuration writes them, each with what is allowed.

use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;
use toml::de::DeValue;

use super::reader::{Reader, Section};
use crate::units;

pub(super) fn number(
    reader: &mut Reader<'_>,
    section: Section<'_>,
    key: &str,
    default: usize,
    least: usize,
    most: usize,
) -> usize {
    let allowed = format!("a whole number from {least} to {most}");
    reader.get(section, key, &allowed, default, |value| {
        whole_number(value).filter(|number| (least..=most).contains(number))
    })
}

/// A number that is not negative.
pub(super) fn whole_number(value: &DeValue<'_>) -> Option<usize> {
    let number = value.as_integer()?;
    usize::from_str_radix(number.as_str(), number.radix()).ok()
}

pub(super) fn size(
    reader: &mut Reader<'_>,
    section: Section<'_>,
    key: &str,
    default: usize,
    (least, least_text): (usize, &str),
    (most, most_text): (usize, &str),
) -> usize {
    let allowed = format!("a size from \"{least_text}\" to \"{most_text}\"");
    reader.get(section, key, &allowed, default, |value| {
        units::size(value.as_str()?).filter(|size| (least..=most).contains(size))
    })
}

pub(super) fn time(
    reader: &mut Reader<'_>,
    section: Section<'_>,
    key: &str,
    default: Duration,
    (least, least_text): (Duration, &str),
    (most, most_text): (Duration, &str),
) -> Duration {
    let allowed = format!("a duration from \"{least_text}\" to \"{most_text}\"");
    reader.get(section, key, &allowed, default, |value| {
        units::duration(value.as_str()?).filter(|time| (least..=most).contains(time))
    })
}

pub(super) fn text_of(
    reader: &mut Reader<'_>,
    section: Section<'_>,
    key: &str,
    default: &str,
) -> String {
    reader.get(section, key, "a text in quotes, not empty", default.to_owned(), |value| {
        value.as_str().filter(|text| !text.is_empty()).map(ToOwned::to_owned)
    })
}

pub(super) fn texts<T>(value: &DeValue<'_>, read: impl Fn(&str) -> Option<T>) -> Option<Vec<T>> {
    value.as_array()?.iter().map(|element| read(element.get_ref().as_str()?)).collect()
}

/// Networks, or single addresses.
pub(super) fn networks(
    reader: &mut Reader<'_>,
    section: Section<'_>,
    key: &str,
    default: &[IpNet],
) -> Vec<IpNet> {
    let allowed = "a list of networks such as [\"10.89.0.0/16\", \"::1\"]";
    let network =
        |text: &str| text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
    reader.get(section, key, allowed, default.to_vec(), |value| texts(value, network))
}

/// Yes or no.
pub(super) fn flag(
    reader: &mut Reader<'_>,
    section: Section<'_>,
    key: &str,
    default: bool,
) -> bool {
    #[allow(
        clippy::redundant_closure_for_method_calls,
        reason = "the method alone has too narrow a lifetime"
    )]
    reader.get(section, key, "true or false", default, |value| value.as_bool())
}
