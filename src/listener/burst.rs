//! How much past audio a player gets when it joins.
//!
//! A browser's media element processes data in blocks of 32 KiB: it stays silent until the first
//! block is complete, which takes 4 s at 64 kbit/s. Every other player starts at once, and stays
//! behind live by the duration of its burst. So `auto` gives a media element slightly more than one
//! block, and any other player 200 ms.

use std::time::Duration;

use crate::mount::Burst;

/// The burst of a browser's media element, in bytes: slightly more than one block.
const MEDIA_ELEMENT_BYTES: u64 = 33 * 1024;
/// The burst of any other player.
const NEAR_LIVE: Duration = Duration::from_millis(200);

/// What a request reveals about the player.
#[derive(Clone, Copy, Debug, Default)]
pub struct Player<'a> {
    /// `Sec-Fetch-Dest`; browsers send it to secure origins only.
    pub fetch_dest: Option<&'a str>,
    /// `User-Agent`.
    pub agent: Option<&'a str>,
    /// Whether the request has a `Range` field: a media element sends one, `fetch()` does not.
    pub range: bool,
}

/// The size of a burst.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Amount {
    /// At least this many bytes, in whole pages.
    Bytes(u64),
    /// At least this much audio, in whole pages.
    Time(Duration),
}

/// The burst that a player gets: the one that it requested, or else the mount's setting.
pub fn amount(requested: Option<Duration>, setting: Burst, player: Player<'_>) -> Amount {
    match (requested, setting) {
        (Some(time), _) | (None, Burst::Time(time)) => Amount::Time(time),
        (None, Burst::Auto) if player.is_media_element() => Amount::Bytes(MEDIA_ELEMENT_BYTES),
        (None, Burst::Auto) => Amount::Time(NEAR_LIVE),
    }
}

impl Player<'_> {
    /// Whether the player goes on when another stream follows on the same connection (chaining,
    /// RFC 3533, section 4). When the number of channels changes, Firefox's media element stands
    /// still without an event, and Chromium's ends. Both report the end of a response.
    pub fn takes_chains(&self) -> bool {
        !self.is_media_element()
    }

    fn is_media_element(&self) -> bool {
        let agent = self.agent.unwrap_or_default();
        match self.fetch_dest {
            // `document`: the user opened the URL of the mount, and the browser shows its player.
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
    fn media_elements_get_a_whole_block_and_other_players_stay_near_live() {
        let block = Amount::Bytes(MEDIA_ELEMENT_BYTES);
        assert_eq!(auto(Some("audio"), FIREFOX, true), block);
        assert_eq!(auto(Some("document"), FIREFOX, false), block);
        assert_eq!(auto(None, FIREFOX, true), block, "plain http: no Sec-Fetch-Dest");
        let near_live = Amount::Time(NEAR_LIVE);
        assert_eq!(auto(Some("empty"), FIREFOX, false), near_live, "fetch()");
        assert_eq!(auto(None, FIREFOX, false), near_live, "fetch() on plain http");
        assert_eq!(auto(None, Some("Lavf/59.27.100"), true), near_live);
        assert_eq!(auto(None, None, false), near_live);
    }

    #[test]
    fn a_requested_burst_overrides_the_setting() {
        let second = Duration::from_secs(1);
        let audio = Player { fetch_dest: Some("audio"), ..Player::default() };
        assert_eq!(amount(Some(Duration::ZERO), Burst::Auto, audio), Amount::Time(Duration::ZERO));
        assert_eq!(amount(None, Burst::Time(second), audio), Amount::Time(second));
    }
}
