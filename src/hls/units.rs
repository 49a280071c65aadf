//! The units of this module.

/// Samples per second of all times in this module.
pub(super) const RATE: u64 = 48_000;
/// Duration of a partial segment, in samples: 240 ms. It is a whole number of packets of any duration
/// but 100 ms, so that all parts are equally long.
pub const PART: u64 = 11_520;
/// The same for packets of 100 ms.
const PART_OF_100_MS: u64 = 9_600;
/// A packet of 100 ms, in samples.
const PACKET_OF_100_MS: u32 = 4_800;

/// Duration of the partial segments of a segment that begins with a packet of this duration; both in
/// samples.
pub(super) fn part_for(packet: u32) -> u64 {
    if packet == PACKET_OF_100_MS { PART_OF_100_MS } else { PART }
}

/// Maximum length of a playlist that is being written, in bytes: 120 segments, or 12 with 125 parts,
/// each with a date, a name and what opens the mount. Its buffer may have doubled.
const PLAYLIST_MEMORY: usize = 64 * 1024;
/// Maximum number of packets in a second: the shortest last 2.5 ms.
const PACKETS_PER_SECOND: usize = 400;
/// Memory of a packet while a segment is sent: its row in the header, before and after it is written,
/// and, if it has a page of its own, the piece that is read from the ring. The lists of these may have
/// doubled.
const PACKET_MEMORY: usize = 128;

/// Maximum memory of a response with a playlist, or a segment of so many seconds, in bytes.
pub const fn response_memory(segment: usize) -> usize {
    let index = segment * PACKETS_PER_SECOND * PACKET_MEMORY;
    if index > PLAYLIST_MEMORY { index } else { PLAYLIST_MEMORY }
}
