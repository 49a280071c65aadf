//! Listening sockets that the service manager opened, and descriptors enough for what is configured.

use std::io;
use std::net::TcpListener;

use listenfd::ListenFd;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// The name that a socket for clients has (`FileDescriptorName=`).
const NAME: &str = "http";

/// The sockets passed in (`LISTEN_FDS`, `LISTEN_FDNAMES`); none without a service manager that does.
///
/// # Errors
/// A sentence about a socket that is no listening TCP socket, or not meant for clients.
pub fn inherited_sockets() -> Result<Vec<TcpListener>, String> {
    let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
    let mut names = names.split(':');
    let mut inherited = ListenFd::from_env();
    let mut sockets = Vec::new();
    for number in 0..inherited.len() {
        // Without a name of its own a socket has that of its unit, or none.
        let name = names.next().filter(|name| !name.is_empty()).unwrap_or("unknown");
        if name != NAME && name != "unknown" && !name.ends_with(".socket") {
            return Err(format!(
                "the service manager passes in a socket named {name:?}; the only one known is {NAME:?} (FileDescriptorName={NAME})"
            ));
        }
        let socket = inherited.take_tcp_listener(number).map_err(|error| {
            format!("the service manager's socket {name:?} is of no use: {error}; it takes a listening TCP socket (ListenStream=8080)")
        })?;
        sockets.extend(socket);
    }
    Ok(sockets)
}

/// Sees to it that the process may have `needed` files open, as far as the system lets it.
///
/// # Errors
/// A sentence that says how many are allowed, and where that is set.
pub fn allow_open_files(needed: u64) -> Result<(), String> {
    let no_limit = |error| format!("cannot read the limit on open files: {error}");
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).map_err(no_limit)?;
    if soft >= needed {
        return Ok(());
    }
    if hard < needed {
        return Err(format!(
            "this configuration can have {needed} files open at once, and the system allows {hard}: raise that \
             (LimitNOFILE={needed} in the unit, --ulimit nofile={needed} for a container), or lower [limits] listeners or sources"
        ));
    }
    setrlimit(Resource::RLIMIT_NOFILE, needed, hard).map_err(|error: nix::Error| {
        format!("cannot raise the limit on open files to {needed}: {}", io::Error::from(error))
    })
}
