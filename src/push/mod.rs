//! A source client: plays a file to a mount in real time, as an encoder would.
//!
//! `silvacast push` is for trying a server without a microphone; the demo's two
//! microphones are this client too. It speaks what FFmpeg speaks: PUT with
//! `Expect: 100-continue` and a body that ends with the connection.

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
pub(crate) use target::Target;

use crate::auth::Secret;
use crate::http::SERVER;
use crate::text::sanitize;

/// Time for a server to answer.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest wait between two tries.
const LONGEST_WAIT: Duration = Duration::from_secs(8);

/// Why pushing ended for good.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PushError {
    /// The clip.
    #[error(transparent)]
    Clip(#[from] ClipError),
    /// The server will not have it, however often it is asked.
    #[error("the server refuses: {0}")]
    Refused(String),
}

/// Why one connection ended.
enum Cut {
    Lost(String),
    Fatal(PushError),
}

/// What happens on the way, for whoever wants to tell it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum PushProgress {
    /// The server took the stream.
    Connected,
    /// So much has been sent.
    Sent(Duration),
    /// The connection is gone; the next try comes after this wait.
    Lost(String, Duration),
}

/// Pushes a clip until it ends, over as many connections as that takes.
///
/// # Errors
/// [`PushError`]. Lost connections are none: they are made anew.
pub(crate) async fn push(
    clip: &mut Clip,
    target: &Target,
    password: &Secret,
    mut tell: impl FnMut(PushProgress),
) -> Result<(), PushError> {
    let mut wait = Duration::from_millis(500);
    loop {
        let mut connected = false;
        let mut tell_on = |progress| {
            connected = true;
            tell(progress);
        };
        match connection(clip, target, password, &mut tell_on).await {
            Ok(()) => return Ok(()),
            Err(Cut::Fatal(error)) => return Err(error),
            Err(Cut::Lost(why)) => {
                wait =
                    if connected { Duration::from_millis(500) } else { LONGEST_WAIT.min(wait * 2) };
                tell(PushProgress::Lost(why, wait));
                sleep(wait).await;
            }
        }
    }
}

#[allow(clippy::disallowed_methods, reason = "a client of its own, which runs no server's clock")]
async fn connection(
    clip: &mut Clip,
    target: &Target,
    password: &Secret,
    tell: &mut impl FnMut(PushProgress),
) -> Result<(), Cut> {
    let socket = timeout(RESPONSE_TIMEOUT, TcpStream::connect(&target.authority)).await;
    let socket = socket.map_err(|_| Cut::Lost("no answer".into()))??;
    socket.set_nodelay(true)?;
    let (mut reader, mut writer) = socket.into_split();
    timeout(RESPONSE_TIMEOUT, introduce(target, password, &mut reader, &mut writer))
        .await
        .map_err(|_| Cut::Lost("no answer".into()))??;
    tell(PushProgress::Connected);
    writer.write_all(clip.headers()).await?;
    let mut began = None;
    while let Some((heard, page)) = clip.next_page().map_err(|error| Cut::Fatal(error.into()))? {
        // The first page leaves at once and says where in the clip this connection begins.
        let (began, from) = *began.get_or_insert_with(|| (Instant::now(), heard));
        let due = began + heard.saturating_sub(from);
        tokio::select! {
            () = sleep_until(due) => {}
            () = closed(&mut reader) => return Err(Cut::Lost("the server hung up".into())),
        }
        writer.write_all(page).await?;
        tell(PushProgress::Sent(heard));
    }
    writer.shutdown().await?;
    Ok(())
}

/// Sends the request head and reads what the server says to it.
async fn introduce(
    target: &Target,
    password: &Secret,
    reader: &mut OwnedReadHalf,
    writer: &mut OwnedWriteHalf,
) -> Result<(), Cut> {
    let login = STANDARD.encode(format!("{}:{}", target.user, password.expose()));
    let head = format!(
        "PUT {} HTTP/1.1\r\nHost: {}\r\nAuthorization: Basic {login}\r\nUser-Agent: {SERVER}\r\n\
         Content-Type: audio/ogg\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n",
        target.path, target.authority
    );
    writer.write_all(head.as_bytes()).await?;
    // A server that takes the stream says so and waits; one that refuses it says why and closes.
    let mut answer = Vec::new();
    let taken = |answer: &[u8]| {
        let head = String::from_utf8_lossy(answer);
        head.contains("\r\n\r\n") && matches!(head.split(' ').nth(1), Some("100" | "200"))
    };
    while !taken(&answer) && answer.len() < 8192 && reader.read_buf(&mut answer).await? > 0 {}
    let text = String::from_utf8_lossy(&answer);
    let line = text.lines().next().unwrap_or_default();
    let status = line.split(' ').nth(1).and_then(|status| status.parse::<u16>().ok());
    let sentence =
        text.split("\r\n\r\n").nth(1).map(str::trim).filter(|s| !s.is_empty()).unwrap_or(line);
    let sentence = sanitize(sentence);
    match status {
        Some(100 | 200) => Ok(()),
        // It may have room, or forgive, later.
        Some(408 | 429 | 500..) | None => Err(Cut::Lost(format!("the server answers: {sentence}"))),
        Some(_) => Err(Cut::Fatal(PushError::Refused(sentence))),
    }
}

/// Resolves when the server closes the connection; what it says until then is not needed.
async fn closed(reader: &mut OwnedReadHalf) {
    let mut unwanted = [0; 512];
    while matches!(reader.read(&mut unwanted).await, Ok(1..)) {}
}

impl From<io::Error> for Cut {
    fn from(error: io::Error) -> Self {
        Self::Lost(error.to_string())
    }
}
