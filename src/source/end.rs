//! Why a source ended, and what its encoder is told then.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;

use super::body::{BodyFraming, BrokenChunks};
use crate::clock::Clock;
use crate::http::{Reply, Version};
use crate::mount::Operator;
use crate::tcp;
use ogg_splice::StreamError;

/// Why an upload may be empty although its encoder sends audio, and what to do.
const PROXY_ADVICE: &str = "perhaps a proxy on the way takes an upload without a length for empty; push in \
                            chunks, with FFmpeg's -method PUT -chunked_post 1 to an http:// URL, \
                            or to this server directly";

/// Why a source ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum SourceEnd {
    #[error("the source disconnected")]
    Disconnected,
    #[error("the source ended its upload")]
    Complete,
    #[error("another source took the mount over")]
    TakenOver,
    #[error("an administrator disconnected the source")]
    Evicted(Arc<Operator>),
    #[error("the source sent an empty body: {PROXY_ADVICE}")]
    Empty,
    #[error("the source sent nothing for {} s: {PROXY_ADVICE}", .0.as_secs_f32())]
    Silent(Duration),
    #[error("the source sent nothing for {} s", .0.as_secs_f32())]
    TimedOut(Duration),
    #[error("the source sent {0}; send Ogg with Opus, FLAC or Vorbis")]
    NotOgg(String),
    #[error("the source sent {0}; send one Ogg stream with Opus, FLAC or Vorbis")]
    Refused(#[from] StreamError),
    #[error("the source sent {0}")]
    BrokenBody(#[from] BrokenChunks),
    #[error("the source sent too much data without a usable Ogg page")]
    NoUsablePage,
    #[error("the connection failed: {0}")]
    Failed(#[from] io::Error),
}

/// The reply to a source whose framing says that its body is empty.
pub fn empty_body_reply() -> Reply {
    Reply::new(400, format!("Refused: {}.", SourceEnd::Empty)).as_warning()
}

/// Old Icecast encoders require HTTP/1.0 in the response; FFmpeg and HTTP clients accept both.
fn response_version(body: BodyFraming) -> Version {
    if body.is_framed() { Version::Http11 } else { Version::Http10 }
}

/// Sends the final response to an encoder that has not received one, and closes the connection
/// gracefully.
pub(super) async fn send_final_response(
    socket: TcpStream,
    body: BodyFraming,
    end: &SourceEnd,
    clock: &Clock,
) {
    let status = match end {
        SourceEnd::Disconnected
        | SourceEnd::Failed(_)
        | SourceEnd::TakenOver
        | SourceEnd::Evicted(_) => {
            return;
        }
        SourceEnd::Complete => 200,
        SourceEnd::TimedOut(_) | SourceEnd::Silent(_) => 408,
        SourceEnd::Empty | SourceEnd::BrokenBody(_) => 400,
        SourceEnd::NotOgg(_) | SourceEnd::Refused(_) | SourceEnd::NoUsablePage => 415,
    };
    let sentence = if status == 200 { String::new() } else { format!("Refused: {end}.") };
    let reply = Reply::new(status, sentence).render(response_version(body), false, true);
    tcp::answer_and_finish(socket, &reply, clock).await;
}
