//! What travels between the threads.

use crate::domain::effect::OutMsg;
use crate::domain::event::{Event, Flow, Seq};
use crate::domain::input::{Input, InputClass};
use crate::domain::intent::{Denial, Intent, NearMiss};
use crate::domain::output::OutputKey;
use crate::domain::time::{Nanos, Stamp};
use crate::ring::slab::{Lease, Parcel};

/// Gateway (or another source) → decode: an input before it is numbered.
#[derive(Debug)]
pub struct Arrival {
    /// When it was read.
    pub mono: Nanos,
    /// When it was readable at the latest.
    pub readable: Nanos,
    /// What.
    pub input: Input,
    /// Its bytes.
    pub body: Body,
}

/// Where the bytes of an input are.
#[derive(Debug, Default)]
pub enum Body {
    /// No bytes.
    #[default]
    None,
    /// A frame in the slab.
    Slot(Lease),
    /// Large and rare: HTTP replies, configuration, recorded inputs.
    Heap(Vec<u8>),
}

/// Decode → scan and record: the events of an input, then the input itself, which ends them.
#[derive(Clone, Copy, Debug)]
#[allow(clippy::large_enum_variant)] // one slot size for all
pub enum Hop {
    /// Nothing yet.
    Empty,
    /// An event of the next input in the ring.
    Event(Event),
    /// An input, after all its events.
    Input(Numbered),
    /// Decode has ended; nothing follows.
    Shutdown,
}

/// A numbered input.
#[derive(Clone, Copy, Debug)]
pub struct Numbered {
    /// Number.
    pub seq: Seq,
    /// Instant.
    pub at: Stamp,
    /// Class.
    pub class: InputClass,
    /// What.
    pub input: Input,
    /// Its frame, if it has one.
    pub parcel: Parcel,
    /// Its bytes come by the side ring instead.
    pub heap: bool,
    /// When the frame was readable; 0 for what is not market data.
    pub readable: Nanos,
}

/// Scan → risk → route.
#[derive(Clone, Copy, Debug)]
#[allow(clippy::large_enum_variant)] // one slot size for all
pub enum Current {
    /// An item.
    Flow(Flow),
    /// Nothing follows.
    Shutdown,
}

/// Route → record: everything of the stage in one ring, because its outputs are compared in order.
#[derive(Clone, Copy)]
#[allow(clippy::large_enum_variant)] // one slot size for all
pub enum Sent {
    /// A message on its way to the gateway.
    Message(OutputKey, OutMsg),
    /// A basket that could not go whole.
    Denied(OutputKey, Denial),
    /// Nothing follows.
    Shutdown,
}

/// Scan, risk → record.
#[derive(Clone, Copy, Debug)]
#[allow(clippy::large_enum_variant)] // one slot size for all
pub enum Note {
    /// Scan wants this.
    Intent(OutputKey, Intent),
    /// Risk approved this.
    Approved(OutputKey, Intent),
    /// Risk denied this.
    Denied(OutputKey, Denial),
    /// A state hash.
    State(OutputKey, u64),
    /// Scan nearly wanted this.
    NearMiss(OutputKey, NearMiss),
    /// Nothing follows.
    Shutdown,
}
