//! The words that quantities of a fixed set are compared with. Each list is complete: the compiler sees to it.

use crate::core::limits::TradingState;
use crate::core::mode::Mode;
use crate::core::pair::WhyNot;
use crate::domain::event::EventBody;
use crate::domain::input::Input;
use crate::domain::intent::{BasketKind, DenyReason};
use crate::domain::order::OrderState;
use crate::domain::output::Output;

/// A list of words and the function that picks one of them.
macro_rules! words {
    ($(#[$about:meta])* $list:ident, $word:ident, $of:ty, $($pattern:pat => $text:literal),+ $(,)?) => {
        $(#[$about])*
        pub const $list: &[&str] = &[$($text),+];
        $(#[$about])*
        pub fn $word(value: &$of) -> &'static str {
            match value { $($pattern => $text),+ }
        }
    };
}

words! {
    /// Kinds of inputs.
    INPUTS, input, Input,
    Input::Config => "config",
    Input::Anchor(_) => "anchor",
    Input::Tick => "tick",
    Input::Frame(_) => "frame",
    Input::ConnUp { .. } => "conn_up",
    Input::ConnDown { .. } => "conn_down",
    Input::HttpReply { .. } => "http_reply",
    Input::Denied(_) => "denied",
    Input::Outcome(_) => "outcome",
    Input::Command(_) => "command",
    Input::Pace(_) => "pace",
    Input::AmendOutcome(_) => "amend_outcome",
    Input::ReplaceOutcome { .. } => "replace_outcome",
    Input::Carry => "carry",
}

words! {
    /// Kinds of events.
    EVENTS, event, EventBody,
    EventBody::Tick => "tick",
    EventBody::Bbo(_) => "bbo",
    EventBody::Levels(_) => "depth",
    EventBody::Trade(_) => "trade",
    EventBody::Mark(_) => "mark",
    EventBody::Book(_) => "book",
    EventBody::BurstEnd(_) => "burst_end",
    EventBody::Instrument(_) => "instrument",
    EventBody::Order(_) => "order",
    EventBody::Position(_) => "position",
    EventBody::Balance(_) => "balance",
    EventBody::Funding(_) => "funding",
    EventBody::Conn(_) => "conn",
    EventBody::Session(_) => "session",
    EventBody::Command(_) => "command",
    EventBody::Denied(_) => "denied",
    EventBody::Outcome(_) => "outcome",
    EventBody::Action(_) => "action",
    EventBody::Clock(_) => "clock",
    EventBody::Check(_) => "check",
    EventBody::Pace(_) => "pace",
    EventBody::Grant(_) => "grant",
    EventBody::OpenInterest(_) => "open_interest",
    EventBody::Ticker(_) => "ticker",
    EventBody::Liquidation(_) => "liquidation",
    EventBody::Sweep(_) => "sweep",
    EventBody::Lock(_) => "lock",
    EventBody::AmendOutcome(_) => "amend_outcome",
    EventBody::Amended(_) => "amended",
    EventBody::Carried(_) => "carried",
}

words! {
    /// Kinds of outputs.
    OUTPUTS, output, Output,
    Output::Events(_) => "events",
    Output::Intent(_) => "intent",
    Output::Approved(_) => "approved",
    Output::Denied(_) => "denial",
    Output::Message(_) => "message",
    Output::State(_) => "state",
    Output::Amendment(_) => "amendment",
    Output::NearMiss(_) => "near_miss",
}

words! {
    /// Kinds of baskets.
    BASKETS, basket, BasketKind,
    BasketKind::Entry => "entry",
    BasketKind::Exit => "exit",
    BasketKind::Hedge => "hedge",
    BasketKind::Unwind => "unwind",
    BasketKind::Amend => "amend",
}

words! {
    /// Why a pair does not trade.
    WHY, why, WhyNot,
    WhyNot::Ready => "ready",
    WhyNot::NoInstrument => "no_instrument",
    WhyNot::Suspended => "suspended",
    WhyNot::ClockOff => "clock_off",
    WhyNot::ClockAhead => "clock_ahead",
    WhyNot::NotLive => "not_live",
    WhyNot::Crossed => "crossed",
    WhyNot::Behind => "behind",
    WhyNot::Stale => "stale",
    WhyNot::TooSmall => "too_small",
    WhyNot::Thin => "thin",
    WhyNot::MidsDisagree => "mids_disagree",
    WhyNot::IndicesDisagree => "indices_disagree",
    WhyNot::Warmup => "warmup",
    WhyNot::LevelShift => "level_shift",
    WhyNot::InsaneEdge => "insane_edge",
    WhyNot::Halted => "halted",
    WhyNot::Reducing => "reducing",
    WhyNot::VenueHeld => "venue_held",
    WhyNot::TradeOpen => "trade_open",
    WhyNot::BelowThreshold => "below_threshold",
    WhyNot::Unproven => "unproven",
    WhyNot::Cooldown => "cooldown",
    WhyNot::MaxTrades => "max_trades",
    WhyNot::Quality => "quality",
    WhyNot::PriceBand => "price_band",
    WhyNot::Locked => "locked",
    WhyNot::Unhedged => "unhedged",
}

words! {
    /// Why a basket was denied.
    DENY, deny, DenyReason,
    DenyReason::KillSwitch => "kill_switch",
    DenyReason::TradingHalted => "trading_halted",
    DenyReason::TradingReducing => "trading_reducing",
    DenyReason::VenueNotReady => "venue_not_ready",
    DenyReason::OrderNotionalExceeded => "order_notional_exceeded",
    DenyReason::OrderInvalid => "order_invalid",
    DenyReason::VenuePositionExceeded => "venue_position_exceeded",
    DenyReason::InstrumentPositionExceeded => "instrument_position_exceeded",
    DenyReason::GrossExposureExceeded => "gross_exposure_exceeded",
    DenyReason::MarginInsufficient => "margin_insufficient",
    DenyReason::OpenOrdersExceeded => "open_orders_exceeded",
    DenyReason::OrderRateExceeded => "order_rate_exceeded",
    DenyReason::BookStale => "book_stale",
    DenyReason::BookCrossed => "book_crossed",
    DenyReason::PriceCollarExceeded => "price_collar_exceeded",
    DenyReason::DailyLossExceeded => "daily_loss_exceeded",
    DenyReason::DrawdownExceeded => "drawdown_exceeded",
    DenyReason::ConsecutiveFailures => "consecutive_failures",
    DenyReason::InFlightExceeded => "in_flight_exceeded",
    DenyReason::RouteUnavailable => "route_unavailable",
    DenyReason::PriceBandExceeded => "price_band_exceeded",
    DenyReason::ListingLocked => "listing_locked",
}

words! {
    /// States of an order.
    ORDER_STATES, order_state, OrderState,
    OrderState::PendingNew => "pending_new",
    OrderState::Open => "open",
    OrderState::PartiallyFilled => "partially_filled",
    OrderState::PendingAmend => "pending_amend",
    OrderState::PendingCancel => "pending_cancel",
    OrderState::Filled => "filled",
    OrderState::Canceled => "canceled",
    OrderState::Rejected => "rejected",
    OrderState::Expired => "expired",
    OrderState::Unknown => "unknown",
}

words! {
    /// The scanner's mode.
    MODES, mode, Mode,
    Mode::Normal => "normal",
    Mode::Reducing => "reducing",
    Mode::Halted => "halted",
}

words! {
    /// What risk lets pass.
    STATES, state, TradingState,
    TradingState::Active => "active",
    TradingState::Reducing => "reducing",
    TradingState::Halted => "halted",
}
