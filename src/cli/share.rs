//! `silvacast share`: prints links that open one mount for a limited time, as a page, a stream and a playlist.

use std::time::{Duration, SystemTime};

use super::{Exit, ShareArgs, load, print};
use crate::auth::{AccessMode, Link};
use crate::config::{Config, Environment};
use crate::http::encoded_path;
use crate::mount::Name;
use crate::units;

/// The longest validity of a link.
const MAX_LINK_DURATION: Duration = Duration::from_hours(24 * 366);

/// Signs a link with the configuration's key and prints its forms.
pub(super) fn run(args: &ShareArgs) -> Result<(), Exit> {
    let config = load(&args.config, &Environment::of_process())?;
    let key = config.door.share_key.as_ref().ok_or_else(|| {
        Exit::Invalid(
            "the configuration has no key to sign with; give [auth] share_key_file = \
             \"/etc/silvacast/share-key\", 32 characters or more"
                .into(),
        )
    })?;
    let mount = Name::new(&args.mount).map_err(|error| {
        Exit::Invalid(format!("--mount {} is not allowed: {error}", args.mount))
    })?;
    let invalid = |reason: &str| {
        let range = "it takes a duration from 1s to 8784h";
        Exit::Invalid(format!("--for {} is not allowed{reason}; {range}", args.time))
    };
    let time = units::duration(&args.time).map_err(|error| invalid(&format!(": {error}")))?;
    if !(Duration::from_secs(1)..=MAX_LINK_DURATION).contains(&time) {
        return Err(invalid(""));
    }
    let link = Link::sign(mount.as_str(), SystemTime::now() + time, key);
    let base = args.url.clone().unwrap_or_else(|| {
        let port = config.listen.first().map_or(0, std::net::SocketAddr::port);
        format!("http://{}:{port}{}", config.control.hostname, config.door.prefix)
    });
    if let Some(warning) = warning(&config, &mount) {
        eprintln!("silvacast: {mount} {warning}", mount = mount.as_str());
    }
    let (base, query) = (base.trim_end_matches('/'), link.query());
    let path = encoded_path(mount.as_str());
    print(&format!(
        "page      {base}/?mount={path}&{query}\n\
         stream    {base}{path}?{query}\n\
         playlist  {base}{path}.m3u?{query}"
    ));
    Ok(())
}

/// What is probably not meant about a link to this mount.
fn warning(config: &Config, mount: &Name) -> Option<&'static str> {
    let rules = &config.door.rules;
    match rules.of(mount).access.mode {
        AccessMode::Public => Some("is open to everybody, also without this link"),
        AccessMode::Closed => Some("is closed to listeners, and no link opens it"),
        AccessMode::Password | AccessMode::Token if !rules.has_rule_for(mount) => {
            Some("is not in the configuration: look for a spelling mistake")
        }
        AccessMode::Password | AccessMode::Token => None,
    }
}
