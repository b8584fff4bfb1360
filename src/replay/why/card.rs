//! What an explanation consists of: plain data with stable keys. Decimals are exact text, times are nanoseconds.

use crate::core::risk::VenueStanding;
use crate::domain::money::Money;
use crate::stage::route::RouteStanding;
use serde::Serialize;
use std::collections::BTreeMap;

/// An input and its instant.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct At {
    /// Its number.
    pub seq: u64,
    /// When it was received (frames) or made, monotonic ns of the run.
    pub mono_ns: i64,
    /// The same by our wall clock, ns since the epoch.
    pub wall_ns: i64,
    /// The same as text.
    pub utc: String,
}

/// The run that is explained.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RunCard {
    /// Its id.
    pub run_id: String,
    /// Version of the rules that recorded it.
    pub logic_recorded: u32,
    /// Version of the rules that explain it.
    pub logic_replayed: u32,
}

/// The causal chain of an order and of the trade that it belongs to.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Why {
    /// As asked.
    pub asked: String,
    /// The run.
    pub run: RunCard,
    /// The trade.
    pub trade: TradeCard,
    /// Its baskets and amendments, in order.
    pub baskets: Vec<BasketCard>,
    /// Everything that happened to it, in order.
    pub moments: Vec<Moment>,
    /// What has to be known beside it, and what was not recorded.
    pub notes: Vec<String>,
}

/// A trade and its result.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct TradeCard {
    /// Its number; `None` for an order that no basket of this run placed.
    pub id: Option<u32>,
    /// `pair`, `residual`, `by hand` or `foreign`.
    pub sort: &'static str,
    /// What was traded.
    pub instrument: String,
    /// The engine has closed it: none of its orders is open, and it holds nothing that could be sold.
    pub closed: bool,
    /// Why it was closed.
    pub closing: Option<&'static str>,
    /// Executed entry basis, ppb, where both legs were filled.
    pub entry_basis_ppb: Option<i64>,
    /// By listing.
    pub legs: Vec<LegResult>,
    /// Profit by currency: sales less purchases, less fees, plus funding; empty while something is left.
    pub result: BTreeMap<String, Money>,
}

/// What a trade did on one listing.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct LegResult {
    /// Where.
    pub venue: String,
    /// What, by the venue's name.
    pub symbol: String,
    /// Currency of the values.
    pub currency: String,
    /// Contracts bought by our orders.
    pub bought: String,
    /// Their value.
    pub bought_value: Money,
    /// Contracts sold by our orders.
    pub sold: String,
    /// Their value.
    pub sold_value: Money,
    /// What executions by no order of ours did to it; absent where there were none.
    pub others: Option<Others>,
    /// Contracts still held (signed), after all of them.
    pub left: String,
    /// Fees by currency.
    pub fees: BTreeMap<String, Money>,
    /// Funding received while it was open.
    pub funding: Money,
}

/// Executions by no order of ours (deleveraging, liquidation, somebody's hand) on a leg that a trade held.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Others {
    /// Contracts bought.
    pub bought: String,
    /// Their value.
    pub bought_value: Money,
    /// Contracts sold.
    pub sold: String,
    /// Their value.
    pub sold_value: Money,
}

/// A basket (or amendment): why it was wanted, how it was judged, what became of its orders.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct BasketCard {
    /// It is the one that was asked about.
    pub asked: bool,
    /// The input that made it.
    pub at: At,
    /// `entry`, `exit`, `hedge`, `unwind` or `amend`.
    pub kind: &'static str,
    /// Number within the trade.
    pub attempt: u16,
    /// What triggered it.
    pub trigger: Trigger,
    /// Why the trade was being closed.
    pub closing: Option<&'static str>,
    /// How the trade stood to the ways of leaving it.
    pub leaving: Option<LeavingCard>,
    /// The pair at that moment.
    pub pair: Option<PairCard>,
    /// The books of the legs at that moment.
    pub books: Vec<BookCard>,
    /// The edge, for entries.
    pub edge: Option<EdgeCard>,
    /// Accounts of the legs before it.
    pub accounts: Vec<AccountCard>,
    /// Every check of risk in its order.
    pub checks: Vec<CheckCard>,
    /// Who denied it.
    pub denial: Option<DenialCard>,
    /// What route knew of each leg's venue before that input.
    pub route: Vec<RouteCard>,
    /// Its orders.
    pub orders: Vec<OrderCard>,
}

/// The input behind a decision.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Trigger {
    /// Kind of the input.
    pub kind: &'static str,
    /// The connection that brought it: number, venue, role, epoch.
    pub connection: Option<String>,
    /// The frame was the last one of its socket read, and nothing more was waiting.
    pub drained: Option<bool>,
    /// Its text as recorded.
    pub raw: String,
    /// Its length in bytes.
    pub bytes: usize,
    /// The typed events that were made of it.
    pub events: Vec<String>,
    /// The venue's own time of it, ns since the epoch, where stated.
    pub venue_ns: Option<i64>,
}

/// How a trade stands to the ways of leaving it, ppb of the mid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct LeavingCard {
    /// What closing it would cost as a basis; `None` while a book does not tell.
    pub exit_basis_ppb: Option<i64>,
    /// The basis at which it counts as converged.
    pub converged_at_ppb: i64,
    /// Executed entry basis.
    pub entry_basis_ppb: i64,
    /// How far beyond the entry the basis may lie.
    pub loss_max_ppb: i64,
    /// What is left of its holding time.
    pub hold_left_ns: i64,
}

/// A pair at a moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PairCard {
    /// Where it buys.
    pub buy: String,
    /// Where it sells.
    pub sell: String,
    /// Basis of the mids, ppb.
    pub basis_ppb: Option<i64>,
    /// Its rolling median, ppb.
    pub baseline_ppb: Option<i64>,
    /// Samples behind the median.
    pub samples: u16,
    /// What legs that miss cost on average, as learnt: a part of the allowance, ppb.
    pub failure_ppb: i64,
}

/// A listing's book at a moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct BookCard {
    /// Where.
    pub venue: String,
    /// What.
    pub symbol: String,
    /// Whether it can be priced from.
    pub state: &'static str,
    /// Best bids: price and contracts.
    pub bids: Vec<(String, String)>,
    /// Best asks.
    pub asks: Vec<(String, String)>,
    /// Age of the best prices by the venue's clock, ns.
    pub age_ns: i64,
    /// Age of the depth behind them, ns.
    pub depth_age_ns: i64,
    /// What the venue's clock shows beyond ours, ns (0 while unknown).
    pub clock_offset_ns: i64,
    /// Funding rate, ppb, where stated.
    pub funding_ppb: Option<i64>,
    /// Next settlement, ns since the epoch, where stated.
    pub funding_at_ns: Option<i64>,
}

/// A term of the edge with the sign with which it counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Term {
    /// Which.
    pub name: &'static str,
    /// What it adds to the net, ppb.
    pub ppb: i64,
}

/// The edge: terms that add up to the net.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct EdgeCard {
    /// Every term.
    pub terms: Vec<Term>,
    /// Their sum as the engine reckoned it, ppb.
    pub net_ppb: i64,
    /// What it was held against, ppb.
    pub threshold_ppb: i64,
    /// Net less threshold, ppb.
    pub above_ppb: i64,
}

/// Capital of an account before a basket.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct AccountCard {
    /// Where.
    pub venue: String,
    /// Currency.
    pub currency: String,
    /// Wallet as the venue stated it; `None` = unknown.
    pub wallet: Option<Money>,
    /// Reserved for open orders.
    pub reserved: Money,
    /// Margin of positions.
    pub used: Money,
    /// Free for new orders; `None` = unknown.
    pub free: Option<Money>,
}

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It held.
    Passed,
    /// It denied the basket.
    Denied,
    /// A check before it had denied already; it would have held.
    NotReachedWouldPass,
    /// A check before it had denied already; it would not have held either.
    NotReachedWouldDeny,
}

/// A check of risk with its figures.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CheckCard {
    /// Key of the check.
    pub check: crate::core::limits::RiskCheck,
    /// What it asks.
    pub name: &'static str,
    /// The leg, from 0; `None` = the basket as a whole.
    pub leg: Option<u8>,
    /// Venue and symbol of the leg.
    pub listing: Option<String>,
    /// Measured; empty where it holds or does not.
    pub value: String,
    /// How it must lie to the limit: `is`, `at most`, `below`, `at least` or `multiple of`.
    pub rule: &'static str,
    /// The limit.
    pub limit: String,
    /// What both count.
    pub unit: crate::core::limits::Unit,
    /// Both in words, with units.
    pub shown: String,
    /// How it ended.
    pub verdict: Verdict,
}

/// A denial as it was recorded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DenialCard {
    /// `risk` or `route`.
    pub by: &'static str,
    /// Reason.
    pub reason: String,
    /// Leg; `None` = the whole.
    pub leg: Option<u8>,
    /// Measured.
    pub value: Money,
    /// Limit.
    pub limit: Money,
}

/// What route and risk knew of a leg's venue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RouteCard {
    /// Venue.
    pub venue: String,
    /// Sessions, budget, credit.
    pub route: RouteStanding,
    /// Sessions and start gate as risk knows them.
    pub risk: VenueStanding,
}

/// An order from its making to its end.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct OrderCard {
    /// Our id.
    pub client_id: String,
    /// It is the one that was asked about.
    pub asked: bool,
    /// The venue's id, as it stands in the venue's messages.
    pub venue_order_id: Option<String>,
    /// Where.
    pub venue: String,
    /// What.
    pub symbol: String,
    /// `buy` or `sell`.
    pub side: &'static str,
    /// Contracts.
    pub qty: String,
    /// Limit price.
    pub price: String,
    /// How long it may rest.
    pub tif: String,
    /// May only reduce.
    pub reduce_only: bool,
    /// Mid of the book that it was decided on.
    pub mid: String,
    /// Age of what it was priced from, ns.
    pub book_age_ns: i64,
    /// The messages that placed, amended, cancelled and asked about it.
    pub messages: Vec<MessageCard>,
    /// What the ledger made of the venue's words.
    pub updates: Vec<UpdateCard>,
    /// State at the end of the record.
    pub state: String,
    /// Filled contracts.
    pub filled: String,
    /// Nanoseconds from step to step.
    pub hops: Vec<Hop>,
}

/// A message of route, without its secrets.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct MessageCard {
    /// What it is for: `place`, `amend` or `about` (a cancel or a query).
    pub what: &'static str,
    /// The input that made it.
    pub at: At,
    /// Its number.
    pub message: u64,
    /// Where it goes.
    pub target: String,
    /// Connection epoch that it was made for.
    pub epoch: u32,
    /// It passes the kill latch and is never too old.
    pub urgent: bool,
    /// Age at which the gate refuses it, ns; 0 = never.
    pub age_max_ns: i64,
    /// Its text, with `‹…›` where the gateway fills in secrets.
    pub text: String,
    /// The text that is signed, likewise.
    pub signed: String,
    /// Signature scheme.
    pub scheme: String,
    /// Its fate at the egress gate; `None` = not in the record.
    pub fate: Option<String>,
    /// The input that told it.
    pub fate_at: Option<At>,
}

/// A change of an order.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct UpdateCard {
    /// The input that brought it.
    pub at: At,
    /// Kind of that input.
    pub by: &'static str,
    /// State after it.
    pub state: String,
    /// Cumulative contracts.
    pub filled: String,
    /// Why it was refused.
    pub reject: Option<String>,
    /// The fill that it booked.
    pub fill: Option<FillCard>,
    /// The venue's time, ns since the epoch, where stated.
    pub venue_ns: Option<i64>,
    /// The text behind it as recorded.
    pub raw: String,
}

/// A fill.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct FillCard {
    /// Contracts.
    pub qty: String,
    /// Price.
    pub price: String,
    /// Fee, positive = paid.
    pub fee: Money,
    /// Its currency.
    pub currency: String,
    /// It made liquidity.
    pub maker: bool,
    /// The venue's number of it.
    pub trade_id: u64,
}

/// Time between two steps.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Hop {
    /// From which step to which.
    pub what: &'static str,
    /// Nanoseconds; `None` = not recorded.
    pub ns: Option<i64>,
    /// Where the number comes from, or why there is none.
    pub source: &'static str,
}

/// Something that happened.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Moment {
    /// When.
    pub at: At,
    /// Since the first trigger, ns.
    pub since_ns: i64,
    /// `trigger`, `intent`, `denied`, `message`, `fate`, `ack`, `fill`, `end`, `cancel`, `phase`, `funding` or `taken`
    /// (an execution by no order of ours).
    pub kind: &'static str,
    /// Order concerned.
    pub order: Option<String>,
    /// Venue concerned.
    pub venue: Option<String>,
    /// In words.
    pub what: String,
}

/// A gate of a pair's direction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GateCard {
    /// Its name, as the live view says it when it stops.
    pub gate: String,
    /// What it asks about.
    pub about: &'static str,
    /// Venue of the leg.
    pub leg: Option<String>,
    /// `passes`, `stops` or `not known`.
    pub state: &'static str,
    /// Measured.
    pub value: String,
    /// `is`, `at most` or `at least`.
    pub rule: &'static str,
    /// Limit.
    pub limit: String,
    /// What both count: `ppb`, `ns`, `count`, `price`, `contracts` or `state`.
    pub unit: &'static str,
    /// Both in words, with units.
    pub shown: String,
    /// By how much it misses the limit, in that unit, where that is a number.
    pub missing: Option<String>,
}
