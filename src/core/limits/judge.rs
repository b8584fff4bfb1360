//! The checks of risk by name, and who hears of each: a decision ends at the first that fails, an explanation hears
//! all of them. One list of checks serves both, so that they cannot drift apart.

use super::{Violation, WHOLE};
use crate::domain::intent::DenyReason;
use crate::domain::money::Money;
use serde::Serialize;

/// A check of risk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)] // `name` says what each is
pub enum RiskCheck {
    Legs,
    Kill,
    Halt,
    Reducing,
    VenueKill,
    Venue,
    Lock,
    Listing,
    ClientId,
    OrderVenue,
    TickAndStep,
    QtyMin,
    QtyMax,
    QtyStep,
    PriceTick,
    NotionalMin,
    Notional,
    BookAge,
    Mid,
    Collar,
    Band,
    InstrumentPosition,
    VenuePosition,
    GrossExposure,
    Margin,
    OpenOrders,
    OrderRate,
    DailyLoss,
    Drawdown,
    Failures,
    InFlight,
    OrderRoom,
    BasketRoom,
    AmendOrder,
    AmendTerms,
    AmendPending,
}

/// What the figures of a check count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Nothing: it holds or it does not.
    State,
    /// How many.
    Count,
    /// The quote currency.
    Quote,
    /// The settlement currency of the account.
    Settle,
    /// Nanoseconds.
    Nanos,
    /// Parts per billion.
    Ppb,
    /// Prices in units of the canonical instrument's scale.
    Price,
    /// Quantities in units of the listing's scale.
    Qty,
}

impl RiskCheck {
    /// What it asks, in words.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Legs => "number of orders",
            Self::Kill => "no kill",
            Self::Halt => "trading is not halted",
            Self::Reducing => "trading is not reduced",
            Self::VenueKill => "the venue is not killed",
            Self::Venue => "sessions, start gate, stray orders",
            Self::Lock => "the listing is not locked",
            Self::Listing => "the contract is known",
            Self::ClientId => "the order's id is new and of this run",
            Self::OrderVenue => "the order is for the listing's venue",
            Self::TickAndStep => "tick and step are known",
            Self::QtyMin => "smallest quantity",
            Self::QtyMax => "largest quantity",
            Self::QtyStep => "multiple of the step",
            Self::PriceTick => "multiple of the tick",
            Self::NotionalMin => "the venue's smallest notional",
            Self::Notional => "notional of the order",
            Self::BookAge => "age of the book",
            Self::Mid => "the book has a mid",
            Self::Collar => "price collar",
            Self::Band => "the venue's price band",
            Self::InstrumentPosition => "position of the listing",
            Self::VenuePosition => "positions at the venue",
            Self::GrossExposure => "gross exposure",
            Self::Margin => "margin left free",
            Self::OpenOrders => "open orders",
            Self::OrderRate => "orders in a second",
            Self::DailyLoss => "loss of the day",
            Self::Drawdown => "fall from the highest result",
            Self::Failures => "failures in a row",
            Self::InFlight => "baskets in flight",
            Self::OrderRoom => "room for the orders",
            Self::BasketRoom => "room for the basket",
            Self::AmendOrder => "the order and its contract are known",
            Self::AmendTerms => "only price and quantity change, beyond what has filled",
            Self::AmendPending => "no other amendment or cancel under way",
        }
    }

    /// What it denies with.
    pub const fn reason(self) -> DenyReason {
        match self {
            Self::Legs
            | Self::Listing
            | Self::ClientId
            | Self::OrderVenue
            | Self::TickAndStep
            | Self::QtyMin
            | Self::QtyMax
            | Self::QtyStep
            | Self::PriceTick
            | Self::NotionalMin
            | Self::AmendOrder
            | Self::AmendTerms => DenyReason::OrderInvalid,
            Self::Kill | Self::VenueKill => DenyReason::KillSwitch,
            Self::Halt => DenyReason::TradingHalted,
            Self::Reducing => DenyReason::TradingReducing,
            Self::Venue => DenyReason::VenueNotReady,
            Self::Lock => DenyReason::ListingLocked,
            Self::Notional => DenyReason::OrderNotionalExceeded,
            Self::BookAge => DenyReason::BookStale,
            Self::Mid => DenyReason::BookCrossed,
            Self::Collar => DenyReason::PriceCollarExceeded,
            Self::Band => DenyReason::PriceBandExceeded,
            Self::InstrumentPosition => DenyReason::InstrumentPositionExceeded,
            Self::VenuePosition => DenyReason::VenuePositionExceeded,
            Self::GrossExposure => DenyReason::GrossExposureExceeded,
            Self::Margin => DenyReason::MarginInsufficient,
            Self::OpenOrders | Self::OrderRoom => DenyReason::OpenOrdersExceeded,
            Self::OrderRate => DenyReason::OrderRateExceeded,
            Self::DailyLoss => DenyReason::DailyLossExceeded,
            Self::Drawdown => DenyReason::DrawdownExceeded,
            Self::Failures => DenyReason::ConsecutiveFailures,
            Self::InFlight | Self::BasketRoom | Self::AmendPending => DenyReason::InFlightExceeded,
        }
    }

    /// What value and limit count.
    pub const fn unit(self) -> Unit {
        match self {
            Self::Kill
            | Self::Halt
            | Self::Reducing
            | Self::VenueKill
            | Self::Listing
            | Self::ClientId
            | Self::OrderVenue
            | Self::AmendOrder => Unit::State,
            Self::Legs
            | Self::Venue
            | Self::OpenOrders
            | Self::OrderRate
            | Self::Failures
            | Self::InFlight
            | Self::OrderRoom
            | Self::BasketRoom
            | Self::TickAndStep
            | Self::AmendPending => Unit::Count,
            Self::Lock | Self::BookAge => Unit::Nanos,
            Self::QtyMin | Self::QtyMax | Self::QtyStep | Self::AmendTerms => Unit::Qty,
            Self::PriceTick | Self::Mid | Self::Band => Unit::Price,
            Self::Collar => Unit::Ppb,
            Self::NotionalMin
            | Self::Notional
            | Self::InstrumentPosition
            | Self::VenuePosition
            | Self::GrossExposure
            | Self::DailyLoss
            | Self::Drawdown => Unit::Quote,
            Self::Margin => Unit::Settle,
        }
    }
}

/// A check as it was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checked {
    /// Which.
    pub check: RiskCheck,
    /// The leg that it is about, or [`WHOLE`].
    pub leg: u8,
    /// What was measured, in the unit of the check; whole numbers stand as whole units.
    pub value: Money,
    /// What it was held against.
    pub limit: Money,
    /// Whether it held.
    pub passed: bool,
}

impl Checked {
    /// A check of one leg.
    #[inline]
    pub const fn leg(check: RiskCheck, leg: usize, value: Money, limit: Money, passed: bool) -> Self {
        Self { check, leg: leg as u8, value, limit, passed }
    }

    /// A check of the basket as a whole.
    #[inline]
    pub const fn whole(check: RiskCheck, value: Money, limit: Money, passed: bool) -> Self {
        Self { check, leg: WHOLE, value, limit, passed }
    }

    /// A check of one leg that holds or does not, without a figure.
    #[inline]
    pub const fn state(check: RiskCheck, leg: usize, passed: bool) -> Self {
        Self::leg(check, leg, Money::ZERO, Money::ZERO, passed)
    }

    /// What a decision says of it, had it failed.
    #[inline]
    pub const fn violation(&self) -> Violation {
        Violation { reason: self.check.reason(), leg: self.leg, value: self.value, limit: self.limit }
    }
}

/// Hears of every check in its turn.
pub trait Judge {
    /// A check was made. An error ends the examination.
    ///
    /// # Errors
    /// The violation with which it ends.
    fn see(&mut self, checked: Checked) -> Result<(), Violation>;

    /// A check failed without which nothing more can be said.
    fn end(&mut self, checked: Checked) -> Violation {
        self.see(checked).err().unwrap_or_else(|| checked.violation())
    }
}

/// Ends at the first check that fails.
#[derive(Debug)]
pub struct Decide;

impl Judge for Decide {
    #[inline]
    fn see(&mut self, checked: Checked) -> Result<(), Violation> {
        if checked.passed { Ok(()) } else { Err(checked.violation()) }
    }
}

/// Keeps every check and ends at none.
#[derive(Debug, Default)]
pub struct Witness(pub Vec<Checked>);

impl Judge for Witness {
    fn see(&mut self, checked: Checked) -> Result<(), Violation> {
        self.0.push(checked);
        Ok(())
    }
}
