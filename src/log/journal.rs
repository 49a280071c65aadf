//! The journal catalog: every kind of log line, with its name and its permanent id.
//!
//! The name is for people and for tests. The id is the journal's `MESSAGE_ID=`: programs filter by
//! it, and `journalctl -x` finds the explanation in `systemd/silvacast.catalog` by it.

/// One kind of log line. Each line is one state change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JournalEvent {
    /// The value of the field `event`, such as `source-ended`.
    pub name: &'static str,
    /// The message id: 128 bits in hexadecimal. Never changed, never reused.
    pub id: &'static str,
}

macro_rules! events {
    ($($(#[$about:meta])+ $constant:ident = $name:literal, $id:literal;)+) => {
        $($(#[$about])+ pub const $constant: JournalEvent = JournalEvent { name: $name, id: $id };)+
        /// All kinds of log lines.
        pub const ALL: &[JournalEvent] = &[$($constant),+];
    };
}

events! {
    /// Every listening socket accepts connections.
    READY = "ready", "053fed88f5064ea5b680082081264a53";
    /// A signal stops the server.
    STOPPING = "stopping", "a3cd9c7d67514778869bc9bbc51b2bdf";
    /// All streams have been ended.
    STOPPED = "stopped", "1e0b5d8b99b943caaaa3c348afeb94f4";
    /// A reload succeeded: the new configuration is in force.
    RELOADED = "reloaded", "9e115e972d8b4214a2fdb28e97b698ad";
    /// A reload failed. One line for each error; the old configuration stays in force.
    RELOAD_FAILED = "reload-failed", "c95d799c9b894ecaa7222d8e396114e6";
    /// A changed setting takes effect at the next start only.
    RELOAD_LATER = "reload-later", "821fb0b35d614186946806dba47d8d36";
    /// A setting of an `icecast.xml` is ignored.
    SETTING_IGNORED = "setting-ignored", "b1b2be28bb214114a2a4333f6d2e076c";
    /// Something in the configuration is allowed but probably not meant.
    CONFIG_WARNING = "config-warning", "f8732b3540c84d258177b049421b6645";
    /// The privileges were dropped; or one could not be dropped.
    PRIVILEGES = "privileges", "85242ee5adbb4508932345fd52fc3056";
    /// A loop does not advance. The watchdog is not pinged until it does.
    LOOP_STUCK = "loop-stuck", "32ca402525b64b9d85fe9efa9b81db2a";
    /// A loop that was stuck advances again.
    LOOP_RESUMED = "loop-resumed", "323b36bdc4b44931836de17cbcfc645c";
    /// A message to the service manager could not be sent.
    NOTIFY_FAILED = "notify-failed", "f6b4fe889c424e64a9b59c1a8a3c1e6e";
    /// Log lines were dropped, because the output was too slow or a write failed.
    LOG_DROPPED = "log-dropped", "806dfe3062464627b6682e4e91e6114e";
    /// Connections cannot be accepted for now.
    ACCEPT_PAUSED = "accept-paused", "1b19df6fd07047bdaa350d9abf444b2a";
    /// Connections are accepted again.
    ACCEPT_RESUMED = "accept-resumed", "b88aec88d0354f87bff2eb09beef4f0b";
    /// The server stopped before all listeners had received the end of their streams.
    DRAIN_CUT = "drain-cut", "fd417fea56a7493581d2e24504ac47da";
    /// A request was refused.
    REFUSED = "refused", "8f709a3be6c44a3f831ae16afb1ef7e9";
    /// The throttle left out lines of one kind.
    MORE_LINES = "more-lines", "b5da225d114d46c994a93ca51664f3db";
    /// The process, or one of its threads, did not run for a while.
    STOOD_STILL = "stood-still", "83af73a7c78145348d2085a29bf9788e";
    /// The wall clock was set by more than a second.
    CLOCK_SET = "clock-set", "d4e1b6c0937f4a5e8c2b71f0a95d3e68";
    /// An authenticated client gave an administrative command.
    ADMIN_COMMAND = "admin-command", "7571700a1d7f41428c775e202ac63918";
    /// A client gave too many wrong credentials and is locked out.
    LOCKOUT = "lockout", "0d67382884cc443ebfa7c15ed687de8e";
    /// A source was admitted to a mount.
    SOURCE_CONNECTED = "source-connected", "ce1291dc1d5e44e996b086d8699dd291";
    /// A source's connection ended.
    SOURCE_ENDED = "source-ended", "a452e1133f9a4926bfaf17a97c641b16";
    /// A source's connection failed before it could be served.
    SOURCE_LOST = "source-lost", "7786632f3631484289fec46ec7ed5ca9";
    /// Several sources took a mount from each other; the newest one keeps it for a minute.
    SOURCE_CONFLICT = "source-conflict", "fa692b2668fd456ba7b5edd734dac6d4";
    /// A source sent bytes that are not valid Ogg pages.
    SOURCE_DAMAGE = "source-damage", "f9cf683e1bac4ec2ab40384d159befc6";
    /// A mount's stream began.
    STREAM_BEGAN = "stream-began", "ea4d839bbce24268a3c765ebc6e4bf36";
    /// A mount's stream continues with another source.
    STREAM_SPLICED = "stream-spliced", "ae553ca9327044b788b628a8a39f3530";
    /// A mount's stream was followed by one that could not be spliced to it.
    STREAM_CHAINED = "stream-chained", "5dc81c5788f944fb819d568bac3259ec";
    /// A mount's stream ended, because no source came back within `hold`.
    STREAM_ENDED = "stream-ended", "029cbffd8bd6481ab6e8d8dc7039ddc2";
    /// A mount's source stopped sending.
    GAP_BEGAN = "gap-began", "12801459d3bb4ec6968ec708f288b03e";
    /// A mount's source sends again.
    GAP_ENDED = "gap-ended", "466fb828555c46abbe6dd757c9ec4ce8";
    /// A listener's connection ended.
    LISTENER_LEFT = "listener-left", "3b31635133624de59d5f47d001a0f3f4";
    /// A listener's connection failed before it could be served.
    LISTENER_LOST = "listener-lost", "69d837dea99048249e100c548cd5faef";
    /// A mount could not be created.
    MOUNT_FAILED = "mount-failed", "e476da6fb9c34f2390a8ded2dee828a2";
    /// Audio passes between this server and another one.
    PEER_CONNECTED = "peer-connected", "5c1f6a3f0d0b4d3e9a6c27d8be1f4a90";
    /// A mount could not be pulled from another server or pushed to it, or its mounts could not be
    /// listed.
    PEER_FAILED = "peer-failed", "a7d02f4be9c94f6c8f35d1c60e9b7a21";
    /// An encoder was started, because its mount is wanted.
    ENCODER_STARTED = "encoder-started", "3d9a7c15e0824b6f9b7e52c8d41f06ab";
    /// An encoder was stopped, because its mount is wanted no more.
    ENCODER_STOPPED = "encoder-stopped", "b86f02d7c35e4a19a0d4e7f19c6b5238";
    /// An encoder ended, or could not be started, although its mount is wanted.
    ENCODER_FAILED = "encoder-failed", "60c4e9f1a72d4d85b3185ae7d90cf24e";
    /// It is not known whether an encoder's mount is wanted.
    DEMAND_UNKNOWN = "demand-unknown", "f15b83ac6e974c20874d3f9b60a2d7e1";
    /// A detector has heard a species that it had not heard lately.
    SPECIES_DETECTED = "species-detected", "bee978c087534a3798f85484bfed42ac";
}

/// Writes one line: `journal!(info, SOURCE_ENDED, mount = …, %peer, "source ended")`.
macro_rules! journal {
    ($level:ident, $event:ident, $($rest:tt)+) => {
        tracing::$level!(
            event = $crate::log::journal::$event.name,
            message_id = $crate::log::journal::$event.id,
            $($rest)+
        )
    };
}
pub(crate) use journal;

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::ALL;

    #[test]
    fn names_and_ids_are_unique() {
        assert_eq!(ALL.iter().map(|event| event.name).collect::<HashSet<_>>().len(), ALL.len());
        assert_eq!(ALL.iter().map(|event| event.id).collect::<HashSet<_>>().len(), ALL.len());
        assert!(ALL.iter().all(|event| event.id.len() == 32));
    }
}
