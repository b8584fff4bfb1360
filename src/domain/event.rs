//! What flows through the stages: typed, small, `Copy`, derived from inputs by decode alone.

use super::carry::Carried;
use super::effect::SessionAction;
use super::input::{Command, SendOutcome};
use super::instrument::{Instrument, InstrumentId, Price, Qty, VenueId};
use super::intent::{Denial, Intent, NearMiss};
use super::money::Money;
use super::number::Num;
use super::order::{AmendUpdate, OrderUpdate, Side};
use super::standing::{ClockSample, Grant, Pace, StartCheck, TradingLock};
use super::text::Currency;
use super::time::{Nanos, Stamp};
use serde::{Deserialize, Serialize};

/// Number of an input in the run's one sequence, from 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Seq(pub u64);

/// An event with the input that caused it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Event {
    /// The input it derives from.
    pub seq: Seq,
    /// The instant of that input.
    pub at: Stamp,
    /// What happened.
    pub body: EventBody,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[allow(clippy::large_enum_variant)] // one slot size for all; boxes would allocate on the hot path
pub enum EventBody {
    /// Time passed (at most 1 ms since the last input).
    Tick,
    /// Best bid and ask.
    Bbo(Bbo),
    /// Part of a depth update or snapshot.
    Levels(LevelsChunk),
    /// A public trade.
    Trade(PublicTrade),
    /// Mark price and funding.
    Mark(Mark),
    /// An instrument's depth became usable or unusable.
    Book(BookStatus),
    /// The last complete frame of one socket read was processed: the moment to evaluate edges.
    BurstEnd(BurstEnd),
    /// A listing's metadata generation began; books of older generations are void.
    Instrument(Instrument),
    /// An order changed (exactly once per change).
    Order(OrderUpdate),
    /// The venue states a position.
    Position(PositionReport),
    /// The venue states a balance.
    Balance(BalanceReport),
    /// The venue charged or paid funding.
    Funding(FundingPayment),
    /// A connection was established (`epoch` > 0, `up`) or lost.
    Conn(ConnStatus),
    /// A session came up or went down.
    Session(SessionStatus),
    /// An operator or the runtime commands.
    Command(Command),
    /// A basket was denied (loopback).
    Denied(Denial),
    /// A message met its fate at the egress gate (loopback).
    Outcome(SendOutcome),
    /// A session machine wants something done; passes through to route.
    Action(SessionAction),
    /// The venue states its time.
    Clock(ClockSample),
    /// The venue states a setting of our account.
    Check(StartCheck),
    /// The venue states how much of its limits is used.
    Pace(Pace),
    // Journals keep a digest of events in which a kind counts by its place: new ones stand at the end.
    /// The venue states what it grants of order requests.
    Grant(Grant),
    /// The venue states an instrument's open interest.
    OpenInterest(OpenInterest),
    /// The venue states an instrument's last price.
    Ticker(Ticker),
    /// The venue closed somebody's position by force.
    Liquidation(Liquidation),
    /// The venue answered a cancel of everything.
    Sweep(SweepReply),
    /// The venue locks a listing for our account, or opens it again.
    Lock(TradingLock),
    /// A message that amends an order met its fate at the egress gate (loopback).
    AmendOutcome(SendOutcome),
    /// An amendment is under way, was executed or refused.
    Amended(AmendUpdate),
    /// A part of what the run before left.
    Carried(Carried),
}

/// Best bid and ask of one instrument.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bbo {
    /// Listing.
    pub instrument: InstrumentId,
    /// Best bid.
    pub bid: Price,
    /// Quantity at the best bid.
    pub bid_qty: Qty,
    /// Best ask.
    pub ask: Price,
    /// Quantity at the best ask.
    pub ask_qty: Qty,
    /// The venue's sequence number, comparable to [`LevelsChunk::update_id`].
    pub update_id: u64,
    /// Venue (matching engine) time, ns since the epoch.
    pub venue_ns: Nanos,
}

/// Most levels in one [`LevelsChunk`].
pub const CHUNK_LEVELS: usize = 8;

/// Up to [`CHUNK_LEVELS`] absolute level quantities; a message longer than that is several chunks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LevelsChunk {
    /// Listing.
    pub instrument: InstrumentId,
    /// First chunk of a snapshot: clear the book before applying.
    pub clear: bool,
    /// Last chunk of the message: the book is consistent after it.
    pub last: bool,
    /// `levels[..bids]` are bids.
    pub bids: u8,
    /// `levels[bids..bids + asks]` are asks.
    pub asks: u8,
    /// Price and absolute quantity; quantity 0 removes the level.
    pub levels: [(Price, Qty); CHUNK_LEVELS],
    /// The venue's sequence number after this message.
    pub update_id: u64,
    /// Venue (matching engine) time, ns since the epoch.
    pub venue_ns: Nanos,
}

/// A public trade.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublicTrade {
    /// Listing.
    pub instrument: InstrumentId,
    /// Venue trade id.
    pub id: u64,
    /// Price.
    pub price: Price,
    /// Quantity.
    pub qty: Qty,
    /// Side of the taker.
    pub aggressor: Side,
    /// Venue time, ns since the epoch.
    pub venue_ns: Nanos,
}

/// Mark price and funding; absent parts are `None` (venues send them on separate channels).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// Listing.
    pub instrument: InstrumentId,
    /// Mark price.
    pub mark: Option<Num>,
    /// Index price.
    pub index: Option<Num>,
    /// Funding rate for the settlement at `funding_ns`; long pays when positive.
    pub rate: Option<Num>,
    /// Next settlement, ns since the epoch; 0 when not stated.
    pub funding_ns: Nanos,
    /// Time between settlements, ns; 0 when not stated. Where funding accrues, the time in which it reaches the rate.
    pub interval_ns: Nanos,
    /// Highest price that the venue lets us buy at. Not serialised: see [`super::output::EventsDigest::add`].
    #[serde(skip)]
    pub buy_max: Option<Num>,
    /// Lowest price that the venue lets us sell at.
    #[serde(skip)]
    pub sell_min: Option<Num>,
    /// Venue time, ns since the epoch.
    pub venue_ns: Nanos,
    /// Funding accrues all the time: there are no settlements. A property of the venue, never concluded from a
    /// settlement that is not stated. Left out where it is not so, as digests of older journals have no such field.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub accrues: bool,
}

/// The venue's answer to a cancel of everything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SweepReply {
    /// Venue.
    pub venue: VenueId,
    /// Done; otherwise refused.
    pub accepted: bool,
}

/// What is open of one instrument, as the venue counts it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenInterest {
    /// Listing.
    pub instrument: InstrumentId,
    /// Quantity in the unit of the venue's orders (contracts, or base coins), exact as sent.
    pub qty: Num,
    /// Venue time, ns since the epoch.
    pub venue_ns: Nanos,
}

/// The last price of one instrument, with the best prices of the same message. No book is made of it: a
/// ticker lags behind the best prices that are traded on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ticker {
    /// Listing.
    pub instrument: InstrumentId,
    /// Price of the last trade, exact as sent.
    pub last: Option<Num>,
    /// Best bid of the message; `None` where it states none.
    pub bid: Option<Num>,
    /// Best ask of the message; `None` where it states none.
    pub ask: Option<Num>,
    /// Venue time, ns since the epoch.
    pub venue_ns: Nanos,
}

/// A position that the venue closed by force. Venues publish a part of them only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Liquidation {
    /// Listing.
    pub instrument: InstrumentId,
    /// Side of the order that closes the position: `Sell` = a long was liquidated.
    pub side: Side,
    /// Price, exact as sent: of the order, or at which the position was bankrupt.
    pub price: Num,
    /// Quantity in the unit of the venue's orders, exact as sent.
    pub qty: Num,
    /// Venue time, ns since the epoch.
    pub venue_ns: Nanos,
}

/// Whether depth of an instrument can be trusted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum BookState {
    /// Waiting for a snapshot; never served.
    #[default]
    AwaitSnapshot,
    /// Continuous since a snapshot.
    Live,
    /// A gap or bad data was found; being resynced; never served.
    Invalid,
}

/// Why a book changed state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum BookReason {
    /// Subscribed, or snapshot complete.
    #[default]
    Sync,
    /// A sequence gap.
    Gap,
    /// A checksum mismatch.
    Checksum,
    /// A frame that could not be decoded.
    Malformed,
    /// The connection was lost.
    Disconnected,
    /// Metadata changed.
    Generation,
}

/// A change of [`BookState`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BookStatus {
    /// Listing.
    pub instrument: InstrumentId,
    /// The new state.
    pub state: BookState,
    /// Why.
    pub reason: BookReason,
}

/// End of one socket read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BurstEnd {
    /// Connection.
    pub conn: super::input::ConnId,
    /// True when nothing more was waiting on the socket: what we know is current.
    pub drained: bool,
}

/// The venue's statement of a position (one-way mode: one signed number per instrument).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PositionReport {
    /// Listing.
    pub instrument: InstrumentId,
    /// Signed contracts.
    pub qty: i64,
    /// Average entry price, exact as sent.
    pub entry: Num,
    /// Venue time, ns since the epoch.
    pub venue_ns: Nanos,
    /// True when it answers our query or a subscription snapshot, false for a push after an event.
    pub snapshot: bool,
}

/// The venue's statement of a currency balance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BalanceReport {
    /// Venue.
    pub venue: VenueId,
    /// Currency.
    pub currency: Currency,
    /// Wallet balance without unrealised profit.
    pub wallet: Money,
    /// Margin free for new positions, where stated.
    pub available: Option<Money>,
    /// Venue time, ns since the epoch.
    pub venue_ns: Nanos,
}

/// Funding charged (negative) or received (positive).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FundingPayment {
    /// Venue.
    pub venue: VenueId,
    /// Listing, where stated.
    pub instrument: Option<InstrumentId>,
    /// Currency.
    pub currency: Currency,
    /// Change of the wallet.
    pub amount: Money,
    /// Venue time, ns since the epoch.
    pub venue_ns: Nanos,
}

/// State of a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnStatus {
    /// Connection.
    pub conn: super::input::ConnId,
    /// Its epoch.
    pub epoch: u32,
    /// Established or lost.
    pub up: bool,
}

/// What a session is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum SessionRole {
    /// Public market data.
    #[default]
    Market,
    /// Private stream of orders, fills, positions, balances.
    Account,
    /// Order entry.
    Orders,
}

/// A session came up (logged in and subscribed) or went down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionStatus {
    /// Venue.
    pub venue: VenueId,
    /// Purpose.
    pub role: SessionRole,
    /// Ready for use.
    pub ready: bool,
}

/// What flows scan → risk → route: forwarded events and intents.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Flow {
    /// The causing input.
    pub seq: Seq,
    /// The instant of that input.
    pub at: Stamp,
    /// What.
    pub body: FlowBody,
}

/// An event passed on, or an intent.
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(clippy::large_enum_variant)] // ring slots: no boxes
pub enum FlowBody {
    /// Passed on because risk or route depends on it (account, control, session, time).
    Event(EventBody),
    /// Current mid of an instrument, for valuing positions; at most every 100 ms each.
    Mid(InstrumentId, Price),
    /// Wanted by scan; approved when it leaves risk.
    Intent(Intent),
    /// Nearly wanted by scan: for the record only, it goes no further.
    NearMiss(NearMiss),
}
