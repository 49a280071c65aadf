//! Writes the answer to an offer (RFC 8866, RFC 8829).

use std::fmt::Write as _;
use std::net::SocketAddr;

use super::certificate::{Fingerprint, written};
use super::offer::{MediaSection, SdpOffer};

/// Priority of the first candidate: a host candidate of the highest preference (RFC 8445, section
/// 5.1.2.1).
const FIRST_PRIORITY: u32 = (126 << 24) | (65_535 << 8) | 255;

/// What an answer says besides what the offer said.
#[derive(Debug)]
pub(super) struct Answer<'a> {
    /// The offer.
    pub offer: &'a SdpOffer,
    /// A number for the session.
    pub session: u64,
    /// `ice-ufrag` of this session.
    pub ufrag: &'a str,
    /// `ice-pwd` of this session.
    pub password: &'a str,
    /// Fingerprint of the server's certificate.
    pub fingerprint: &'a Fingerprint,
    /// Where the server can be reached, the most likely first.
    pub candidates: &'a [SocketAddr],
    /// The sender of the RTP packets.
    pub ssrc: u32,
    /// The canonical name of the sender.
    pub cname: &'a str,
    /// Whether the stream has two channels.
    pub is_stereo: bool,
}

impl Answer<'_> {
    /// The text.
    pub(super) fn render(&self) -> String {
        let mut text = String::with_capacity(1024);
        // Writing to a string cannot fail.
        let _ = self.write(&mut text);
        text
    }

    fn write(&self, out: &mut String) -> std::fmt::Result {
        let Self { session, offer, .. } = self;
        write!(out, "v=0\r\no=- {session} 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n")?;
        if let Some(mid) = &offer.sections[offer.audio].mid {
            write!(out, "a=group:BUNDLE {mid}\r\n")?;
        }
        write!(out, "a=ice-lite\r\n")?;
        for (number, section) in offer.sections.iter().enumerate() {
            if number == offer.audio {
                self.write_audio(out, section)?;
            } else {
                let MediaSection { media, protocol, formats, .. } = section;
                write!(out, "m={media} 0 {protocol} {formats}\r\nc=IN IP4 0.0.0.0\r\n")?;
                write_mid(out, section)?;
                write!(out, "a=inactive\r\n")?;
            }
        }
        Ok(())
    }

    fn write_audio(&self, out: &mut String, section: &MediaSection) -> std::fmt::Result {
        let number = self.offer.payload_type;
        let unknown = SocketAddr::from(([0, 0, 0, 0], 9));
        let default = self.candidates.first().copied().unwrap_or(unknown);
        let family = if default.is_ipv4() { "IP4" } else { "IP6" };
        write!(
            out,
            "m=audio {} {} {number}\r\nc=IN {family} {}\r\n",
            default.port(),
            section.protocol,
            default.ip()
        )?;
        write_mid(out, section)?;
        write!(out, "a=sendonly\r\na=rtcp-mux\r\na=rtpmap:{number} opus/48000/2\r\n")?;
        let stereo = if self.is_stereo { ";stereo=1;sprop-stereo=1" } else { "" };
        write!(out, "a=fmtp:{number} minptime=10{stereo}\r\n")?;
        write!(out, "a=ice-ufrag:{}\r\na=ice-pwd:{}\r\n", self.ufrag, self.password)?;
        write!(out, "a=fingerprint:sha-256 {}\r\na=setup:passive\r\n", written(self.fingerprint))?;
        for (below, candidate) in (0u32..).zip(self.candidates) {
            // The preference among the candidates is the middle part of the priority.
            let priority = FIRST_PRIORITY.saturating_sub(below << 8);
            let (ip, port) = (candidate.ip(), candidate.port());
            write!(out, "a=candidate:1 1 udp {priority} {ip} {port} typ host\r\n")?;
        }
        let Self { ssrc, cname, .. } = self;
        write!(
            out,
            "a=end-of-candidates\r\na=msid:{cname} audio\r\na=ssrc:{ssrc} cname:{cname}\r\n"
        )
    }
}

fn write_mid(out: &mut String, section: &MediaSection) -> std::fmt::Result {
    section.mid.as_ref().map_or(Ok(()), |mid| write!(out, "a=mid:{mid}\r\n"))
}

#[cfg(test)]
mod tests {
    use super::super::offer::tests::CHROMIUM;
    use super::*;

    fn answer(offer: &SdpOffer, candidates: &[SocketAddr], is_stereo: bool) -> String {
        let (fingerprint, cname) = (&[0xab; 32], "0123456789abcdef");
        let (session, ufrag, password, ssrc) = (7, "abcd", "password", 9);
        Answer { offer, session, ufrag, password, fingerprint, candidates, ssrc, cname, is_stereo }
            .render()
    }

    #[test]
    fn the_answer_sends_opus_and_refuses_the_rest() {
        let video = "m=video 9 UDP/TLS/RTP/SAVPF 96 97\r\na=mid:v\r\na=recvonly\r\n";
        let offer =
            SdpOffer::parse(&CHROMIUM.replace("m=audio", &format!("{video}m=audio"))).unwrap();
        let candidates = ["192.0.2.1:8189", "[2001:db8::1]:8189"].map(|it| it.parse().unwrap());
        let text = answer(&offer, &candidates, true);
        let lines: Vec<_> = text.lines().collect();
        for line in [
            "a=group:BUNDLE 0",
            "m=video 0 UDP/TLS/RTP/SAVPF 96 97",
            "m=audio 8189 UDP/TLS/RTP/SAVPF 111",
            "c=IN IP4 192.0.2.1",
            "a=mid:v",
            "a=mid:0",
            "a=setup:passive",
            "a=candidate:1 1 udp 2130706431 192.0.2.1 8189 typ host",
            "a=candidate:1 1 udp 2130706175 2001:db8::1 8189 typ host",
            "a=fmtp:111 minptime=10;stereo=1;sprop-stereo=1",
        ] {
            assert!(lines.contains(&line), "{line} in\n{text}");
        }
        assert!(text.split("\r\n").all(|line| !line.contains('\n')), "every line ends with CRLF");
        let video = lines.iter().position(|line| line.starts_with("m=video"));
        let audio = lines.iter().position(|line| line.starts_with("m=audio"));
        assert!(video < audio, "the order of the offer");
        assert!(!answer(&offer, &candidates, false).contains("stereo"));
    }
}
