//! The values of a mount's keys, which `[[mount]]` inherits from `[mount-defaults]`.

use super::keys::Key;
use super::kinds::Kind;
use super::reader::{Reader, Section};
use crate::mount::MountSettings;

/// A section of mount keys, over the settings that hold where it says nothing.
pub(super) struct Layer<'l, 't> {
    pub reader: &'l mut Reader<'t>,
    pub section: Section<'l>,
    /// What `[mount-defaults]` gives; `None` while that itself is read.
    pub inherited: Option<&'l MountSettings>,
}

impl Layer<'_, '_> {
    /// The value that the section gives; else the inherited one; else the key's default.
    pub(super) fn get<K: Kind>(
        &mut self,
        key: &Key<K>,
        inherited: impl FnOnce(&MountSettings) -> K::Value,
    ) -> K::Value {
        self.reader
            .given(self.section, key)
            .or_else(|| self.inherited.map(inherited))
            .unwrap_or_else(key.default)
    }
}
