//! How we stand with a venue: its clock, the settings of our account read back from it, its limits.
//!
//! Adapters state these as events, so that every rule built on them is a function of sequenced inputs. What
//! a dialect does not state is absent, and holds nothing up unless [`crate::domain::params::VenueParams`]
//! requires it: a new dialect works without, and adopts them one by one.

use super::instrument::{InstrumentId, VenueId};
use super::intent::BPS;
use super::time::Nanos;
use serde::de::{Error as _, SeqAccess, Visitor};
use serde::ser::SerializeStruct as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A question about the venue's time and its answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockSample {
    /// Whose clock.
    pub venue: VenueId,
    /// `mono` of the input that caused the question, ns: at or before the sending.
    pub sent: Nanos,
    /// `mono` of the reply, ns: at or after its arrival.
    pub received: Nanos,
    /// The time that the reply states, ns since the epoch.
    pub stated: Nanos,
    /// Unit of that statement, ns: the true time was up to this much later.
    pub resolution: Nanos,
}

/// A setting of the account that must be as configured before orders are opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Check {
    /// One-way (net) positions. 1 = one-way, 2 = long and short.
    #[default]
    PositionMode,
    /// Cross margin. 1 = cross, 2 = isolated, 3 = portfolio.
    MarginMode,
    /// Margin of one currency pays for that currency alone. 1 = single, 2 = multi-asset.
    AssetMode,
    /// Leverage, as configured.
    Leverage,
    /// The venue's account level; the least that can trade perpetuals is wanted.
    AccountLevel,
    /// Self-trade prevention. 1 = cancels the maker, 2 = anything else.
    SelfTrade,
    /// Taker fee, ppb; at most the configured one.
    Fee,
    /// The key may trade. 1 = yes, 2 = no.
    Permission,
    /// Open orders on the account that are not ours; none are wanted.
    ForeignOrders,
    /// The venue's clock against ours, ns.
    Clock,
    /// Margin is reckoned position by position. 1 = standard, 2 = of the portfolio.
    MarginModel,
    /// The dead man's switch, where it must be armed before it is there. 1 = armed, 2 = not armed.
    DeadMan,
    /// Requests that the account has left, where the venue grants a sum of them.
    Requests,
    /// The venue's position after an outage, contracts: what our fills amount to is wanted.
    Positions,
    /// Private messages of a kind that is not known, and orders that the venue does not resolve, since the operator's
    /// last word; none are wanted.
    Executions,
    /// Private connections that are to be left before their end, or were and are not ready again; none are wanted.
    Connections,
}

/// How many kinds of [`Check`] there are.
pub const CHECKS: usize = 16;

impl Check {
    /// All of them.
    pub const ALL: [Self; CHECKS] = [
        Self::PositionMode,
        Self::MarginMode,
        Self::AssetMode,
        Self::Leverage,
        Self::AccountLevel,
        Self::SelfTrade,
        Self::Fee,
        Self::Permission,
        Self::ForeignOrders,
        Self::Clock,
        Self::MarginModel,
        Self::DeadMan,
        Self::Requests,
        Self::Positions,
        Self::Executions,
        Self::Connections,
    ];

    /// Short words for people.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::PositionMode => "position mode",
            Self::MarginMode => "margin mode",
            Self::AssetMode => "asset mode",
            Self::Leverage => "leverage",
            Self::AccountLevel => "account level",
            Self::SelfTrade => "self-trade prevention",
            Self::Fee => "taker fee",
            Self::Permission => "permission to trade",
            Self::ForeignOrders => "open orders of others",
            Self::Clock => "clock",
            Self::MarginModel => "margin model",
            Self::DeadMan => "dead man's switch",
            Self::Requests => "requests left",
            Self::Positions => "position at the venue",
            Self::Executions => "number of executions not understood and orders not resolved",
            Self::Connections => "number of private connections being renewed",
        }
    }

    /// A stated or wanted value for people.
    pub fn value(self, value: i64) -> String {
        let named = |one: &str, other: &str| if value == 1 { one } else { other }.to_owned();
        match self {
            Self::PositionMode => named("one-way", "long and short"),
            Self::MarginMode if value == 3 => "portfolio".to_owned(),
            Self::MarginMode => named("cross", "isolated"),
            Self::AssetMode => named("single-asset", "multi-asset"),
            Self::SelfTrade => named("cancel maker", "another rule"),
            Self::Permission => named("granted", "not granted"),
            Self::MarginModel => named("standard", "portfolio"),
            Self::DeadMan => named("armed", "not armed"),
            Self::Leverage
            | Self::AccountLevel
            | Self::ForeignOrders
            | Self::Requests
            | Self::Positions
            | Self::Executions
            | Self::Connections => value.to_string(),
            Self::Fee => format!("{} bps", value as f64 / BPS as f64),
            Self::Clock => format!("{} ms off", value as f64 / 1e6),
        }
    }

    /// How the wanted value is to be read.
    pub const fn relation(self) -> &'static str {
        match self {
            Self::Fee | Self::Clock => "at most ",
            Self::AccountLevel | Self::Requests => "at least ",
            _ => "",
        }
    }
}

/// A set of checks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckSet(pub u16);

impl CheckSet {
    /// None.
    pub const EMPTY: Self = Self(0);

    /// These.
    pub const fn of(checks: &[Check]) -> Self {
        let (mut bits, mut at) = (0, 0);
        while at < checks.len() {
            bits |= 1 << checks[at] as u16;
            at += 1;
        }
        Self(bits)
    }

    /// Whether it is one of them.
    pub const fn contains(self, check: Check) -> bool {
        self.0 & (1 << check as u16) != 0
    }
}

/// A setting as the venue states it, held against what is wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartCheck {
    /// Venue.
    pub venue: VenueId,
    /// Which setting.
    pub check: Check,
    /// The listing concerned; `None` = the whole account.
    pub listing: Option<InstrumentId>,
    /// It is as wanted.
    pub passed: bool,
    /// What the venue states, as [`Check`] counts it.
    pub stated: i64,
    /// What is wanted.
    pub wanted: i64,
}

/// What a venue says of the use of its limits, from the headers of a reply.
///
/// Journals of before the last two fields hold the others only: they are written where one of them says
/// something, and read where they are there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pace {
    /// Venue.
    pub venue: VenueId,
    /// Status of the reply: 429 = too fast, 418 = banned.
    pub status: u16,
    /// Pause that the venue asks for, s; 0 = none stated.
    pub retry_after_s: u32,
    /// Request weight used in the minute under way, where stated.
    pub weight_1m: Option<u32>,
    /// Orders counted in the 10 s under way, where stated.
    pub orders_10s: Option<u32>,
    /// Orders counted in the minute under way, where stated.
    pub orders_1m: Option<u32>,
    /// Opening orders that the venue still takes in its window under way, where stated.
    pub orders_left: Option<u32>,
    /// Requests like the one that was answered over HTTP that the venue still takes in its window under way,
    /// where stated.
    pub requests_left: Option<u32>,
}

/// As the fields stand in a journal.
const PACE_FIELDS: [&str; 8] = [
    "venue",
    "status",
    "retry_after_s",
    "weight_1m",
    "orders_10s",
    "orders_1m",
    "orders_left",
    "requests_left",
];

impl Serialize for Pace {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let says_left = self.orders_left.is_some() || self.requests_left.is_some();
        let mut to = serializer.serialize_struct("Pace", if says_left { 8 } else { 6 })?;
        to.serialize_field("venue", &self.venue)?;
        to.serialize_field("status", &self.status)?;
        to.serialize_field("retry_after_s", &self.retry_after_s)?;
        to.serialize_field("weight_1m", &self.weight_1m)?;
        to.serialize_field("orders_10s", &self.orders_10s)?;
        to.serialize_field("orders_1m", &self.orders_1m)?;
        if says_left {
            to.serialize_field("orders_left", &self.orders_left)?;
            to.serialize_field("requests_left", &self.requests_left)?;
        }
        to.end()
    }
}

impl<'de> Deserialize<'de> for Pace {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_struct("Pace", &PACE_FIELDS, PaceFields)
    }
}

struct PaceFields;

impl<'de> Visitor<'de> for PaceFields {
    type Value = Pace;

    fn expecting(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        to.write_str("six or eight fields in order")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut fields: A) -> Result<Pace, A::Error> {
        let short = |at| move || A::Error::invalid_length(at, &"six or eight fields in order");
        Ok(Pace {
            venue: fields.next_element()?.ok_or_else(short(0))?,
            status: fields.next_element()?.ok_or_else(short(1))?,
            retry_after_s: fields.next_element()?.ok_or_else(short(2))?,
            weight_1m: fields.next_element()?.ok_or_else(short(3))?,
            orders_10s: fields.next_element()?.ok_or_else(short(4))?,
            orders_1m: fields.next_element()?.ok_or_else(short(5))?,
            // It stands last in its record: the end of that is the end of an older one.
            orders_left: fields.next_element().ok().flatten().flatten(),
            requests_left: fields.next_element().ok().flatten().flatten(),
        })
    }
}

impl Pace {
    /// True when the venue refused for the sake of its limits.
    pub const fn is_refusal(&self) -> bool {
        matches!(self.status, 429 | 418)
    }
}

/// What a venue grants of requests to its matching engine, as a bucket that leaks: what overflows it is refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// Venue.
    pub venue: VenueId,
    /// Requests at once.
    pub burst: u32,
    /// Requests in 10 s in the long run.
    pub per_10s: u32,
    /// Cancels are counted like orders.
    pub cancels: bool,
}

/// A venue takes only orders of our account on a listing that reduce, for a while: a sanction for too many orders
/// that did not trade, or the like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TradingLock {
    /// Where.
    pub instrument: InstrumentId,
    /// Until when, venue time, ns since the epoch; 0 = it is open, the largest = until it says so.
    pub until: Nanos,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_holds_what_it_was_made_of() {
        let set = CheckSet::of(&[Check::Leverage, Check::Clock]);
        for check in Check::ALL {
            assert_eq!(set.contains(check), matches!(check, Check::Leverage | Check::Clock), "{check:?}");
        }
        assert_eq!(
            Check::ALL.iter().map(|check| *check as usize).collect::<Vec<_>>(),
            (0..CHECKS).collect::<Vec<_>>()
        );
    }

    #[test]
    fn a_pace_of_a_journal_before_its_last_fields_is_read_and_written_as_it_was() {
        let old = Pace { venue: VenueId(1), status: 200, orders_10s: Some(300), ..Pace::default() };
        let mut scratch = [0; 32];
        // Venue, status 200, pause, weight, orders of 10 s, of a minute: as derived for the first six.
        let bytes = postcard::to_slice(&old, &mut scratch).unwrap();
        assert_eq!(bytes, [1, 200, 1, 0, 0, 1, 172, 2, 0]);
        assert_eq!(postcard::from_bytes::<Pace>(bytes).unwrap(), old);
        for new in [
            Pace { orders_left: Some(0), ..old },
            Pace { requests_left: Some(7), ..old },
            Pace { orders_left: Some(3), requests_left: Some(9), ..old },
        ] {
            let bytes = postcard::to_slice(&new, &mut scratch).unwrap();
            assert_eq!(postcard::from_bytes::<Pace>(bytes).unwrap(), new);
        }
        assert!(postcard::from_bytes::<Pace>(&[1, 200, 1, 0]).is_err(), "damage is no older version");
    }

    #[test]
    fn values_read_as_people_say_them() {
        assert_eq!(Check::Fee.value(500_000), "5 bps");
        assert_eq!(Check::PositionMode.value(2), "long and short");
        assert_eq!(Check::Leverage.value(20), "20");
        assert_eq!([1, 2, 3].map(|mode| Check::MarginMode.value(mode)), ["cross", "isolated", "portfolio"]);
    }
}
