//! Who may listen to a mount.

use std::net::IpAddr;
use std::time::SystemTime;

use ipnet::IpNet;

use super::{Link, LinkError, MAX_PASSWORD, PasswordHashes, Secret};

/// What a listener must present to be admitted to a mount.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AccessMode {
    /// Nothing.
    #[default]
    Public,
    /// User and password from the listeners file, or a link.
    Password,
    /// One of the tokens, or a link.
    Token,
    /// No listener is admitted.
    Closed,
}

/// The access rules of one mount.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    /// What a listener must present.
    pub mode: AccessMode,
    /// The users that may listen, for [`AccessMode::Password`].
    pub listeners: PasswordHashes,
    /// The tokens that open the mount, for [`AccessMode::Token`].
    pub tokens: Vec<Token>,
    /// Networks that may listen; empty for all.
    pub allow: Vec<IpNet>,
    /// Networks that may not listen. They take precedence over `allow`.
    pub deny: Vec<IpNet>,
}

/// A bearer token that opens a mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// The name that the configuration gives it.
    pub name: String,
    /// The token itself.
    pub token: Secret,
}

/// The credentials that a request presents.
#[derive(Clone, Debug, Default)]
pub struct PresentedCredentials<'o> {
    /// User and password.
    pub login: Option<(String, String)>,
    /// A token.
    pub token: Option<&'o str>,
    /// A link made by `silvacast share`.
    pub link: Option<Link>,
    /// Whether it is another server, which may relay all mounts and has logged in.
    pub is_relay: bool,
}

/// The decision about a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Admitted.
    Admit,
    /// Admitted if `known` is true and the password has this hash. Check the hash in both cases, so
    /// that the time does not reveal whether the user exists.
    CheckHash {
        /// The password that was presented.
        password: Secret,
        /// A bcrypt hash: the user's, or that of another user if `known` is false.
        hash: String,
        /// Whether the user exists.
        known: bool,
    },
    /// A password is required.
    AskPassword,
    /// The user or the password is wrong.
    WrongPassword,
    /// The password is longer than [`MAX_PASSWORD`], so bcrypt would compare only its beginning.
    LongPassword,
    /// A token is required.
    AskToken,
    /// The token is wrong.
    WrongToken,
    /// The link is not valid.
    BadLink(LinkError),
    /// Addresses like this one may not listen.
    WrongNetwork,
    /// The mount admits no listeners.
    Closed,
}

impl AccessMode {
    /// The name in the configuration and in the API.
    pub fn name(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Password => "password",
            Self::Token => "token",
            Self::Closed => "closed",
        }
    }
}

impl Access {
    /// Memory of the users and tokens, in bytes.
    pub fn memory(&self) -> usize {
        // Name, hash, two `String`s, and an entry of a hash table that may be half empty.
        const USER: usize = 512;
        self.listeners.len().saturating_add(self.tokens.len()).saturating_mul(USER)
    }

    /// Whether clients with this address may listen.
    pub fn admits(&self, address: IpAddr) -> bool {
        admits(&self.allow, &self.deny, address)
    }

    /// The credential that [`Self::decide`] will compare, as a string that is different for each
    /// credential; `None` if it will compare none.
    pub fn credential(&self, mount: &str, presented: &PresentedCredentials<'_>) -> Option<String> {
        if matches!(self.mode, AccessMode::Public | AccessMode::Closed) || presented.is_relay {
            return None;
        }
        if let Some(link) = &presented.link {
            return Some(format!("link {mount}?{}", link.query()));
        }
        match self.mode {
            AccessMode::Token => presented.token.map(|token| format!("token {token}")),
            _ => {
                presented.login.as_ref().map(|(user, password)| format!("login {user}:{password}"))
            }
        }
    }

    /// Decides about a request for the mount of this name. `key` is the key of links, and `now` the
    /// time at which they must be valid.
    pub fn decide(
        &self,
        mount: &str,
        address: IpAddr,
        presented: &PresentedCredentials<'_>,
        key: Option<&Secret>,
        now: SystemTime,
    ) -> Verdict {
        if !self.admits(address) {
            return Verdict::WrongNetwork;
        }
        match self.mode {
            AccessMode::Closed => return Verdict::Closed,
            AccessMode::Public => return Verdict::Admit,
            _ if presented.is_relay => return Verdict::Admit,
            AccessMode::Password | AccessMode::Token => {}
        }
        if let Some(link) = &presented.link {
            return match link.verify(mount, key, now) {
                Ok(()) => Verdict::Admit,
                Err(error) => Verdict::BadLink(error),
            };
        }
        if self.mode == AccessMode::Token {
            let Some(presented) = presented.token else { return Verdict::AskToken };
            // Compare with all tokens, so that the time does not reveal which one matched.
            let known =
                self.tokens.iter().fold(false, |known, token| known | token.token.is(presented));
            return if known { Verdict::Admit } else { Verdict::WrongToken };
        }
        let Some((user, password)) = &presented.login else { return Verdict::AskPassword };
        if password.len() > MAX_PASSWORD {
            return Verdict::LongPassword;
        }
        let (hash, known) = (self.listeners.of(user), self.listeners.of(user).is_some());
        match hash.or_else(|| self.listeners.any()) {
            Some(hash) => Verdict::CheckHash {
                password: Secret::new(&**password),
                hash: hash.to_owned(),
                known,
            },
            None => Verdict::WrongPassword,
        }
    }
}

/// Whether an address is admitted: it is in no network of `deny`, and `allow` is empty or has a
/// network that contains the address.
pub fn admits(allow: &[IpNet], deny: &[IpNet], address: IpAddr) -> bool {
    let address = address.to_canonical();
    let within = |networks: &[IpNet]| networks.iter().any(|network| network.contains(&address));
    !within(deny) && (allow.is_empty() || within(allow))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const CLIENT: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(100, 64, 0, 7));
    const OTHER_CLIENT: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

    fn access(mode: AccessMode) -> Access {
        Access {
            mode,
            listeners: PasswordHashes::parse(
                "anna:$2y$04$abcdefghijklmnopqrstuuE0ZGDnPsTRKVpnTq5lBZDsqhYVPiGkm\n",
            )
            .unwrap(),
            tokens: vec![Token { name: "web".into(), token: Secret::new("geheim") }],
            ..Access::default()
        }
    }

    fn decide(access: &Access, presented: &PresentedCredentials<'_>) -> Verdict {
        access.decide("/m", CLIENT, presented, Some(&Secret::new("key")), SystemTime::UNIX_EPOCH)
    }

    #[test]
    fn each_mode_asks_for_its_own_credential() {
        let nothing = PresentedCredentials::default();
        let token =
            |token| PresentedCredentials { token: Some(token), ..PresentedCredentials::default() };
        let login = |user: &str| PresentedCredentials {
            login: Some((user.into(), "pw".into())),
            ..PresentedCredentials::default()
        };
        assert_eq!(decide(&access(AccessMode::Public), &nothing), Verdict::Admit);
        assert_eq!(decide(&access(AccessMode::Closed), &token("geheim")), Verdict::Closed);
        assert_eq!(decide(&access(AccessMode::Token), &nothing), Verdict::AskToken);
        assert_eq!(decide(&access(AccessMode::Token), &login("anna")), Verdict::AskToken);
        assert_eq!(decide(&access(AccessMode::Token), &token("geheim")), Verdict::Admit);
        assert_eq!(decide(&access(AccessMode::Token), &token("geheimer")), Verdict::WrongToken);
        assert_eq!(decide(&access(AccessMode::Password), &nothing), Verdict::AskPassword);
        assert_eq!(decide(&access(AccessMode::Password), &token("geheim")), Verdict::AskPassword);
        let known = |user| match decide(&access(AccessMode::Password), &login(user)) {
            Verdict::CheckHash { known, .. } => known,
            verdict => panic!("{verdict:?}"),
        };
        assert!(known("anna") && !known("nobody"));
    }

    #[test]
    fn a_password_that_bcrypt_would_truncate_is_refused() {
        let login = |length| PresentedCredentials {
            login: Some(("anna".into(), "x".repeat(length))),
            ..PresentedCredentials::default()
        };
        let access = access(AccessMode::Password);
        assert!(matches!(decide(&access, &login(72)), Verdict::CheckHash { .. }));
        assert_eq!(decide(&access, &login(73)), Verdict::LongPassword);
    }

    #[test]
    fn credential_returns_what_decide_compares() {
        let link = Link::sign("/m", SystemTime::UNIX_EPOCH, &Secret::new("key"));
        let all = PresentedCredentials {
            login: Some(("anna".into(), "pw".into())),
            token: Some("geheim"),
            link: Some(link.clone()),
            is_relay: false,
        };
        let without_link = PresentedCredentials { link: None, ..all.clone() };
        let credential = |mode, presented| access(mode).credential("/m", presented);
        assert_eq!(credential(AccessMode::Public, &all), None);
        assert_eq!(credential(AccessMode::Closed, &all), None);
        assert_eq!(credential(AccessMode::Token, &all), Some(format!("link /m?{}", link.query())));
        assert_eq!(credential(AccessMode::Token, &without_link).as_deref(), Some("token geheim"));
        assert_eq!(
            credential(AccessMode::Password, &without_link).as_deref(),
            Some("login anna:pw")
        );
        assert_eq!(credential(AccessMode::Password, &PresentedCredentials::default()), None);
    }

    #[test]
    fn networks_take_precedence_over_the_mode_and_deny_over_allow() {
        let nets = |text: &str| vec![text.parse::<IpNet>().unwrap()];
        let mut access = access(AccessMode::Public);
        access.allow = nets("100.64.0.0/10");
        assert_eq!(decide(&access, &PresentedCredentials::default()), Verdict::Admit);
        assert!(
            !access.admits(OTHER_CLIENT) && access.admits("::ffff:100.64.0.1".parse().unwrap())
        );
        access.deny = nets("100.64.0.7/32");
        assert_eq!(decide(&access, &PresentedCredentials::default()), Verdict::WrongNetwork);
        access.allow.clear();
        assert!(access.admits(OTHER_CLIENT) && !access.admits(CLIENT));
    }

    #[test]
    fn a_link_opens_its_mount_until_it_expires() {
        let key = Secret::new("key");
        let link = Link::sign("/m", SystemTime::UNIX_EPOCH + Duration::from_secs(10), &key);
        let presented =
            PresentedCredentials { link: Some(link), ..PresentedCredentials::default() };
        assert_eq!(decide(&access(AccessMode::Token), &presented), Verdict::Admit);
        assert_eq!(decide(&access(AccessMode::Password), &presented), Verdict::Admit);
        assert_eq!(decide(&access(AccessMode::Closed), &presented), Verdict::Closed);
        let relay = PresentedCredentials { is_relay: true, ..PresentedCredentials::default() };
        assert_eq!(decide(&access(AccessMode::Token), &relay), Verdict::Admit);
        assert_eq!(decide(&access(AccessMode::Closed), &relay), Verdict::Closed);
        let later = SystemTime::UNIX_EPOCH + Duration::from_secs(10);
        let late = access(AccessMode::Token).decide("/m", CLIENT, &presented, Some(&key), later);
        assert_eq!(late, Verdict::BadLink(LinkError::Expired));
    }
}
