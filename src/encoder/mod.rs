//! Runs an encoder while its mount is wanted, and only then: `silvacast on-demand`.

mod on_demand;
mod process;

pub(crate) use on_demand::{Encoder, EncoderState};
