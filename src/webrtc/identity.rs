//! The names and the secrets of a session, all of them random.

use std::fmt;
use std::str::FromStr;

use super::rtp::CNAME;

/// What a session is called in the path of its resource. Who knows it may end the session.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SessionId(u128);

/// The text is not the name of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotASession;

/// The names and secrets of a session.
#[derive(Debug)]
pub struct SessionIdentity {
    /// Its name in the path of its resource.
    pub id: SessionId,
    /// `ice-ufrag`, by which checks find their session.
    pub ufrag: String,
    /// `ice-pwd`.
    pub password: String,
    /// The sender of the RTP packets.
    pub ssrc: u32,
    /// The canonical name of the sender.
    pub cname: [u8; CNAME],
    /// Sequence number of the first packet.
    pub first_sequence: u16,
    /// What is added to times.
    pub time_offset: u32,
}

impl SessionIdentity {
    /// A new identity.
    ///
    /// # Errors
    /// The system's error if it has no random numbers.
    pub fn random() -> Result<Self, getrandom::Error> {
        let mut random = [0; 16];
        let mut number = || {
            getrandom::fill(&mut random)?;
            Ok(u128::from_be_bytes(random))
        };
        let (id, password, numbers, names) = (number()?, number()?, number()?, number()?);
        let mut cname = [0; CNAME];
        cname.copy_from_slice(format!("{:016x}", names as u64).as_bytes());
        Ok(Self {
            id: SessionId(id),
            ufrag: format!("{:08x}", (names >> 64) as u32),
            password: format!("{password:032x}"),
            ssrc: numbers as u32,
            cname,
            // In the lower half, so that the receiver knows which packets precede the first one it
            // gets (RFC 3711, section 3.3.1).
            first_sequence: (numbers >> 32) as u16 >> 1,
            time_offset: (numbers >> 64) as u32,
        })
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // It is a secret.
        f.write_str("SessionId")
    }
}

impl FromStr for SessionId {
    type Err = NotASession;

    fn from_str(text: &str) -> Result<Self, NotASession> {
        let is_written_so = |byte: u8| byte.is_ascii_digit() || matches!(byte, b'a'..=b'f');
        if text.len() != 32 || !text.bytes().all(is_written_so) {
            return Err(NotASession);
        }
        u128::from_str_radix(text, 16).map(Self).map_err(|_| NotASession)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_id_is_read_as_it_is_written() {
        let id = SessionIdentity::random().unwrap().id;
        assert_eq!(id.to_string().parse(), Ok(id));
        for text in ["", "0", &"0".repeat(33), &"A".repeat(32), &format!("+{}", "0".repeat(31))] {
            assert_eq!(text.parse::<SessionId>(), Err(NotASession), "{text}");
        }
    }
}
