//! How a mount behaves, and which mount behaves how.

use std::sync::Arc;
use std::time::Duration;

use super::name::{Name, Pattern};
use crate::auth::{Access, Login};

/// How much of the past a listener gets on joining.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Burst {
    /// What suits the player that asks.
    Auto,
    /// At least this much audio, in whole pages.
    Time(Duration),
}

/// What listeners get while no source is heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gap {
    /// Silence, in real time.
    Silence,
    /// Nothing; the stream goes on when a source does.
    Pause,
    /// The end of the stream, as soon as the source is gone.
    End,
}

/// The rules of one mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountSettings {
    /// The mount's memory for audio, in bytes: pages and their index.
    pub ring: usize,
    /// What a listener gets on joining.
    pub burst: Burst,
    /// A source that sends nothing for so long is gone.
    pub source_timeout: Duration,
    /// What listeners get while no source is heard.
    pub gap: Gap,
    /// For how long nothing may come before that is a gap; two of the source's pages at least.
    pub gap_after: Duration,
    /// For how long the stream goes on without a source.
    pub hold: Duration,
    /// A listener that accepts nothing for so long is dropped.
    pub listener_timeout: Duration,
    /// The most listeners; 0 leaves it to the server's own limit.
    pub max_listeners: usize,
    /// How long a page may be held back to be sent together with the next ones.
    pub coalesce: Duration,
    /// Who may listen.
    pub access: Access,
    /// Who may push, if not the sources of all mounts.
    pub source: Option<Login>,
    /// Left out of what everybody can see of the server.
    pub hidden: bool,
}

/// Settings by name: the first pattern that matches wins, else the defaults.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountRules {
    /// In the order of the configuration.
    pub rules: Vec<(Pattern, Arc<MountSettings>)>,
    /// For every other mount.
    pub defaults: Arc<MountSettings>,
}

impl MountRules {
    /// The settings for a mount of this name.
    pub fn of(&self, name: &Name) -> Arc<MountSettings> {
        let rule = self.rules.iter().find(|(pattern, _)| pattern.matches(name));
        Arc::clone(rule.map_or(&self.defaults, |(_, settings)| settings))
    }

    /// What users and tokens take of memory, in bytes.
    pub fn memory(&self) -> usize {
        let rules = self.rules.iter().map(|(_, settings)| settings.access.memory());
        rules.sum::<usize>() + self.defaults.access.memory()
    }

    /// The largest ring that any mount may have, in bytes.
    pub fn largest_ring(&self) -> usize {
        let rings = self.rules.iter().map(|(_, settings)| settings.ring);
        rings.fold(self.defaults.ring, usize::max)
    }
}
