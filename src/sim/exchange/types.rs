//! The words of a simulated exchange: ids, orders, fills, rejections and events.
//!
//! Prices are whole ticks, quantities whole steps, money is exact to 10⁻¹⁸. Dialects translate to and from
//! these and add nothing to the rules.

use super::trouble::Refusal;
use crate::domain::money::Money;
use crate::domain::time::Nanos;
use serde::{Deserialize, Serialize};

/// Index of a listing at its venue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ListingId(pub u16);

impl ListingId {
    /// As an index.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// Index of an account at its venue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AccountId(pub u16);

impl AccountId {
    /// The makers and noise takers of the simulated market: unlimited margin, no fees, no order events.
    pub const MARKET: Self = Self(0);

    /// As an index.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// The venue's order number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct OrderId(pub u64);

/// A price in ticks.
pub type Ticks = i64;
/// A quantity in steps.
pub type Steps = i64;

/// Buy or sell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Side {
    /// Buys.
    #[default]
    Buy,
    /// Sells.
    Sell,
}

impl Side {
    /// The other one.
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

    /// Whether an order on this side at `limit` takes a resting one at `price`.
    pub const fn takes(self, limit: Ticks, price: Ticks) -> bool {
        match self {
            Self::Buy => price <= limit,
            Self::Sell => price >= limit,
        }
    }
}

/// Limit or market.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum OrderKind {
    /// At `price` or better.
    #[default]
    Limit,
    /// At any price inside the price band; never rests.
    Market,
}

/// How long an order may wait.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Tif {
    /// Until canceled (or `expires_at`).
    #[default]
    Gtc,
    /// What is there now; the rest expires.
    Ioc,
    /// All now or nothing.
    Fok,
    /// Only as a maker.
    PostOnly,
}

/// What happens when an order meets one of its own account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum SelfTrade {
    /// The resting order is canceled.
    #[default]
    ExpireMaker,
    /// The rest of the incoming order is canceled.
    ExpireTaker,
    /// Both.
    ExpireBoth,
    /// They trade.
    Allow,
}

/// A request for an order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewOrder {
    /// Whose.
    pub account: AccountId,
    /// What.
    pub listing: ListingId,
    /// Buy or sell.
    pub side: Side,
    /// Limit or market.
    pub kind: OrderKind,
    /// Time in force; ignored for market orders (they are IOC).
    pub tif: Tif,
    /// Limit price in ticks; ignored for market orders.
    pub price: Ticks,
    /// Quantity in steps.
    pub qty: Steps,
    /// May only make the position smaller: the quantity is cut to the position.
    pub reduce_only: bool,
    /// Client id, unique among the account's open orders; empty = the exchange makes one.
    pub client_id: String,
    /// Self-trade prevention.
    pub self_trade: SelfTrade,
    /// Good till this wall time, ns; 0 = until canceled.
    pub expires_at: Nanos,
}

/// Life of an order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum OrderStatus {
    /// Open, nothing filled.
    #[default]
    New,
    /// Open, partly filled.
    PartiallyFilled,
    /// Done: all filled.
    Filled,
    /// Done: canceled by the client (or post-only/FOK at venues that accept those first).
    Canceled,
    /// Done: the rest lapsed (IOC, GTD, reduce-only without position).
    Expired,
    /// Done: self-trade prevention.
    ExpiredInMatch,
    /// Never was: refused. Only in the ledger.
    Rejected,
}

impl OrderStatus {
    /// Can still trade.
    pub const fn is_open(self) -> bool {
        matches!(self, Self::New | Self::PartiallyFilled)
    }
}

/// Why an order ended without being filled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum EndReason {
    /// It did not (yet), or it was filled.
    #[default]
    None,
    /// The client asked.
    Client,
    /// IOC (or market) remainder.
    Remainder,
    /// FOK that could not fill.
    Unfillable,
    /// Post-only that would have taken.
    WouldTake,
    /// Good-till time reached.
    Lapsed,
    /// Reduce-only with no position left to reduce.
    NothingToReduce,
    /// Self-trade prevention.
    SelfTrade,
    /// Dead man's switch.
    Countdown,
    /// The contract left the venue's list.
    Delisted,
}

/// An order as the exchange knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Order {
    /// The venue's number.
    pub id: OrderId,
    /// Whose.
    pub account: AccountId,
    /// What.
    pub listing: ListingId,
    /// Buy or sell.
    pub side: Side,
    /// Limit or market.
    pub kind: OrderKind,
    /// Time in force.
    pub tif: Tif,
    /// Limit price (0 for market).
    pub price: Ticks,
    /// Total quantity.
    pub qty: Steps,
    /// Filled so far.
    pub filled: Steps,
    /// Value of all fills, settlement currency.
    pub notional: Money,
    /// Fees of all fills (positive = paid).
    pub fee: Money,
    /// PnL realised by all fills.
    pub realised: Money,
    /// Reduce-only.
    pub reduce_only: bool,
    /// Client id.
    pub client_id: String,
    /// Self-trade prevention.
    pub self_trade: SelfTrade,
    /// State.
    pub status: OrderStatus,
    /// Why it ended.
    pub ended: EndReason,
    /// Good till, ns; 0 = until canceled.
    pub expires_at: Nanos,
    /// Wall time of acceptance, ns.
    pub created: Nanos,
    /// Wall time of the last change, ns.
    pub updated: Nanos,
    /// The venue's own: it takes a position away.
    pub by_venue: bool,
}

impl Order {
    /// Not yet filled.
    pub const fn leaves(&self) -> Steps {
        self.qty - self.filled
    }
}

/// A client's order by either of its names. Where a request gives both, the venue's number wins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OrderKey {
    /// The venue's number.
    Id(OrderId),
    /// The client's id: the newest order that carries it.
    Client(String),
}

/// One match, seen by one of its two orders.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fill {
    /// Unique per listing.
    pub trade_id: u64,
    /// Price.
    pub price: Ticks,
    /// Quantity.
    pub qty: Steps,
    /// This side was resting.
    pub maker: bool,
    /// Fee (positive = paid), settlement currency.
    pub fee: Money,
    /// PnL realised by this fill, fee not included.
    pub realised: Money,
}

/// What just happened to an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exec {
    /// Accepted. The order's other figures are those of that moment.
    New,
    /// Matched.
    Trade(Fill),
    /// Ended; `Order::status` and `Order::ended` say how.
    Ended,
    /// Price or quantity changed.
    Amended,
}

/// A taker's trades at one price, as published.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PublicTrade {
    /// What.
    pub listing: ListingId,
    /// First trade id.
    pub first: u64,
    /// Last trade id (consecutive).
    pub last: u64,
    /// Price.
    pub price: Ticks,
    /// Total quantity.
    pub qty: Steps,
    /// Side of the aggressor.
    pub taker: Side,
}

impl PublicTrade {
    /// Whether the venue publishes its taker as a position closed by force: every 64th trade, so that streams of
    /// liquidations have something to tell. No account of the simulation is ever liquidated.
    pub const fn is_liquidation(&self) -> bool {
        self.last.is_multiple_of(64)
    }
}

/// Price, total quantity and number of orders.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LevelView {
    /// Price.
    pub price: Ticks,
    /// Total quantity; 0 = the level is gone.
    pub qty: Steps,
    /// Orders (makers count as one per price).
    pub orders: u32,
}

/// A net position. `cost` is the exact signed sum of what its open part was bought for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// Signed quantity.
    pub qty: Steps,
    /// Signed value at entry: positive for long; for inverse contracts negative (coins owed).
    pub cost: Money,
    /// All PnL realised so far, before fees.
    pub realised: Money,
    /// All fees so far (positive = paid).
    pub fees: Money,
    /// All funding so far (positive = received).
    pub funding: Money,
    /// Wall time of the last change, ns.
    pub updated: Nanos,
}

/// Why a wallet or position changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeReason {
    /// A fill.
    Order,
    /// A funding settlement.
    Funding,
}

/// Something that happened at the exchange.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SimEvent {
    /// Wall time, ns.
    pub at: Nanos,
    /// What.
    pub body: SimEventBody,
}

/// Kinds of events. Market-account orders produce no `Order` and no `Account` events.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::large_enum_variant)] // short-lived, drained after each operation
pub enum SimEventBody {
    /// Something happened to a client's order; `order` is its state right after.
    Order {
        /// State.
        order: Order,
        /// What happened.
        exec: Exec,
    },
    /// A public trade.
    Trade(PublicTrade),
    /// A price level changed; absolute.
    Level {
        /// What.
        listing: ListingId,
        /// Side of the book.
        side: Side,
        /// The level now.
        level: LevelView,
        /// Update id: rises over all listings of the venue, one per level change.
        update: u64,
    },
    /// Best price or quantity changed. Comes after all `Level` events of the same operation.
    Bbo {
        /// What.
        listing: ListingId,
        /// Best bid, if any.
        bid: Option<LevelView>,
        /// Best ask, if any.
        ask: Option<LevelView>,
        /// Update id of the listing's last level change.
        update: u64,
    },
    /// A client's wallet and one position after an operation.
    Account {
        /// Whose.
        account: AccountId,
        /// Why.
        reason: ChangeReason,
        /// Wallet balance (realised PnL, fees and funding booked).
        wallet: Money,
        /// Change other than PnL and fees: funding received (negative = paid).
        change: Money,
        /// The position concerned.
        listing: ListingId,
        /// Its state.
        position: Position,
    },
    /// A settlement instant passed at this rate.
    FundingSettled {
        /// What.
        listing: ListingId,
        /// Rate that was paid, ppb.
        rate_ppb: i64,
    },
}

/// Why a request was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Reject {
    /// No such listing.
    #[error("unknown listing")]
    UnknownListing,
    /// Quantity not positive or below the minimum.
    #[error("quantity below the minimum")]
    QtyTooSmall,
    /// Quantity above the maximum.
    #[error("quantity above the maximum")]
    QtyTooLarge,
    /// Price not positive.
    #[error("price must be positive")]
    BadPrice,
    /// Price above the band.
    #[error("price above the price band")]
    PriceTooHigh,
    /// Price below the band.
    #[error("price below the price band")]
    PriceTooLow,
    /// Notional below the minimum.
    #[error("notional below the minimum")]
    NotionalTooSmall,
    /// Not enough margin.
    #[error("margin is insufficient")]
    Margin,
    /// Reduce-only without a position to reduce.
    #[error("reduce-only order would not reduce")]
    ReduceOnly,
    /// The client id is taken by an open order.
    #[error("client order id is in use")]
    DuplicateClientId,
    /// Post-only would have taken.
    #[error("post-only order would take")]
    WouldTake,
    /// FOK could not fill.
    #[error("fill-or-kill order cannot fill")]
    Unfillable,
    /// Too many open orders.
    #[error("too many open orders")]
    TooManyOpen,
    /// No such order (for cancel, amend): never was, or is done.
    #[error("unknown or finished order")]
    UnknownOrder,
    /// An amendment that changes nothing.
    #[error("amendment changes nothing")]
    NoChange,
    /// The contract does not trade, or takes only what reduces.
    #[error("contract does not take this order now")]
    Closed,
    /// Nothing is wrong with it: a fault was asked for.
    #[error("refused as asked: {}", .0.name())]
    Asked(Refusal),
}
