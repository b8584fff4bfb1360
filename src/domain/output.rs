//! Outputs: what the stages decided, as the journal keeps it and a replay must reproduce it.

use super::effect::{Hole, OutMeta, OutMsg, Payload, SignScheme};
use super::event::{Event, EventBody, Seq};
use super::intent::{Denial, Intent, NearMiss};
use super::order::ClientId;
use serde::{Deserialize, Serialize};

/// The stage that made an output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Stage {
    /// Sequencing, sessions, decoding, order ledger.
    Decode,
    /// Books, edges, trades.
    Scan,
    /// Limits and capital.
    Risk,
    /// Encoding and budgets.
    Route,
}

/// Every stage that makes outputs, in flow order.
pub const STAGES: [Stage; 4] = [Stage::Decode, Stage::Scan, Stage::Risk, Stage::Route];

/// An output. Its identity is (cause, stage, ordinal among the stage's outputs of that cause).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(clippy::large_enum_variant)] // decoded one at a time, off the hot path
pub enum Output {
    /// Digest of all typed events that decode derived from one input.
    Events(EventsDigest),
    /// What scan wants.
    Intent(Intent),
    /// What risk approved (intents pass unchanged) or wants itself (cancels on a halt).
    Approved(Intent),
    /// What risk or route denied.
    Denied(Denial),
    /// A message of route; its bytes stand beside it.
    Message(MessageShape),
    /// State of a stage after the cause, every so many inputs.
    State(u64),
    /// A message of route that amends an order; its bytes stand beside it.
    Amendment(MessageShape),
    /// What scan did not want, but nearly; sampled.
    NearMiss(NearMiss),
}

impl Output {
    /// The output that `message` of route is.
    pub fn of_message(message: &OutMsg) -> Self {
        let mut shape = MessageShape::of(message);
        // The approved intent says it, and the kind of the output the other.
        shape.meta.replaces = ClientId::NONE;
        if std::mem::take(&mut shape.meta.amends) { Self::Amendment(shape) } else { Self::Message(shape) }
    }
}

/// Everything about a message but its bytes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MessageShape {
    /// About it.
    pub meta: OutMeta,
    /// Message length; the text to sign follows in the raw bytes.
    pub text_len: u16,
    /// Signature scheme.
    pub scheme: SignScheme,
    /// Holes of the message.
    pub holes: [Option<Hole>; super::effect::HOLES_MAX],
    /// Holes of the text to sign.
    pub sign_holes: [Option<Hole>; super::effect::HOLES_MAX],
}

impl MessageShape {
    /// The shape of `message`.
    pub fn of(message: &OutMsg) -> Self {
        let Payload { text_len, scheme, .. } = message.payload;
        let mut holes = [None; super::effect::HOLES_MAX];
        for (to, hole) in holes.iter_mut().zip(message.payload.text_holes()) {
            *to = Some(*hole);
        }
        let mut sign_holes = [None; super::effect::HOLES_MAX];
        for (to, hole) in sign_holes.iter_mut().zip(message.payload.signed_holes()) {
            *to = Some(*hole);
        }
        Self { meta: message.meta, text_len, scheme, holes, sign_holes }
    }
}

/// One number per aspect of the events of one input, so that a divergence can be named by field.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventsDigest {
    /// How many events.
    pub count: u32,
    /// Their kinds and instruments.
    pub kinds: u32,
    /// Prices.
    pub prices: u32,
    /// Quantities.
    pub quantities: u32,
    /// Venue sequence numbers and ids.
    pub ids: u32,
    /// Venue and engine times.
    pub times: u32,
    /// Everything else (orders, balances, states).
    pub rest: u32,
}

#[inline]
fn mix(hash: &mut u32, value: i64) {
    // Multiply-rotate over 32 bits: cheap, order-sensitive, the same on every platform.
    let folded = (value as u64 ^ (value as u64 >> 32)) as u32;
    *hash = (hash.rotate_left(5) ^ folded).wrapping_mul(0x9E37_79B1);
}

impl EventsDigest {
    /// Adds one event.
    pub fn add(&mut self, event: &Event) {
        self.count += 1;
        mix(&mut self.times, event.at.mono);
        mix(&mut self.times, event.at.wall);
        match &event.body {
            EventBody::Bbo(bbo) => {
                mix(&mut self.kinds, 1 << 16 | i64::from(bbo.instrument.0));
                mix(&mut self.prices, bbo.bid.0);
                mix(&mut self.prices, bbo.ask.0);
                mix(&mut self.quantities, bbo.bid_qty.0);
                mix(&mut self.quantities, bbo.ask_qty.0);
                mix(&mut self.ids, bbo.update_id as i64);
                mix(&mut self.times, bbo.venue_ns);
            }
            EventBody::Levels(chunk) => {
                let shape = i64::from(chunk.bids) << 8 | i64::from(chunk.asks);
                let flags = i64::from(chunk.clear) << 1 | i64::from(chunk.last);
                mix(&mut self.kinds, flags << 40 | shape << 24 | 2 << 16 | i64::from(chunk.instrument.0));
                for (price, qty) in &chunk.levels[..usize::from(chunk.bids + chunk.asks)] {
                    mix(&mut self.prices, price.0);
                    mix(&mut self.quantities, qty.0);
                }
                mix(&mut self.ids, chunk.update_id as i64);
                mix(&mut self.times, chunk.venue_ns);
            }
            EventBody::Trade(trade) => {
                mix(&mut self.kinds, 3 << 16 | i64::from(trade.instrument.0));
                mix(&mut self.prices, trade.price.0);
                mix(&mut self.quantities, trade.qty.0 * trade.aggressor.sign());
                mix(&mut self.ids, trade.id as i64);
                mix(&mut self.times, trade.venue_ns);
            }
            EventBody::Tick => mix(&mut self.kinds, 4),
            EventBody::BurstEnd(end) => {
                mix(&mut self.kinds, 5 << 16 | i64::from(end.conn.0) << 1 | i64::from(end.drained));
            }
            other => {
                // Younger than the first journals: counted only where it is stated, so that those replay.
                if let EventBody::Mark(mark) = other {
                    for (side, limit) in [(1, mark.buy_max), (2, mark.sell_min)] {
                        let Some(limit) = limit else { continue };
                        mix(&mut self.prices, limit.mantissa);
                        mix(&mut self.prices, i64::from(limit.scale) << 2 | side);
                    }
                }
                // Rare: any canonical encoding will do.
                let mut scratch = [0u8; 1024];
                let bytes = postcard::to_slice(other, &mut scratch).map(|used| &*used).unwrap_or(&[]);
                mix(&mut self.kinds, 6);
                for part in bytes.chunks(8) {
                    let mut word = [0u8; 8];
                    word[..part.len()].copy_from_slice(part);
                    mix(&mut self.rest, i64::from_le_bytes(word));
                }
            }
        }
    }
}

/// Where an output stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OutputKey {
    /// The causing input.
    pub cause: Seq,
    /// The stage.
    pub stage: Stage,
    /// Number among the stage's outputs of that cause, from 0.
    pub ordinal: u16,
}
