//! The maximum memory of the server, item by item. `config::budget` computes it from the
//! configuration; metrics show it.

use arc_swap::ArcSwap;

/// Whose memory an item is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemoryOwner {
    /// Memory of the process.
    Process,
    /// Memory that the kernel allocates for the connections of the process.
    Kernel,
}

/// A kind of object whose number and size are limited.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CeilingItem {
    /// Whose memory it is.
    pub owner: MemoryOwner,
    /// Name of one such object, for people.
    pub what: &'static str,
    /// Maximum number of objects.
    pub count: u64,
    /// Maximum size of one object, in bytes.
    pub each: u64,
}

/// The items that apply to the running server.
#[derive(Debug)]
pub(crate) struct MemoryCeiling(ArcSwap<Vec<CeilingItem>>);

impl MemoryOwner {
    /// The name in the output of `silvacast check` and in metric labels.
    pub fn name(self) -> &'static str {
        match self {
            Self::Process => "process",
            Self::Kernel => "kernel",
        }
    }
}

impl CeilingItem {
    /// Creates an item.
    pub fn new(owner: MemoryOwner, what: &'static str, count: u64, each: u64) -> Self {
        Self { owner, what, count, each }
    }

    /// Maximum size of all objects together, in bytes.
    pub fn bytes(&self) -> u64 {
        self.count.saturating_mul(self.each)
    }
}

impl MemoryCeiling {
    /// Creates a ceiling from its items.
    pub(crate) fn new(items: Vec<CeilingItem>) -> Self {
        Self(ArcSwap::from_pointee(items))
    }

    /// The sum of all items, in bytes.
    pub(crate) fn total(&self) -> u64 {
        self.0.load().iter().map(CeilingItem::bytes).sum()
    }

    /// A copy of the items.
    pub(crate) fn items(&self) -> Vec<CeilingItem> {
        self.0.load().to_vec()
    }

    /// Replaces the items after a reload, if their sum is larger. A smaller sum takes effect at the
    /// next start, because connections and mounts of the previous configuration continue.
    pub(crate) fn raise(&self, items: Vec<CeilingItem>) {
        if items.iter().map(CeilingItem::bytes).sum::<u64>() > self.total() {
            self.0.store(items.into());
        }
    }
}
