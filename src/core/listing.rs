//! A venue's listing as the scanner sees it: contract, book, touch, funding, and who uses it.
//!
//! Holds no rule of trading; [`super::pair`] compares two of these.

use super::band::{PriceBand, is_beyond};
use super::book::Book;
use super::digest::Digest;
use super::edge::{FundingTerms, limit_price, ppb_ceil, rate_ppb};
use super::miss::MissRate;
use super::quality::Quality;
use crate::domain::event::{BookState, Mark, Seq};
use crate::domain::input::ConnId;
use crate::domain::instrument::{ContractKind, Instrument, Price, Status};
use crate::domain::intent::Ppb;
use crate::domain::money::MONEY_SCALE;
use crate::domain::number::{Num, SCALE_MAX};
use crate::domain::order::Side;
use crate::domain::params::ListingParams;
use crate::domain::time::Nanos;
use serde::{Deserialize, Serialize};

/// Whether a listing's book can be priced from now. Whether the venue lets it trade is
/// [`Listing::is_trading`]: what is held on a suspended listing is still priced, and may be reduced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Served {
    /// Contract not known.
    #[default]
    NoInstrument,
    /// The book is not live.
    NotLive,
    /// Bid at or above ask, or a side is empty.
    Crossed,
    /// Fit to price from.
    Yes,
}

/// One listing.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Listing {
    /// What the configuration says.
    pub params: ListingParams,
    /// The contract; generation 0 until known.
    pub instrument: Instrument,
    /// Depth and touch.
    pub book: Book,
    /// Funding.
    pub funding: FundingTerms,
    /// Venue time (ns since the epoch) of the latest statement of the funding rate.
    pub rated_at: Option<Nanos>,
    /// Index price as last stated, and its venue time (ns since the epoch).
    pub index: Option<(Num, Nanos)>,
    /// Prices that the venue accepts, as last stated.
    pub band: PriceBand,
    /// Until when the venue takes only orders here that reduce, by its clock; 0 = it takes all.
    pub locked_until: Nanos,
    /// What the venue's clock shows beyond ours, ns; 0 while unknown.
    pub clock_offset: Nanos,
    /// The connection that last brought its data.
    pub conn: Option<ConnId>,
    /// Input that last changed the book.
    pub touched: Seq,
    /// Changed since edges were last evaluated.
    pub dirty: bool,
    /// How our orders on it fare.
    pub quality: Quality,
    /// How often a leg of an entry misses on it.
    #[serde(default)]
    pub misses: MissRate,
    /// When its mid was last passed on.
    pub mid_sent: Option<Nanos>,
    /// The open trade that uses it (slot); a listing serves at most one, so positions never mix.
    pub trade: Option<u16>,
    /// Signed contracts left over by trades because no order may be that small.
    pub residual: i64,
    /// Pairs that it is part of.
    pub pairs: Vec<u16>,
    /// Rises with every refresh that saw a change.
    pub version: u32,
    /// Fit to trade on, as of the last refresh.
    pub served: Served,
    /// Bid + ask: twice the mid.
    pub mid2: i64,
    /// Half the spread, ppb of the mid.
    pub half_spread: Ppb,
    /// Venue time of the touch.
    pub touch_ns: Nanos,
    fresh: bool,
    sane: bool,
}

impl Listing {
    /// A listing whose contract is not known yet.
    pub fn new(params: ListingParams) -> Self {
        Self {
            params,
            instrument: Instrument { id: params.id, venue: params.venue, ..Instrument::default() },
            book: Book::new(),
            funding: FundingTerms::default(),
            rated_at: None,
            index: None,
            band: PriceBand::default(),
            locked_until: 0,
            clock_offset: 0,
            conn: None,
            touched: Seq(0),
            dirty: false,
            quality: Quality::default(),
            misses: MissRate::default(),
            mid_sent: None,
            trade: None,
            residual: 0,
            pairs: Vec::new(),
            version: 0,
            served: Served::NoInstrument,
            mid2: 0,
            half_spread: 0,
            touch_ns: 0,
            fresh: false,
            sane: false,
        }
    }

    /// True when the contract is known and its numbers make sense.
    pub fn is_known(&self) -> bool {
        self.sane
    }

    /// A new metadata generation voids the book; the same generation only updates what may change in it
    /// (status, order limits). True when the generation is new.
    pub fn define(&mut self, instrument: &Instrument) -> bool {
        let new = instrument.generation != self.instrument.generation;
        if new {
            self.book.set_state(BookState::AwaitSnapshot);
            self.band = PriceBand::default();
        }
        self.instrument = *instrument;
        self.sane = instrument.generation > 0 && is_sane(instrument);
        self.changed();
        new
    }

    /// Takes what a mark message states that arrived at `now` (`mono`); absent parts stay as they were.
    pub fn mark(&mut self, mark: &Mark, now: Nanos) {
        if let Some(rate) = mark.rate {
            self.funding.rate = rate_ppb(rate);
            self.rated_at = Some(mark.venue_ns);
        }
        if let Some(index) = mark.index.filter(|index| index.mantissa > 0) {
            self.index = Some((index, mark.venue_ns));
        }
        if let Some(band) = PriceBand::of(&self.instrument, mark, now) {
            self.band = band;
        }
        if mark.funding_ns > 0 {
            self.funding.at = mark.funding_ns;
        }
        if mark.interval_ns > 0 {
            self.funding.interval = mark.interval_ns;
        }
        self.funding.accrues |= mark.accrues;
    }

    /// The book or the contract changed: cached figures are void.
    pub fn changed(&mut self) {
        self.fresh = false;
    }

    /// Recomputes cached figures when something changed.
    pub fn refresh(&mut self) {
        if self.fresh {
            return;
        }
        self.fresh = true;
        self.version = self.version.wrapping_add(1);
        self.served = if !self.is_known() {
            Served::NoInstrument
        } else if !self.book.is_served() {
            Served::NotLive
        } else {
            self.refresh_touch()
        };
    }

    fn refresh_touch(&mut self) -> Served {
        let (Some((bid, _)), Some((ask, _))) = (self.book.touch(Side::Sell), self.book.touch(Side::Buy))
        else {
            return Served::Crossed;
        };
        if bid >= ask {
            return Served::Crossed;
        }
        self.mid2 = bid + ask;
        self.half_spread = ppb_ceil(ask - bid, bid + ask);
        self.touch_ns = self.book.touch_ns();
        Served::Yes
    }

    /// The mid price, rounded down; meaningful while served.
    pub fn mid(&self) -> Price {
        Price(self.mid2 / 2)
    }

    /// True while the venue lets the contract trade.
    pub fn is_trading(&self) -> bool {
        self.instrument.spec.status == Status::Trading
    }

    /// Age of the touch at `wall` (ours) on the venue's clock; what lies in its future counts as age 0.
    pub fn touch_age(&self, wall: Nanos) -> Nanos {
        self.age(self.touch_ns, wall).max(0)
    }

    /// How far the touch lies in the venue's future at `wall`; 0 when it does not.
    pub fn touch_lead(&self, wall: Nanos) -> Nanos {
        self.age(self.touch_ns, wall).saturating_neg().max(0)
    }

    /// Whether the venue stated its funding rate within `age_max`.
    pub fn is_funding_known(&self, wall: Nanos, age_max: Nanos) -> bool {
        self.rated_at.is_some_and(|at| self.age(at, wall) <= age_max)
    }

    /// Age of the depth behind the touch at `wall`.
    pub fn depth_age(&self, wall: Nanos) -> Nanos {
        self.age(self.book.depth_ns(), wall).max(0)
    }

    /// The index price, unless there is none or it is older than `age_max`.
    pub fn index_at(&self, wall: Nanos, age_max: Nanos) -> Option<Num> {
        self.index.filter(|(_, stated)| self.age(*stated, wall) <= age_max).map(|(index, _)| index)
    }

    /// A limit price `slack` beyond `from`, or the worst one that the venue accepts at `now` (`mono`) as long as that
    /// reaches `from`. Where it does not, no price would do: the wanted one is returned, and risk names the reason.
    pub fn limit_price(&self, side: Side, from: i64, slack: Ppb, now: Nanos) -> Option<Price> {
        let price = limit_price(&self.instrument, side, from, slack)?;
        let worst = self.band.worst(side, now).filter(|worst| !is_beyond(side, Price(from), *worst));
        Some(worst.filter(|worst| is_beyond(side, price, *worst)).unwrap_or(price))
    }

    /// True when the venue refuses every price that reaches `price` on this side at `now` (`mono`).
    pub fn is_out_of_reach(&self, side: Side, price: i64, now: Nanos) -> bool {
        self.band.worst(side, now).is_some_and(|worst| is_beyond(side, Price(price), worst))
    }

    /// True while the venue takes only orders that reduce; `wall` is ours.
    pub fn is_locked(&self, wall: Nanos) -> bool {
        wall.saturating_add(self.clock_offset) < self.locked_until
    }

    /// Negative while `venue_ns` lies ahead of the venue's clock.
    fn age(&self, venue_ns: Nanos, wall: Nanos) -> Nanos {
        wall.saturating_add(self.clock_offset).saturating_sub(venue_ns)
    }

    /// Adds the state to a digest.
    /// Its band is left out, so that journals of before it was read replay: the prices of orders tell it.
    pub fn digest(&self, to: &mut Digest) {
        self.book.digest(to);
        to.mix(u64::from(self.instrument.generation));
        to.mix(self.instrument.spec.status as u64);
        to.mix_signed(self.funding.rate);
        to.mix_signed(self.funding.at);
        to.mix_signed(self.funding.interval);
        if self.funding.accrues {
            to.mix(1);
        }
        to.mix_signed(self.clock_offset);
        if let Some((index, stated)) = self.index {
            to.mix_signed(index.mantissa);
            to.mix(u64::from(index.scale));
            to.mix_signed(stated);
        }
        if self.locked_until != 0 {
            to.mix_signed(self.locked_until);
        }
        to.mix(self.conn.map_or(u64::MAX, |conn| u64::from(conn.0)));
        to.mix(self.touched.0);
        to.mix(u64::from(self.dirty));
        self.quality.digest(to);
        self.misses.digest(to);
        to.mix_instant(self.mid_sent);
        to.mix(self.trade.map_or(u64::MAX, u64::from));
        to.mix_signed(self.residual);
    }
}

/// The base amount of one step, in 10⁻¹⁸, that a sane contract does not exceed.
const STEP_BASE_MAX: i128 = 1_000_000_000_000_000_000_000_000_000_000;

/// True when amounts and notionals of ordinary orders stay far inside an `i128`.
fn is_sane(instrument: &Instrument) -> bool {
    let multiplier = instrument.spec.multiplier;
    let scales =
        u32::from(instrument.price_scale) + u32::from(instrument.qty_scale) + u32::from(multiplier.scale);
    let price_scale_max = match instrument.spec.kind {
        ContractKind::Linear => SCALE_MAX,
        ContractKind::Inverse => 12,
    };
    let face_scale = instrument.qty_scale.saturating_add(multiplier.scale);
    let unit = 10i128.pow(u32::from(MONEY_SCALE.saturating_sub(face_scale)));
    instrument.tick > 0
        && instrument.step > 0
        && instrument.qty_max.0 > 0
        && multiplier.mantissa > 0
        && scales <= 28
        && instrument.price_scale <= price_scale_max
        && (i128::from(instrument.step) * i128::from(multiplier.mantissa))
            .checked_mul(unit)
            .is_some_and(|base| base <= STEP_BASE_MAX)
}
