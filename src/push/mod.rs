//! A source client: plays a file to a mount in real time, as an encoder would.
//!
//! `silvacast push` uses it to try a server without a microphone, and the demo for its two
//! microphones. It sends what FFmpeg sends: a PUT request with `Expect: 100-continue` and a body
//! that ends with the connection.

mod clip;
mod target;

use std::io;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::{Instant, sleep, sleep_until, timeout};

pub(crate) use clip::{Clip, ClipError};
pub(crate) use target::PushTarget;

use crate::auth::Secret;
use crate::http::SERVER;
use crate::text::sanitize;

/// How long a connection attempt, or a response, may take.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(10);
/// The delay before a reconnection. Each failed attempt doubles it.
const MIN_RETRY_DELAY: Duration = Duration::from_millis(500);
/// The longest delay before a reconnection.
const MAX_RETRY_DELAY: Duration = Duration::from_secs(8);
/// How much of a response is read, in bytes.
const MAX_RESPONSE: usize = 8192;

/// Why pushing ended, other than at the end of the clip.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PushError {
    /// The clip cannot be read.
    #[error(transparent)]
    Clip(#[from] ClipError),
    /// The server refused the stream, and would refuse it again.
    #[error("the server refused the stream: {0}")]
    Refused(String),
}

/// Why a connection ended.
enum ConnectionError {
    /// Reconnecting may help. The text is the reason.
    Lost(String),
    /// Reconnecting would not help.
    Fatal(PushError),
}

/// An event while pushing.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum PushProgress {
    /// The server accepted the stream.
    Connected,
    /// The position in the clip up to which audio has been sent.
    Sent(Duration),
    /// The connection ended, for this reason. The next attempt follows after this delay.
    Lost(String, Duration),
}

/// Pushes a clip until it ends. Reconnects when a connection is lost.
///
/// # Errors
/// [`PushError`]. A lost connection is not an error.
pub(crate) async fn push(
    clip: &mut Clip,
    target: &PushTarget,
    password: &Secret,
    mut report: impl FnMut(PushProgress),
) -> Result<(), PushError> {
    let mut delay = MIN_RETRY_DELAY;
    loop {
        let mut connected = false;
        let mut forward = |progress| {
            connected = true;
            report(progress);
        };
        match connection(clip, target, password, &mut forward).await {
            Ok(()) => return Ok(()),
            Err(ConnectionError::Fatal(error)) => return Err(error),
            Err(ConnectionError::Lost(reason)) => {
                delay = if connected { MIN_RETRY_DELAY } else { MAX_RETRY_DELAY.min(delay * 2) };
                report(PushProgress::Lost(reason, delay));
                sleep(delay).await;
            }
        }
    }
}

/// Pushes the rest of the clip over one connection.
#[allow(clippy::disallowed_methods, reason = "this is a client, which has no server's Clock")]
async fn connection(
    clip: &mut Clip,
    target: &PushTarget,
    password: &Secret,
    report: &mut impl FnMut(PushProgress),
) -> Result<(), ConnectionError> {
    let no_response = |_| ConnectionError::Lost("no response from the server".into());
    let socket = timeout(RESPONSE_TIMEOUT, TcpStream::connect(&target.authority)).await;
    let socket = socket.map_err(no_response)??;
    socket.set_nodelay(true)?;
    let (mut reader, mut writer) = socket.into_split();
    timeout(RESPONSE_TIMEOUT, handshake(target, password, &mut reader, &mut writer))
        .await
        .map_err(no_response)??;
    report(PushProgress::Connected);
    writer.write_all(clip.headers()).await?;
    let mut start = None;
    while let Some((end, page)) =
        clip.next_page().map_err(|error| ConnectionError::Fatal(error.into()))?
    {
        // The first page is sent at once. It sets the position at which this connection starts.
        let (began, first_end) = *start.get_or_insert_with(|| (Instant::now(), end));
        let due = began + end.saturating_sub(first_end);
        tokio::select! {
            () = sleep_until(due) => {}
            () = closed(&mut reader) => {
                return Err(ConnectionError::Lost("the server closed the connection".into()));
            }
        }
        writer.write_all(page).await?;
        report(PushProgress::Sent(end));
    }
    writer.shutdown().await?;
    Ok(())
}

/// Sends the request head and reads the response.
async fn handshake(
    target: &PushTarget,
    password: &Secret,
    reader: &mut OwnedReadHalf,
    writer: &mut OwnedWriteHalf,
) -> Result<(), ConnectionError> {
    let login = STANDARD.encode(format!("{}:{}", target.user, password.expose()));
    let head = format!(
        "PUT {} HTTP/1.1\r\nHost: {}\r\nAuthorization: Basic {login}\r\nUser-Agent: {SERVER}\r\n\
         Content-Type: audio/ogg\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n",
        target.path, target.authority
    );
    writer.write_all(head.as_bytes()).await?;
    // After 100 or 200 the server waits for the stream. After a refusal it closes the connection,
    // so the body with the reason is read until the end.
    let mut response = Vec::new();
    let accepted = |response: &[u8]| {
        let head = String::from_utf8_lossy(response);
        head.contains("\r\n\r\n") && matches!(head.split(' ').nth(1), Some("100" | "200"))
    };
    while !accepted(&response)
        && response.len() < MAX_RESPONSE
        && reader.read_buf(&mut response).await? > 0
    {}
    let text = String::from_utf8_lossy(&response);
    let line = text.lines().next().unwrap_or_default();
    let status = line.split(' ').nth(1).and_then(|status| status.parse::<u16>().ok());
    let sentence =
        text.split("\r\n\r\n").nth(1).map(str::trim).filter(|s| !s.is_empty()).unwrap_or(line);
    let sentence = sanitize(sentence);
    match status {
        Some(100 | 200) => Ok(()),
        // These refusals are temporary. Without a status line, the connection was lost.
        Some(408 | 429 | 500..) | None => {
            Err(ConnectionError::Lost(format!("the server responded: {sentence}")))
        }
        Some(_) => Err(ConnectionError::Fatal(PushError::Refused(sentence))),
    }
}

/// Resolves when the server closes the connection. Discards what the server sends until then.
async fn closed(reader: &mut OwnedReadHalf) {
    let mut discarded = [0; 512];
    while matches!(reader.read(&mut discarded).await, Ok(1..)) {}
}

impl From<io::Error> for ConnectionError {
    fn from(error: io::Error) -> Self {
        Self::Lost(error.to_string())
    }
}
