//! Orders: what we ask for, what a venue reports, and what is therefore true.

use super::instrument::{InstrumentId, Price, Qty, VenueId};
use super::money::Money;
use super::text::{Currency, HEX_DIGITS};
use super::time::Nanos;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// Our order id: (boot epoch, sequence), written as 32 lower-case hex digits, which every venue accepts.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientId(pub u128);

impl ClientId {
    /// No id: an order that is not ours.
    pub const NONE: Self = Self(0);

    /// The `sequence`-th order of boot `epoch`.
    pub const fn new(epoch: u64, sequence: u64) -> Self {
        Self(((epoch as u128) << 64) | sequence as u128)
    }

    /// The boot epoch.
    pub const fn epoch(self) -> u64 {
        (self.0 >> 64) as u64
    }

    /// The sequence within the boot epoch.
    pub const fn sequence(self) -> u64 {
        self.0 as u64
    }

    /// Bits of [`Self::tag`].
    pub const TAG_BITS: u32 = 29;
    /// All of them set.
    pub const TAG_MASK: u32 = (1 << Self::TAG_BITS) - 1;

    /// 29 bits that tell an order from the other live ones: names it where a request has room for a number
    /// only. The low digits of the sequence, mixed with the epoch.
    pub const fn tag(self) -> u32 {
        (self.sequence() as u32 ^ (self.epoch() as u32).rotate_left(20)) & Self::TAG_MASK
    }

    /// The 32 hex digits.
    pub fn hex(self) -> [u8; 32] {
        let mut text = [0; 32];
        for (i, digit) in text.iter_mut().enumerate() {
            *digit = HEX_DIGITS[((self.0 >> (124 - 4 * i)) & 0xf) as usize];
        }
        text
    }

    /// Reads 32 hex digits; `None` for anything else (an order placed by someone else).
    pub fn parse(text: &[u8]) -> Option<Self> {
        if text.len() != 32 {
            return None;
        }
        text.iter()
            .try_fold(0u128, |value, byte| {
                char::from(*byte).to_digit(16).map(|digit| (value << 4) | u128::from(digit))
            })
            .map(Self)
    }
}

impl fmt::Display for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// Hex text for people, the integer for the journal.
impl Serialize for ClientId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            self.0.serialize(serializer)
        }
    }
}

impl<'de> Deserialize<'de> for ClientId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if !deserializer.is_human_readable() {
            return u128::deserialize(deserializer).map(Self);
        }
        let text = String::deserialize(deserializer)?;
        Self::parse(text.as_bytes()).ok_or_else(|| serde::de::Error::custom("a client id is 32 hex digits"))
    }
}

impl fmt::Debug for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// Direction of an order or trade.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Side {
    /// Buy.
    #[default]
    Buy,
    /// Sell.
    Sell,
}

impl Side {
    /// The other side.
    pub const fn opposite(self) -> Self {
        match self {
            Self::Buy => Self::Sell,
            Self::Sell => Self::Buy,
        }
    }

    /// +1 for buy, −1 for sell.
    pub const fn sign(self) -> i64 {
        match self {
            Self::Buy => 1,
            Self::Sell => -1,
        }
    }
}

/// How long an order may rest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum TimeInForce {
    /// Fill what is possible now, cancel the rest.
    #[default]
    Ioc,
    /// Fill all now or nothing.
    Fok,
    /// Rest until cancelled.
    Gtc,
    /// Rest, never take.
    PostOnly,
}

/// An order as the core wants it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderSpec {
    /// Our id.
    pub client_id: ClientId,
    /// Where.
    pub venue: VenueId,
    /// What.
    pub instrument: InstrumentId,
    /// Buy or sell.
    pub side: Side,
    /// Contracts; a multiple of the instrument's step.
    pub qty: Qty,
    /// Limit price; a multiple of the instrument's tick.
    pub price: Price,
    /// How long it may rest.
    pub tif: TimeInForce,
    /// May only shrink a position.
    pub reduce_only: bool,
}

/// What of a resting order can be amended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderTerms {
    /// Limit price.
    pub price: Price,
    /// Total quantity, what has filled included.
    pub qty: Qty,
}

impl OrderSpec {
    /// What of it can be amended.
    pub const fn terms(&self) -> OrderTerms {
        OrderTerms { price: self.price, qty: self.qty }
    }
}

/// Life of an order. `Unknown` is liable: it keeps its capital until a query resolves it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum OrderState {
    /// Sent, not acknowledged.
    #[default]
    PendingNew,
    /// Resting.
    Open,
    /// Resting, partly filled.
    PartiallyFilled,
    /// Amendment sent.
    PendingAmend,
    /// Cancellation sent.
    PendingCancel,
    /// Terminal: completely filled.
    Filled,
    /// Terminal: cancelled (an IOC's rest too).
    Canceled,
    /// Terminal: refused.
    Rejected,
    /// Terminal: expired by the venue.
    Expired,
    /// Nobody knows; being queried.
    Unknown,
}

impl OrderState {
    /// True when nothing more can happen to the order.
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Filled | Self::Canceled | Self::Rejected | Self::Expired)
    }
}

/// What a refusal means for the next attempt (venue error codes are mapped to these in `venue/`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum RejectClass {
    /// Not refused.
    #[default]
    None,
    /// Temporary: the same order may be sent again later.
    Retry,
    /// The order is wrong; sending it again cannot help.
    Never,
    /// The venue does not say whether it executed: query before anything else.
    UnknownOutcome,
    /// Too many requests: slow down.
    RateLimit,
    /// The venue is down or overloaded.
    VenueDown,
    /// Insufficient margin.
    Margin,
    /// Price outside the venue's band.
    PriceBand,
    /// Reduce-only would not reduce.
    ReduceOnly,
    /// Post-only would take.
    PostOnly,
    /// Authentication, permission or account mode: configuration is wrong.
    Fatal,
    /// The clock differs too much.
    Clock,
    /// Order not found (cancel or query).
    NotFound,
    /// Client id already used.
    Duplicate,
}

/// What a venue said about one order, in our terms; made by `venue/`, interpreted by the ledger only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderReport {
    /// Who says it.
    pub venue: VenueId,
    /// Which listing; meaningless for replies that name only the client id.
    pub instrument: Option<InstrumentId>,
    /// Our id, or [`ClientId::NONE`].
    pub client_id: ClientId,
    /// The venue's id, 0 when not stated.
    pub venue_order_id: u64,
    /// What happened.
    pub kind: ReportKind,
    /// Buy or sell, where stated (needed for orders that are not ours).
    pub side: Option<Side>,
    /// Cumulative filled quantity where stated; `None` when the message does not carry it.
    pub filled: Option<Qty>,
    /// The order's limit price and total quantity, where the message states both.
    pub terms: Option<OrderTerms>,
    /// The single fill that this message carries.
    pub fill: Option<FillReport>,
    /// Why it was refused.
    pub reject: RejectClass,
    /// The venue's numeric error code, 0 when none.
    pub code: i32,
    /// Venue time, ns since the epoch, 0 when not stated.
    pub venue_ns: Nanos,
}

/// What happened, as the venue says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ReportKind {
    /// Request accepted by the gateway of the venue; says nothing of the outcome.
    #[default]
    Acked,
    /// The order rests (or was accepted by matching).
    Open,
    /// A fill; the order may live on.
    PartiallyFilled,
    /// Completely filled.
    Filled,
    /// Cancelled.
    Canceled,
    /// Refused.
    Rejected,
    /// Expired.
    Expired,
    /// The cancel or amend was refused; the order itself is as before.
    CancelRejected,
    /// A query found no such order.
    NotFound,
    /// The order rests with other terms than before: an amendment was executed.
    Amended,
    /// The amendment was refused; the order itself is as before, unless the class says that nobody knows.
    AmendRejected,
}

/// One fill as the venue reports it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FillReport {
    /// Unique per venue and instrument: the deduplication key.
    pub trade_id: u64,
    /// Contracts of this fill.
    pub qty: Qty,
    /// Price of this fill.
    pub price: Price,
    /// Cost in `fee_currency`: positive = paid, negative = rebate. `None` when the message lacks it
    /// (Binance `TRADE_LITE`): the ledger waits for the full report.
    pub fee: Option<Money>,
    /// Currency of the fee.
    pub fee_currency: Currency,
    /// True when we were the maker.
    pub maker: bool,
}

/// The single truth about an order after each change, made by the order ledger exactly once per change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderUpdate {
    /// Our id; [`ClientId::NONE`] for an order that the venue or someone else placed on our account.
    pub client_id: ClientId,
    /// Where.
    pub venue: VenueId,
    /// What.
    pub instrument: InstrumentId,
    /// Buy or sell.
    pub side: Side,
    /// The state after this change.
    pub state: OrderState,
    /// Cumulative filled quantity.
    pub filled: Qty,
    /// Quantity that can still fill; 0 when terminal.
    pub leaves: Qty,
    /// Quantity filled by this change; 0 when none.
    pub fill_qty: Qty,
    /// Price of `fill_qty`.
    pub fill_price: Price,
    /// Cost of `fill_qty` in `fee_currency` (negative = rebate).
    pub fee: Money,
    /// Currency of `fee`.
    pub fee_currency: Currency,
    /// True when the fill made liquidity.
    pub maker: bool,
    /// The venue's trade id of this fill, else 0.
    pub trade_id: u64,
    /// Why it was refused, when `state` is `Rejected`.
    pub reject: RejectClass,
    /// Venue time, ns since the epoch, 0 when not stated.
    pub venue_ns: Nanos,
}

/// What became of an amendment, and hence what the order may still do; made by the order ledger for each change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AmendUpdate {
    /// Our id.
    pub client_id: ClientId,
    /// Where.
    pub venue: VenueId,
    /// What.
    pub instrument: InstrumentId,
    /// Price and total quantity that the order works with.
    pub terms: OrderTerms,
    /// What it may have become already; `None` = no amendment is under way.
    pub pending: Option<OrderTerms>,
    /// Why the amendment was refused, where it was.
    pub reject: RejectClass,
    /// Venue time, ns since the epoch, 0 when not stated.
    pub venue_ns: Nanos,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn client_ids_round_trip_as_32_hex_digits() {
        let id = ClientId::new(3, 0xabc);
        let text = id.hex();
        assert_eq!(&text, b"00000000000000030000000000000abc");
        assert_eq!(ClientId::parse(&text), Some(id));
        assert_eq!((id.epoch(), id.sequence()), (3, 0xabc));
        assert_eq!(ClientId::parse(b"autoclose-1"), None);
    }
}
