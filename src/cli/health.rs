//! `silvacast health`: asks a running server whether it is healthy, for container health checks.

use std::net::Ipv4Addr;
use std::time::Duration;

use http_body_util::{BodyExt, Collected, Empty, Limited};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::{Exit, HealthArgs, block_on, failed};
use crate::config::{Environment, PORT};
use crate::text::sanitize;

/// The longest response that is read for its first line, in bytes.
const MAX_REASON: usize = 16 * 1024;
/// How long the server may take to respond.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(5);

/// Sends a GET request to the server. It is healthy if the status of the response is 2xx.
#[allow(clippy::disallowed_methods, reason = "this is a client, which has no server's Clock")]
pub(super) fn run(args: HealthArgs) -> Result<(), Exit> {
    let port =
        Environment::of_process().port().map_err(|problem| Exit::Invalid(problem.to_string()))?;
    let default_url = || format!("http://{}:{}/healthz", Ipv4Addr::LOCALHOST, port.unwrap_or(PORT));
    let url = args.url.unwrap_or_else(default_url);
    let uri: hyper::Uri = url.parse().map_err(|_| {
        Exit::Invalid(format!("invalid URL: {url}; expected a URL such as {}", default_url()))
    })?;
    let Some(host) = uri.host().filter(|_| uri.scheme_str() == Some("http")) else {
        return Err(Exit::Invalid(format!(
            "not an http URL: {url}; expected a URL such as {}",
            default_url()
        )));
    };
    let address = format!("{host}:{}", uri.port_u16().unwrap_or(80));
    let mut path = uri.path_and_query().map_or("/healthz", |path| path.as_str()).to_owned();
    if args.strict {
        path.push_str(if path.contains('?') { "&strict=1" } else { "?strict=1" });
    }
    let check = async {
        let socket = TcpStream::connect(&address).await.map_err(|error| error.to_string())?;
        let handshake = hyper::client::conn::http1::handshake(TokioIo::new(socket)).await;
        let (mut sender, connection) = handshake.map_err(|error| error.to_string())?;
        let request =
            hyper::Request::get(path).header("host", &address).body(Empty::<Bytes>::new());
        let request = request.map_err(|error| error.to_string())?;
        let response = async {
            let response = sender.send_request(request).await.map_err(|error| error.to_string())?;
            let status = response.status();
            if status.is_success() {
                return Ok(());
            }
            let body = Limited::new(response.into_body(), MAX_REASON).collect().await;
            let text = body.map(Collected::to_bytes).unwrap_or_default();
            let text = String::from_utf8_lossy(&text);
            let reason = text.lines().next().map(sanitize).filter(|reason| !reason.is_empty());
            Err(match reason {
                Some(reason) => format!("it responds with {status}: {reason}"),
                None => format!("it responds with {status}"),
            })
        };
        // The connection has to be polled until the response is there.
        tokio::select! {
            outcome = response => outcome,
            Err(error) = connection => Err(error.to_string()),
        }
    };
    block_on(async {
        match timeout(RESPONSE_TIMEOUT, check).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(reason)) => Err(failed(format!("{url} is unhealthy: {reason}"))),
            Err(_) => Err(failed(format!(
                "{url} is unhealthy: no response within {} s",
                RESPONSE_TIMEOUT.as_secs()
            ))),
        }
    })
}
