//! The tables of the file, as written: units for people, every key optional that has a sound default.

use crate::domain::intent::BPS;
use crate::domain::params::{
    Extras, OrderFallback, OrderRoute, PaperParams, RiskParams, ScanParams, SessionKind,
};
use crate::domain::time::{MILLI, Nanos};
use crate::journal::Housekeeping;
use crate::runtime::idle::IdleMode;
use crate::stage::egress::WriteAhead;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// The whole file.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Threads, journal, monitoring.
    pub engine: EngineTable,
    /// What becomes of the journal.
    pub journal: JournalTable,
    /// Execution on paper.
    pub paper: PaperTable,
    /// Venues, at least two.
    pub venues: Vec<VenueTable>,
    /// What to trade.
    pub instruments: Vec<InstrumentTable>,
    /// Market data beside prices and funding.
    pub market: MarketTable,
    /// Quote currencies that may be added up.
    pub quotes: QuotesTable,
    /// The scanner.
    pub scan: ScanTable,
    /// Limits.
    pub risk: RiskTable,
    /// Recorded inputs are passed again: what was recorded may have too few venues for any pair. Stands in no file.
    #[serde(skip)]
    pub(super) is_replay: bool,
}

/// `[engine]`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EngineTable {
    /// Real orders may be sent, if the command line says so too.
    pub live: bool,
    /// Pinning profile or a file.
    pub pinning: Option<String>,
    /// How idle threads wait.
    pub idle: Option<IdleMode>,
    /// Where runs are recorded, each in a directory of its own.
    pub journal_dir: Option<PathBuf>,
    /// Where monitors ask, on loopback.
    pub metrics_bind: Option<SocketAddr>,
    /// What of an opening order must be recorded before it leaves.
    pub write_ahead: WriteAhead,
    /// A further certificate authority (PEM) beside the system's.
    pub ca_file: Option<PathBuf>,
}

/// `[journal]`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct JournalTable {
    /// Closed segments are compressed; without it they are.
    pub compress: Option<bool>,
    /// Most bytes of a run's segments; without it all are kept.
    pub keep_bytes: Option<u64>,
    /// Longest time that a closed segment is kept, days.
    pub keep_days: Option<u32>,
    /// Retention may remove inputs too, behind a snapshot that replays begin with; without it it may.
    pub cut_inputs: Option<bool>,
    /// Below so many free MiB: an alarm.
    pub space_alarm_mib: Option<u64>,
    /// Below so many free MiB: no new trades.
    pub space_stop_mib: Option<u64>,
}

impl JournalTable {
    /// In the words of the journal.
    pub fn housekeeping(&self) -> Housekeeping {
        let default = Housekeeping::default();
        Housekeeping {
            compress: if self.compress.unwrap_or(true) { default.compress } else { None },
            keep_bytes: self.keep_bytes,
            keep_for: self.keep_days.map(|days| Duration::from_secs(u64::from(days) * 86_400)),
            cut_inputs: self.cut_inputs.unwrap_or(default.cut_inputs),
            space_alarm_bytes: self.space_alarm_mib.unwrap_or(2048).saturating_mul(1 << 20),
            space_stop_bytes: self.space_stop_mib.unwrap_or(512).saturating_mul(1 << 20),
            ..default
        }
    }
}

/// `[market]`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MarketTable {
    /// What to subscribe where no message states it anyway.
    pub extras: Vec<Extra>,
}

/// Market data beside prices and funding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Extra {
    /// Last prices.
    Ticker,
    /// What is open of each contract.
    OpenInterest,
    /// Positions closed by force.
    Liquidations,
}

impl MarketTable {
    /// As the file has it.
    pub(super) fn written(extras: Extras) -> Vec<toml::Value> {
        let all = [
            ("ticker", extras.ticker),
            ("open_interest", extras.open_interest),
            ("liquidations", extras.liquidations),
        ];
        all.into_iter().filter(|(_, wanted)| *wanted).map(|(name, _)| name.into()).collect()
    }

    /// In the words of the engine.
    pub fn extras(&self) -> Extras {
        Extras {
            ticker: self.extras.contains(&Extra::Ticker),
            open_interest: self.extras.contains(&Extra::OpenInterest),
            liquidations: self.extras.contains(&Extra::Liquidations),
            ..Extras::FREE
        }
    }
}

/// `[quotes]`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct QuotesTable {
    /// Currencies that limits and totals may add at par, by the operator's word; never done silently.
    pub at_par: Vec<String>,
}

/// `[paper]`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PaperTable {
    /// From the gate to the imagined matching engine.
    pub latency_ms: Option<f64>,
    /// Wallet per venue and settlement currency.
    pub balance: Option<i64>,
}

/// `[[venues]]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VenueTable {
    /// A name of [`crate::venue::DIALECTS`].
    pub dialect: String,
    /// Taker fee; the account's own, as it enters every edge.
    pub taker_fee_bps: f64,
    /// Maker fee, negative = rebate.
    pub maker_fee_bps: f64,
    /// What a leg at this venue costs on average beyond its fee and beyond what legs that miss cost; added to `[scan]
    /// allowance_bps`.
    #[serde(default)]
    pub allowance_bps: f64,
    /// How often a leg misses at this venue, until own orders tell; without it what its dialect says.
    pub miss_prior_percent: Option<f64>,
    /// Notional per margin.
    #[serde(default = "leverage")]
    pub leverage: u32,
    /// Orders that may be sent in 10 s; without it, what the dialect is known to grant every account.
    pub orders_per_10s_max: Option<u32>,
    /// Silence after which an order counts as unknown.
    #[serde(default = "ack_timeout_ms")]
    pub ack_timeout_ms: f64,
    /// How long an opening order may take to reach the venue, after which the venue refuses it.
    #[serde(default = "order_valid_ms")]
    pub order_valid_ms: i64,
    /// Silence of ours after which the venue cancels our orders; 0 = never.
    #[serde(default = "dead_man_s")]
    pub dead_man_s: i64,
    /// `signed` (the default), or `logon`: an Ed25519 key authenticates the order connection once.
    #[serde(default)]
    pub session: SessionKind,
    /// `websocket` or `http`: the way of orders; without it the dialect's usual one.
    pub orders: Option<OrderRoute>,
    /// `off`, `reductions` or `all`: what goes over HTTP while the order connection is down.
    #[serde(default)]
    pub orders_fallback: OrderFallback,
    /// What amounts in the venue's own settlement currency count as, one to one (Hyperliquid: `USDT`).
    #[serde(default)]
    pub settle_at_par: Option<String>,
    /// Market data over two connections at all times, of which the first copy of every message counts.
    #[serde(default)]
    pub redundant: bool,
    /// Age at which a connection is left for a new one.
    #[serde(default = "connection_age_max_s")]
    pub connection_age_max_s: i64,
    /// What that costs a round trip with a venue that settles in the named currency itself.
    #[serde(default)]
    pub settle_haircut_bps: f64,
    /// Base addresses of the connections instead of the production ones: one for all, or one each.
    #[serde(default)]
    pub sockets: Vec<String>,
    /// Base address for HTTP instead of the production one.
    pub http: Option<String>,
    /// Proxy for all connections: `http://host:port` (CONNECT) or `socks5://host:port`, without credentials.
    pub proxy: Option<String>,
    /// The environment variable that holds the proxy's whole address, with its credentials.
    pub proxy_env: Option<String>,
    /// Prefix of the environment variables with the credentials.
    pub credentials_env: Option<String>,
    /// A file with the credentials that only its owner may read.
    pub credentials_file: Option<PathBuf>,
}

fn leverage() -> u32 {
    5
}

fn ack_timeout_ms() -> f64 {
    1_000.0
}

fn connection_age_max_s() -> i64 {
    crate::domain::params::CONNECTION_AGE_MAX / crate::domain::time::SECOND
}

fn dead_man_s() -> i64 {
    60
}

fn order_valid_ms() -> i64 {
    2_000
}

/// `[[instruments]]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InstrumentTable {
    /// `BASE/QUOTE:SETTLE[-YYMMDD]`, `SYMBOL.VENUE`, or a configured venue's own name.
    pub name: String,
    /// Native names by dialect, where they don't follow from the name.
    #[serde(default)]
    pub symbols: BTreeMap<String, String>,
    /// Dialects that list it; without it all.
    pub venues: Option<Vec<String>>,
}

/// Parts per billion from basis points.
pub(super) fn ppb(bps: f64) -> i64 {
    (bps * BPS as f64).round() as i64
}

/// Nanoseconds from milliseconds.
pub(super) fn nanos(ms: f64) -> Nanos {
    (ms * MILLI as f64).round() as i64
}

/// Parts per billion from percents.
pub(super) fn ppb_of_percent(percent: f64) -> i64 {
    (percent * 10_000_000.0).round() as i64
}

/// Basis points from parts per billion.
pub(super) fn bps(ppb: i64) -> f64 {
    written(ppb, self::ppb)
}

/// Milliseconds from nanoseconds.
pub(super) fn millis(ns: Nanos) -> f64 {
    written(ns, nanos)
}

/// Percents from parts per billion.
pub(super) fn percents(ppb: i64) -> f64 {
    written(ppb, ppb_of_percent)
}

fn same<T>(value: T) -> T {
    value
}

/// A value as the file has it.
trait Written<V>: Sized {
    /// What `translate` makes `value` of.
    fn of(value: V, translate: fn(Self) -> V) -> Self;
}

impl Written<i64> for f64 {
    fn of(value: i64, translate: fn(Self) -> i64) -> Self {
        // A unit is so many of the engine's.
        value as Self / translate(1.0) as Self
    }
}

macro_rules! as_it_is {
    ($($kind:ty),*) => {
        $(impl Written<$kind> for $kind {
            fn of(value: $kind, _: fn(Self) -> $kind) -> Self {
                value
            }
        })*
    };
}

as_it_is!(i64, u32, u16, bool);

fn written<T, V>(value: V, translate: fn(T) -> V) -> T
where
    T: Written<V>,
{
    T::of(value, translate)
}

/// Declares a table of optional keys and its translation; what is absent keeps the default.
macro_rules! table {
    ($(#[$about:meta])* $name:ident => $params:ident { $($(#[$doc:meta])* $key:ident: $kind:ty => $field:ident by $translate:path,)* }) => {
        $(#[$about])*
        #[derive(Clone, Debug, Default, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct $name {
            $($(#[$doc])* pub $key: Option<$kind>,)*
        }

        impl $name {
            /// In the units of the engine.
            pub fn params(&self) -> $params {
                let mut params = $params::default();
                $(if let Some(value) = self.$key {
                    params.$field = $translate(value);
                })*
                params
            }

            /// Every key that says these parameters.
            pub(super) fn written(params: &$params) -> toml::Table {
                let mut table = toml::Table::new();
                $(let value: $kind = written(params.$field, $translate);
                table.extend(toml::Value::try_from(value).ok().map(|value| (stringify!($key).to_owned(), value)));)*
                table
            }
        }
    };
}

table! {
    /// `[scan]`.
    ScanTable => ScanParams {
        /// Intended notional per leg.
        notional_usd: i64 => notional_usd by same,
        /// Net edge needed to enter.
        threshold_bps: f64 => threshold_ppb by ppb,
        /// How long an edge must stand before it is taken.
        edge_persist_ms: f64 => edge_persist_ns by nanos,
        /// Allowance for latency and capital.
        allowance_bps: f64 => allowance_ppb by ppb,
        /// Interval of the basis samples.
        basis_sample_ms: f64 => basis_sample_ns by nanos,
        /// Window of the rolling median, odd.
        basis_samples: u16 => basis_samples by same,
        /// No trading before this many.
        basis_samples_min: u16 => basis_samples_min by same,
        /// Shift of the median that disarms.
        level_shift_bps: f64 => level_shift_ppb by ppb,
        /// Both mids agree within this.
        mid_agreement_bps: f64 => mid_agreement_ppb by ppb,
        /// Both index prices agree within this.
        index_agreement_bps: f64 => index_agreement_ppb by ppb,
        /// Oldest index price.
        index_age_max_ms: f64 => index_age_max_ns by nanos,
        /// Whether a pair needs both index prices.
        index_required: bool => index_required by same,
        /// How far a book may lie ahead of its venue's clock.
        clock_ahead_max_ms: f64 => clock_ahead_max_ns by nanos,
        /// How far a venue's clock may be from ours.
        clock_offset_max_ms: f64 => clock_offset_max_ns by nanos,
        /// How well a venue's clock must be known.
        clock_uncertainty_max_ms: f64 => clock_uncertainty_max_ns by nanos,
        /// Window over which orders are judged.
        quality_window_ms: f64 => quality_window_ns by nanos,
        /// Orders before they are judged.
        quality_orders_min: u32 => quality_orders_min by same,
        /// Part of them that may fill nothing.
        quality_miss_max_percent: f64 => quality_miss_max_ppb by ppb_of_percent,
        /// An edge that means broken data.
        edge_insane_bps: f64 => edge_insane_ppb by ppb,
        /// For this long.
        edge_insane_ms: f64 => edge_insane_ns by nanos,
        /// How long a pair stays disarmed.
        disarm_ms: f64 => disarm_ns by nanos,
        /// Longest holding time.
        hold_max_ms: f64 => hold_max_ns by nanos,
        /// Close within this of the expected basis.
        exit_tolerance_bps: f64 => exit_tolerance_ppb by ppb,
        /// Close at this open loss.
        loss_max_bps: f64 => loss_max_ppb by ppb,
        /// Oldest book to trade on.
        book_age_max_ms: f64 => book_age_max_ns by nanos,
        /// Limit prices beyond the average price.
        limit_slack_bps: f64 => limit_slack_ppb by ppb,
        /// Limit prices of exits beyond the touch.
        urgent_slack_bps: f64 => urgent_slack_ppb by ppb,
        /// Pause of a pair.
        cooldown_ms: f64 => cooldown_ns by nanos,
        /// Hedges before the filled leg is unwound.
        hedge_attempts_max: u16 => hedge_attempts_max by same,
        /// Pause between attempts.
        retry_ms: f64 => retry_ns by nanos,
        /// Trades at the same time.
        trades_open_max: u16 => trades_open_max by same,
        /// Edges that near the threshold are recorded.
        near_miss_bps: f64 => near_miss_ppb by ppb,
        /// So many of a pair in a second.
        near_miss_per_s: u16 => near_miss_per_s by same,
        /// How long a leg may stand alone before entries stop.
        unhedged_max_ms: f64 => unhedged_max_ns by nanos,
        /// Orders that a venue's `miss_prior_percent` weighs.
        miss_prior_orders: u32 => miss_prior_orders by same,
        /// Time in which half of the misses and fills is forgotten.
        miss_half_life_ms: f64 => miss_half_life_ns by nanos,
    }
}

table! {
    /// `[risk]`.
    RiskTable => RiskParams {
        /// One order.
        order_notional_max_usd: i64 => order_notional_max_usd by same,
        /// Position per listing.
        instrument_position_max_usd: i64 => instrument_position_max_usd by same,
        /// Positions per venue.
        venue_position_max_usd: i64 => venue_position_max_usd by same,
        /// Positions everywhere.
        gross_exposure_max_usd: i64 => gross_exposure_max_usd by same,
        /// Margin that remains free, of the wallet.
        margin_free_min_percent: f64 => margin_free_min_ppb by ppb_of_percent,
        /// Open orders.
        open_orders_max: u32 => open_orders_max by same,
        /// Orders a second.
        order_rate_per_s_max: u32 => order_rate_per_s_max by same,
        /// Oldest book of any leg.
        book_age_max_ms: f64 => book_age_max_ns by nanos,
        /// Limit prices from the mid.
        price_collar_bps: f64 => price_collar_ppb by ppb,
        /// Loss of a UTC day that stops entries.
        daily_loss_max_usd: i64 => daily_loss_max_usd by same,
        /// Whether that loss also closes the open trades.
        daily_loss_closes: bool => daily_loss_closes by same,
        /// Fall of the result of all runs below its peak that stops entries.
        drawdown_max_usd: i64 => drawdown_max_usd by same,
        /// Failures in a row that stop entries.
        consecutive_failures_max: u32 => consecutive_failures_max by same,
        /// Baskets under way.
        baskets_in_flight_max: u32 => baskets_in_flight_max by same,
        /// Age of the cause at which an opening order is refused.
        send_age_max_ms: f64 => send_age_max_ns by nanos,
    }
}

impl PaperTable {
    /// In the units of the engine.
    pub fn params(&self) -> PaperParams {
        let default = PaperParams::default();
        PaperParams {
            latency_ns: self.latency_ms.map_or(default.latency_ns, nanos),
            balance: self.balance.unwrap_or(default.balance),
        }
    }
}
