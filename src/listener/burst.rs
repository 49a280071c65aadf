//! How much of the past a player gets when it joins.
//!
//! A browser's media element takes data in steps of 32 KiB: with less it stays silent
//! until the stream has filled that step, 4 s at 64 kb/s. Every other player plays
//! what it gets, and keeps what it was given beforehand as delay for ever. So `auto`
//! gives the one just over its step and all others a fifth of a second.

use std::time::Duration;

use crate::mount::Burst;

/// What a browser's media element needs before it plays, and a little more, in bytes.
const MEDIA_ELEMENT: u64 = 33 * 1024;
/// What every other player gets.
const NEAR_LIVE: Duration = Duration::from_millis(200);

/// What a request tells of the player behind it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Player<'a> {
    /// `Sec-Fetch-Dest`; browsers send it on secure origins only.
    pub fetch_dest: Option<&'a str>,
    /// `User-Agent`.
    pub agent: Option<&'a str>,
    /// A `Range` was asked for; a media element does, `fetch()` does not.
    pub range: bool,
}

/// A burst, decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Amount {
    /// At least so many bytes of pages.
    Bytes(u64),
    /// At least so much audio.
    Time(Duration),
}

/// Decides what a player gets: what it asked for, else what the mount's rules say.
pub fn amount(asked: Option<Duration>, rule: Burst, player: Player<'_>) -> Amount {
    match (asked, rule) {
        (Some(time), _) | (None, Burst::Time(time)) => Amount::Time(time),
        (None, Burst::Auto) if player.is_media_element() => Amount::Bytes(MEDIA_ELEMENT),
        (None, Burst::Auto) => Amount::Time(NEAR_LIVE),
    }
}

impl Player<'_> {
    fn is_media_element(&self) -> bool {
        let agent = self.agent.unwrap_or_default();
        match self.fetch_dest {
            // A document: the URL was opened by itself, and the browser makes a player of it.
            Some(dest) => matches!(dest, "audio" | "video" | "document"),
            None => {
                agent.starts_with("AppleCoreMedia/") || agent.starts_with("Mozilla/") && self.range
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIREFOX: Option<&str> = Some("Mozilla/5.0 (X11; Linux x86_64; rv:153.0) Firefox/153.0");

    fn auto(fetch_dest: Option<&str>, agent: Option<&str>, range: bool) -> Amount {
        amount(None, Burst::Auto, Player { fetch_dest, agent, range })
    }

    #[test]
    fn media_elements_get_their_step_and_all_others_stay_near_live() {
        let step = Amount::Bytes(MEDIA_ELEMENT);
        assert_eq!(auto(Some("audio"), FIREFOX, true), step);
        assert_eq!(auto(Some("document"), FIREFOX, false), step);
        assert_eq!(auto(None, FIREFOX, true), step, "plain http: no Sec-Fetch-Dest");
        let stream = Amount::Time(NEAR_LIVE);
        assert_eq!(auto(Some("empty"), FIREFOX, false), stream, "fetch()");
        assert_eq!(auto(None, FIREFOX, false), stream, "fetch() on plain http");
        assert_eq!(auto(None, Some("Lavf/59.27.100"), true), stream);
        assert_eq!(auto(None, None, false), stream);
    }

    #[test]
    fn the_listener_is_asked_first_then_the_rules() {
        let second = Duration::from_secs(1);
        let audio = Player { fetch_dest: Some("audio"), ..Player::default() };
        assert_eq!(amount(Some(Duration::ZERO), Burst::Auto, audio), Amount::Time(Duration::ZERO));
        assert_eq!(amount(None, Burst::Time(second), audio), Amount::Time(second));
    }
}
