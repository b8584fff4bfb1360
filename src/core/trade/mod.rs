//! Trades: an entry of two legs, what it takes to balance them, and the exit until flat.
//!
//! Positions come from cumulative fills of [`OrderUpdate`]s only, each counted once. [`outcome`] is the
//! table of decisions, [`desk`] carries them out. Nothing here decides *whether* to enter.

pub mod desk;
pub mod measure;
pub mod outcome;
pub mod recent;

use super::digest::Digest;
use crate::domain::instrument::{CanonicalId, Price};
use crate::domain::intent::{BasketKind, EdgeTerms, Ppb, TradeId};
use crate::domain::order::{ClientId, OrderState, OrderUpdate, RejectClass, Side};
use crate::domain::time::Nanos;
use outcome::Outcome;
use serde::{Deserialize, Serialize};

/// Where a trade stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Phase {
    /// The entry's orders are out.
    #[default]
    Entering,
    /// The entry is over; legs are being made equal.
    Balancing,
    /// Both legs are held.
    Open,
    /// Being closed, until flat.
    Exiting,
}

/// Why a trade is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ExitReason {
    /// The basis came back to where it was expected.
    Converged,
    /// Held as long as allowed.
    Held,
    /// The open loss exceeded the limit.
    Loss,
    /// An operator, the runtime or a kill.
    Commanded,
    /// Contract metadata changed.
    Metadata,
    /// Leftovers and late fills added up to an order.
    Residual,
    /// The venue took a part of a leg away (deleveraging, liquidation), or somebody else did.
    Reduced,
    /// The run before left it open.
    Restarted,
}

/// An order of ours that is not terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Working {
    /// Our id.
    pub id: ClientId,
    /// Buy or sell.
    pub side: Side,
    /// Wanted contracts.
    pub qty: i64,
    /// Cumulative filled contracts.
    pub filled: i64,
    /// Limit price: the price of a fill that came without one.
    pub limit: Price,
    /// Last reported state.
    pub state: OrderState,
    /// When to ask for its cancellation: an IOC that rests is a fault somewhere. Set once it rests.
    pub cancel_at: Option<Nanos>,
    /// We asked for its cancellation: how it ends says nothing of the book.
    #[serde(default)]
    pub called_off: bool,
}

/// One leg of a trade.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leg {
    /// Listing (index).
    pub listing: u16,
    /// Side of the entry.
    pub side: Side,
    /// Signed contracts held (long positive).
    pub position: i64,
    /// Contracts filled on the side of the entry.
    pub entered: i64,
    /// Σ price × contracts of those.
    pub entered_value: i128,
    /// The order that is out, if any.
    pub working: Option<Working>,
    /// Fate of the last order.
    pub last: Outcome,
    /// How the last order was refused.
    pub reject: RejectClass,
}

impl Leg {
    /// Takes an update of this leg's working order. `None` when it is not about it, else whether the
    /// order is now over.
    pub fn apply(&mut self, update: &OrderUpdate) -> Option<bool> {
        let working = self.working.as_mut().filter(|working| working.id == update.client_id)?;
        let filled = update.filled.0.clamp(working.filled, working.qty);
        let delta = filled - working.filled;
        working.filled = filled;
        working.state = update.state;
        let (side, limit) = (working.side, working.limit);
        self.last = Outcome::of(update.state, filled, working.qty);
        self.book(side, delta, if update.fill_price.0 > 0 { update.fill_price } else { limit });
        let is_over = update.state.is_terminal();
        if is_over {
            self.reject =
                if update.state == OrderState::Rejected { update.reject } else { RejectClass::None };
            self.working = None;
        }
        Some(is_over)
    }

    /// Books filled contracts; those on the side of the entry count for its price.
    pub fn book(&mut self, side: Side, filled: i64, price: Price) {
        self.position += side.sign() * filled;
        if side == self.side && filled > 0 {
            self.entered += filled;
            self.entered_value += i128::from(price.0) * i128::from(filled);
        }
    }

    /// Contracts held, without sign.
    pub const fn held(&self) -> i64 {
        self.position.abs()
    }

    /// The side that reduces what is held.
    pub const fn closing_side(&self) -> Side {
        if self.position > 0 { Side::Sell } else { Side::Buy }
    }
}

/// A trade: leg 0 is long, leg 1 short.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Trade {
    /// Its number.
    pub id: TradeId,
    /// The pair (index).
    pub pair: u16,
    /// The direction of the pair: also the index of the listing that is bought.
    pub way: u8,
    /// What it trades.
    pub canonical: CanonicalId,
    /// Long leg, short leg.
    pub legs: [Leg; 2],
    /// Where it stands.
    pub phase: Phase,
    /// Number of the last basket.
    pub attempt: u16,
    /// Kind of the last basket.
    pub kind: BasketKind,
    /// Hedge baskets sent.
    pub hedges: u16,
    /// Edge at the entry.
    pub edge: EdgeTerms,
    /// The pair's mid at the entry: what amounts are compared at.
    pub mid: Price,
    /// Executed entry basis, ppb.
    pub realised: Ppb,
    /// To be closed at the latest then.
    pub hold_until: Nanos,
    /// Not before then the next order.
    pub retry_at: Nanos,
    /// Why it is being closed.
    pub closing: Option<ExitReason>,
    /// Orders refused in a row.
    pub rejects: u16,
    /// Since when one leg stands alone; `None` = none does.
    pub alone_since: Option<Nanos>,
}

impl Trade {
    /// True while an order is out.
    pub fn is_waiting(&self) -> bool {
        self.legs.iter().any(|leg| leg.working.is_some())
    }

    /// True when nothing is held.
    pub fn is_flat(&self) -> bool {
        self.legs.iter().all(|leg| leg.position == 0)
    }

    /// Something may have changed: does one leg stand alone?
    pub fn note_alone(&mut self, now: Nanos) {
        let alone = self.legs.iter().filter(|leg| leg.position != 0).count() == 1;
        self.alone_since = if alone { self.alone_since.or(Some(now)) } else { None };
    }

    /// True when the entry had any fill.
    pub fn is_hit(&self) -> bool {
        self.legs.iter().any(|leg| leg.entered > 0)
    }

    /// The executable exit basis up to which the exit counts as converged: what the entry's net assumed.
    pub fn expected_exit(&self) -> Ppb {
        self.edge.exit_basis.saturating_add(self.edge.exit_half_spreads).saturating_add(self.edge.slippage)
    }

    /// Adds the state to a digest.
    pub fn digest(&self, to: &mut Digest) {
        to.mix(u64::from(self.id.0) << 32 | u64::from(self.pair) << 8 | u64::from(self.way));
        to.mix(u64::from(self.attempt) << 32 | u64::from(self.hedges) << 8 | self.phase as u64);
        to.mix(
            u64::from(self.rejects) << 16
                | (self.kind as u64) << 8
                | self.closing.map_or(255, |why| why as u64),
        );
        [self.edge.net, self.mid.0, self.realised, self.hold_until, self.retry_at]
            .iter()
            .for_each(|v| to.mix_signed(*v));
        to.mix_instant(self.alone_since);
        for leg in &self.legs {
            to.mix_signed(leg.position);
            to.mix_signed(leg.entered);
            to.mix_wide(leg.entered_value);
            to.mix((leg.last as u64) << 8 | leg.reject as u64);
            if let Some(working) = &leg.working {
                to.mix_wide(working.id.0.cast_signed());
                to.mix_signed(working.qty);
                to.mix_signed(working.filled);
                to.mix(working.state as u64);
                to.mix_instant(working.cancel_at);
            }
        }
    }
}
