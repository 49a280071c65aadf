//! Listening sockets from the service manager, and the limit on open files.

use std::io;
use std::net::{TcpListener, UdpSocket};

use listenfd::ListenFd;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// The name of a socket for clients (`FileDescriptorName=`, systemd.socket(5)).
const SOCKET_NAME: &str = "http";
/// The name of the socket for WebRTC.
const WEBRTC_NAME: &str = "webrtc";
/// The name that `sd_listen_fds_with_names(3)` gives to a socket without one.
const UNNAMED: &str = "unknown";

/// An inherited socket that silvacast does not accept.
#[derive(Debug, thiserror::Error)]
pub enum InheritedSocketError {
    /// The socket is not meant for clients.
    #[error(
        "the service manager passed a socket named {0:?}; the only known names are {SOCKET_NAME:?} \
         and {WEBRTC_NAME:?} (FileDescriptorName={SOCKET_NAME})"
    )]
    UnknownName(String),
    /// The socket is not a listening TCP socket.
    #[error(
        "the service manager's socket {name:?} cannot be used: {source}; it takes a listening TCP \
         socket (ListenStream=8080)"
    )]
    NotListening {
        /// Its name.
        name: String,
        /// The system's error.
        source: io::Error,
    },
    /// The socket for WebRTC is not one of UDP, or there are two.
    #[error(
        "the service manager's socket {name:?} cannot be used: {source}; it takes one UDP socket \
         (ListenDatagram=8189)"
    )]
    NotUdp {
        /// Its name.
        name: String,
        /// The system's error.
        source: io::Error,
    },
}

/// The sockets that the service manager passed.
#[derive(Debug, Default)]
pub struct InheritedSockets {
    /// For clients.
    pub http: Vec<TcpListener>,
    /// For WebRTC.
    pub webrtc: Option<UdpSocket>,
}

/// Why the process cannot have as many files open as the configuration needs.
#[derive(Debug, thiserror::Error)]
pub enum FileLimitError {
    /// The limit cannot be read.
    #[error("cannot read the limit on open files: {0}")]
    Unreadable(#[source] io::Error),
    /// The hard limit is too low.
    #[error(
        "this configuration can have {needed} files open at once, and the system allows {hard}: \
         raise the limit (LimitNOFILE={needed} in the unit, --ulimit nofile={needed} for a \
         container), or lower [limits] listeners or sources (in an icecast.xml <clients> or \
         <sources>)"
    )]
    TooLow {
        /// How many files the configuration needs.
        needed: u64,
        /// The hard limit.
        hard: u64,
    },
    /// The soft limit cannot be raised.
    #[error("cannot raise the limit on open files to {needed}: {source}")]
    NotRaised {
        /// How many files the configuration needs.
        needed: u64,
        /// The system's error.
        source: io::Error,
    },
}

/// The sockets that the service manager passed (`LISTEN_FDS`, `LISTEN_FDNAMES`,
/// `sd_listen_fds(3)`). Empty if it passed none.
///
/// # Errors
/// [`InheritedSocketError`] if a socket is not a listening TCP socket or, for WebRTC, one of UDP; or
/// if it is not meant for clients.
pub fn inherited_sockets() -> Result<InheritedSockets, InheritedSocketError> {
    let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
    let mut names = names.split(':');
    let mut inherited = ListenFd::from_env();
    let mut sockets = InheritedSockets::default();
    for number in 0..inherited.len() {
        // Without FileDescriptorName=, the name is that of the socket unit.
        let name = names.next().filter(|name| !name.is_empty()).unwrap_or(UNNAMED);
        if name == WEBRTC_NAME || name.ends_with("webrtc.socket") {
            let not_udp = |source| InheritedSocketError::NotUdp { name: name.to_owned(), source };
            let socket = inherited.take_udp_socket(number).map_err(not_udp)?;
            if sockets.webrtc.is_some() {
                return Err(not_udp(io::Error::other("there is another one")));
            }
            sockets.webrtc = socket;
            continue;
        }
        if name != SOCKET_NAME && name != UNNAMED && !name.ends_with(".socket") {
            return Err(InheritedSocketError::UnknownName(name.to_owned()));
        }
        let socket = inherited.take_tcp_listener(number).map_err(|source| {
            InheritedSocketError::NotListening { name: name.to_owned(), source }
        })?;
        sockets.http.extend(socket);
    }
    Ok(sockets)
}

/// Raises the soft limit on open files to `needed`, if it is lower.
///
/// # Errors
/// [`FileLimitError`] if the system does not allow that many.
pub fn allow_open_files(needed: u64) -> Result<(), FileLimitError> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)
        .map_err(|error| FileLimitError::Unreadable(error.into()))?;
    if soft >= needed {
        return Ok(());
    }
    if hard < needed {
        return Err(FileLimitError::TooLow { needed, hard });
    }
    setrlimit(Resource::RLIMIT_NOFILE, needed, hard)
        .map_err(|error| FileLimitError::NotRaised { needed, source: error.into() })
}
