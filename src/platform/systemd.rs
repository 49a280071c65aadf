//! What passes between the server and systemd: sockets in, readiness out.

use std::io;
use std::net::TcpListener;

use listenfd::ListenFd;
use sd_notify::NotifyState;

/// The listening sockets that the service manager opened (`LISTEN_FDS`); none without one.
///
/// # Errors
/// What is wrong with a socket that is no listening TCP socket.
pub fn inherited_sockets() -> io::Result<Vec<TcpListener>> {
    let mut inherited = ListenFd::from_env();
    let mut sockets = Vec::new();
    for number in 0..inherited.len() {
        sockets.extend(inherited.take_tcp_listener(number)?);
    }
    Ok(sockets)
}

/// Says that the server accepts.
pub fn notify_ready() {
    notify(NotifyState::Ready);
}

/// Says that the server is on its way out.
pub fn notify_stopping() {
    notify(NotifyState::Stopping);
}

fn notify(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        tracing::warn!(event = "notify-failed", %error, "cannot tell the service manager");
    }
}
