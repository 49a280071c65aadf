//! Reads an offer: what a client sends in a `POST` (RFC 8866, RFC 8829).
//!
//! Only what decides whether and how Opus can be sent is read. Candidates are not: this server
//! learns from where a client reaches it by the checks that arrive.

#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]

use super::certificate::Fingerprint;

/// The longest offer, in bytes.
pub const MAX_OFFER: usize = 16 * 1024;
/// The most media descriptions of an offer.
const MAX_SECTIONS: usize = 16;
/// The longest `mid`, in bytes.
const MAX_MID: usize = 64;

/// An offer that can be answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SdpOffer {
    /// The media descriptions, in their order, which is that of the answer.
    pub sections: Vec<MediaSection>,
    /// Which of them gets the audio.
    pub audio: usize,
    /// The payload type of Opus.
    pub payload_type: u8,
    /// `ice-ufrag` of the client.
    pub ufrag: Box<str>,
    /// Fingerprint of the client's certificate.
    pub fingerprint: Fingerprint,
}

/// A media description.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MediaSection {
    /// The kind of media, the protocol and the formats, to repeat them if it is refused.
    pub media: Box<str>,
    /// See `media`.
    pub protocol: Box<str>,
    /// See `media`.
    pub formats: Box<str>,
    /// `mid`, if it has one.
    pub mid: Option<Box<str>>,
}

/// Why an offer cannot be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OfferError {
    /// Not SDP.
    #[error(
        "The body is not an SDP offer: it must begin with v=0 and have lines of the form x=value."
    )]
    NotSdp,
    /// Too many media descriptions.
    #[error("The offer has more than {MAX_SECTIONS} media descriptions.")]
    TooManySections,
    /// A field that the answer must repeat is too long, or has characters that it may not have.
    #[error(
        "The offer has a media description or a mid with characters that SDP does not allow, or that is too long."
    )]
    InvalidToken,
    /// Nothing to send audio to.
    #[error("The offer has no audio to receive: it needs m=audio with a=recvonly or a=sendrecv.")]
    NoAudio,
    /// Audio, but not Opus.
    #[error("The offer has no Opus; this server sends audio as opus/48000/2 only.")]
    NoOpus,
    /// Without encryption, or with keys in the SDP.
    #[error("The audio of the offer is not DTLS-SRTP; its protocol must be UDP/TLS/RTP/SAVPF.")]
    NotDtlsSrtp,
    /// RTP and RTCP on two ports.
    #[error("The offer has no a=rtcp-mux, without which this server does not send.")]
    NoRtcpMux,
    /// ICE is missing.
    #[error("The offer has no a=ice-ufrag and a=ice-pwd of the lengths that RFC 8839 allows.")]
    NoIce,
    /// No fingerprint that can be checked.
    #[error("The offer has no a=fingerprint with a sha-256 of the client's certificate.")]
    NoFingerprint,
    /// The client wants to be the server.
    #[error(
        "The offer has a=setup:passive; this server is passive itself, so it must be actpass or active."
    )]
    WrongSetup,
}

impl OfferError {
    /// Whether the offer is not SDP at all, rather than SDP that this server cannot serve.
    pub fn is_malformed(self) -> bool {
        matches!(self, Self::NotSdp | Self::TooManySections | Self::InvalidToken)
    }
}

/// What is said for the whole session, or for a media description.
#[derive(Clone, Copy, Debug, Default)]
struct Attributes<'o> {
    ufrag: Option<&'o str>,
    password: Option<&'o str>,
    fingerprint: Option<Fingerprint>,
    setup: Option<&'o str>,
    /// Whether the client receives.
    receives: Option<bool>,
    has_rtcp_mux: bool,
    is_bundle_only: bool,
    mid: Option<&'o str>,
    opus: Option<u8>,
}

/// A media description as it is read.
struct MediaLine<'o> {
    media: &'o str,
    port: &'o str,
    protocol: &'o str,
    formats: &'o str,
    attributes: Attributes<'o>,
}

impl SdpOffer {
    /// Reads an offer.
    ///
    /// # Errors
    /// Why it cannot be answered.
    pub fn parse(text: &str) -> Result<Self, OfferError> {
        let mut lines = text.lines().map(|line| line.trim_end_matches('\r'));
        if lines.next() != Some("v=0") {
            return Err(OfferError::NotSdp);
        }
        let mut session = Attributes::default();
        let mut media = Vec::<MediaLine<'_>>::new();
        for line in lines.filter(|line| !line.is_empty()) {
            let (kind, value) = line.split_once('=').ok_or(OfferError::NotSdp)?;
            match kind {
                "m" if media.len() == MAX_SECTIONS => return Err(OfferError::TooManySections),
                "m" => media.push(MediaLine::parse(value).ok_or(OfferError::NotSdp)?),
                "a" => {
                    let attributes = media.last_mut().map(|line| &mut line.attributes);
                    attributes.unwrap_or(&mut session).read(value);
                }
                _ if kind.len() == 1 => {}
                _ => return Err(OfferError::NotSdp),
            }
        }
        let audio = media.iter().position(MediaLine::is_audio).ok_or(OfferError::NoAudio)?;
        let line = &media[audio];
        let of_audio = &line.attributes;
        if !matches!(line.protocol, "UDP/TLS/RTP/SAVPF" | "UDP/TLS/RTP/SAVP" | "RTP/SAVPF") {
            return Err(OfferError::NotDtlsSrtp);
        }
        let is_offered = |number: &u8| line.formats.split(' ').any(|it| it.parse() == Ok(*number));
        let payload_type = of_audio.opus.filter(is_offered).ok_or(OfferError::NoOpus)?;
        if !of_audio.has_rtcp_mux {
            return Err(OfferError::NoRtcpMux);
        }
        let ufrag = of_audio.ufrag.or(session.ufrag);
        let password = of_audio.password.or(session.password);
        let (Some(ufrag), Some(_)) = (
            ufrag.filter(|text| is_ice_text(text, 4)),
            password.filter(|text| is_ice_text(text, 22)),
        ) else {
            return Err(OfferError::NoIce);
        };
        let fingerprint = of_audio.fingerprint.or(session.fingerprint);
        let fingerprint = fingerprint.ok_or(OfferError::NoFingerprint)?;
        if matches!(of_audio.setup.or(session.setup), Some("passive" | "holdconn")) {
            return Err(OfferError::WrongSetup);
        }
        let sections = media.iter().map(MediaLine::section).collect::<Option<_>>();
        let sections = sections.ok_or(OfferError::InvalidToken)?;
        Ok(Self { sections, audio, payload_type, ufrag: ufrag.into(), fingerprint })
    }
}

impl<'o> MediaLine<'o> {
    /// Reads the value of a line `m=`.
    fn parse(value: &'o str) -> Option<Self> {
        let mut words = value.splitn(4, ' ');
        let (media, port, protocol) = (words.next()?, words.next()?, words.next()?);
        let attributes = Attributes::default();
        Some(Self { media, port, protocol, formats: words.next()?, attributes })
    }

    /// Whether audio can be sent to it.
    fn is_audio(&self) -> bool {
        let is_on = self.port != "0" || self.attributes.is_bundle_only;
        self.media == "audio" && is_on && self.attributes.receives != Some(false)
    }

    /// What the answer repeats; `None` if it must not.
    fn section(&self) -> Option<MediaSection> {
        let is_line = |text: &str| text.len() < 1024 && text.bytes().all(is_visible_or_space);
        let is_word = |text: &str| !text.is_empty() && !text.contains(' ') && is_line(text);
        let mid = self.attributes.mid;
        let is_valid = is_word(self.media)
            && is_word(self.protocol)
            && is_line(self.formats)
            && mid.is_none_or(|mid| is_word(mid) && mid.len() <= MAX_MID);
        is_valid.then(|| MediaSection {
            media: self.media.into(),
            protocol: self.protocol.into(),
            formats: self.formats.into(),
            mid: mid.map(Into::into),
        })
    }
}

impl<'o> Attributes<'o> {
    /// Reads the value of a line `a=`. What is not known, or not valid, is as if it were not there.
    fn read(&mut self, attribute: &'o str) {
        let (name, value) = attribute.split_once(':').unwrap_or((attribute, ""));
        match name {
            "ice-ufrag" => self.ufrag = Some(value),
            "ice-pwd" => self.password = Some(value),
            "fingerprint" => self.fingerprint = self.fingerprint.or(read_fingerprint(value)),
            "setup" => self.setup = Some(value),
            "recvonly" | "sendrecv" => self.receives = Some(true),
            "sendonly" | "inactive" => self.receives = Some(false),
            "rtcp-mux" => self.has_rtcp_mux = true,
            "bundle-only" => self.is_bundle_only = true,
            "mid" => self.mid = Some(value),
            "rtpmap" => self.opus = self.opus.or(read_opus(value)),
            _ => {}
        }
    }
}

/// The payload type of a map such as `111 opus/48000/2` (RFC 7587, section 7).
fn read_opus(value: &str) -> Option<u8> {
    let (number, encoding) = value.split_once(' ')?;
    let is_opus = encoding.trim().eq_ignore_ascii_case("opus/48000/2");
    // Numbers from 128 on do not fit, and 72 to 76 are those of RTCP (RFC 5761, section 4).
    number.parse().ok().filter(|number| is_opus && *number < 128 && !(72..=76).contains(number))
}

/// A fingerprint such as `sha-256 AB:CD:…`; `None` with another hash function.
fn read_fingerprint(value: &str) -> Option<Fingerprint> {
    let (function, digits) = value.trim().split_once(' ')?;
    if !function.eq_ignore_ascii_case("sha-256") {
        return None;
    }
    let mut fingerprint = [0; 32];
    let mut pairs = digits.trim().split(':');
    for byte in &mut fingerprint {
        let pair = pairs.next().filter(|pair| pair.len() == 2)?;
        *byte = u8::from_str_radix(pair, 16).ok()?;
    }
    pairs.next().is_none().then_some(fingerprint)
}

/// Whether this can be an `ice-ufrag` or `ice-pwd` of at least this length (RFC 8839, section 5.4).
fn is_ice_text(text: &str, least: usize) -> bool {
    let is_ice = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    // GStreamer and old browsers pad them, as base64 does.
    (least..=256).contains(&text.len()) && text.bytes().all(|byte| is_ice(byte) || byte == b'=')
}

fn is_visible_or_space(byte: u8) -> bool {
    byte == b' ' || byte.is_ascii_graphic()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// What Chromium offers for one audio to receive, without what is of no interest.
    pub(in super::super) const CHROMIUM: &str = "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n\
        a=group:BUNDLE 0\r\na=msid-semantic: WMS\r\n\
        m=audio 9 UDP/TLS/RTP/SAVPF 111 63 9 0\r\nc=IN IP4 0.0.0.0\r\na=rtcp:9 IN IP4 0.0.0.0\r\n\
        a=ice-ufrag:9uB6\r\na=ice-pwd:YH75Fviy6338Vbrhrlp8Yh1o\r\na=ice-options:trickle\r\n\
        a=fingerprint:sha-256 00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF:00:11:22:33:44:55:66:77:88:99:aa:bb:cc:dd:ee:ff\r\n\
        a=setup:actpass\r\na=mid:0\r\na=recvonly\r\na=rtcp-mux\r\n\
        a=rtpmap:111 opus/48000/2\r\na=fmtp:111 minptime=10;useinbandfec=1;stereo=1\r\n\
        a=rtpmap:63 red/48000/2\r\na=rtpmap:9 G722/8000\r\n";

    fn error(text: &str) -> Option<OfferError> {
        SdpOffer::parse(text).err()
    }

    #[test]
    fn what_a_browser_offers_is_read() {
        let offer = SdpOffer::parse(CHROMIUM).unwrap();
        assert_eq!((offer.audio, offer.payload_type, &*offer.ufrag), (0, 111, "9uB6"));
        assert_eq!(offer.fingerprint[..3], [0, 0x11, 0x22]);
        assert_eq!(offer.sections[0].mid.as_deref(), Some("0"));
        assert_eq!(SdpOffer::parse(&CHROMIUM.replace("\r\n", "\n")).as_ref(), Ok(&offer));
    }

    #[test]
    fn what_is_said_for_the_session_holds_for_its_audio() {
        let (head, media) = CHROMIUM.split_once("m=audio").unwrap();
        let of_session = ["a=ice-ufrag", "a=ice-pwd", "a=fingerprint", "a=setup"];
        let moved = |line: &&str| of_session.iter().any(|name| line.starts_with(name));
        let lines: Vec<_> = media.split_inclusive('\n').collect();
        let (session, rest): (Vec<_>, Vec<_>) = lines.into_iter().partition(moved);
        let text = format!("{head}{}m=audio{}", session.concat(), rest.concat());
        assert_eq!(SdpOffer::parse(&text), SdpOffer::parse(CHROMIUM));
    }

    #[test]
    fn other_media_are_kept_to_be_refused() {
        let video = "m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:v\r\na=recvonly\r\n";
        let text = CHROMIUM.replace("m=audio", &format!("{video}m=audio"));
        let offer = SdpOffer::parse(&text).unwrap();
        assert_eq!((offer.audio, offer.sections.len()), (1, 2));
        assert_eq!(&*offer.sections[0].formats, "96");
    }

    #[test]
    fn what_cannot_be_answered_is_refused_with_its_reason() {
        use OfferError as E;
        let with = |from: &str, to: &str| {
            let text = CHROMIUM.replace(from, to);
            assert_ne!(text, CHROMIUM, "{from}");
            error(&text)
        };
        for (text, expected) in [
            ("", E::NotSdp),
            ("v=0", E::NoAudio),
            ("v=1\r\nm=audio 9 RTP/AVP 0\r\n", E::NotSdp),
            ("v=0\r\nm=audio\r\n", E::NotSdp),
            ("v=0\r\nnonsense\r\n", E::NotSdp),
            ("v=0\r\nm=video 9 UDP/TLS/RTP/SAVPF 96\r\na=rtpmap:96 H264/90000\r\n", E::NoAudio),
        ] {
            assert_eq!(error(text), Some(expected), "{text}");
        }
        assert_eq!(error(&"m=audio 9 x 0\r\n".repeat(17)), Some(E::NotSdp));
        let many = format!("v=0\r\n{}", "m=audio 9 x 0\r\n".repeat(17));
        assert_eq!(error(&many), Some(E::TooManySections));
        for (from, to, expected) in [
            ("a=recvonly", "a=sendonly", E::NoAudio),
            ("m=audio 9 ", "m=audio 0 ", E::NoAudio),
            ("opus/48000/2", "PCMU/8000", E::NoOpus),
            ("111 63", "63", E::NoOpus),
            ("UDP/TLS/RTP/SAVPF", "RTP/AVP", E::NotDtlsSrtp),
            ("a=rtcp-mux\r\n", "", E::NoRtcpMux),
            ("a=ice-ufrag:9uB6\r\n", "", E::NoIce),
            ("9uB6", "9u", E::NoIce),
            ("9uB6", "9u B6", E::NoIce),
            ("YH75Fviy6338Vbrhrlp8Yh1o", "short", E::NoIce),
            ("sha-256", "sha-1", E::NoFingerprint),
            ("ee:ff", "ee", E::NoFingerprint),
            ("ee:ff", "ee:fg", E::NoFingerprint),
            ("actpass", "passive", E::WrongSetup),
            ("a=mid:0", "a=mid:a b", E::InvalidToken),
            ("a=mid:0", "a=mid:", E::InvalidToken),
        ] {
            assert_eq!(with(from, to), Some(expected), "{from} -> {to}");
        }
        let bundled = CHROMIUM.replace("m=audio 9 ", "m=audio 0 ") + "a=bundle-only\r\n";
        assert_eq!(error(&bundled), None);
    }
}
