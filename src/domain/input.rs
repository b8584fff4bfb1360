//! Inputs: everything that changes state, in one sequence. What is journaled and replayed.

use super::effect::HttpId;
use super::instrument::VenueId;
use super::intent::{Denial, OrderRef};
use super::order::{ClientId, OrderSpec};
use super::standing::Pace;
use super::time::Nanos;
use serde::{Deserialize, Serialize};

/// Index of a connection in the run's configuration (a venue has several).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ConnId(pub u8);

impl ConnId {
    /// As an index.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// What an input is made of; raw bytes (a frame, an HTTP body) stand beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)] // the variant's sentence names its fields
pub enum Input {
    /// First input of a run: the engine's configuration is the raw bytes (JSON).
    Config,
    /// `wall − mono` from now on, ns.
    Anchor(Nanos),
    /// Nothing else happened for a millisecond.
    Tick,
    /// A WebSocket message; the raw bytes are its payload after redaction.
    Frame(FrameMeta),
    /// A connection was established; frames carry this epoch.
    ConnUp { conn: ConnId, epoch: u32 },
    /// A connection was lost or could not be made.
    ConnDown { conn: ConnId, epoch: u32, reason: DownReason },
    /// Reply to an HTTP request; the raw bytes are the body after redaction. Status 0 = no reply.
    HttpReply { venue: VenueId, id: HttpId, status: u16 },
    /// A basket was denied by risk or route.
    Denied(Denial),
    /// The fate of a message at the egress gate.
    Outcome(SendOutcome),
    /// An operator or the runtime commands.
    Command(Command),
    /// A venue's reply said how much of its limits is used; stands before the reply itself.
    Pace(Pace),
    /// The fate of a message that amends an order, at the egress gate; `order` is the order as it shall be.
    AmendOutcome(SendOutcome),
    /// Before the start: what the run before left; the raw bytes are a [`super::carry::Carry`] (JSON).
    Carry,
    /// The fate of a message that places the order of the outcome in the place of `old`, at the egress gate.
    ReplaceOutcome { outcome: SendOutcome, old: ClientId },
}

/// Class of an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum InputClass {
    /// Public market data.
    Market,
    /// Account and order data.
    Account,
    /// Our own denials and send outcomes.
    Loopback,
    /// Configuration, commands, connections, anchors.
    Control,
    /// Ticks.
    Time,
}

/// About a received WebSocket message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FrameMeta {
    /// Connection.
    pub conn: ConnId,
    /// Connection epoch: rises with every connect of `conn`.
    pub epoch: u32,
    /// Text or binary or ping.
    pub kind: FrameKind,
    /// Last complete message of this socket read.
    pub last: bool,
    /// The socket had nothing more waiting after this read.
    pub drained: bool,
}

/// WebSocket message type.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum FrameKind {
    /// Text.
    #[default]
    Text,
    /// Binary.
    Binary,
    /// Protocol ping (already answered by the transport).
    Ping,
    /// Protocol pong.
    Pong,
}

/// Why a connection went down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum DownReason {
    /// Closed by the venue.
    #[default]
    Closed,
    /// Could not connect (DNS, TCP, TLS, upgrade).
    Refused,
    /// Broken mid-frame or by an I/O error.
    Broken,
    /// A message larger than the largest slab class.
    Oversized,
    /// Protocol violation.
    Protocol,
    /// Closed by us.
    Ours,
}

/// The fate of one outbound message at the egress gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SendOutcome {
    /// The message.
    pub message: super::effect::MessageId,
    /// What became of it.
    pub fate: SendFate,
    /// The order that it places, when it places one.
    pub order: Option<OrderSpec>,
}

/// What became of an outbound message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum SendFate {
    /// Handed to the socket.
    Sent,
    /// Not sent, for certain.
    Refused(RefuseReason),
    /// Partly written or the connection broke while writing: nobody knows.
    Unknown,
    /// Handed to a thread that makes HTTP requests, where it may still wait. The reply to the request
    /// (`Input::HttpReply`), or that it was withdrawn, is an input of its own.
    Handed,
    /// Handed to such a thread before, and refused by the gate when its turn came: not sent, for certain.
    Withdrawn(RefuseReason),
}

impl SendFate {
    /// Left our hands, for a socket or an HTTP thread.
    pub const fn has_left(self) -> bool {
        matches!(self, Self::Sent | Self::Handed)
    }
}

/// Why the egress gate refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum RefuseReason {
    /// The kill latch is set.
    Killed,
    /// The cause is too old.
    Stale,
    /// The connection is down or has a newer epoch than the message was made for.
    Epoch,
    /// The journal has not reached the message's token, or failed.
    Journal,
    /// The socket does not accept more now.
    NotWritable,
    /// Live trading is not enabled, or a secret that the message needs is missing.
    Unsigned,
    /// The run ends.
    Stopped,
}

/// Which part of the engine a kill or halt concerns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Scope {
    /// Everything.
    #[default]
    Global,
    /// One venue.
    Venue(VenueId),
}

/// Commands by operators and by the runtime; sequenced like everything else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)] // the variant's sentence names its fields
pub enum Command {
    /// Open the connections and begin.
    Start,
    /// No new entries; cancel what rests; flatten what is open.
    Reduce,
    /// Nothing leaves but cancels and reduce-only orders; cancel everything.
    Kill(Scope),
    /// Back to normal (the operator's word; never automatic).
    Resume,
    /// The recorder lags: 25 % → reducing, 75 % → halted.
    RecorderLag { percent: u8 },
    /// The run ends; sessions close.
    Stop,
    /// An engineer handles one order by hand.
    ByHand(ByHand),
    /// The journal's disk is short of room: no new trades until it is not. Passes by itself.
    JournalSpace { short: bool },
}

/// What an engineer asks for, one order at a time; passes every check that an order of the engine's own passes.
/// The prices of the books at that moment are filled in by scan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ByHand {
    /// Place this order; its client id is given by scan.
    Place(OrderSpec),
    /// Change the resting order of this client id to this price and total quantity.
    Amend(OrderSpec),
    /// Cancel an order.
    Cancel(OrderRef),
}

/// A raw input as it stands before numbering: borrowed bytes beside the meta data.
#[derive(Clone, Copy, Debug)]
pub struct RawInput<'a> {
    /// When it was received (frames) or made, `mono` ns.
    pub mono: Nanos,
    /// What it is.
    pub input: Input,
    /// Frame or HTTP body; empty for the rest.
    pub bytes: &'a [u8],
}

impl Input {
    /// The class of this input. Frames and replies of account connections are told by the caller.
    pub fn class(&self, account: bool) -> InputClass {
        match self {
            Self::Tick => InputClass::Time,
            Self::Denied(_) | Self::Outcome(_) | Self::AmendOutcome(_) | Self::ReplaceOutcome { .. } => {
                InputClass::Loopback
            }
            Self::Frame(_) | Self::HttpReply { .. } if account => InputClass::Account,
            Self::Frame(_) | Self::HttpReply { .. } => InputClass::Market,
            Self::Config
            | Self::Carry
            | Self::Anchor(_)
            | Self::Command(_)
            | Self::Pace(_)
            | Self::ConnUp { .. }
            | Self::ConnDown { .. } => InputClass::Control,
        }
    }
}
