//! Intents: what the scanner wants, approved or denied whole by risk.

use super::instrument::{CanonicalId, InstrumentId, Price, VenueId};
use super::money::Money;
use super::order::{ClientId, OrderSpec};
use super::time::Nanos;
use serde::{Deserialize, Serialize};

/// Most orders in one basket.
pub const LEGS_MAX: usize = 4;

/// A ratio in 10⁻⁹ (parts per billion): 1 bps = [`BPS`].
pub type Ppb = i64;

/// One basis point in [`Ppb`].
pub const BPS: Ppb = 100_000;

/// One (part of a) 1: 10⁹ parts per billion.
pub const ONE_PPB: Ppb = 1_000_000_000;

/// Number of a trade (an entry with its hedges and its exit) in a run; assigned by the scanner.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TradeId(pub u32);

/// The trade of a denial that concerns every trade: the daily loss closes what is open.
pub const EVERY_TRADE: TradeId = TradeId(u32::MAX);

/// Why a basket is sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum BasketKind {
    /// Opens both legs.
    #[default]
    Entry,
    /// Closes both legs, reduce-only.
    Exit,
    /// Completes the leg that filled less, on the venue that filled less.
    Hedge,
    /// Reduces the leg that filled more, on the venue that filled, reduce-only.
    Unwind,
    /// Changes a resting order: only the denial of an [`Amend`] is of this kind, and what risk follows of a [`Replace`].
    Amend,
}

impl BasketKind {
    /// True for what may pass while no new risk is allowed, and uses the urgent ring.
    pub const fn is_urgent(self) -> bool {
        !matches!(self, Self::Entry | Self::Amend)
    }
}

/// Every term of the edge at the decision, in ppb of the mid price; costs are positive numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EdgeTerms {
    /// Executable basis now at the intended size: sell VWAP − buy VWAP.
    pub entry_basis: Ppb,
    /// Basis at which the exit is expected (rolling median of the pair's mid basis).
    pub exit_basis: Ppb,
    /// Fees of all four legs.
    pub fees: Ppb,
    /// Half-spreads of the two exit legs.
    pub exit_half_spreads: Ppb,
    /// VWAP distance from the top of book (informative: already inside `entry_basis`), and the same again for the exit.
    pub slippage: Ppb,
    /// Configured allowance for latency and capital, and what legs that miss cost on average, as learnt.
    pub allowance: Ppb,
    /// Net funding received over settlement instants inside the holding time (negative = paid).
    pub funding: Ppb,
    /// What remains: entry − exit − costs + funding.
    pub net: Ppb,
    /// The threshold it was held against.
    pub threshold: Ppb,
}

/// An opportunity that was not taken although its edge came near the threshold or passed it: a sample for the record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NearMiss {
    /// Of what.
    pub canonical: CanonicalId,
    /// Where it would have bought.
    pub long: InstrumentId,
    /// Where it would have sold.
    pub short: InstrumentId,
    /// What kept it from entering: the place of the reason in `core::pair::WhyNot`.
    pub why: u8,
    /// Every term of its edge.
    pub edge: EdgeTerms,
}

/// The worst prices that venues accept, by leg; 0 = not known. What scan tells risk beside a basket: no part of the
/// record, in which it follows from the inputs, and so not of a comparison either.
#[derive(Clone, Copy, Debug, Default)]
pub struct WorstPrices(pub [Price; LEGS_MAX]);

impl PartialEq for WorstPrices {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for WorstPrices {}

/// Orders that are approved whole or denied whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Basket {
    /// The trade it belongs to.
    pub trade: TradeId,
    /// Attempt number within the trade, from 0.
    pub attempt: u16,
    /// Why.
    pub kind: BasketKind,
    /// The canonical instrument of every leg.
    pub canonical: CanonicalId,
    /// How many of `legs` are used.
    pub len: u8,
    /// The orders.
    pub legs: [OrderSpec; LEGS_MAX],
    /// Mid price of each leg's book at the decision: what the price collar is measured from.
    pub mids: [Price; LEGS_MAX],
    /// Age of each leg's book at the decision (venue time plus clock offset), ns.
    pub book_age_ns: [Nanos; LEGS_MAX],
    /// The worst price that each leg's venue accepts, as known at the decision.
    #[serde(skip)]
    pub worst: WorstPrices,
    /// The edge, for entries.
    pub edge: EdgeTerms,
    /// `mono` of the input that triggered the decision.
    pub detected: Nanos,
}

impl Basket {
    /// The used legs.
    pub fn orders(&self) -> &[OrderSpec] {
        &self.legs[..usize::from(self.len).min(LEGS_MAX)]
    }
}

/// What scan (or risk, when halting) wants done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Intent {
    /// Send these orders.
    Basket(Basket),
    /// Cancel one order.
    Cancel(OrderRef),
    /// Change a resting order.
    Amend(Amend),
    /// Change a resting order at a venue that makes a new one of it.
    Replace(Replace),
}

/// The change of a resting order where the venue ends it and begins a new one in the same request, with a client id of its
/// own: a cancel and a placement in one message, and two orders for everyone who counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replace {
    /// The order that ends.
    pub old: ClientId,
    /// What takes its place, as `to` with its own client id. As scan wants it `qty` is the total that is asked for, what
    /// the old order has filled included; as risk approves it, what the new order shall be.
    pub with: Amend,
}

/// A change of a resting order of ours: other price or total quantity, everything else as it was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Amend {
    /// The trade that the order belongs to.
    pub trade: TradeId,
    /// Number of the amendment, which with the trade names its denial.
    pub attempt: u16,
    /// The order as it shall be; `qty` is the total, what has filled included.
    pub to: OrderSpec,
    /// Mid price of the book at the decision: what the price collar is measured from.
    pub mid: Price,
    /// Age of the book at the decision (venue time plus clock offset), ns.
    pub book_age_ns: Nanos,
    /// The worst price that the venue accepts, as known at the decision, in the place of leg 0.
    #[serde(skip)]
    pub worst: WorstPrices,
    /// `mono` of the input that triggered the decision.
    pub detected: Nanos,
}

impl Amend {
    /// As a basket of its one order, for those who read orders in baskets.
    pub fn as_basket(&self, canonical: CanonicalId) -> Basket {
        let Self { trade, attempt, to, mid, book_age_ns, worst, detected } = *self;
        let kind = BasketKind::Amend;
        let mut basket =
            Basket { trade, attempt, kind, canonical, len: 1, worst, detected, ..Basket::default() };
        (basket.legs[0], basket.mids[0], basket.book_age_ns[0]) = (to, mid, book_age_ns);
        basket
    }
}

/// Names one of our orders.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderRef {
    /// Our id.
    pub client_id: ClientId,
    /// Where.
    pub venue: VenueId,
    /// What.
    pub instrument: InstrumentId,
}

/// Why a basket was denied; [`DenyReason`] `Display` reads `CATEGORY_CONDITION`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[allow(missing_docs)] // the names are the documentation; parameters are in `params::RiskParams`
pub enum DenyReason {
    KillSwitch,
    TradingHalted,
    TradingReducing,
    VenueNotReady,
    OrderNotionalExceeded,
    OrderInvalid,
    VenuePositionExceeded,
    InstrumentPositionExceeded,
    GrossExposureExceeded,
    MarginInsufficient,
    OpenOrdersExceeded,
    OrderRateExceeded,
    BookStale,
    BookCrossed,
    PriceCollarExceeded,
    DailyLossExceeded,
    ConsecutiveFailures,
    InFlightExceeded,
    /// Refused by route: no session, budget or ring space for every leg.
    RouteUnavailable,
    // Journals count these by their place: new ones stand at the end.
    /// No price that the venue accepts reaches what is to be taken.
    PriceBandExceeded,
    /// The venue takes only orders here that reduce.
    ListingLocked,
    /// The result has fallen too far below the largest that it ever was.
    DrawdownExceeded,
}

/// A basket denied whole; re-enters the river as an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Denial {
    /// The trade.
    pub trade: TradeId,
    /// The attempt.
    pub attempt: u16,
    /// Entry, exit, hedge or unwind.
    pub kind: BasketKind,
    /// The first check that failed.
    pub reason: DenyReason,
    /// The leg that failed it, or 255 for the basket as a whole.
    pub leg: u8,
    /// The measured value (unit as the limit's).
    pub value: Money,
    /// The limit.
    pub limit: Money,
}
