//! Other servers: mounts that are pulled from them (`[[relay]]`), and mounts that are pushed to them
//! (`[[forward]]`).
//!
//! A pulled stream is a source like any other, and a pushed one is a listener like any other: the
//! connections are made here, and then handed to the data plane. So a server that is away, slow or wrong
//! can hold up nothing.
//!
//! `settings` has what the configuration says, `client` the requests that are sent, `lists` reads what
//! other servers list, and `discovery` keeps up with it. `pull` and `push` keep one mount connected each,
//! with the delays of `backoff`; `remote_demand` asks whether one is wanted; `directory` knows how they are doing, for the administrator. `manager`
//! runs them all.

mod backoff;
mod chunked;
mod client;
mod directory;
mod discovery;
mod handed_over;
mod limits;
mod lists;
mod manager;
mod pull;
mod push;
mod remote_demand;
mod settings;
mod shared;

pub use backoff::Backoff;
pub use directory::{PeerDirectory, PeerKind, PeerState, PeerStatus};
pub use limits::{CHUNKED_MEMORY, PEER_MEMORY};
pub use lists::{ListedMounts, event_lines, status_mounts, stream_list};
pub use remote_demand::{DemandError, LEAST_INTERVAL, RemoteDemand};
pub use settings::{ForwardSettings, PeerSettings, RelaySettings, ServerUrl, ServerUrlError, When};
pub use shared::Peers;
