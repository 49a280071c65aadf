//! One stream from many sources, in simulated time, checked with this crate and with other readers.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod allocations;
mod joint;
mod random;
mod real_time;
mod simulation;
mod split_packets;
mod tools;
