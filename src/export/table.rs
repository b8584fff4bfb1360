//! The tables of an export: their kinds, columns and cells. Numbers stay exact; whatever is a name is the word that
//! `perpring journal dump` prints.

use crate::domain::event::EventBody;
use crate::domain::money::{MONEY_SCALE, Money};
use crate::domain::number::Num;
use std::borrow::Cow;
use std::fmt;

/// A table; the order is that of the documentation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, clap::ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum Kind {
    /// Public trades.
    Trades,
    /// Best bids and asks.
    Bbo,
    /// Depth, a row per level.
    Depth,
    /// Mark and index prices, funding rates, price limits.
    Marks,
    /// Open interest.
    OpenInterest,
    /// Last prices.
    Tickers,
    /// Liquidations of anybody.
    Liquidations,
    /// Contract specifications, a row per generation.
    Instruments,
    /// States of books.
    Books,
    /// States of sessions and connections.
    Sessions,
    /// Changes of our orders, with their fills.
    Orders,
    /// Positions as the venues state them.
    Positions,
    /// Balances as the venues state them.
    Balances,
    /// Funding charged or received.
    Funding,
    /// What was wanted and what was approved, a row per leg, with every term of the edge.
    Intents,
    /// Baskets that were denied.
    Denials,
    /// Messages that left or would have left, without their secrets.
    Messages,
    /// What became of messages at the egress gate.
    Outcomes,
    /// Opportunities that were nearly taken, sampled, with every term of their edge; instrument and symbol are those of
    /// the leg that would have bought.
    NearMisses,
}

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// Signed 64-bit integer.
    Int,
    /// Unsigned 64-bit integer.
    Count,
    /// True or false.
    Flag,
    /// Text.
    Text,
    /// Exact decimal.
    Decimal,
}

/// A column.
pub type Column = (&'static str, Type);

use Type::{Count, Decimal as Dec, Flag, Int, Text};

/// What every table begins with: the input, its receive time (ns since the epoch), where and what. `instrument` is the
/// unified name, `symbol` the venue's own.
pub const COMMON: [Column; 5] =
    [("seq", Int), ("receive_ns", Int), ("venue", Text), ("instrument", Text), ("symbol", Text)];

impl Kind {
    /// Every table.
    pub const ALL: [Self; 19] = [
        Self::Trades,
        Self::Bbo,
        Self::Depth,
        Self::Marks,
        Self::OpenInterest,
        Self::Tickers,
        Self::Liquidations,
        Self::Instruments,
        Self::Books,
        Self::Sessions,
        Self::Orders,
        Self::Positions,
        Self::Balances,
        Self::Funding,
        Self::Intents,
        Self::Denials,
        Self::Messages,
        Self::Outcomes,
        Self::NearMisses,
    ];

    /// Name of the table and of its file.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Trades => "trades",
            Self::Bbo => "bbo",
            Self::Depth => "depth",
            Self::Marks => "marks",
            Self::OpenInterest => "open_interest",
            Self::Tickers => "tickers",
            Self::Liquidations => "liquidations",
            Self::Instruments => "instruments",
            Self::Books => "books",
            Self::Sessions => "sessions",
            Self::Orders => "orders",
            Self::Positions => "positions",
            Self::Balances => "balances",
            Self::Funding => "funding",
            Self::Intents => "intents",
            Self::Denials => "denials",
            Self::Messages => "messages",
            Self::Outcomes => "outcomes",
            Self::NearMisses => "near_misses",
        }
    }

    /// The table that an event belongs to; `None` for what is no table: ticks, ends of bursts, session wishes, clocks,
    /// limits.
    pub const fn of(event: &EventBody) -> Option<Self> {
        Some(match event {
            EventBody::Trade(_) => Self::Trades,
            EventBody::Bbo(_) => Self::Bbo,
            EventBody::Levels(_) => Self::Depth,
            EventBody::Mark(_) => Self::Marks,
            EventBody::OpenInterest(_) => Self::OpenInterest,
            EventBody::Ticker(_) => Self::Tickers,
            EventBody::Liquidation(_) => Self::Liquidations,
            EventBody::Instrument(_) => Self::Instruments,
            EventBody::Book(_) => Self::Books,
            EventBody::Session(_) | EventBody::Conn(_) => Self::Sessions,
            EventBody::Order(_) => Self::Orders,
            EventBody::Position(_) => Self::Positions,
            EventBody::Balance(_) => Self::Balances,
            EventBody::Funding(_) => Self::Funding,
            EventBody::Denied(_) => Self::Denials,
            EventBody::Outcome(_) => Self::Outcomes,
            _ => return None,
        })
    }

    /// Whether it comes from the stages' outputs and not from the inputs.
    pub const fn is_output(self) -> bool {
        matches!(self, Self::Intents | Self::Messages | Self::NearMisses)
    }

    /// The columns behind [`COMMON`]. Times are ns since the epoch, 0 = not stated; `_ppb` are parts per billion.
    pub const fn columns(self) -> &'static [Column] {
        match self {
            Self::Trades => {
                &[("venue_ns", Int), ("id", Count), ("price", Dec), ("qty", Dec), ("aggressor", Text)]
            }
            Self::Bbo => &[
                ("venue_ns", Int),
                ("update_id", Count),
                ("bid", Dec),
                ("bid_qty", Dec),
                ("ask", Dec),
                ("ask_qty", Dec),
            ],
            Self::Depth => &[
                ("venue_ns", Int),
                ("update_id", Count),
                ("snapshot", Flag),
                ("clear", Flag),
                ("last", Flag),
                ("side", Text),
                ("price", Dec),
                ("qty", Dec),
            ],
            Self::Marks => &[
                ("venue_ns", Int),
                ("mark", Dec),
                ("index", Dec),
                ("rate", Dec),
                ("funding_ns", Int),
                ("interval_ns", Int),
                ("accrues", Flag),
                ("buy_max", Dec),
                ("sell_min", Dec),
            ],
            Self::OpenInterest => &[("venue_ns", Int), ("qty", Dec)],
            Self::Tickers => &[("venue_ns", Int), ("last", Dec), ("bid", Dec), ("ask", Dec)],
            Self::Liquidations => &[("venue_ns", Int), ("side", Text), ("price", Dec), ("qty", Dec)],
            Self::Instruments => &[
                ("generation", Int),
                ("kind", Text),
                ("base", Text),
                ("quote", Text),
                ("settle", Text),
                ("multiplier", Dec),
                ("tick", Dec),
                ("step", Dec),
                ("qty_min", Dec),
                ("qty_max", Dec),
                ("notional_min", Dec),
                ("status", Text),
                ("price_scale", Int),
                ("qty_scale", Int),
            ],
            Self::Books => &[("state", Text), ("reason", Text)],
            Self::Sessions => {
                &[("what", Text), ("role", Text), ("connection", Int), ("epoch", Int), ("up", Flag)]
            }
            Self::Orders => &[
                ("venue_ns", Int),
                ("client_id", Text),
                ("side", Text),
                ("state", Text),
                ("filled", Dec),
                ("leaves", Dec),
                ("fill_qty", Dec),
                ("fill_price", Dec),
                ("fee", Dec),
                ("fee_currency", Text),
                ("maker", Flag),
                ("trade_id", Count),
                ("reject", Text),
            ],
            Self::Positions => &[("venue_ns", Int), ("qty", Dec), ("entry", Dec), ("snapshot", Flag)],
            Self::Balances => &[("venue_ns", Int), ("currency", Text), ("wallet", Dec), ("available", Dec)],
            Self::Funding => &[("venue_ns", Int), ("currency", Text), ("amount", Dec)],
            Self::Intents => &[
                ("verdict", Text),
                ("ordinal", Int),
                ("what", Text),
                ("trade", Int),
                ("attempt", Int),
                ("leg", Int),
                ("client_id", Text),
                ("side", Text),
                ("qty", Dec),
                ("price", Dec),
                ("tif", Text),
                ("reduce_only", Flag),
                ("mid", Dec),
                ("book_age_ns", Int),
                ("detected_mono_ns", Int),
                ("entry_basis_ppb", Int),
                ("exit_basis_ppb", Int),
                ("fees_ppb", Int),
                ("exit_half_spreads_ppb", Int),
                ("slippage_ppb", Int),
                ("allowance_ppb", Int),
                ("funding_ppb", Int),
                ("net_ppb", Int),
                ("threshold_ppb", Int),
            ],
            Self::Denials => &[
                ("trade", Int),
                ("attempt", Int),
                ("what", Text),
                ("reason", Text),
                ("leg", Int),
                ("value", Dec),
                ("limit", Dec),
            ],
            Self::Messages => &[
                ("message", Count),
                ("target", Text),
                ("connection", Int),
                ("http_id", Int),
                ("urgent", Flag),
                ("client_id", Text),
                ("side", Text),
                ("qty", Dec),
                ("price", Dec),
                ("tif", Text),
                ("reduce_only", Flag),
                ("signature", Text),
                ("text", Text),
                ("bytes_hex", Text),
            ],
            Self::Outcomes => &[("message", Count), ("fate", Text), ("reason", Text), ("client_id", Text)],
            Self::NearMisses => &[
                ("short_venue", Text),
                ("short_symbol", Text),
                ("why", Text),
                ("entry_basis_ppb", Int),
                ("exit_basis_ppb", Int),
                ("fees_ppb", Int),
                ("exit_half_spreads_ppb", Int),
                ("slippage_ppb", Int),
                ("allowance_ppb", Int),
                ("funding_ppb", Int),
                ("net_ppb", Int),
                ("threshold_ppb", Int),
            ],
        }
    }

    /// All columns, [`COMMON`] first.
    pub fn all_columns(self) -> impl Iterator<Item = Column> {
        COMMON.into_iter().chain(self.columns().iter().copied())
    }
}

/// `mantissa × 10^-scale`, as wide as money.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decimal {
    /// Digits as an integer.
    pub mantissa: i128,
    /// Decimals, at most 18.
    pub scale: u8,
}

impl Decimal {
    /// Of a price or quantity at its instrument's scale.
    pub const fn new(mantissa: i64, scale: u8) -> Self {
        Self { mantissa: mantissa as i128, scale }
    }

    /// Without trailing zeros.
    pub fn normalized(self) -> Self {
        let Self { mut mantissa, mut scale } = self;
        while scale > 0 && mantissa % 10 == 0 {
            mantissa /= 10;
            scale -= 1;
        }
        Self { mantissa, scale }
    }

    /// The integer at `scale` decimals; `None` when it is not exact or has more than the 38 digits of a column.
    pub fn at_scale(self, scale: u8) -> Option<i128> {
        let down = self.normalized();
        let up = scale.checked_sub(down.scale)?;
        let wide = down.mantissa.checked_mul(10i128.checked_pow(u32::from(up))?)?;
        (wide.unsigned_abs() < 10u128.pow(38)).then_some(wide)
    }

    /// The nearest float: for a format that has nothing else.
    pub fn to_f64(self) -> f64 {
        // Both sides are exact below 2^53 and 10^22, so one rounded division gives the nearest float.
        let down = self.normalized();
        if down.mantissa.unsigned_abs() < 1 << 53 {
            down.mantissa as f64 / 10f64.powi(i32::from(down.scale))
        } else {
            self.to_string().parse().unwrap_or(f64::NAN)
        }
    }
}

impl From<Num> for Decimal {
    fn from(num: Num) -> Self {
        Self::new(num.mantissa, num.scale)
    }
}

impl From<Money> for Decimal {
    fn from(money: Money) -> Self {
        Self { mantissa: money.0, scale: MONEY_SCALE }.normalized()
    }
}

/// Plain text without exponent or trailing fractional zeros.
impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { mantissa, scale } = self.normalized();
        let (sign, digits) = (if mantissa < 0 { "-" } else { "" }, mantissa.unsigned_abs());
        if scale == 0 {
            return write!(f, "{sign}{digits}");
        }
        let unit = 10u128.pow(u32::from(scale));
        write!(f, "{sign}{}.{:0width$}", digits / unit, digits % unit, width = usize::from(scale))
    }
}

/// A value of a row.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell<'a> {
    /// Not stated, or not known.
    Null,
    /// Of a [`Type::Int`] column.
    Int(i64),
    /// Of a [`Type::Count`] column.
    Count(u64),
    /// Of a [`Type::Flag`] column.
    Flag(bool),
    /// Of a [`Type::Text`] column.
    Text(Cow<'a, str>),
    /// Of a [`Type::Decimal`] column.
    Decimal(Decimal),
}

impl<'a> Cell<'a> {
    /// Borrowed text.
    pub fn text(text: &'a str) -> Self {
        Self::Text(Cow::Borrowed(text))
    }

    /// The name of a value, as a journal dump prints it.
    pub fn word(word: impl fmt::Debug) -> Self {
        Self::Text(Cow::Owned(format!("{word:?}")))
    }

    /// Whatever shows itself as text.
    pub fn shown(value: impl fmt::Display) -> Self {
        Self::Text(Cow::Owned(value.to_string()))
    }

    /// A decimal.
    pub fn exact(value: impl Into<Decimal>) -> Self {
        Self::Decimal(value.into())
    }

    /// The same, where it is stated.
    pub fn maybe<T>(value: Option<T>, cell: impl FnOnce(T) -> Self) -> Self {
        value.map_or(Self::Null, cell)
    }

    /// Whether it may stand in a column of this type.
    pub fn fits(&self, column: Type) -> bool {
        matches!(
            (self, column),
            (Self::Null, _)
                | (Self::Int(_), Type::Int)
                | (Self::Count(_), Type::Count)
                | (Self::Flag(_), Type::Flag)
                | (Self::Text(_), Type::Text)
                | (Self::Decimal(_), Type::Decimal)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_kind_has_a_name_of_its_own_and_no_column_twice() {
        let mut names: Vec<&str> = Kind::ALL.iter().map(|kind| kind.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Kind::ALL.len());
        for kind in Kind::ALL {
            let mut columns: Vec<&str> = kind.all_columns().map(|(name, _)| name).collect();
            let count = columns.len();
            columns.sort_unstable();
            columns.dedup();
            assert_eq!(columns.len(), count, "{kind:?}");
        }
    }

    proptest! {
        #[test]
        fn a_decimal_is_never_rounded(mantissa in any::<i64>(), scale in 0u8..=18, to in 0u8..=18) {
            let value = Decimal::new(mantissa, scale);
            prop_assert_eq!(value.to_string(), Num::new(mantissa, scale).to_string());
            if let Some(wide) = value.at_scale(to) {
                let back = Decimal { mantissa: wide, scale: to };
                prop_assert_eq!(back.normalized(), value.normalized());
            } else {
                prop_assert!(to < value.normalized().scale);
            }
            prop_assert_eq!(value.to_f64(), value.to_string().parse::<f64>().unwrap());
        }
    }
}
