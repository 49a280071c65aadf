//! The most memory that the server can take, and what it is made of: computed from the configuration, shown here.

use arc_swap::ArcSwap;

/// Where memory is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In the process itself.
    Process,
    /// In the kernel, for the process's connections.
    Kernel,
}

/// Something of which there are at most so many, each with at most so many bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// Where.
    pub place: Place,
    /// One of it.
    pub what: &'static str,
    /// How many.
    pub count: u64,
    /// Bytes of each.
    pub each: u64,
}

/// The items in force.
#[derive(Debug)]
pub struct Ceiling(ArcSwap<Vec<Item>>);

impl Place {
    /// As documents and labels have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Process => "process",
            Self::Kernel => "kernel",
        }
    }
}

impl Item {
    /// An item.
    pub fn new(place: Place, what: &'static str, count: u64, each: u64) -> Self {
        Self { place, what, count, each }
    }

    /// All of them, in bytes.
    pub fn bytes(&self) -> u64 {
        self.count.saturating_mul(self.each)
    }
}

impl Ceiling {
    /// The sum of these.
    pub fn new(items: Vec<Item>) -> Self {
        Self(ArcSwap::from_pointee(items))
    }

    /// In bytes.
    pub fn total(&self) -> u64 {
        self.0.load().iter().map(Item::bytes).sum()
    }

    /// What it is made of.
    pub fn items(&self) -> Vec<Item> {
        self.0.load().to_vec()
    }

    /// Another configuration is in force. What there is of the one before stays for a while, so a smaller sum counts
    /// from the next start only.
    pub fn raise(&self, items: Vec<Item>) {
        if items.iter().map(Item::bytes).sum::<u64>() > self.total() {
            self.0.store(items.into());
        }
    }
}
