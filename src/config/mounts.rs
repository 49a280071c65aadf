//! The rules of mounts: how each behaves and whom it is for.

use std::sync::Arc;
use std::time::Duration;

use super::passwords::{read_file, secret_of};
use super::reader::{Reader, Section};
use super::values::{flag, networks, number, size, text_of, time};
use crate::auth::{Access, AccessMode, Login, PasswordHashes, SOURCE_USER, Secret, Token};
use crate::mount::{Burst, Gap, MIN_RING, MountRules, MountSettings, Pattern};
use crate::text::entries;
use crate::units;

const PATTERN: &str = "a mount name such as \"/mic-*.opus\"";

/// All rules of a file.
pub(super) fn rules(
    reader: &mut Reader<'_>,
    defaults: Section<'_>,
    mounts: Vec<Section<'_>>,
) -> MountRules {
    let defaults = mount_settings(reader, defaults, &mount_settings_without_file());
    let rules = mounts.into_iter().filter_map(|section| {
        let name = reader
            .get(section, "name", PATTERN, None, |v| Some(Some(Pattern::new(v.as_str()?).ok()?)));
        if name.is_none() && reader.line_of(section, "name").is_none() {
            let text = format!("each [[mount]] needs a name; it takes {PATTERN}");
            reader.complain(None, text);
        }
        let settings = mount_settings(reader, section, &defaults);
        Some((name?, Arc::new(settings)))
    });
    MountRules { rules: rules.collect(), defaults: Arc::new(defaults) }
}

/// What holds where no file says anything.
fn mount_settings_without_file() -> MountSettings {
    MountSettings {
        ring: 256 * 1024,
        burst: Burst::Auto,
        source_timeout: Duration::from_secs(10),
        gap: Gap::Silence,
        gap_after: Duration::from_secs(1),
        hold: Duration::from_secs(30),
        listener_timeout: Duration::from_secs(30),
        max_listeners: 0,
        coalesce: Duration::ZERO,
        access: Access::default(),
        source: None,
        hidden: false,
    }
}

/// The rules that a section gives, over those that hold without it.
fn mount_settings(
    reader: &mut Reader<'_>,
    section: Section<'_>,
    default: &MountSettings,
) -> MountSettings {
    const BURST: &str = "\"auto\" or a duration from \"0ms\" to \"10m\"";
    const GAP: &str = "\"silence\", \"pause\" or \"end\"";
    let (second, hour) = (Duration::from_secs(1), Duration::from_hours(1));
    MountSettings {
        ring: size(
            reader,
            section,
            "ring",
            default.ring,
            (MIN_RING, "128KiB"),
            (256 << 20, "256MiB"),
        ),
        burst: reader.get(section, "burst", BURST, default.burst, |value| {
            match value.as_str()? {
                "auto" => Some(Burst::Auto),
                text => {
                    units::duration(text).filter(|t| *t <= Duration::from_mins(10)).map(Burst::Time)
                }
            }
        }),
        source_timeout: time(
            reader,
            section,
            "source_timeout",
            default.source_timeout,
            (second, "1s"),
            (hour, "1h"),
        ),
        gap: reader.get(section, "gap", GAP, default.gap, |value| match value.as_str()? {
            "silence" => Some(Gap::Silence),
            "pause" => Some(Gap::Pause),
            "end" => Some(Gap::End),
            _ => None,
        }),
        gap_after: time(
            reader,
            section,
            "gap_after",
            default.gap_after,
            (Duration::from_millis(100), "100ms"),
            (Duration::from_mins(5), "5m"),
        ),
        hold: time(
            reader,
            section,
            "hold",
            default.hold,
            (Duration::ZERO, "0s"),
            (Duration::from_hours(24), "24h"),
        ),
        listener_timeout: time(
            reader,
            section,
            "listener_timeout",
            default.listener_timeout,
            (second, "1s"),
            (hour, "1h"),
        ),
        max_listeners: number(reader, section, "max_listeners", default.max_listeners, 0, 100_000),
        coalesce: time(
            reader,
            section,
            "coalesce",
            default.coalesce,
            (Duration::ZERO, "0ms"),
            (Duration::from_secs(5), "5s"),
        ),
        access: access(reader, section, &default.access),
        source: source(reader, section, default.source.as_ref()),
        hidden: flag(reader, section, "hidden", default.hidden),
    }
}

fn access(reader: &mut Reader<'_>, section: Section<'_>, default: &Access) -> Access {
    const KIND: &str = "\"public\", \"password\", \"token\" or \"closed\"";
    let kind = reader.get(section, "access", KIND, default.mode, |value| match value.as_str()? {
        "public" => Some(AccessMode::Public),
        "password" => Some(AccessMode::Password),
        "token" => Some(AccessMode::Token),
        "closed" => Some(AccessMode::Closed),
        _ => None,
    });
    let listeners = file(reader, section, "listeners_file", PasswordHashes::parse);
    let tokens = file(reader, section, "tokens_file", tokens);
    let access = Access {
        mode: kind,
        listeners: listeners.unwrap_or_else(|| default.listeners.clone()),
        tokens: tokens.unwrap_or_else(|| default.tokens.clone()),
        allow: networks(reader, section, "allow", &default.allow),
        deny: networks(reader, section, "deny", &default.deny),
    };
    let missing = match kind {
        AccessMode::Password if access.listeners.is_empty() => "listeners_file",
        AccessMode::Token if access.tokens.is_empty() => "tokens_file",
        _ => return access,
    };
    let path = section.path("access");
    let text = format!("{path} = \"{}\" lets nobody in without {missing}", kind.name());
    // What could not be read has been said already.
    if reader.line_of(section, missing).is_none() {
        reader.complain(reader.line_of(section, "access"), text);
    }
    access
}

/// What a file that a key names says; `None` without the key.
fn file<T: Default>(
    reader: &mut Reader<'_>,
    section: Section<'_>,
    key: &str,
    parse: impl Fn(&str) -> Result<T, (usize, String)>,
) -> Option<T> {
    let line = reader.line_of(section, key)?;
    let name = text_of(reader, section, key, "");
    let read = read_file(name.as_ref()).map_err(|error| format!("cannot be read: {error}"));
    let parsed = read.and_then(|text| {
        parse(&text).map_err(|(line, what)| format!("is wrong in its line {line}: {what}"))
    });
    Some(parsed.unwrap_or_else(|what| {
        let path = section.path(key);
        reader.complain(Some(line), format!("{path} = {name:?} {what}"));
        T::default()
    }))
}

/// A file of tokens: `name:token` in each line.
fn tokens(text: &str) -> Result<Vec<Token>, (usize, String)> {
    const SHORTEST: usize = 16;
    entries(text)
        .map(|(number, line)| match line.split_once(':') {
            Some((name, token)) if token.len() >= SHORTEST => {
                Ok(Token { name: name.to_owned(), token: Secret::new(token) })
            }
            _ => Err((
                number,
                format!("it takes name:token, the token with {SHORTEST} characters or more"),
            )),
        })
        .collect()
}

/// The source's own login for these mounts, if they have one.
fn source(reader: &mut Reader<'_>, section: Section<'_>, default: Option<&Login>) -> Option<Login> {
    let user = default.map_or(SOURCE_USER, |login| &login.user);
    let user = text_of(reader, section, "source_user", user);
    let password = secret_of(reader, section, "source_password");
    let line = reader.line_of(section, "source_user");
    if line.is_some() && password.is_none() && default.is_none() {
        let path = section.path("source_user");
        reader.complain(
            line,
            format!("{path} needs a source_password beside it, or the general one counts on"),
        );
    }
    Some(Login { user, password: password.or_else(|| Some(default?.password.clone()))? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_have_names_and_are_long() {
        let read = tokens("# who\n\nweb:0123456789abcdef\n").unwrap();
        assert_eq!((read.len(), &*read[0].name), (1, "web"));
        for (text, line) in [("0123456789abcdef0", 1), ("\nweb:short", 2)] {
            assert_eq!(tokens(text).unwrap_err().0, line);
        }
    }
}
