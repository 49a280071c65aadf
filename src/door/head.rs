//! Reads request heads from a connection.

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use crate::http::{Reply, RequestHead};

/// Why no request head was read.
pub(super) enum HeadError {
    /// The client closed the connection, or the connection failed.
    Disconnected,
    /// The bytes are not a valid head, or the head is too long.
    Refused(Reply),
}

/// Reads into `buffer` until it contains a complete head of at most `limit` bytes.
pub(super) async fn read_head(
    stream: &mut TcpStream,
    buffer: &mut Vec<u8>,
    limit: usize,
) -> Result<RequestHead, HeadError> {
    let too_long = || {
        let sentence = format!("A request head has at most {limit} bytes.");
        HeadError::Refused(Reply::new(431, sentence))
    };
    loop {
        if let Some(head) = RequestHead::take(buffer).map_err(HeadError::Refused)? {
            return if head.bytes().len() > limit { Err(too_long()) } else { Ok(head) };
        }
        if buffer.len() >= limit {
            return Err(too_long());
        }
        buffer.reserve(1024.min(limit - buffer.len()));
        match stream.read_buf(buffer).await {
            Ok(1..) => {}
            Ok(0) | Err(_) => return Err(HeadError::Disconnected),
        }
    }
}
