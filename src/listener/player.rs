//! What the server knows of a player from its request: how much audio it gets when it joins, and
//! whether it goes on when another stream follows.
//!
//! A player stays behind live by the duration of its burst. mpv, FFmpeg and VLC start with the first
//! page, and `GStreamer` takes as long as it takes, whatever it gets (`docs/measurements.md`). So
//! `burst = "auto"` gives them 200 ms.
//!
//! A browser's media element counts bytes, not time. It processes data in blocks of 32 KiB, and is
//! silent until the first block is complete, which takes 4 s at 64 kbit/s. So it gets slightly more
//! than one block.

use std::time::Duration;

use crate::mount::Burst;

/// The burst of a browser's media element, in bytes: slightly more than one block.
pub(crate) const MEDIA_ELEMENT_BYTES: u64 = 33 * 1024;
/// The audio that a media element gets at most: what it plays until the next block is complete.
const MEDIA_ELEMENT_TIME: Duration = Duration::from_secs(4);
/// The fewest bytes per second that a media element gets: a block takes 2.7 s, so that a burst of
/// 4 s lasts until the next one with something to spare.
pub(crate) const MEDIA_ELEMENT_RATE: u64 = 12 * 1024;

/// The burst of a player that starts at once.
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
    /// Whether the user opened the URL by itself, and the browser shows its player
    /// (`Upgrade-Insecure-Requests`).
    pub is_page: bool,
}

/// The size of a burst.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Amount {
    /// One block of a media element: this many bytes, or this much audio if that is less.
    Block(u64, Duration),
    /// At least this much audio, in whole pages.
    Time(Duration),
}

/// How to deliver a stream to a player.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// How much past audio it gets when it joins.
    pub burst: Amount,
    /// Whether it goes on when another stream follows on the same connection (chaining, RFC 3533,
    /// section 4). When the number of channels changes, Firefox's media element stands still
    /// without an event, and Chromium's ends. Both report the end of a response.
    pub takes_chains: bool,
    /// For which demuxer quiet audio is filled up, so that blocks are complete in time
    /// (`listener/filler.rs`); `None` if it is sent as it is.
    pub filled_for: Option<Demuxer>,
    /// The response head before the stream.
    pub head: ResponseHead,
}

/// What precedes the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResponseHead {
    /// Nothing: the stream is the body of a request.
    Nothing,
    /// A response head.
    Plain,
    /// A response head with the servers that the stream has come through (`Via`).
    WithVia,
}

/// A demuxer that skips a stream beside the audio.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Demuxer {
    /// Firefox's skips streams of an unknown codec. It would read Skeleton up to its end before the
    /// audio, and a live stream has no end.
    Firefox,
    /// Chromium's, which is FFmpeg's, skips Skeleton. It would analyse megabytes of a stream of an
    /// unknown codec before it plays.
    Chromium,
}

impl Player<'_> {
    /// How to deliver to the player: its burst is the one that it requested, or else the mount's setting.
    pub fn delivery(&self, requested: Option<Duration>, setting: Burst) -> Delivery {
        let is_media_element = self.is_media_element();
        let burst = match (requested, setting) {
            (Some(time), _) | (None, Burst::Time(time)) => Amount::Time(time),
            (None, Burst::Auto) if is_media_element => {
                Amount::Block(MEDIA_ELEMENT_BYTES, MEDIA_ELEMENT_TIME)
            }
            (None, Burst::Auto) => Amount::Time(NEAR_LIVE),
        };
        let is_block = matches!(burst, Amount::Block(..));
        Delivery {
            burst,
            takes_chains: !is_media_element,
            filled_for: self.demuxer().filter(|_| is_block),
            head: ResponseHead::Plain,
        }
    }

    fn is_media_element(&self) -> bool {
        let agent = self.agent.unwrap_or_default();
        if let Some(dest) = self.fetch_dest {
            // `document`: the user opened the URL of the mount, and the browser shows its player.
            return matches!(dest, "audio" | "video" | "document");
        }
        let is_element = self.range || self.is_page;
        agent.starts_with("AppleCoreMedia/") || agent.starts_with("Mozilla/") && is_element
    }

    /// The demuxer of a browser that is known to skip what is beside the audio.
    fn demuxer(&self) -> Option<Demuxer> {
        let agent = self.agent.unwrap_or_default();
        let known = [("Firefox/", Demuxer::Firefox), ("Chrome/", Demuxer::Chromium)];
        known.into_iter().find(|(name, _)| agent.contains(name)).map(|(_, demuxer)| demuxer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIREFOX: Option<&str> = Some("Mozilla/5.0 (X11; Linux x86_64; rv:153.0) Firefox/153.0");
    const BLOCK: Amount = Amount::Block(MEDIA_ELEMENT_BYTES, MEDIA_ELEMENT_TIME);

    fn auto(fetch_dest: Option<&str>, agent: Option<&str>, range: bool) -> Amount {
        Player { fetch_dest, agent, range, is_page: false }.delivery(None, Burst::Auto).burst
    }

    #[test]
    fn media_elements_get_a_whole_block_and_other_players_stay_near_live() {
        assert_eq!(auto(Some("audio"), FIREFOX, true), BLOCK);
        assert_eq!(auto(Some("document"), FIREFOX, false), BLOCK);
        assert_eq!(auto(None, FIREFOX, true), BLOCK, "plain http: no Sec-Fetch-Dest");
        let near_live = Amount::Time(NEAR_LIVE);
        assert_eq!(auto(Some("empty"), FIREFOX, false), near_live, "fetch()");
        assert_eq!(auto(None, FIREFOX, false), near_live, "fetch() on plain http");
        assert_eq!(auto(None, Some("Lavf/59.27.100"), true), near_live);
        assert_eq!(auto(None, None, false), near_live);
        let page = Player { agent: FIREFOX, is_page: true, ..Player::default() };
        assert_eq!(page.delivery(None, Burst::Auto).burst, BLOCK, "the URL itself, on plain http");
    }

    #[test]
    fn a_requested_burst_overrides_the_setting() {
        let second = Duration::from_secs(1);
        let audio =
            Player { fetch_dest: Some("audio"), agent: FIREFOX, range: true, is_page: false };
        for (requested, setting, time) in [
            (Some(Duration::ZERO), Burst::Auto, Duration::ZERO),
            (None, Burst::Time(second), second),
        ] {
            let delivery = audio.delivery(requested, setting);
            let burst = Amount::Time(time);
            assert_eq!((delivery.burst, delivery.filled_for), (burst, None));
        }
    }

    #[test]
    fn only_players_that_are_known_to_ignore_other_streams_are_filled() {
        let demuxer = |agent| {
            let player =
                Player { fetch_dest: None, agent: Some(agent), range: true, is_page: false };
            player.delivery(None, Burst::Auto).filled_for
        };
        assert_eq!(demuxer(FIREFOX.unwrap()), Some(Demuxer::Firefox));
        let chrome = "Mozilla/5.0 (X11) AppleWebKit/537.36 Chrome/150.0 Safari/537.36";
        assert_eq!(demuxer(chrome), Some(Demuxer::Chromium));
        let safari = "Mozilla/5.0 (Macintosh) AppleWebKit/605.1 Version/18.4 Safari/605.1";
        for other in [safari, "AppleCoreMedia/1.0.0.22E240", "VLC/3.0.18"] {
            assert_eq!(demuxer(other), None, "{other}");
        }
    }
}
