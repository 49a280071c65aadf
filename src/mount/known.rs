//! The mounts that should be there: named in the configuration, or live since the server started.
//!
//! A microphone that is gone for longer than its hold time has no stream and no entry in the table.
//! It is remembered here, so that status can say since when it is off.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::name::Name;
use super::settings::{MountRules, MountSettings};
use crate::clock::Timestamp;

/// How many mounts are remembered besides those that the configuration names. The one that has been
/// off for longest is forgotten for a new one.
pub const MAX_KNOWN_MOUNTS: usize = 256;
/// The memory of one, in bytes.
pub const KNOWN_MOUNT_MEMORY: usize = 1024;

/// A mount without a stream.
#[derive(Clone, Debug)]
pub struct OffMount {
    /// Its name.
    pub name: Name,
    /// When its stream ended, or when the server started.
    pub since: Timestamp,
    /// Its settings.
    pub settings: Arc<MountSettings>,
    /// Whether its audio comes when somebody wants it.
    pub is_idle: bool,
}

#[derive(Debug)]
struct KnownMount {
    settings: Arc<MountSettings>,
    /// `None` while it has a stream.
    off_since: Option<Timestamp>,
    /// Whether it has had a stream, or a source that waits to send one.
    was_live: bool,
    /// Whether the configuration names it.
    is_named: bool,
}

/// All mounts that are remembered, by name.
#[derive(Debug, Default)]
pub(super) struct KnownMounts(BTreeMap<Name, KnownMount>);

impl KnownMounts {
    /// Follows the configuration: remembers the mounts that it names, and forgets those that it
    /// named before and that were never live.
    pub(super) fn follow(&mut self, rules: &MountRules) {
        let names: BTreeSet<_> = rules.names().collect();
        for name in &names {
            self.enter(name, rules.of(name));
        }
        for (name, known) in &mut self.0 {
            known.is_named = names.contains(name);
        }
        self.0.retain(|name, known| {
            known.settings = rules.of(name);
            known.is_named || known.was_live
        });
    }

    /// A mount's stream has begun.
    pub(super) fn began(&mut self, name: &Name, settings: Arc<MountSettings>) {
        let known = self.enter(name, settings);
        (known.off_since, known.was_live) = (None, true);
    }

    /// A source of this mount waits until it is wanted.
    pub(super) fn announce(&mut self, name: &Name, settings: Arc<MountSettings>) {
        self.enter(name, settings).was_live = true;
    }

    /// A mount's stream has ended.
    pub(super) fn ended(&mut self, name: &Name) {
        if let Some(known) = self.0.get_mut(name) {
            known.off_since = Some(Timestamp::now());
        }
    }

    /// The mounts that have no stream, ordered by name.
    pub(super) fn off(&self) -> Vec<OffMount> {
        let off = self.0.iter().filter_map(|(name, known)| {
            let settings = Arc::clone(&known.settings);
            let is_idle = settings.on_demand;
            Some(OffMount { name: name.clone(), since: known.off_since?, settings, is_idle })
        });
        off.collect()
    }

    fn enter(&mut self, name: &Name, settings: Arc<MountSettings>) -> &mut KnownMount {
        let others = || self.0.iter().filter(|(_, known)| !known.is_named);
        if others().count() >= MAX_KNOWN_MOUNTS && !self.0.contains_key(name) {
            // One that has a stream counts as off for no time at all.
            let longest = others()
                .max_by_key(|(_, known)| known.off_since.as_ref().map(Timestamp::elapsed))
                .map(|(name, _)| name.clone());
            longest.map(|name| self.0.remove(&name));
        }
        self.0.entry(name.clone()).or_insert_with(|| KnownMount {
            settings,
            off_since: Some(Timestamp::now()),
            was_live: false,
            is_named: false,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Environment};

    fn rules(names: &[&str]) -> MountRules {
        let tables = names.iter().map(|name| format!("[[mount]]\nname = \"{name}\"\n"));
        let text = tables.collect::<String>();
        let text = format!("[auth]\nsource_password = \"x\"\nadmin_password = \"y\"\n{text}");
        Config::parse(&text, &Environment::default()).unwrap().door.rules
    }

    fn off(known: &KnownMounts) -> Vec<String> {
        known.off().iter().map(|mount| mount.name.to_string()).collect()
    }

    #[test]
    fn mounts_that_are_named_or_were_live_are_remembered() {
        let mut known = KnownMounts::default();
        known.follow(&rules(&["/a", "/b", "/mic-*"]));
        assert_eq!(off(&known), ["/a", "/b"], "a pattern names no mount");
        let (a, c) = (Name::new("/a").unwrap(), Name::new("/c").unwrap());
        for name in [&a, &c] {
            known.began(name, rules(&[]).of(name));
        }
        assert_eq!(off(&known), ["/b"]);
        known.ended(&c);
        known.follow(&rules(&[]));
        assert_eq!(off(&known), ["/c"], "/b was never live");
        known.ended(&a);
        assert_eq!(off(&known), ["/a", "/c"]);
    }

    #[test]
    fn the_number_of_mounts_is_limited_and_those_that_are_named_stay() {
        let mut known = KnownMounts::default();
        known.follow(&rules(&["/named"]));
        for number in 0..1_000 {
            let name = Name::new(&format!("/{number}")).unwrap();
            known.began(&name, rules(&[]).of(&name));
            known.ended(&name);
        }
        assert_eq!(known.off().len(), 1 + MAX_KNOWN_MOUNTS);
        assert!(off(&known).contains(&"/named".to_owned()));
    }
}
