//! Who may listen to a mount.

use std::net::IpAddr;
use std::time::SystemTime;

use ipnet::IpNet;

use super::{Link, LinkError, MAX_PASSWORD, PasswordHashes, Secret};

/// Whom a mount is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AccessMode {
    /// Everybody.
    #[default]
    Public,
    /// Users of the listeners file.
    Password,
    /// Whoever has one of the tokens.
    Token,
    /// Nobody.
    Closed,
}

/// The rules of one mount.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    /// Whom it is for.
    pub mode: AccessMode,
    /// The users that may listen.
    pub listeners: PasswordHashes,
    /// The tokens that open it.
    pub tokens: Vec<Token>,
    /// Networks that may listen; empty for all.
    pub allow: Vec<IpNet>,
    /// Networks that may not, whatever else holds.
    pub deny: Vec<IpNet>,
}

/// Opens mounts to whoever says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// Whose it is.
    pub name: String,
    /// What is said.
    pub token: Secret,
}

/// What a request offers to be let in.
#[derive(Clone, Debug, Default)]
pub struct PresentedCredentials<'o> {
    /// User and password.
    pub login: Option<(String, String)>,
    /// A token.
    pub token: Option<&'o str>,
    /// A link that was handed on.
    pub link: Option<Link>,
}

/// What becomes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Come in.
    Welcome,
    /// Come in if this password has this hash.
    If {
        /// The password.
        password: Secret,
        /// bcrypt's hash of what it should be.
        hash: String,
        /// There is such a user; else it takes as long, and the answer is no.
        known: bool,
    },
    /// A password is needed.
    AskPassword,
    /// That password or user is wrong.
    WrongPassword,
    /// bcrypt would look at the beginning of that password only.
    LongPassword,
    /// A token is needed.
    AskToken,
    /// That token is wrong.
    WrongToken,
    /// The link is no good.
    BadLink(LinkError),
    /// Not for this address.
    Elsewhere,
    /// For nobody.
    Closed,
}

impl AccessMode {
    /// As the configuration and the API write it.
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
    /// What its users and tokens take of memory, in bytes.
    pub fn memory(&self) -> usize {
        // A name and a hash, their heads, and a place in a table that may be half empty.
        const USER: usize = 512;
        self.listeners.len().saturating_add(self.tokens.len()).saturating_mul(USER)
    }

    /// Whether a network may listen at all.
    pub fn admits(&self, address: IpAddr) -> bool {
        admits(&self.allow, &self.deny, address)
    }

    /// The credential that [`Self::decide`] would compare, as text that no other one has; `None` if
    /// it would compare none.
    pub fn credential(&self, mount: &str, presented: &PresentedCredentials<'_>) -> Option<String> {
        if matches!(self.mode, AccessMode::Public | AccessMode::Closed) {
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

    /// Decides about one request for the mount of this name.
    pub fn decide(
        &self,
        mount: &str,
        address: IpAddr,
        presented: &PresentedCredentials<'_>,
        key: Option<&Secret>,
        now: SystemTime,
    ) -> Verdict {
        if !self.admits(address) {
            return Verdict::Elsewhere;
        }
        match self.mode {
            AccessMode::Closed => return Verdict::Closed,
            AccessMode::Public => return Verdict::Welcome,
            AccessMode::Password | AccessMode::Token => {}
        }
        if let Some(link) = &presented.link {
            return match link.verify(mount, key, now) {
                Ok(()) => Verdict::Welcome,
                Err(error) => Verdict::BadLink(error),
            };
        }
        if self.mode == AccessMode::Token {
            let Some(said) = presented.token else { return Verdict::AskToken };
            // All are looked at, so that time does not tell which one was nearly right.
            let known = self.tokens.iter().fold(false, |known, token| known | token.token.is(said));
            return if known { Verdict::Welcome } else { Verdict::WrongToken };
        }
        let Some((user, password)) = &presented.login else { return Verdict::AskPassword };
        if password.len() > MAX_PASSWORD {
            return Verdict::LongPassword;
        }
        let (hash, known) = (self.listeners.of(user), self.listeners.of(user).is_some());
        match hash.or_else(|| self.listeners.any()) {
            Some(hash) => {
                Verdict::If { password: Secret::new(&**password), hash: hash.to_owned(), known }
            }
            None => Verdict::WrongPassword,
        }
    }
}

/// Whether an address may come in: in none of the networks that may not, and in one of those that may,
/// where there are any.
pub fn admits(allow: &[IpNet], deny: &[IpNet], address: IpAddr) -> bool {
    let address = address.to_canonical();
    let within = |networks: &[IpNet]| networks.iter().any(|network| network.contains(&address));
    !within(deny) && (allow.is_empty() || within(allow))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(100, 64, 0, 7));
    const THERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

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
        access.decide("/m", HERE, presented, Some(&Secret::new("key")), SystemTime::UNIX_EPOCH)
    }

    #[test]
    fn each_kind_asks_for_its_own() {
        let nothing = PresentedCredentials::default();
        let token =
            |token| PresentedCredentials { token: Some(token), ..PresentedCredentials::default() };
        let login = |user: &str| PresentedCredentials {
            login: Some((user.into(), "pw".into())),
            ..PresentedCredentials::default()
        };
        assert_eq!(decide(&access(AccessMode::Public), &nothing), Verdict::Welcome);
        assert_eq!(decide(&access(AccessMode::Closed), &token("geheim")), Verdict::Closed);
        assert_eq!(decide(&access(AccessMode::Token), &nothing), Verdict::AskToken);
        assert_eq!(decide(&access(AccessMode::Token), &login("anna")), Verdict::AskToken);
        assert_eq!(decide(&access(AccessMode::Token), &token("geheim")), Verdict::Welcome);
        assert_eq!(decide(&access(AccessMode::Token), &token("geheimer")), Verdict::WrongToken);
        assert_eq!(decide(&access(AccessMode::Password), &nothing), Verdict::AskPassword);
        assert_eq!(decide(&access(AccessMode::Password), &token("geheim")), Verdict::AskPassword);
        let known = |user| match decide(&access(AccessMode::Password), &login(user)) {
            Verdict::If { known, .. } => known,
            verdict => panic!("{verdict:?}"),
        };
        assert!(known("anna") && !known("nobody"));
    }

    #[test]
    fn a_password_is_compared_whole_or_not_at_all() {
        let login = |length| PresentedCredentials {
            login: Some(("anna".into(), "x".repeat(length))),
            ..PresentedCredentials::default()
        };
        let access = access(AccessMode::Password);
        assert!(matches!(decide(&access, &login(72)), Verdict::If { .. }));
        assert_eq!(decide(&access, &login(73)), Verdict::LongPassword);
    }

    #[test]
    fn what_is_compared_is_named_before_it_is() {
        let link = Link::sign("/m", SystemTime::UNIX_EPOCH, &Secret::new("key"));
        let all = PresentedCredentials {
            login: Some(("anna".into(), "pw".into())),
            token: Some("geheim"),
            link: Some(link.clone()),
        };
        let without_link = PresentedCredentials { link: None, ..all.clone() };
        let named = |mode, presented| access(mode).credential("/m", presented);
        assert_eq!(named(AccessMode::Public, &all), None);
        assert_eq!(named(AccessMode::Closed, &all), None);
        assert_eq!(named(AccessMode::Token, &all), Some(format!("link /m?{}", link.query())));
        assert_eq!(named(AccessMode::Token, &without_link).as_deref(), Some("token geheim"));
        assert_eq!(named(AccessMode::Password, &without_link).as_deref(), Some("login anna:pw"));
        assert_eq!(named(AccessMode::Password, &PresentedCredentials::default()), None);
    }

    #[test]
    fn networks_come_before_everything_and_deny_before_allow() {
        let nets = |text: &str| vec![text.parse::<IpNet>().unwrap()];
        let mut access = access(AccessMode::Public);
        access.allow = nets("100.64.0.0/10");
        assert_eq!(decide(&access, &PresentedCredentials::default()), Verdict::Welcome);
        assert!(!access.admits(THERE) && access.admits("::ffff:100.64.0.1".parse().unwrap()));
        access.deny = nets("100.64.0.7/32");
        assert_eq!(decide(&access, &PresentedCredentials::default()), Verdict::Elsewhere);
        access.allow.clear();
        assert!(access.admits(THERE) && !access.admits(HERE));
    }

    #[test]
    fn a_link_opens_what_it_is_for_and_while_it_lasts() {
        let key = Secret::new("key");
        let link = Link::sign("/m", SystemTime::UNIX_EPOCH + Duration::from_secs(10), &key);
        let presented =
            PresentedCredentials { link: Some(link), ..PresentedCredentials::default() };
        assert_eq!(decide(&access(AccessMode::Token), &presented), Verdict::Welcome);
        assert_eq!(decide(&access(AccessMode::Password), &presented), Verdict::Welcome);
        assert_eq!(decide(&access(AccessMode::Closed), &presented), Verdict::Closed);
        let later = SystemTime::UNIX_EPOCH + Duration::from_secs(10);
        let late = access(AccessMode::Token).decide("/m", HERE, &presented, Some(&key), later);
        assert_eq!(late, Verdict::BadLink(LinkError::Expired));
    }
}
