//! Requests to other servers: reads the head of a response, and leaves its body in the socket for the
//! caller.
//!
//! HTTP/1.0, so that a stream is not framed in chunks, which some servers do anyway.

use std::fmt::Write;
use std::io;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::limits::MAX_HEAD;
use super::settings::ServerUrl;
use crate::auth::{Login, Secret};
use crate::http::{SERVER, encoded_path, via_value};
use crate::source::BodyFraming;
use crate::tcp::RECEIVE_BUFFER;
use crate::text::{decode, sanitize};

/// The most fields of a response head.
const MAX_FIELDS: usize = 64;
/// How many redirects are followed.
const MAX_REDIRECTS: usize = 3;
/// How long a connection, and a response head, may take.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How much of a refusal is read for its sentence, in bytes.
const MAX_SENTENCE: usize = 512;

/// Why there is no usable response. The text is the reason, for people.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// The server cannot be reached, or the connection failed.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// It has not answered in time.
    #[error("the server has not answered within {0} s")]
    Timeout(u64),
    /// What it answered is not HTTP.
    #[error("the server did not answer in HTTP")]
    NotHttp,
    /// It redirects to where we do not follow.
    #[error(
        "the server redirects to {0}, which is not followed: up to {MAX_REDIRECTS} redirects to http are"
    )]
    Redirect(String),
    /// It refuses.
    #[error("the server answered {0}{1}")]
    Refused(u16, String),
    /// What it sends is something else.
    #[error("the server sent {0} instead of {1}")]
    WrongType(String, &'static str),
    /// It sends too much.
    #[error("the server sent more than {0} bytes")]
    TooLong(usize),
    /// It has too many mounts.
    #[error("the server reported more than {0} mounts")]
    TooMany(usize),
}

impl RequestError {
    fn redirect(location: &str) -> Self {
        let location = if location.is_empty() { "nowhere" } else { location };
        Self::Redirect(sanitize(location))
    }
}

/// How this server shows who it is.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Identity<'a> {
    pub(super) login: Option<&'a Login>,
    pub(super) token: Option<&'a Secret>,
}

/// A response head, and the connection with the body.
#[derive(Debug)]
pub(super) struct Response {
    pub(super) status: u16,
    fields: Vec<(String, String)>,
    pub(super) socket: TcpStream,
    /// Bytes of the body that were read with the head.
    pub(super) read: Vec<u8>,
    pub(super) framing: BodyFraming,
}

impl Response {
    /// The first value of a field.
    pub(super) fn field(&self, name: &str) -> Option<&str> {
        self.fields(name).next()
    }

    /// All values of a field.
    pub(super) fn fields<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> {
        let named = move |(field, _): &&(String, String)| field.eq_ignore_ascii_case(name);
        self.fields.iter().filter(named).map(|(_, value)| value.as_str())
    }

    /// Checks that the body is of a type that begins with `prefix`; `what` is that in words.
    pub(super) fn expect_type(
        &self,
        prefixes: &[&str],
        what: &'static str,
    ) -> Result<(), RequestError> {
        let sent = self.field("content-type").unwrap_or_default();
        // Old servers say nothing.
        if sent.is_empty() || prefixes.iter().any(|prefix| sent.starts_with(prefix)) {
            return Ok(());
        }
        Err(RequestError::WrongType(sanitize(sent), what))
    }

    /// Reads the whole body, of at most `limit` bytes.
    pub(super) async fn text(mut self, limit: usize) -> Result<String, RequestError> {
        let read = async {
            let mut body = Vec::new();
            while self.next(&mut body).await? > 0 {
                if body.len() > limit {
                    return Err(RequestError::TooLong(limit));
                }
            }
            Ok(decode(&body).into_owned())
        };
        in_time(read).await
    }

    /// Reads more of the body; 0 at its end.
    pub(super) async fn next(&mut self, body: &mut Vec<u8>) -> Result<usize, RequestError> {
        loop {
            if self.framing.is_done() {
                return Ok(0);
            }
            let mut bytes = std::mem::take(&mut self.read);
            if bytes.is_empty() {
                bytes.resize(4096, 0);
                let n = self.socket.read(&mut bytes).await?;
                bytes.truncate(n);
                if n == 0 {
                    return Ok(0);
                }
            }
            let kept = self.framing.strip(&mut bytes).map_err(|_| RequestError::NotHttp)?;
            body.extend_from_slice(&bytes[..kept]);
            if kept > 0 {
                return Ok(kept);
            }
        }
    }

    /// The refusal with its sentence, if the server gives one.
    async fn into_refusal(self) -> RequestError {
        let status = self.status;
        let is_text = self.field("content-type").is_some_and(|it| it.starts_with("text/plain"));
        let sentence = if is_text {
            let text = self.text(MAX_SENTENCE).await.unwrap_or_default();
            sanitize(text.trim())
        } else {
            String::new()
        };
        let more = if sentence.is_empty() { String::new() } else { format!(": {sentence}") };
        RequestError::Refused(status, more)
    }
}

/// Sends a GET request and follows redirects. `path` is decoded, without the server's prefix.
pub(super) async fn get(
    server: &ServerUrl,
    path: &str,
    identity: Identity<'_>,
) -> Result<Response, RequestError> {
    get_late(server, path, "", identity, Duration::ZERO).await
}

/// The same with a query, for a response that the server may hold back for this long.
pub(super) async fn get_late(
    server: &ServerUrl,
    path: &str,
    query: &str,
    identity: Identity<'_>,
    held_back: Duration,
) -> Result<Response, RequestError> {
    let mut at =
        (server.authority.clone(), format!("{}{}{query}", server.prefix, encoded_path(path)));
    for _ in 0..=MAX_REDIRECTS {
        let (authority, target) = &at;
        // Another server must not learn the login.
        let identity = if *authority == server.authority { identity } else { Identity::default() };
        let head = request_head("GET", target, authority, identity, "");
        let response = within(TIMEOUT + held_back, send(authority, &head)).await?;
        match response.status {
            200 => return Ok(response),
            301 | 302 | 303 | 307 | 308 => {
                let location = response.field("location").unwrap_or_default();
                at = follow(&at, location).ok_or_else(|| RequestError::redirect(location))?;
            }
            _ => return Err(response.into_refusal().await),
        }
    }
    Err(RequestError::redirect(&at.1))
}

/// How a stream is sent to another server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Upload {
    /// As FFmpeg does: the body ends with the connection.
    Put,
    /// In chunks. A proxy takes a body without a length for empty.
    ChunkedPut,
    /// With the method of servers before Icecast 2.4.
    Source,
}

impl Upload {
    /// What to try after a server has refused this one for its form.
    pub(super) fn next(self) -> Option<Self> {
        match self {
            Self::Put => Some(Self::ChunkedPut),
            Self::ChunkedPut => Some(Self::Source),
            Self::Source => None,
        }
    }
}

/// Begins an upload. Returns the socket when the server has accepted it.
pub(super) async fn begin_upload(
    server: &ServerUrl,
    upload: Upload,
    path: &str,
    login: &Login,
    fields: &str,
) -> Result<Response, RequestError> {
    let target = format!("{}{}", server.prefix, encoded_path(path));
    let identity = Identity { login: Some(login), token: None };
    let (method, framing) = match upload {
        Upload::Put => ("PUT", ""),
        Upload::ChunkedPut => ("PUT", "Transfer-Encoding: chunked\r\n"),
        Upload::Source => ("SOURCE", ""),
    };
    let fields = format!("{fields}{framing}");
    let head = request_head(method, &target, &server.authority, identity, &fields);
    let response = in_time(send(&server.authority, &head)).await?;
    if !matches!(response.status, 100 | 200) {
        return Err(response.into_refusal().await);
    }
    Ok(response)
}

/// Connects, sends a request head and reads the response head.
async fn send(authority: &str, head: &str) -> Result<Response, RequestError> {
    let mut socket = TcpStream::connect(authority).await?;
    socket.set_nodelay(true)?;
    SockRef::from(&socket).set_recv_buffer_size(RECEIVE_BUFFER)?;
    socket.write_all(head.as_bytes()).await?;
    let mut read = Vec::new();
    loop {
        if let Some(parsed) = parse_head(&mut read)? {
            let (status, fields, framing) = parsed;
            return Ok(Response { status, fields, socket, read, framing });
        }
        if read.len() >= MAX_HEAD {
            return Err(RequestError::TooLong(MAX_HEAD));
        }
        read.reserve(1024);
        if socket.read_buf(&mut read).await? == 0 {
            return Err(RequestError::NotHttp);
        }
    }
}

type ParsedHead = (u16, Vec<(String, String)>, BodyFraming);

/// Parses a response head at the front of `read` and removes it. `None` if it is incomplete.
fn parse_head(read: &mut Vec<u8>) -> Result<Option<ParsedHead>, RequestError> {
    let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let mut response = httparse::Response::new(&mut fields);
    let length = match response.parse(read) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(_) => return Err(RequestError::NotHttp),
    };
    let status = response.code.ok_or(RequestError::NotHttp)?;
    let fields: Vec<_> = response
        .headers
        .iter()
        .map(|field| (field.name.to_owned(), decode(field.value).trim().to_owned()))
        .collect();
    read.drain(..length);
    let value = |name: &str| {
        let field = fields.iter().find(|(field, _)| field.eq_ignore_ascii_case(name));
        field.map(|(_, value)| value.as_str())
    };
    let is_chunked =
        value("transfer-encoding").is_some_and(|it| it.eq_ignore_ascii_case("chunked"));
    let framing = if is_chunked {
        BodyFraming::CHUNKED
    } else {
        let length = value("content-length").and_then(|length| length.parse().ok());
        length.map_or(BodyFraming::Raw, BodyFraming::Length)
    };
    Ok(Some((status, fields, framing)))
}

/// Where a redirect leads: authority and target.
fn follow((authority, target): &(String, String), location: &str) -> Option<(String, String)> {
    if let Some(path) = location.strip_prefix('/').filter(|path| !path.starts_with('/')) {
        return Some((authority.clone(), format!("/{path}")));
    }
    if let Ok(url) = ServerUrl::parse(location.split(['?', '#']).next().unwrap_or_default()) {
        let path = &location["http://".len()..];
        let path = path.find('/').map_or("/", |at| &path[at..]);
        return path.is_ascii().then(|| (url.authority, path.to_owned()));
    }
    let is_relative = !location.is_empty() && !location.contains("//") && !location.contains(':');
    let folder = &target[..=target.rfind('/')?];
    is_relative.then(|| (authority.clone(), format!("{folder}{location}")))
}

fn request_head(
    method: &str,
    target: &str,
    authority: &str,
    identity: Identity<'_>,
    fields: &str,
) -> String {
    // As FFmpeg does. Servers of HTTP/1.0 know no other method for sources than their own.
    let version = if method == "PUT" { "1.1" } else { "1.0" };
    let mut head = format!("{method} {target} HTTP/{version}\r\nHost: {authority}\r\n");
    // Writing to a String cannot fail.
    let mut field = |name: &str, value: &str| _ = write!(head, "{name}: {value}\r\n");
    field("User-Agent", SERVER);
    if let Some(login) = identity.login {
        let pair = STANDARD.encode(format!("{}:{}", login.user, login.password.expose()));
        field("Authorization", &format!("Basic {pair}"));
    } else if let Some(token) = identity.token {
        field("Authorization", &format!("Bearer {}", token.expose()));
    }
    if method == "GET" {
        field("Via", &via_value(&[]));
    }
    head.push_str(fields);
    head.push_str("Connection: close\r\n\r\n");
    head
}

async fn in_time<T>(
    work: impl Future<Output = Result<T, RequestError>>,
) -> Result<T, RequestError> {
    within(TIMEOUT, work).await
}

#[allow(clippy::disallowed_methods, reason = "the other server's time does not stop with ours")]
pub(super) async fn within<T>(
    limit: Duration,
    work: impl Future<Output = Result<T, RequestError>>,
) -> Result<T, RequestError> {
    let done = tokio::time::timeout(limit, work).await;
    done.unwrap_or(Err(RequestError::Timeout(limit.as_secs())))
}
