//! Sends a stream in chunks (RFC 9112, section 7.1), as proxies need it: they take a body without a length
//! for empty.
//!
//! The data plane writes a stream as it is. So it gets one end of a connection within this machine, and
//! what comes out at the other end is sent on, in a chunk for each read. Proxies in Go pass on whole
//! chunks only, so each has to be short.

use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::spawn_local;

use super::client::{RequestError, within};
use super::limits::MAX_CHUNK;
use crate::tcp::{RECEIVE_BUFFER, SocketOptions};

/// The end of a body.
const END: &[u8] = b"0\r\n\r\n";

/// The end of a connection whose bytes are sent to `server` in chunks. When it is closed, the body ends;
/// when the server closes its connection, or takes no chunk for `options.keep_alive`, this one is closed
/// too.
///
/// # Errors
/// The system's error if the connection within this machine cannot be made.
pub(super) async fn in_chunks(
    server: TcpStream,
    options: SocketOptions,
) -> io::Result<std::net::TcpStream> {
    options.set(&server, None)?;
    let (near, far) = pair().await?;
    spawn_local(async move {
        // An error is the end of one of the connections, which ends the other one.
        let _ = send(far, server, options.keep_alive).await;
    });
    near.into_std()
}

/// Both ends of a connection within this machine.
async fn pair() -> io::Result<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    listener.set_nonblocking(true)?;
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let near = TcpStream::connect(listener.local_addr()?).await?;
    let (far, peer) = listener.accept().await?;
    if near.local_addr()? != peer {
        return Err(io::Error::other("another program has connected instead"));
    }
    near.set_nodelay(true)?;
    SockRef::from(&far).set_recv_buffer_size(RECEIVE_BUFFER)?;
    Ok((near, far))
}

async fn send(
    mut far: TcpStream,
    server: TcpStream,
    timeout: Duration,
) -> Result<(), RequestError> {
    let (mut reader, mut writer) = server.into_split();
    let (mut read, mut chunk, mut answer) =
        ([0; MAX_CHUNK], Vec::with_capacity(MAX_CHUNK + 16), [0; 512]);
    loop {
        let n = tokio::select! {
            n = far.read(&mut read) => n?,
            // What the server says is of no use; that it ends the connection is.
            answered = reader.read(&mut answer) => match answered? {
                0 => return Ok(()),
                _ => continue,
            },
        };
        chunk.clear();
        if n > 0 {
            chunk.extend_from_slice(format!("{n:x}\r\n").as_bytes());
            chunk.extend_from_slice(&read[..n]);
            chunk.extend_from_slice(b"\r\n");
        } else {
            chunk.extend_from_slice(END);
        }
        within(timeout, async { Ok(writer.write_all(&chunk).await?) }).await?;
        if n == 0 {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::BodyFraming;

    const OPTIONS: SocketOptions =
        SocketOptions { send_buffer: 16 * 1024, keep_alive: Duration::from_secs(1) };

    #[tokio::test(flavor = "local")]
    async fn what_is_written_comes_out_in_chunks_until_it_is_closed() {
        let (server, mut other) = pair().await.unwrap();
        let near = in_chunks(server, OPTIONS).await.unwrap();
        let mut near = TcpStream::from_std(near).unwrap();
        let sent = vec![7; 10_000];
        near.write_all(&sent).await.unwrap();
        near.shutdown().await.unwrap();
        let mut received = Vec::new();
        other.read_to_end(&mut received).await.unwrap();
        let mut framing = BodyFraming::CHUNKED;
        let kept = framing.strip(&mut received).unwrap();
        assert_eq!((&received[..kept], framing.is_done()), (&sent[..], true));
    }

    #[tokio::test(flavor = "local")]
    async fn the_end_of_the_server_is_the_end() {
        let (server, other) = pair().await.unwrap();
        let mut near = TcpStream::from_std(in_chunks(server, OPTIONS).await.unwrap()).unwrap();
        drop(other);
        assert_eq!(near.read(&mut [0]).await.unwrap_or(0), 0);
    }

    #[tokio::test(flavor = "local")]
    async fn a_server_that_takes_nothing_is_the_end() {
        let (server, _other) = pair().await.unwrap();
        let mut near = TcpStream::from_std(in_chunks(server, OPTIONS).await.unwrap()).unwrap();
        // Ends with the connection. Until then there is always more than the buffers hold.
        while near.write_all(&[7; 4096]).await.is_ok() {}
    }
}
