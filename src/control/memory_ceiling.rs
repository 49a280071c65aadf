//! The most memory that the server can take, and what it is made of: computed from the configuration, shown here.

use arc_swap::ArcSwap;

/// Where memory is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemoryOwner {
    /// In the process itself.
    Process,
    /// In the kernel, for the process's connections.
    Kernel,
}

/// Something of which there are at most so many, each with at most so many bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CeilingItem {
    /// Where.
    pub owner: MemoryOwner,
    /// One of it.
    pub what: &'static str,
    /// How many.
    pub count: u64,
    /// Bytes of each.
    pub each: u64,
}

/// The items in force.
#[derive(Debug)]
pub(crate) struct MemoryCeiling(ArcSwap<Vec<CeilingItem>>);

impl MemoryOwner {
    /// As documents and labels have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Process => "process",
            Self::Kernel => "kernel",
        }
    }
}

impl CeilingItem {
    /// An item.
    pub fn new(owner: MemoryOwner, what: &'static str, count: u64, each: u64) -> Self {
        Self { owner, what, count, each }
    }

    /// All of them, in bytes.
    pub fn bytes(&self) -> u64 {
        self.count.saturating_mul(self.each)
    }
}

impl MemoryCeiling {
    /// The sum of these.
    pub(crate) fn new(items: Vec<CeilingItem>) -> Self {
        Self(ArcSwap::from_pointee(items))
    }

    /// In bytes.
    pub(crate) fn total(&self) -> u64 {
        self.0.load().iter().map(CeilingItem::bytes).sum()
    }

    /// What it is made of.
    pub(crate) fn items(&self) -> Vec<CeilingItem> {
        self.0.load().to_vec()
    }

    /// Another configuration is in force. What there is of the one before stays for a while, so a smaller sum counts
    /// from the next start only.
    pub(crate) fn raise(&self, items: Vec<CeilingItem>) {
        if items.iter().map(CeilingItem::bytes).sum::<u64>() > self.total() {
            self.0.store(items.into());
        }
    }
}
