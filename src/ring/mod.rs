//! The hops between stages: bounded, single-producer, with depth, high-water mark and a policy when full.
//!
//! A ring of our own for small values ([`spsc`], one thread to one other), events over `disruptor` ([`mod@fan`],
//! one to two), and the [`mod@slab`] in which received frames lie. Nothing here waits: a full ring is an answer,
//! and what it means is the stage's decision.

pub mod fan;
pub mod slab;
pub mod spsc;

pub use fan::{FanClosed, FanConsumer, FanProducer, PublishError, fan};
pub use slab::{Lease, Parcel, SlabCounts, SlabError, SlabReader, SlabReturner, SlabWriter, slab};
pub use spsc::{Full, HopStats, Receiver, Sender, channel};

/// Keeps a value on cache lines of its own: two, because processors fetch lines in pairs.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct Padded<T>(pub(crate) T);
