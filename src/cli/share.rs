//! `silvacast share`: prints links that open one mount for a limited time, as a page, a stream and a playlist.

use std::time::SystemTime;

use super::{Exit, ShareArgs, load, print};
use crate::auth::{Link, LinkUrls};
use crate::config::Environment;
use crate::mount::Name;
use crate::units;

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
    if !Link::may_last(time) {
        return Err(invalid(""));
    }
    let link = Link::sign(mount.as_str(), SystemTime::now() + time, key);
    let base = args.url.clone().unwrap_or_else(|| {
        let port = config.listen.first().map_or(0, std::net::SocketAddr::port);
        format!("http://{}:{port}{}", config.control.hostname, config.door.prefix)
    });
    if let Some(doubt) = config.door.rules.doubt_about_link(&mount) {
        eprintln!("silvacast: {} {doubt}", mount.as_str());
    }
    let LinkUrls { page, stream, playlist } = link.urls(&base, mount.as_str());
    print(&format!("page      {page}\nstream    {stream}\nplaylist  {playlist}"));
    Ok(())
}
