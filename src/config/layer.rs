//! The values of a mount's keys, which `[[mount]]` inherits from `[mount-defaults]`.

use super::keys::Key;
use super::kinds::Kind;
use super::reader::{Reader, Section};
use crate::mount::MountSettings;

/// A section of mount keys, and the settings that apply to keys that it does not set.
pub(super) struct Layer<'l, 't> {
    pub reader: &'l mut Reader<'t>,
    pub section: Section<'l>,
    /// The settings of `[mount-defaults]`; `None` while that section itself is read.
    pub inherited: Option<&'l MountSettings>,
}

impl Layer<'_, '_> {
    /// The value in the section; otherwise the inherited one; otherwise the key's default.
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
