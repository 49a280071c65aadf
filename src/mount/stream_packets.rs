//! The packets of one stream of Opus that the ring holds, by their granule positions.

use super::ring::Ring;
use super::ring_page::PlacedPacket;
use super::stream_history::StreamRecord;

/// The pages of one stream that a ring holds.
#[derive(Clone, Copy, Debug)]
pub struct StreamPackets<'p> {
    ring: &'p Ring,
    /// Numbers of the pages.
    first: u64,
    end: u64,
}

impl<'p> StreamPackets<'p> {
    /// The packets of `stream` in `ring`.
    pub fn new(ring: &'p Ring, stream: &StreamRecord) -> Self {
        let end = stream.end.map_or(u64::MAX, |end| end.position);
        let pages = ring.pages_between(stream.start, end);
        Self { ring, first: pages.start, end: pages.end }
    }

    /// The granule position at which the oldest page begins; `None` without a page.
    pub fn beginning(&self) -> Option<u64> {
        (self.first < self.end).then(|| self.ring.page(self.first).beginning())
    }

    /// The granule position of the newest page; 0 without one.
    pub fn newest_granule(&self) -> u64 {
        let last = self.end.checked_sub(1).filter(|&last| last >= self.first);
        last.map_or(0, |last| self.ring.page(last).granule())
    }

    /// The packets that begin at this granule position or later, in their order.
    pub fn from(&self, granule: u64) -> impl Iterator<Item = PlacedPacket> + use<'p> {
        // The first page that ends after it.
        let (mut low, mut high) = (self.first, self.end);
        while low < high {
            let middle = low.midpoint(high);
            if self.ring.page(middle).granule() > granule {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        let ring = self.ring;
        (low..self.end)
            .flat_map(move |page| ring.page(page).placed_packets())
            .skip_while(move |&(begins, _)| begins < granule)
    }
}
