//! Pushes one mount to another server: makes the connection, and hands it to the data plane as a
//! listener. So it is written to without waiting, and what the link cannot carry is left out.

use std::fmt::Write;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::backoff::Backoff;
use super::chunked::in_chunks;
use super::client::{RequestError, Upload, begin_upload};
use super::directory::{PeerEntry, PeerState};
use super::handed_over::HandedOver;
use super::remote_demand::{DemandError, LEAST_INTERVAL, RemoteDemand};
use super::settings::{ForwardSettings, When};
use super::shared::Shared;
use crate::http::via_value;
use crate::listener::{Amount, Delivery, ListenerConnection, ListenerSession, ResponseHead};
use crate::mount::{ListenerInfo, ListenerProtocol, MountEntry, Name, StreamInfo};
use crate::tcp::SocketOptions;
use crate::worker::Handoff;

/// Why a mount is not pushed at the moment.
#[derive(Debug, thiserror::Error)]
enum ForwardError {
    #[error(transparent)]
    Request(#[from] RequestError),
    #[error("{}; set when = \"always\"", DemandError::Unknown)]
    NoDemand,
    #[error("the limit of listeners is reached, and this is one")]
    Full,
    #[error("the mount has no stream any more")]
    Gone,
    #[error("the server is busy")]
    Busy,
    /// After a connection; why this server has ended it.
    #[error("{}", .0.as_deref().unwrap_or("the server ended the connection"))]
    Ended(Option<String>),
}

impl From<DemandError> for ForwardError {
    fn from(error: DemandError) -> Self {
        match error {
            DemandError::Request(error) => Self::Request(error),
            DemandError::Unknown => Self::NoDemand,
        }
    }
}

/// Pushes a mount as long as the task runs.
pub(super) async fn push(
    shared: Rc<Shared>,
    forward: Rc<ForwardSettings>,
    (local, remote): (Name, Name),
    entry: PeerEntry,
) {
    let (mut backoff, mut upload) = (Backoff::default(), Upload::Put);
    loop {
        entry.set(PeerState::Idle);
        shared.table.until(|| shared.table.find(&local).is_some()).await;
        let began = Instant::now();
        let outcome = async {
            if forward.when == When::Wanted {
                RemoteDemand::of(&forward, &remote).becomes(true).await?;
                backoff = Backoff::default();
            }
            entry.set(PeerState::Connecting);
            connect(&shared, &forward, (&local, &remote), &mut upload).await
        };
        let error = match outcome.await {
            Ok(mut pushed) => {
                entry.connected();
                let unwanted = async {
                    if forward.when == When::Always {
                        std::future::pending::<()>().await;
                    }
                    RemoteDemand::of(&forward, &remote).ends().await;
                };
                tokio::select! {
                    reason = pushed.ended() => ForwardError::Ended(reason),
                    () = unwanted => {
                        drop(pushed);
                        backoff = Backoff::default();
                        // For a server that contradicts itself.
                        sleep(LEAST_INTERVAL.saturating_sub(began.elapsed())).await;
                        continue;
                    }
                }
            }
            Err(error) => error,
        };
        let has_lasted = matches!(error, ForwardError::Ended(_));
        if has_lasted && shared.table.find(&local).is_none() {
            // The stream has ended here.
            continue;
        }
        let lasted = if has_lasted { began.elapsed() } else { Duration::ZERO };
        let delay = backoff.next(lasted);
        entry.fail(&error.to_string(), delay);
        sleep(delay).await;
    }
}

async fn connect(
    shared: &Shared,
    forward: &ForwardSettings,
    (local, remote): (&Name, &Name),
    upload: &mut Upload,
) -> Result<HandedOver, ForwardError> {
    let find = || {
        let mount = shared.table.find(local)?;
        let stream = mount.stream()?;
        Some((mount, stream))
    };
    let (mount, stream) = find().ok_or(ForwardError::Gone)?;
    let fields = upload_fields(&mount, &stream);
    // Not held while waiting: it would count against `limits.sources`.
    drop((mount, stream));
    let response = loop {
        let begun = begin_upload(&forward.to, *upload, remote.as_str(), &forward.login, &fields);
        match (begun.await, upload.next()) {
            // It does not know the method, or takes the body for empty.
            (Err(RequestError::Refused(400 | 405 | 501, _)), Some(next)) => *upload = next,
            (Err(error), next) => {
                if next.is_none() {
                    // It may have been a proxy whose server was away.
                    *upload = Upload::Put;
                }
                return Err(error.into());
            }
            (Ok(response), _) => break response,
        }
    };
    let (mount, _) = find().ok_or(ForwardError::Gone)?;
    let limits = shared.settings.load().limits;
    let keep_alive = mount.settings().listener_timeout;
    let options = SocketOptions { send_buffer: limits.listener_send_buffer, keep_alive };
    let peer = response.socket.peer_addr().map_err(RequestError::from)?;
    let socket = match upload {
        Upload::ChunkedPut => in_chunks(response.socket, options).await,
        Upload::Put | Upload::Source => response.socket.into_std(),
    };
    let socket = socket.map_err(RequestError::from)?;
    let (handed_over, on_end) = HandedOver::new(&socket).map_err(RequestError::from)?;
    let seat = shared.listeners.take(limits.listeners).ok_or(ForwardError::Full)?;
    let of_mount = mount.listeners.take(usize::MAX).ok_or(ForwardError::Full)?;
    let agent = format!("forward to {}{remote}", forward.to);
    let session = ListenerSession {
        registration: mount.directory.enter(ListenerInfo::new(
            peer.ip().into(),
            &agent,
            ListenerProtocol::Stream,
        )),
        until: None,
        takes_chains: true,
        filler: None,
        permits: vec![seat, of_mount],
        on_end: Some(on_end),
    };
    let delivery = Delivery {
        burst: Amount::Time(Duration::ZERO),
        takes_chains: true,
        filled_for: None,
        head: ResponseHead::Nothing,
    };
    let connection = ListenerConnection {
        socket,
        delivery,
        send_buffer: limits.listener_send_buffer,
        options: None,
        session,
    };
    let handoff = Handoff::Listener(Box::new(connection), mount);
    shared.workers.send(handoff).map_err(|_| ForwardError::Busy)?;
    Ok(handed_over)
}

/// The fields that describe the mount, as encoders send them.
fn upload_fields(mount: &Arc<MountEntry>, stream: &StreamInfo) -> String {
    let description = mount.description(stream);
    let mut fields = String::from("Content-Type: application/ogg\r\nExpect: 100-continue\r\n");
    let bitrate = description.bitrate.map(|rate| rate.to_string());
    for (name, value) in [
        ("Ice-Name", &description.name),
        ("Ice-Description", &description.description),
        ("Ice-Genre", &description.genre),
        ("Ice-Url", &description.url),
        ("Ice-Bitrate", &bitrate),
        ("Ice-Audio-Info", &description.audio_info),
    ] {
        if let Some(value) = value {
            // Writing to a String cannot fail. The values were sanitized.
            let _ = write!(fields, "{name}: {value}\r\n");
        }
    }
    let _ = write!(fields, "Ice-Public: {}\r\n", u8::from(description.public));
    let _ = write!(fields, "Via: {}\r\n", via_value(&description.via));
    fields
}
