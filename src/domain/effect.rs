//! Effects: what the stages want done to the world, and the messages that carry it out.
//!
//! Payloads are complete but for their secrets: a [`Hole`] marks where the gateway splices an API key,
//! a passphrase, a secret slot or a signature. What is journaled never contains a secret, nor its length.

use super::input::ConnId;
use super::instrument::{InstrumentId, VenueId};
use super::intent::OrderRef;
use super::order::{ClientId, OrderSpec};
use super::time::Nanos;
use serde::{Deserialize, Serialize};

/// Number of an HTTP request in a run; assigned by the session machine that wants it, per venue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct HttpId(pub u32);

/// What an HTTP request about one of our orders asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OrderCall {
    /// Its state.
    Query = 0,
    /// To be accepted.
    Place = 1,
    /// To be cancelled.
    Cancel = 2,
    /// To be changed.
    Amend = 3,
}

impl HttpId {
    /// Ids from here on are route's: requests about orders. Session machines stay below.
    pub const ORDERS: u32 = 1 << 31;

    /// The request `call` about an order. It carries the order's tag, because a reply that refuses names no
    /// order at some venues.
    pub const fn of_order(call: OrderCall, order: ClientId) -> Self {
        Self(Self::ORDERS | (call as u32) << ClientId::TAG_BITS | order.tag())
    }

    /// What is asked about which order's tag ([`ClientId::tag`]); `None` for requests of session machines.
    pub const fn order(self) -> Option<(OrderCall, u32)> {
        let call = match (self.0 >> 31, self.0 >> ClientId::TAG_BITS & 3) {
            (1, 0) => OrderCall::Query,
            (1, 1) => OrderCall::Place,
            (1, 2) => OrderCall::Cancel,
            (1, 3) => OrderCall::Amend,
            _ => return None,
        };
        Some((call, self.0 & ClientId::TAG_MASK))
    }
}

/// Number of an outbound message in a run; assigned by route.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct MessageId(pub u64);

/// What a session machine (or the order ledger) wants; small, rendered to bytes by route.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)] // the variant's sentence names its fields
pub enum SessionAction {
    /// Establish the connection; the dialler answers with `ConnUp` or `ConnDown`.
    Connect { conn: ConnId, slot: Option<SecretSlot> },
    /// Close the connection.
    Close { conn: ConnId },
    /// Send a session message on a connection; `what` is the venue's own code.
    Send { conn: ConnId, what: VenueCall },
    /// Make an HTTP request; `what` is the venue's own code.
    Http { venue: VenueId, id: HttpId, what: VenueCall },
    /// Ask the venue about an order whose state nobody knows (urgent).
    Query(OrderRef),
}

/// A venue-defined request: an operation code and its arguments. The codes live in the venue's folder.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VenueCall {
    /// Venue-defined operation.
    pub op: u16,
    /// Venue-defined number (a batch index, a request id).
    pub arg: u64,
    /// The instrument concerned, where there is one.
    pub instrument: Option<InstrumentId>,
}

/// A place where the gateway keeps a secret that arrived in a reply (a listen key).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SecretSlot(pub u8);

impl SecretSlot {
    /// Nowhere: the value is blanked and not kept, because nothing needs it again.
    pub const NOWHERE: Self = Self(u8::MAX);
}

/// Most holes in one payload.
pub const HOLES_MAX: usize = 6;

/// Largest payload, signed text included, in bytes.
pub const PAYLOAD_MAX: usize = 2048;

/// What belongs into a hole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum HoleKind {
    /// The venue's API key.
    #[default]
    ApiKey,
    /// The venue's passphrase.
    Passphrase,
    /// The signature over the signed text (its own holes filled first).
    Signature,
    /// The value of a secret slot.
    Slot(SecretSlot),
}

/// A point in a payload where the gateway inserts something. Holes have no width in the recorded bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hole {
    /// Byte offset in `Payload::bytes` before which the value is inserted.
    pub at: u16,
    /// What to insert.
    pub kind: HoleKind,
}

/// How the signed text becomes a signature.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum SignScheme {
    /// Not signed.
    #[default]
    None,
    /// HMAC-SHA256, lower-case hex.
    HmacSha256Hex,
    /// HMAC-SHA256, standard base64.
    HmacSha256Base64,
    /// Ed25519, standard base64.
    Ed25519Base64,
    /// Ed25519, base64 percent-encoded for a query string.
    Ed25519Percent,
    /// Hyperliquid's agent signature on mainnet: EIP-712 `Agent` over the Keccak-256 of the signed text
    /// (MessagePack action, nonce, flags), secp256k1; the signature is the object `{"r":…,"s":…,"v":…}`.
    AgentMainnet,
    /// The same for the test network.
    AgentTestnet,
}

impl SignScheme {
    /// Whether it takes tens of microseconds (elliptic curves) rather than a few hundred nanoseconds.
    pub const fn is_slow(self) -> bool {
        matches!(self, Self::AgentMainnet | Self::AgentTestnet)
    }
}

/// Bytes to send, with holes. Layout: `bytes[..text_len]` is the message, `bytes[text_len..text_len +
/// sign_len]` the text to sign (empty when unsigned). Hole offsets below or at `text_len` with kind
/// `Signature` or inside the message belong to the message; those in the second part to the signed text
/// (`in_sign` tells them apart at the boundary).
///
/// An HTTP message is `METHOD SP path?query LF (name: value LF)* LF body`.
#[derive(Clone, Copy)]
pub struct Payload {
    /// Message length.
    pub text_len: u16,
    /// Length of the text to sign.
    pub sign_len: u16,
    /// Signature scheme.
    pub scheme: SignScheme,
    /// Holes used in the message.
    pub holes_len: u8,
    /// Holes used in the signed text.
    pub sign_holes_len: u8,
    /// Holes in the message, by rising offset.
    pub holes: [Hole; HOLES_MAX],
    /// Holes in the signed text, by rising offset (relative to `bytes`).
    pub sign_holes: [Hole; HOLES_MAX],
    /// Message, then text to sign.
    pub bytes: [u8; PAYLOAD_MAX],
}

/// A payload did not fit [`PAYLOAD_MAX`] or [`HOLES_MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("message does not fit {PAYLOAD_MAX} bytes and {HOLES_MAX} secrets")]
pub struct PayloadFull;

impl Default for Payload {
    fn default() -> Self {
        Self::new()
    }
}

impl Payload {
    /// An empty payload.
    pub const fn new() -> Self {
        Self {
            text_len: 0,
            sign_len: 0,
            scheme: SignScheme::None,
            holes_len: 0,
            sign_holes_len: 0,
            holes: [Hole { at: 0, kind: HoleKind::ApiKey }; HOLES_MAX],
            sign_holes: [Hole { at: 0, kind: HoleKind::ApiKey }; HOLES_MAX],
            bytes: [0; PAYLOAD_MAX],
        }
    }

    /// Empties it for reuse.
    pub fn clear(&mut self) {
        self.text_len = 0;
        self.sign_len = 0;
        self.scheme = SignScheme::None;
        self.holes_len = 0;
        self.sign_holes_len = 0;
    }

    /// Appends to the message. All message parts come before the first [`Payload::push_sign`].
    pub fn push(&mut self, part: &[u8]) -> Result<(), PayloadFull> {
        debug_assert_eq!(self.sign_len, 0, "message parts come before the signed text");
        let at = usize::from(self.text_len);
        let to = self.bytes.get_mut(at..at + part.len()).ok_or(PayloadFull)?;
        to.copy_from_slice(part);
        self.text_len += part.len() as u16;
        Ok(())
    }

    /// Marks a hole at the end of the message so far.
    pub fn push_hole(&mut self, kind: HoleKind) -> Result<(), PayloadFull> {
        let slot = self.holes.get_mut(usize::from(self.holes_len)).ok_or(PayloadFull)?;
        *slot = Hole { at: self.text_len, kind };
        self.holes_len += 1;
        Ok(())
    }

    /// Appends to the text to sign.
    pub fn push_sign(&mut self, part: &[u8]) -> Result<(), PayloadFull> {
        let at = usize::from(self.text_len + self.sign_len);
        let to = self.bytes.get_mut(at..at + part.len()).ok_or(PayloadFull)?;
        to.copy_from_slice(part);
        self.sign_len += part.len() as u16;
        Ok(())
    }

    /// Marks a hole at the end of the text to sign so far.
    pub fn push_sign_hole(&mut self, kind: HoleKind) -> Result<(), PayloadFull> {
        let slot = self.sign_holes.get_mut(usize::from(self.sign_holes_len)).ok_or(PayloadFull)?;
        *slot = Hole { at: self.text_len + self.sign_len, kind };
        self.sign_holes_len += 1;
        Ok(())
    }

    /// The message without its secrets.
    pub fn text(&self) -> &[u8] {
        &self.bytes[..usize::from(self.text_len)]
    }

    /// The text to sign without its secrets.
    pub fn sign_text(&self) -> &[u8] {
        let at = usize::from(self.text_len);
        &self.bytes[at..at + usize::from(self.sign_len)]
    }

    /// Holes of the message.
    pub fn text_holes(&self) -> &[Hole] {
        &self.holes[..usize::from(self.holes_len)]
    }

    /// Holes of the text to sign.
    pub fn signed_holes(&self) -> &[Hole] {
        &self.sign_holes[..usize::from(self.sign_holes_len)]
    }
}

impl std::fmt::Write for Payload {
    /// `write!` into the message.
    fn write_str(&mut self, part: &str) -> std::fmt::Result {
        self.push(part.as_bytes()).map_err(|_| std::fmt::Error)
    }
}

/// Where a message goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)] // the variant's sentence names its fields
pub enum Target {
    /// A WebSocket message on a connection.
    Socket(ConnId),
    /// An HTTP request; `redact` says which reply value is a secret.
    Http { venue: VenueId, id: HttpId, redact: Option<Redact> },
    /// Open the connection; the payload is the path and query of the upgrade request.
    Connect(ConnId),
    /// Close the connection.
    Close(ConnId),
}

/// A reply in which the string value of a JSON key is a secret: it moves to `slot`, and filler of equal
/// length takes its place before the reply is sequenced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Redact {
    /// Where the value goes.
    pub slot: SecretSlot,
    /// The JSON key; empty = no key, but every secret that is known (see [`Redact::KNOWN`]).
    pub key: super::text::Text<16>,
}

impl Redact {
    /// Blanks what is known of our keys (API keys, addresses of wallets) wherever the reply repeats it. A text
    /// of nothing but `x` then says: this is you.
    pub const KNOWN: Self = Self { slot: SecretSlot(0), key: super::text::Text::EMPTY };
}

/// About an outbound message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutMeta {
    /// Number of the message.
    pub message: MessageId,
    /// The causing input.
    pub cause: super::event::Seq,
    /// `mono` of the causing input: the egress gate measures age from it.
    pub cause_mono: Nanos,
    /// Age at which the gate refuses it, ns; 0 = never too old.
    pub age_max: Nanos,
    /// Where it goes.
    pub target: Target,
    /// Connection epoch that it was made for; 0 = any.
    pub epoch: u32,
    /// Cancels, hedges, reduce-only orders and queries: first in line, pass the kill latch.
    pub urgent: bool,
    /// The order that it places, when it places one; that it amends, as it shall be, with [`OutMeta::amends`].
    pub order: Option<OrderSpec>,
    /// It changes an order that was placed before. The journal says so by the kind of the output.
    #[serde(skip)]
    pub amends: bool,
    /// The order in whose place it places the new one; [`ClientId::NONE`] = none. The journal says so by the intent.
    #[serde(skip)]
    pub replaces: ClientId,
}

impl OutMeta {
    /// Whether its fate comes back as an input of its own: of messages on sockets and of orders. What becomes of
    /// other requests shows in their replies.
    pub const fn has_outcome(&self) -> bool {
        matches!(self.target, Target::Socket(_)) || self.order.is_some()
    }

    /// Whether it places (or amends) an order that may begin a risk: the only messages that the gate ever holds.
    pub const fn is_opening(&self) -> bool {
        self.order.is_some() && !self.urgent
    }
}

/// An outbound message.
#[derive(Clone, Copy)]
pub struct OutMsg {
    /// About it.
    pub meta: OutMeta,
    /// Its journal token: the last message of its basket. Once that one is recorded, all of them are.
    pub token: MessageId,
    /// Its bytes.
    pub payload: Payload,
}
