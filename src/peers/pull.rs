//! Pulls one mount from another server: makes the connection, and hands it to the data plane as a source.

use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::backoff::Backoff;
use super::client::{Identity, RequestError, get_late};
use super::directory::{PeerEntry, PeerState};
use super::handed_over::HandedOver;
use super::settings::RelaySettings;
use super::shared::Shared;
use crate::http::{own_via_name, via_names};
use crate::mount::{Description, Name, Offer};
use crate::source::{ResponseTiming, SourceConnection};
use crate::text::sanitize;
use crate::worker::Handoff;

/// How often it is looked whether another source still sends to the mount.
const OCCUPIED_INTERVAL: Duration = Duration::from_secs(5);

/// The longest delay after a failure while a listener waits.
const LONGEST_DELAY_ON_DEMAND: Duration = Duration::from_secs(2);
/// How much longer a server may take to answer that waits for a source itself.
const HELD_BACK: Duration = Duration::from_secs(20);

/// Why a mount is not pulled at the moment.
#[derive(Debug, thiserror::Error)]
enum PullError {
    #[error(transparent)]
    Request(#[from] RequestError),
    #[error(
        "the stream would come back to where it began: it has come through this server already"
    )]
    Loop,
    #[error("another source sends to this mount")]
    Occupied,
    #[error("all mounts are in use (limits.sources)")]
    NoRoom,
    #[error("the server is busy")]
    Busy,
    /// After a connection; why this server has ended it.
    #[error("{}", .0.as_deref().unwrap_or("the stream has ended"))]
    Ended(Option<String>),
}

/// Pulls a mount as long as the task runs. With `offer`, only while somebody wants it.
pub(super) async fn pull(
    shared: Rc<Shared>,
    relay: Rc<RelaySettings>,
    (remote, local): (Name, Name),
    offer: Option<Arc<Offer>>,
    entry: Rc<PeerEntry>,
) {
    let mut backoff = Backoff::default();
    loop {
        if offer.is_some() {
            if !shared.table.demand(&local, relay.linger).is_wanted() {
                entry.set(PeerState::Idle);
            }
            let is_wanted = || shared.table.demand(&local, relay.linger).listeners > 0;
            shared.table.until(is_wanted).await;
        }
        entry.set(PeerState::Connecting);
        let began = Instant::now();
        let error = match connect(&shared, &relay, &remote, &local).await {
            Ok(mut pulled) => {
                entry.connected();
                tokio::select! {
                    reason = pulled.ended() => PullError::Ended(reason),
                    // It must make room for one whose source has no place.
                    () = shared.table.until(|| shared.table.is_retired(&local)) => PullError::NoRoom,
                    () = unwanted(&shared, &local, &relay), if offer.is_some() => {
                        drop(pulled);
                        continue;
                    }
                }
            }
            Err(error) => error,
        };
        let has_lasted = matches!(error, PullError::Ended(_));
        let lasted = if has_lasted { began.elapsed() } else { Duration::ZERO };
        let delay = match error {
            PullError::Occupied => OCCUPIED_INTERVAL,
            // Somebody waits.
            _ if offer.is_some() => backoff.next(lasted).min(LONGEST_DELAY_ON_DEMAND),
            _ => backoff.next(lasted),
        };
        entry.fail(&error.to_string(), delay);
        sleep(delay).await;
    }
}

async fn connect(
    shared: &Shared,
    relay: &RelaySettings,
    remote: &Name,
    local: &Name,
) -> Result<HandedOver, PullError> {
    if is_occupied(shared, local) {
        return Err(PullError::Occupied);
    }
    let identity = Identity { login: relay.login.as_ref(), token: relay.token.as_ref() };
    let response = get_late(&relay.from, remote.as_str(), "", identity, HELD_BACK).await?;
    response.expect_type(&["audio/", "application/", "video/"], "Ogg")?;
    let via = via_names(response.fields("via"));
    if via.iter().any(|name| name == own_via_name()) {
        return Err(PullError::Loop);
    }
    let field = |names: &[&str]| {
        let mut values = names.iter().filter_map(|name| response.field(name)).map(sanitize);
        values.find(|value| !value.is_empty())
    };
    let peer = response.socket.peer_addr().map_err(RequestError::from)?;
    let server = response.field("server").map(sanitize).unwrap_or_default();
    let description = Description {
        name: field(&["ice-name", "icy-name"]),
        description: field(&["ice-description", "icy-description"]),
        genre: field(&["ice-genre", "icy-genre"]),
        url: field(&["ice-url", "icy-url"]),
        bitrate: field(&["ice-bitrate", "icy-br"]).and_then(|rate| rate.parse().ok()),
        public: field(&["ice-public", "icy-pub"]).as_deref() == Some("1"),
        audio_info: field(&["ice-audio-info"]),
        agent: Some(server).filter(|server| !server.is_empty()),
        address: Some(peer.ip()),
        relayed_from: Some(format!("{}{remote}", relay.from)),
        via,
    };
    let settings = shared.settings.load_full();
    // Looked at again: another source may have come while this one was connected.
    if is_occupied(shared, local) {
        return Err(PullError::Occupied);
    }
    let reservation =
        shared.table.reserve_free(local, settings.limits.sources, || settings.rules.of(local));
    let reservation = reservation.map_err(|_| PullError::NoRoom)?;
    shared.table.stats().sources.add(1);
    let (body, read) = (response.framing, response.read);
    let socket = response.socket.into_std().map_err(RequestError::from)?;
    let (handed_over, on_end) = HandedOver::new(&socket).map_err(RequestError::from)?;
    let source = SourceConnection {
        socket,
        read,
        body,
        timing: ResponseTiming::Never,
        description,
        peer,
        permit: None,
        on_end: Some(on_end),
    };
    let handoff = Handoff::Source(Box::new(source), reservation);
    shared.workers.send(handoff).map_err(|_| PullError::Busy)?;
    Ok(handed_over)
}

/// Whether a source is connected to the mount that is not pulled: the mount belongs to that one, also
/// while it pauses.
fn is_occupied(shared: &Shared, local: &Name) -> bool {
    let Some(entry) = shared.table.find_in_use(local) else { return false };
    // Without a stream, a source has just connected.
    entry
        .stream()
        .is_none_or(|stream| !entry.is_held() && stream.source.description.relayed_from.is_none())
}

/// Resolves when nobody has wanted the mount for the time that it lingers.
async fn unwanted(shared: &Shared, local: &Name, relay: &RelaySettings) {
    let mut changes = shared.table.changes();
    loop {
        let demand = shared.table.demand(local, relay.linger);
        if !demand.is_wanted() {
            return;
        }
        let ends = async {
            if demand.listeners > 0 {
                std::future::pending::<()>().await;
            }
            sleep(demand.lingers).await;
        };
        tokio::select! {
            _ = changes.changed() => {}
            () = ends => {}
        }
    }
}
