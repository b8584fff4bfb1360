//! Parameters of the rules, as the configuration sets them. Units stand last in the names.

use super::instrument::{CanonicalId, ContractKind, InstrumentId, VenueId};
use super::intent::{BPS, Ppb};
use super::money::Money;
use super::standing::CheckSet;
use super::text::{Currency, Symbol};
use super::time::{MILLI, Nanos, SECOND};
use serde::{Deserialize, Serialize};

/// Everything that shapes the engine's decisions; part of the journal, so that a replay has it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EngineParams {
    /// Boot epoch: the high half of every client id of this run.
    pub boot_epoch: u64,
    /// Venues, by [`VenueId`].
    pub venues: Vec<VenueParams>,
    /// Canonical instruments, by [`CanonicalId`].
    pub canonicals: Vec<CanonicalParams>,
    /// Venue listings, by [`InstrumentId`].
    pub listings: Vec<ListingParams>,
    /// The scanner and the trade machine.
    pub scan: ScanParams,
    /// Limits.
    pub risk: RiskParams,
    /// Orders are executed on paper against the venues' market data, and none ever leaves; `None` = at the
    /// venues.
    #[serde(default)]
    pub paper: Option<PaperParams>,
}

/// Execution on paper.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaperParams {
    /// From the egress gate to the imagined matching engine, ns.
    pub latency_ns: Nanos,
    /// Wallet per venue and settlement currency at the start, whole units.
    pub balance: i64,
}

impl Default for PaperParams {
    fn default() -> Self {
        Self { latency_ns: 5 * MILLI, balance: 100_000 }
    }
}

/// Market data beside prices and funding. Runs recorded before it existed have none of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Extras {
    /// Open interest, last prices and liquidations become events wherever a message states them.
    pub stated: bool,
    /// Subscribe last prices where no message states them anyway.
    pub ticker: bool,
    /// Subscribe, or ask for, open interest where no message states it anyway.
    pub open_interest: bool,
    /// Subscribe liquidations where no message states them anyway.
    pub liquidations: bool,
}

impl Extras {
    /// What costs neither the venue's limits nor a subscription.
    pub const FREE: Self = Self { stated: true, ticker: false, open_interest: false, liquidations: false };
    /// Everything that there is.
    pub const ALL: Self = Self { stated: true, ticker: true, open_interest: true, liquidations: true };
}

/// How order requests are authenticated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SessionKind {
    /// By the dialect's usual way: every request signed, or a login with a shared secret.
    #[default]
    Signed,
    /// Once per connection with an Ed25519 key (Binance `session.logon`); requests then carry neither key nor
    /// signature.
    Logon,
}

/// The way by which orders and cancels leave.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OrderRoute {
    /// On the dialect's order connection.
    #[default]
    Websocket,
    /// As HTTP requests, queries too; there is no order connection then.
    Http,
}

impl OrderRoute {
    /// As the configuration writes it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Websocket => "websocket",
            Self::Http => "http",
        }
    }
}

impl std::str::FromStr for OrderRoute {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [Self::Websocket, Self::Http]
            .into_iter()
            .find(|route| route.name() == text)
            .ok_or_else(|| format!("unknown way of orders {text:?}: choose websocket or http"))
    }
}

/// What goes over HTTP while the order connection is down, at a venue that has both ways.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OrderFallback {
    /// Nothing: the venue takes no orders then. What journals mean that do not say.
    #[default]
    Off,
    /// What ends a risk: cancels, queries, exits, hedges and unwinds.
    Reductions,
    /// Entries too.
    All,
}

impl OrderFallback {
    /// As the configuration writes it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Reductions => "reductions",
            Self::All => "all",
        }
    }

    /// Whether an order may take that way; `safe`: it ends a risk.
    pub const fn covers(self, safe: bool) -> bool {
        match self {
            Self::Off => false,
            Self::Reductions => safe,
            Self::All => true,
        }
    }
}

/// How many connections carry the same market data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MarketCopies {
    /// One: a planned reconnect closes it before the next one stands. What journals mean that do not say.
    #[default]
    One,
    /// One, and for a planned reconnect a second one until that carries everything.
    Relay,
    /// Two at all times: the first copy of every message counts.
    Two,
}

impl MarketCopies {
    /// Whether there ever is a second connection.
    pub const fn has_second(self) -> bool {
        !matches!(self, Self::One)
    }
}

/// What a venue can do to a resting order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Amending {
    /// Nothing. What journals mean that do not say is [`Amending::InPlace`]: route then finds out.
    None,
    /// Price and total quantity change in one request; the order stays the same one.
    #[default]
    InPlace,
    /// One request ends the order and places a new one, with a client id of its own.
    Replace,
}

/// A venue of the run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct VenueParams {
    /// Dialect: `binance-usdm`, `okx`, …
    pub dialect: String,
    /// Taker fee, ppb of notional.
    pub taker_fee_ppb: Ppb,
    /// Maker fee, ppb of notional (negative = rebate).
    pub maker_fee_ppb: Ppb,
    /// Margin required per notional, ppb (1 / leverage).
    pub margin_ppb: Ppb,
    /// Orders per 10 s that route may use at this venue.
    pub orders_per_10s_max: u32,
    /// How long an order may stay unacknowledged before it counts as unknown, ns.
    pub ack_timeout_ns: Nanos,
    /// `recvWindow` / `expTime` sent with opening orders, ms.
    pub order_valid_ms: i64,
    /// What must be read back as configured before the venue takes opening orders; a dialect says what it
    /// can read (`Dialect::start_checks`).
    #[serde(default)]
    pub start_checks: CheckSet,
    /// The venue cancels our orders when it has not heard of us for this long, ns; 0 = it does not.
    #[serde(default)]
    pub dead_man_ns: Nanos,
    /// How order requests are authenticated.
    #[serde(default)]
    pub session: SessionKind,
    /// The way of orders: one of those that the dialect has (`Dialect::order_routes`).
    #[serde(default)]
    pub orders: OrderRoute,
    /// What goes over HTTP while the order connection is down.
    #[serde(default)]
    pub orders_fallback: OrderFallback,
    /// What amounts in the venue's own settlement currency count as, one to one (a venue that settles in
    /// USDC beside others in USDT); empty = as themselves.
    #[serde(default)]
    pub settle_at_par: Currency,
    /// How many connections carry the same market data.
    #[serde(default)]
    pub market_copies: MarketCopies,
    /// What a round trip is charged for that: taken off the edge of every pair of which one leg only settles at
    /// par, ppb of notional.
    #[serde(default)]
    pub settle_haircut_ppb: Ppb,
    /// Allowance for a leg at this venue, beside that of the scanner, ppb.
    #[serde(default)]
    pub allowance_ppb: Ppb,
    /// Market data beside prices and funding.
    #[serde(default)]
    pub extras: Extras,
    /// Probability that a leg of an entry misses here, before anything is learnt of it, ppb. See
    /// [`ScanParams::miss_prior_orders`].
    #[serde(default)]
    pub miss_prior_ppb: Ppb,
    /// How a resting order is amended: as the dialect can (`Dialect::amending`).
    #[serde(default)]
    pub amending: Amending,
    /// Age at which a connection is left for a new one, ns; see [`VenueParams::connection_age_max`].
    #[serde(default)]
    pub connection_age_max_ns: Nanos,
}

/// A connection that is not left earlier is left at this age, ns: where a venue states no lifetime, load balancers and its
/// neighbours know one of a day.
pub const CONNECTION_AGE_MAX: Nanos = 23 * 3600 * SECOND;

/// The age in states that do not say, ns.
pub const fn connection_age_usual() -> Nanos {
    CONNECTION_AGE_MAX
}

impl VenueParams {
    /// Age at which a connection is left for a new one, ns. What journals mean that do not say:
    /// [`CONNECTION_AGE_MAX`].
    pub const fn connection_age_max(&self) -> Nanos {
        if self.connection_age_max_ns > 0 { self.connection_age_max_ns } else { CONNECTION_AGE_MAX }
    }
}

/// A canonical instrument.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CanonicalParams {
    /// Unified name, such as `BTC/USDT:USDT`.
    pub name: String,
    /// Base asset.
    pub base: Currency,
    /// Quote currency.
    pub quote: Currency,
    /// Settlement currency.
    pub settle: Currency,
    /// Linear or inverse.
    pub kind: ContractKind,
}

/// A venue's listing of a canonical instrument.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ListingParams {
    /// Index in [`EngineParams::listings`].
    pub id: InstrumentId,
    /// Venue.
    pub venue: VenueId,
    /// What it is.
    pub canonical: CanonicalId,
    /// Native name.
    pub symbol: Symbol,
}

/// Scanner and trade machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ScanParams {
    /// Intended notional per leg, in the quote currency.
    pub notional_usd: i64,
    /// Net edge needed to enter, ppb.
    pub threshold_ppb: Ppb,
    /// How long an edge must stand above the threshold before it is taken, ns: at least the longest
    /// publication interval of the venues' best prices (OKX 10 ms), or 0 to take it at once.
    pub edge_persist_ns: Nanos,
    /// Allowance for latency and capital, ppb; what legs that miss cost is learnt, see `miss_prior_orders`.
    pub allowance_ppb: Ppb,
    /// Interval at which the mid basis is sampled for the rolling median, ns.
    pub basis_sample_ns: Nanos,
    /// Window of the rolling median, in samples (odd; at most 255).
    pub basis_samples: u16,
    /// No trading before this many samples.
    pub basis_samples_min: u16,
    /// A median of the newest quarter of the window this far from the window's median disarms the pair, ppb.
    pub level_shift_ppb: Ppb,
    /// A pair arms only when both mids agree within this, ppb.
    pub mid_agreement_ppb: Ppb,
    /// A pair arms only when both index prices agree within this, ppb.
    pub index_agreement_ppb: Ppb,
    /// An index price older than this counts as absent, ns.
    pub index_age_max_ns: Nanos,
    /// True (every dialect states an index): a pair without both index prices does not arm. False: absent ones are
    /// not held against it.
    pub index_required: bool,
    /// A book whose venue time lies this far ahead of the venue's clock is not traded on, ns.
    pub clock_ahead_max_ns: Nanos,
    /// A venue whose clock differs from ours by more than this is not traded on, ns. Requests are signed
    /// with the venue's time, so this bounds what a broken clock may do to ages and deadlines.
    pub clock_offset_max_ns: Nanos,
    /// A venue whose clock is known no better than this is not traded on, ns.
    pub clock_uncertainty_max_ns: Nanos,
    /// Window over which the orders of a listing are judged, ns.
    pub quality_window_ns: Nanos,
    /// Orders in the window before they are judged.
    pub quality_orders_min: u32,
    /// Part of them that may fill nothing; above it the listing takes no entries, ppb.
    pub quality_miss_max_ppb: Ppb,
    /// A net edge above this for longer than `edge_insane_ns` means broken data: disarm and alarm, ppb.
    pub edge_insane_ppb: Ppb,
    /// See `edge_insane_ppb`, ns.
    pub edge_insane_ns: Nanos,
    /// How long a disarmed pair stays disarmed, ns.
    pub disarm_ns: Nanos,
    /// Longest holding time of a trade, ns; then it is closed.
    pub hold_max_ns: Nanos,
    /// Close when the pair's executable exit basis has converged to within this of the expected one, ppb.
    pub exit_tolerance_ppb: Ppb,
    /// Close when the open loss exceeds this, ppb of notional.
    pub loss_max_ppb: Ppb,
    /// A book older than this is not traded on, ns.
    pub book_age_max_ns: Nanos,
    /// Limit prices of IOC legs lie this far beyond the VWAP price, ppb.
    pub limit_slack_ppb: Ppb,
    /// Limit prices of exits, hedges and unwinds lie this far beyond the touch, ppb.
    pub urgent_slack_ppb: Ppb,
    /// Pause of a pair after a miss or a trade, ns.
    pub cooldown_ns: Nanos,
    /// Hedge attempts before the filled leg is unwound.
    pub hedge_attempts_max: u16,
    /// Unwind and exit attempts are retried after this, ns.
    pub retry_ns: Nanos,
    /// Enter at random instead of on an edge (honesty test of the simulation): one entry per pair and this
    /// time, ns; 0 = off.
    pub random_entry_ns: Nanos,
    /// Trades open at the same time, all pairs together.
    pub trades_open_max: u16,
    /// An edge this near to the threshold that does not enter is recorded, ppb. See `near_miss_per_s`.
    #[serde(default)]
    pub near_miss_ppb: Ppb,
    /// Near-misses that are recorded of a pair in a second, at most; 0 = none, as in journals from before they were.
    #[serde(default)]
    pub near_miss_per_s: u16,
    /// While a leg stands alone for longer than this, which it does when its contract is suspended or its orders are
    /// refused, nothing is entered anywhere, ns. Journals from before the rule do without it.
    #[serde(default = "never")]
    pub unhedged_max_ns: Nanos,
    /// As many orders as [`VenueParams::miss_prior_ppb`] weighs beside what is seen of the legs of entries; 0 = nothing is
    /// learnt or charged, as in journals from before it was.
    #[serde(default)]
    pub miss_prior_orders: u32,
    /// Time in which half of what was seen of them is forgotten, ns.
    #[serde(default)]
    pub miss_half_life_ns: Nanos,
}

const fn never() -> Nanos {
    Nanos::MAX
}

impl Default for ScanParams {
    fn default() -> Self {
        Self {
            notional_usd: 1_000,
            threshold_ppb: BPS,
            edge_persist_ns: 0,
            allowance_ppb: BPS / 2,
            basis_sample_ns: 100 * MILLI,
            basis_samples: 101,
            basis_samples_min: 31,
            level_shift_ppb: 20 * BPS,
            mid_agreement_ppb: 200 * BPS,
            index_agreement_ppb: 200 * BPS,
            index_age_max_ns: 60 * SECOND,
            index_required: true,
            clock_ahead_max_ns: 50 * MILLI,
            clock_offset_max_ns: SECOND,
            clock_uncertainty_max_ns: 250 * MILLI,
            quality_window_ns: 600 * SECOND,
            quality_orders_min: 100,
            quality_miss_max_ppb: 950_000_000,
            edge_insane_ppb: 300 * BPS,
            edge_insane_ns: 2 * SECOND,
            disarm_ns: 30 * SECOND,
            hold_max_ns: 30 * SECOND,
            exit_tolerance_ppb: BPS,
            loss_max_ppb: 50 * BPS,
            book_age_max_ns: SECOND,
            limit_slack_ppb: BPS / 10,
            urgent_slack_ppb: 20 * BPS,
            cooldown_ns: 500 * MILLI,
            hedge_attempts_max: 2,
            retry_ns: 100 * MILLI,
            random_entry_ns: 0,
            trades_open_max: 8,
            near_miss_ppb: BPS / 2,
            near_miss_per_s: 2,
            unhedged_max_ns: 30 * SECOND,
            miss_prior_orders: 20,
            miss_half_life_ns: 3_600 * SECOND,
        }
    }
}

/// Limits. Every one fails closed: an unknown figure denies.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RiskParams {
    /// Notional of one order, quote currency.
    pub order_notional_max_usd: i64,
    /// Net position per listing, notional in the quote currency.
    pub instrument_position_max_usd: i64,
    /// Sum of absolute positions on one venue.
    pub venue_position_max_usd: i64,
    /// Sum of absolute positions everywhere.
    pub gross_exposure_max_usd: i64,
    /// Free margin that must remain on a venue after the order, as a part of its wallet, ppb.
    pub margin_free_min_ppb: Ppb,
    /// Open (non-terminal) orders everywhere.
    pub open_orders_max: u32,
    /// Orders per second everywhere; exits and hedges are exempt.
    pub order_rate_per_s_max: u32,
    /// Age of any leg's book at the decision, ns.
    pub book_age_max_ns: Nanos,
    /// Distance of a limit price from the leg's mid, ppb.
    pub price_collar_ppb: Ppb,
    /// Realised plus unrealised loss since 00:00 UTC after which entries stop; open trades end by their own rules.
    pub daily_loss_max_usd: i64,
    /// The daily loss also closes the open trades, once a day.
    pub daily_loss_closes: bool,
    /// Fall of the net result of all runs below its peak after which entries stop, quote currency; the operator's word
    /// begins it anew. What journals mean that do not say: no limit.
    #[serde(default = "no_limit")]
    pub drawdown_max_usd: i64,
    /// Trades lost or failed in a row after which entries stop (rejects and one-leg failures, not misses).
    pub consecutive_failures_max: u32,
    /// Baskets approved whose orders are not all terminal.
    pub baskets_in_flight_max: u32,
    /// Age of the causing input at which the egress gate refuses an opening order, ns.
    pub send_age_max_ns: Nanos,
}

impl Default for RiskParams {
    fn default() -> Self {
        Self {
            order_notional_max_usd: 5_000,
            instrument_position_max_usd: 10_000,
            venue_position_max_usd: 50_000,
            gross_exposure_max_usd: 100_000,
            margin_free_min_ppb: 200_000_000,
            open_orders_max: 64,
            order_rate_per_s_max: 50,
            book_age_max_ns: SECOND,
            price_collar_ppb: 100 * BPS,
            daily_loss_max_usd: 1_000,
            daily_loss_closes: false,
            drawdown_max_usd: 3_000,
            consecutive_failures_max: 10,
            baskets_in_flight_max: 8,
            send_age_max_ns: 50 * MILLI,
        }
    }
}

const fn no_limit() -> i64 {
    i64::MAX
}

impl RiskParams {
    /// A limit in whole units as money.
    pub fn money(units: i64) -> Money {
        Money::from_units(units)
    }
}
