//! What a simulated world consists of: instruments with one common latent price each, and venues that list
//! them.
//!
//! Plain data with defaults; everything the simulation does is a function of it and of the timed inputs.
//! [`SimConfig::demo`] is the world of `perpring demo`.

use super::market::random::Random;
use crate::domain::money::{MONEY_UNIT, Money};
use crate::domain::number::Num;
use crate::domain::time::{MILLI, Nanos, SECOND};
use serde::{Deserialize, Serialize};

/// A simulated world.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SimConfig {
    /// Seed of everything random.
    pub seed: u64,
    /// Wall time (ns since the epoch) at which every latent price stands at `price0`. Set it to the start
    /// of the run: venues compute the path from here to their first input.
    pub start_wall_ns: Nanos,
    /// Grid of the latent price and of the makers' quotes, ns. The same for all venues.
    pub step_ns: Nanos,
    /// What is traded.
    pub instruments: Vec<SimInstrument>,
    /// Where.
    pub venues: Vec<SimVenueConfig>,
}

/// A canonical instrument: its latent price path depends on the seed and `name()` only.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SimInstrument {
    /// Base asset.
    pub base: String,
    /// Quote currency.
    pub quote: String,
    /// Settlement currency: the quote (linear contracts) or the base (inverse ones).
    pub settle: String,
    /// Latent price at the start.
    pub price0: Num,
    /// Standard deviation of the latent return over one second, ppb.
    pub volatility_ppb: i64,
    /// Mean time between jumps, ns; 0 = none.
    pub jump_every_ns: Nanos,
    /// Smallest jump, ppb.
    pub jump_min_ppb: i64,
    /// Largest jump, ppb.
    pub jump_max_ppb: i64,
    /// The latent price never leaves `price0 × (1 ± range)`, ppb.
    pub range_ppb: i64,
}

/// A venue of the simulated world.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SimVenueConfig {
    /// Name in ledgers; also salts everything seeded per venue.
    pub name: String,
    /// A dialect of [`super::DIALECTS`].
    pub dialect: String,
    /// This venue's makers follow the latent price this late, ns. Drawn anew around this value per
    /// instrument and every few seconds (see `lag_spread_ppm`); 0 = no lag at all.
    pub lag_ns: Nanos,
    /// The drawn lag is uniform in `lag_ns × (1 ± spread)`, parts per million.
    pub lag_spread_ppm: u32,
    /// From the arrival of an order request to its matching, ns.
    pub latency_in_ns: Nanos,
    /// From matching to the replies and private pushes, ns.
    pub latency_out_ns: Nanos,
    /// Maker fee, ppb of notional (negative = rebate).
    pub maker_fee_ppb: i64,
    /// Taker fee, ppb of notional.
    pub taker_fee_ppb: i64,
    /// What the venue settles in where that differs from the instruments' settlement currency: its listings
    /// then are quoted and settled in it, one to one. Empty = as the instruments say.
    pub settles_in: String,
    /// Decimals of every wallet figure; fees and realised PnL are cut there, towards zero.
    pub money_decimals: u8,
    /// Initial margin = notional / leverage.
    pub leverage: u32,
    /// Limit prices farther than this from the mark are refused, ppb.
    pub price_band_ppb: i64,
    /// Time between funding settlements; instants are whole multiples of it since the epoch, ns.
    pub funding_interval_ns: Nanos,
    /// True: post-only orders that would take and FOK orders that cannot fill are refused. False: they are
    /// accepted and then canceled (OKX).
    pub refuses_unfillable: bool,
    /// Open orders per account and listing.
    pub open_orders_max: usize,
    /// Order requests (place, cancel, amend) per account in `order_window_ns`; for OKX per listing.
    pub orders_per_window_max: u32,
    /// See `orders_per_window_max`, ns.
    pub order_window_ns: Nanos,
    /// Client messages per connection and second on market-data sockets.
    pub messages_per_second_max: u32,
    /// Request weight per minute (HTTP and WebSocket API).
    pub weight_per_minute_max: u32,
    /// Requests that an address has before it has traded (Hyperliquid).
    pub address_requests: u32,
    /// First order id.
    pub order_id_base: u64,
    /// Noise takers: trades per second and listing.
    pub takers_per_second: u32,
    /// Maker activity: ladder levels re-sized per step and listing, parts per million.
    pub flicker_ppm: u32,
    /// Half the quoted spread, ppb of the price (never less than half a tick).
    pub half_spread_ppb: i64,
    /// Levels a side.
    pub levels: u16,
    /// Distance of two levels, ppb of the price (rounded to whole ticks).
    pub level_gap_ppb: i64,
    /// Notional of the best level, whole quote units; deeper ones grow.
    pub level_notional_usd: i64,
    /// Listings, by position.
    pub listings: Vec<SimListing>,
    /// Client accounts.
    pub accounts: Vec<SimAccount>,
}

/// A venue's listing of an instrument.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SimListing {
    /// Index in [`SimConfig::instruments`].
    pub instrument: usize,
    /// Native name.
    pub symbol: String,
    /// The venue's numeric code (OKX `instIdCode`).
    pub code: u64,
    /// Price step.
    pub tick: Num,
    /// Quantity step, in contracts.
    pub step: Num,
    /// Base units (linear) or quote units (inverse) per contract.
    pub multiplier: Num,
    /// Smallest quantity, contracts.
    pub qty_min: Num,
    /// Largest quantity, contracts.
    pub qty_max: Num,
    /// Smallest notional, quote units; zero = none. Reduce-only orders are exempt.
    pub notional_min: Num,
    /// The venue's price stands above the latent one by this, ppb.
    pub basis_ppb: i64,
    /// The venue suspends the listing this long after the start, ns; 0 = never. Whether reductions stay possible is
    /// the venue's own rule: Binance takes them, OKX takes nothing.
    pub suspend_after_ns: Nanos,
    /// And lets it trade again this long after the start, ns; 0 = never.
    pub resume_after_ns: Nanos,
}

/// Settings of a client account, as they were made at the venue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SimAccountSettings {
    /// Long and short positions instead of one net position: orders that do not say which are refused.
    pub long_short: bool,
    /// Isolated margin.
    pub isolated: bool,
    /// Margin of all assets together.
    pub multi_asset: bool,
    /// Margin of the whole portfolio (Deribit).
    pub portfolio: bool,
    /// The key may trade.
    pub may_trade: bool,
    /// Account level (OKX `acctLv`).
    pub level: u8,
    /// The account's own self-trade prevention (OKX `acctStpMode`).
    pub self_trade: String,
    /// Leverage; 0 = the venue's.
    pub leverage: u32,
    /// Volume traded before the start, whole quote units (Hyperliquid).
    pub traded_usd: i64,
    /// The agent's approval ends this long after the start, ns (Hyperliquid).
    pub agent_valid_ns: Nanos,
    /// The venue cancels the account's orders some time after its connections are gone (Bybit's DCP, which it
    /// grants to institutions).
    pub disconnect_protection: bool,
}

impl Default for SimAccountSettings {
    fn default() -> Self {
        Self {
            long_short: false,
            isolated: false,
            multi_asset: false,
            portfolio: false,
            may_trade: true,
            level: 2,
            self_trade: "cancel_maker".into(),
            leverage: 0,
            traded_usd: 0,
            agent_valid_ns: 90 * 86_400 * SECOND,
            disconnect_protection: false,
        }
    }
}

/// A client account.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SimAccount {
    /// API key.
    pub api_key: String,
    /// HMAC secret.
    pub secret: String,
    /// Public half of an Ed25519 key, hex; empty = requests are signed with `secret` (HMAC). Binance only.
    pub ed25519_public: String,
    /// Passphrase (OKX).
    pub passphrase: String,
    /// Starting wallet in whole settlement units.
    pub balance: i64,
    /// Its settings.
    pub settings: SimAccountSettings,
}

/// Never shows keys: configurations end up in logs.
impl std::fmt::Debug for SimAccount {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SimAccount").field("balance", &self.balance).finish_non_exhaustive()
    }
}

impl Default for SimConfig {
    fn default() -> Self {
        Self { seed: 1, start_wall_ns: 0, step_ns: 5 * MILLI, instruments: Vec::new(), venues: Vec::new() }
    }
}

impl Default for SimInstrument {
    fn default() -> Self {
        Self {
            base: "BTC".into(),
            quote: "USDT".into(),
            settle: "USDT".into(),
            price0: Num::new(60_000, 0),
            volatility_ppb: 100_000,
            jump_every_ns: 4 * SECOND,
            jump_min_ppb: 2_500_000,
            jump_max_ppb: 6_000_000,
            range_ppb: 80_000_000,
        }
    }
}

impl Default for SimVenueConfig {
    fn default() -> Self {
        Self {
            name: String::new(),
            dialect: String::new(),
            lag_ns: 0,
            lag_spread_ppm: 800_000,
            latency_in_ns: MILLI,
            latency_out_ns: MILLI,
            maker_fee_ppb: 200_000,
            taker_fee_ppb: 500_000,
            settles_in: String::new(),
            money_decimals: 8,
            leverage: 10,
            price_band_ppb: 50_000_000,
            funding_interval_ns: 8 * 3_600 * SECOND,
            refuses_unfillable: true,
            open_orders_max: 200,
            orders_per_window_max: 300,
            order_window_ns: 10 * SECOND,
            messages_per_second_max: 10,
            weight_per_minute_max: 2_400,
            address_requests: 10_000,
            order_id_base: 1,
            takers_per_second: 8,
            flicker_ppm: 300_000,
            half_spread_ppb: 10_000,
            levels: 30,
            level_gap_ppb: 50_000,
            level_notional_usd: 30_000,
            listings: Vec::new(),
            accounts: vec![SimAccount::default()],
        }
    }
}

impl Default for SimListing {
    fn default() -> Self {
        Self {
            instrument: 0,
            symbol: String::new(),
            code: 0,
            tick: Num::new(1, 1),
            step: Num::new(1, 3),
            multiplier: Num::new(1, 0),
            qty_min: Num::new(1, 3),
            qty_max: Num::new(1_000, 0),
            notional_min: Num::ZERO,
            basis_ppb: 0,
            suspend_after_ns: 0,
            resume_after_ns: 0,
        }
    }
}

impl Default for SimAccount {
    fn default() -> Self {
        Self {
            api_key: "sim-key".into(),
            secret: "sim-secret".into(),
            ed25519_public: String::new(),
            passphrase: "sim-passphrase".into(),
            balance: 100_000,
            settings: SimAccountSettings::default(),
        }
    }
}

impl SimInstrument {
    /// Unified name, such as `BTC/USDT:USDT`.
    pub fn name(&self) -> String {
        format!("{}/{}:{}", self.base, self.quote, self.settle)
    }

    /// Settled in the base coin.
    pub fn is_inverse(&self) -> bool {
        self.settle == self.base && self.settle != self.quote
    }
}

/// Why a world cannot be built.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// No simulated venue of that dialect exists.
    #[error("no simulated venue speaks {0:?}; known: {known}", known = super::DIALECTS.map(|(name, _)| name).join(", "))]
    Dialect(String),
    /// A listing refers to no instrument, or its numbers do not fit.
    #[error("listing {symbol} of venue {venue}: {what}")]
    Listing {
        /// Venue name.
        venue: String,
        /// Listing symbol.
        symbol: String,
        /// What is wrong and what would be right.
        what: &'static str,
    },
}

/// Base asset, price in units of 10^-4, Binance (tick, step) and OKX (tick, step, contract value):
/// (mantissa, scale) each. From the venues' public instrument lists, 2025.
type Known = (&'static str, i64, (i64, u8), (i64, u8), (i64, u8), (i64, u8), (i64, u8));

const KNOWN: [Known; 6] = [
    ("BTC", 600_000_000, (1, 1), (1, 3), (1, 1), (1, 2), (1, 2)),
    ("ETH", 30_000_000, (1, 2), (1, 3), (1, 2), (1, 2), (1, 1)),
    ("SOL", 1_500_000, (1, 2), (1, 2), (1, 2), (1, 2), (1, 0)),
    ("BNB", 6_000_000, (1, 2), (1, 2), (1, 1), (1, 0), (1, 2)),
    ("XRP", 25_000, (1, 4), (1, 1), (1, 4), (1, 2), (100, 0)),
    ("LTC", 1_000_000, (1, 2), (1, 3), (1, 2), (1, 1), (1, 0)),
];

impl SimConfig {
    /// The world of the demo: one venue per dialect (the first leads, the others lag), the first
    /// `instruments` of a known list of liquid perpetuals, further ones invented (`T006`, …).
    ///
    /// Errors name an unknown dialect.
    pub fn demo(seed: u64, dialects: &[&str], instruments: usize) -> Result<Self, ConfigError> {
        let linear = if dialects.iter().all(|dialect| is_inverse(dialect)) { 0 } else { instruments.max(1) };
        let mut instruments: Vec<SimInstrument> = (0..linear).map(demo_instrument).collect();
        if dialects.iter().any(|dialect| is_inverse(dialect)) {
            // One: a simulated account has one wallet, and every base coin would need its own.
            instruments.push(SimInstrument {
                quote: "USD".into(),
                settle: "BTC".into(),
                ..SimInstrument::default()
            });
        }
        let mut config = Self { seed, instruments, ..Self::default() };
        for (index, dialect) in dialects.iter().enumerate() {
            let mut venue = SimVenueConfig::of_dialect(dialect)?;
            if dialects[..index].contains(dialect) {
                venue.name = format!("{dialect}-{index}");
            }
            venue.lag_ns = if index == 0 { 0 } else { 250 * MILLI };
            venue.half_spread_ppb += 5_000 * index as i64;
            for instrument in 0..config.instruments.len() {
                if is_inverse(dialect) != config.instruments[instrument].is_inverse() {
                    continue;
                }
                let mut listing = demo_listing(dialect, instrument, &config.instruments[instrument].base);
                listing.basis_ppb = static_basis_ppb(seed, index, instrument);
                venue.listings.push(listing);
            }
            config.venues.push(venue);
        }
        Ok(config)
    }

    /// The first venue of that dialect.
    pub fn venue(&self, dialect: &str) -> Option<usize> {
        self.venues.iter().position(|venue| venue.dialect == dialect)
    }

    /// Checks that every listing's numbers fit the exchange's arithmetic.
    pub fn check(&self) -> Result<(), ConfigError> {
        for venue in &self.venues {
            for listing in &venue.listings {
                let refuse = |what| {
                    Err(ConfigError::Listing {
                        venue: venue.name.clone(),
                        symbol: listing.symbol.clone(),
                        what,
                    })
                };
                if listing.instrument >= self.instruments.len() {
                    return refuse("its instrument is not in the list of instruments");
                }
                let instrument = &self.instruments[listing.instrument];
                if instrument.is_inverse() != is_inverse(&venue.dialect) {
                    return refuse(
                        "binance-coinm lists contracts that settle in their base coin, the others those that settle in the quote currency",
                    );
                }
                let first = self.instruments.get(venue.listings[0].instrument);
                if first.is_some_and(|first| first.settle != instrument.settle) {
                    return refuse(
                        "a simulated account has one wallet: all listings must settle in one currency",
                    );
                }
                if listing.tick.mantissa <= 0
                    || listing.step.mantissa <= 0
                    || listing.multiplier.mantissa <= 0
                {
                    return refuse("tick, step and multiplier must be positive");
                }
                if listing.tick.scale + listing.step.scale + listing.multiplier.scale > 18 {
                    return refuse("tick, step and multiplier together must have at most 18 decimals");
                }
            }
        }
        Ok(())
    }
}

impl SimVenueConfig {
    /// A venue with the dialect's documented fees, limits and rounding, without listings.
    pub fn of_dialect(dialect: &str) -> Result<Self, ConfigError> {
        let common = Self { name: dialect.into(), dialect: dialect.into(), ..Self::default() };
        match dialect {
            "binance-usdm" => Ok(Self { order_id_base: 8_389_765_000_000, ..common }),
            "binance-coinm" => Ok(Self {
                order_id_base: 9_190_405_000,
                maker_fee_ppb: 100_000,
                accounts: vec![SimAccount { balance: 10, ..SimAccount::default() }],
                ..common
            }),
            "aster" => Ok(Self {
                order_id_base: 22_542_179_000,
                taker_fee_ppb: 400_000,
                // 1,200 a minute; there is no shorter window.
                orders_per_window_max: 1_200,
                order_window_ns: 60 * SECOND,
                ..common
            }),
            "okx" => Ok(Self {
                order_id_base: 2_510_789_768_709_120_000,
                refuses_unfillable: false,
                money_decimals: 12,
                orders_per_window_max: 60,
                order_window_ns: 2 * SECOND,
                messages_per_second_max: 100,
                ..common
            }),
            "bybit" => Ok(Self {
                accounts: vec![SimAccount {
                    settings: SimAccountSettings {
                        disconnect_protection: true,
                        ..SimAccountSettings::default()
                    },
                    ..SimAccount::default()
                }],
                order_id_base: 7_000_000,
                refuses_unfillable: false,
                taker_fee_ppb: 550_000,
                orders_per_window_max: 10,
                order_window_ns: SECOND,
                open_orders_max: 500,
                messages_per_second_max: 100,
                ..common
            }),
            "hyperliquid" => Ok(hyperliquid_venue(common)),
            "deribit" => Ok(Self {
                order_id_base: 104_819_327_443,
                settles_in: "USDC".into(),
                maker_fee_ppb: 0,
                refuses_unfillable: false,
                // One currency group's bucket, at a high volume tier.
                orders_per_window_max: 30,
                order_window_ns: SECOND,
                messages_per_second_max: 100,
                ..common
            }),
            other => Err(ConfigError::Dialect(other.into())),
        }
    }
}

/// Base tier fees, hourly funding, USDC; keys as its wallets have them (an address, and an agent's private
/// key that is the one of the venue's published test vectors and holds nothing). The account has traded enough
/// to use its dead man's switch.
fn hyperliquid_venue(common: SimVenueConfig) -> SimVenueConfig {
    SimVenueConfig {
        order_id_base: 315_452_584_853,
        taker_fee_ppb: 450_000,
        maker_fee_ppb: 150_000,
        settles_in: "USDC".into(),
        money_decimals: 6,
        funding_interval_ns: 3_600 * SECOND,
        open_orders_max: 1_000,
        orders_per_window_max: 0,
        weight_per_minute_max: 1_200,
        accounts: vec![SimAccount {
            api_key: "0x61fb9e7583dc92cc76eb52f93d88addaa0f02265".into(),
            secret: "0x0123456789012345678901234567890123456789012345678901234567890123".into(),
            passphrase: String::new(),
            settings: SimAccountSettings { traded_usd: 2_000_000, ..SimAccountSettings::default() },
            ..SimAccount::default()
        }],
        ..common
    }
}

fn demo_instrument(index: usize) -> SimInstrument {
    let (base, price) = KNOWN.get(index).map_or_else(
        || (format!("T{index:03}"), 500_000 + 37_000 * index as i64),
        |known| (known.0.into(), known.1),
    );
    SimInstrument { base, price0: Num::new(price, 4).normalized(), ..SimInstrument::default() }
}

/// The listing of the demo's `instrument`-th instrument as the dialect writes it.
fn demo_listing(dialect: &str, instrument: usize, base: &str) -> SimListing {
    let known = KNOWN.get(instrument).copied().unwrap_or(("", 0, (1, 3), (1, 1), (1, 3), (1, 1), (1, 0)));
    let num = |(mantissa, scale): (i64, u8)| Num::new(mantissa, scale);
    if dialect == "hyperliquid" {
        return hyperliquid_listing(instrument, base);
    }
    if is_inverse(dialect) {
        // The venue's BTCUSD_PERP: 100 US dollars a contract.
        SimListing {
            instrument,
            symbol: format!("{base}USD_PERP"),
            tick: Num::new(1, 1),
            step: Num::new(1, 0),
            multiplier: Num::new(100, 0),
            qty_min: Num::new(1, 0),
            qty_max: Num::new(1_000_000, 0),
            ..SimListing::default()
        }
    } else if dialect == "okx" {
        SimListing {
            instrument,
            symbol: format!("{base}-USDT-SWAP"),
            code: 10_459 + instrument as u64,
            tick: num(known.4),
            step: num(known.5),
            multiplier: num(known.6),
            qty_min: num(known.5),
            qty_max: Num::new(1_000_000, 0),
            ..SimListing::default()
        }
    } else if dialect == "deribit" {
        // Amounts are base coins; ticks and steps as Binance has them, within a digit of the venue's own.
        SimListing {
            instrument,
            symbol: format!("{base}_USDC-PERPETUAL"),
            tick: num(known.2),
            step: num(known.3),
            qty_min: num(known.3),
            qty_max: Num::new(1_000_000, 0),
            ..SimListing::default()
        }
    } else {
        SimListing {
            instrument,
            symbol: format!("{base}USDT"),
            tick: num(known.2),
            step: num(known.3),
            qty_min: num(known.3),
            qty_max: Num::new(100_000, 0),
            notional_min: Num::new(5, 0),
            ..SimListing::default()
        }
    }
}

/// Whether a dialect lists contracts that settle in their base coin.
fn is_inverse(dialect: &str) -> bool {
    dialect == "binance-coinm"
}

/// Decimals of sizes (`szDecimals`) and of prices (five significant figures) at the demo's price level. A
/// simulated book has one tick, so it is that of the upper end of the price range.
fn hyperliquid_listing(instrument: usize, base: &str) -> SimListing {
    const DECIMALS: [(u8, u8); 6] = [(5, 0), (4, 1), (2, 2), (3, 2), (0, 4), (2, 2)];
    let (size, price) = DECIMALS.get(instrument).copied().unwrap_or((1, 2));
    SimListing {
        instrument,
        symbol: base.into(),
        // Not the place in the list: assets that are gone keep theirs.
        code: 3 + 2 * instrument as u64,
        tick: Num::new(1, price),
        step: Num::new(1, size),
        qty_min: Num::new(1, size),
        qty_max: Num::new(1_000_000, 0),
        notional_min: Num::new(10, 0),
        ..SimListing::default()
    }
}

/// Up to ± 1 bps, zero for the first venue.
fn static_basis_ppb(seed: u64, venue: usize, instrument: usize) -> i64 {
    if venue == 0 {
        return 0;
    }
    let mut random = Random::keyed(seed, &[b"basis", &venue.to_le_bytes(), &instrument.to_le_bytes()]);
    random.below(200_001) as i64 - 100_000
}

/// Whole settlement units as money.
pub(crate) fn whole(units: i64) -> Money {
    Money(i128::from(units) * MONEY_UNIT)
}
