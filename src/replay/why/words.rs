//! Names, decimals and sentences for what explanations hold.

use super::card::{At, BookCard, CheckCard, EdgeCard, GateCard, PairCard, Term, Verdict};
use super::figures;
use crate::core::limits::{Checked, Unit, WHOLE};
use crate::core::listing::{Listing, Served};
use crate::core::pair::{Figure, GateRow, GateState, Rule};
use crate::core::scanner::{PairView, Scanner};
use crate::core::trade::ExitReason;
use crate::domain::calendar;
use crate::domain::effect::{Hole, HoleKind, OutMsg, Target};
use crate::domain::event::{EventBody, Seq, SessionRole};
use crate::domain::input::{Input, SendFate};
use crate::domain::instrument::{Instrument, InstrumentId, Price, Qty};
use crate::domain::intent::{BasketKind, EdgeTerms};
use crate::domain::money::Money;
use crate::domain::number::Num;
use crate::domain::order::{OrderSpec, Side};
use crate::domain::time::Stamp;
use crate::ops::view::Names;
pub(super) use crate::replay::plain::duration;
use crate::stage::decode::ConnInfo;

/// Levels of a book that are told.
const LEVELS: usize = 5;
/// Bytes of a frame that are told; snapshots are longer.
pub(super) const RAW_MAX: usize = 16 << 10;

/// An instant.
pub(super) fn at(seq: Seq, stamp: Stamp) -> At {
    At { seq: seq.0, mono_ns: stamp.mono, wall_ns: stamp.wall, utc: calendar::shown(stamp.wall) }
}

/// Recorded bytes as text.
pub(super) fn raw(bytes: &[u8]) -> String {
    let mut text = String::from_utf8_lossy(&bytes[..bytes.len().min(RAW_MAX)]).into_owned();
    if bytes.len() > RAW_MAX {
        text.push_str(&format!("… ({} bytes in all)", bytes.len()));
    }
    text
}

/// `venue symbol` of a listing.
pub(super) fn listing(names: &Names, id: InstrumentId) -> String {
    format!("{} {}", names.venue_of(id), symbol(names, id))
}

/// The venue's name of a listing.
pub(super) fn symbol(names: &Names, id: InstrumentId) -> String {
    names.listings.get(id.index()).map_or_else(|| format!("#{}", id.0), |(_, symbol)| symbol.clone())
}

/// A price as a decimal; in the engine's units while the contract is not known.
pub(super) fn price(instrument: Option<&Instrument>, price: Price) -> String {
    instrument.map_or_else(|| price.0.to_string(), |of| of.price_num(price).to_string())
}

/// A quantity as a decimal.
pub(super) fn qty(instrument: Option<&Instrument>, qty: Qty) -> String {
    instrument.map_or_else(|| qty.0.to_string(), |of| of.qty_num(qty).to_string())
}

/// Parts per billion as basis points, exact.
pub(super) fn bp(ppb: i64) -> String {
    Num::new(ppb, 5).normalized().to_string()
}

pub(super) const fn side(side: Side) -> &'static str {
    match side {
        Side::Buy => "buy",
        Side::Sell => "sell",
    }
}

pub(super) const fn kind(kind: BasketKind) -> &'static str {
    match kind {
        BasketKind::Entry => "entry",
        BasketKind::Exit => "exit",
        BasketKind::Hedge => "hedge",
        BasketKind::Unwind => "unwind",
        BasketKind::Amend => "amend",
    }
}

pub(super) const fn exit_reason(why: ExitReason) -> &'static str {
    match why {
        ExitReason::Converged => "the basis came back",
        ExitReason::Held => "held as long as allowed",
        ExitReason::Loss => "the open loss exceeded its limit",
        ExitReason::Commanded => "commanded: by an operator, the runtime, a kill or the day's loss",
        ExitReason::Metadata => "the contract changed",
        ExitReason::Residual => "leftovers added up to an order",
        ExitReason::Reduced => "the venue or somebody else took a part of a leg",
        ExitReason::Restarted => "the run before left it open",
    }
}

pub(super) fn fate(fate: SendFate) -> String {
    match fate {
        SendFate::Sent => "handed to the socket".to_owned(),
        SendFate::Handed => "handed to an HTTP thread".to_owned(),
        SendFate::Unknown => "unknown: perhaps sent".to_owned(),
        SendFate::Refused(why) => format!("refused by the egress gate: {why:?}"),
        SendFate::Withdrawn(why) => format!("withdrawn before an HTTP thread sent it: {why:?}"),
    }
}

/// A connection: number, venue, role.
pub(super) fn connection(names: &Names, conns: &[ConnInfo], conn: u8, epoch: u32) -> String {
    let info = conns.get(usize::from(conn));
    let role = match info.map(|info| info.role) {
        Some(SessionRole::Market) => "market",
        Some(SessionRole::Account) => "account",
        Some(SessionRole::Orders) => "orders",
        None => "?",
    };
    let venue = info.map_or("?", |info| names.venue(info.venue));
    format!("connection {conn} ({venue}, {role}), epoch {epoch}")
}

pub(super) const fn input_kind(input: &Input) -> &'static str {
    match input {
        Input::Config => "configuration",
        Input::Anchor(_) => "clock anchor",
        Input::Tick => "tick",
        Input::Frame(_) => "frame",
        Input::ConnUp { .. } => "connection up",
        Input::ConnDown { .. } => "connection down",
        Input::HttpReply { .. } => "HTTP reply",
        Input::Denied(_) => "denial (loopback)",
        Input::Outcome(_) => "send outcome (loopback)",
        Input::Command(_) => "command",
        Input::Pace(_) => "pace",
        Input::AmendOutcome(_) => "amend outcome (loopback)",
        Input::ReplaceOutcome { .. } => "replace outcome (loopback)",
        Input::Carry => "what the run before left",
    }
}

/// Text with a mark for every secret that the gateway fills in. `from` is where the text begins in the payload.
fn with_holes(bytes: &[u8], holes: &[Hole], from: usize) -> String {
    let (mut text, mut done) = (String::new(), 0);
    for hole in holes {
        let to = usize::from(hole.at).saturating_sub(from).clamp(done, bytes.len());
        text.push_str(&String::from_utf8_lossy(&bytes[done..to]));
        text.push_str(match hole.kind {
            HoleKind::ApiKey => "‹API key›",
            HoleKind::Passphrase => "‹passphrase›",
            HoleKind::Signature => "‹signature›",
            _ => "‹secret›",
        });
        done = to;
    }
    text.push_str(&String::from_utf8_lossy(&bytes[done..]));
    text
}

/// Message and text to sign, without secrets.
pub(super) fn texts(message: &OutMsg) -> (String, String) {
    let payload = &message.payload;
    let text = with_holes(payload.text(), payload.text_holes(), 0);
    (text, with_holes(payload.sign_text(), payload.signed_holes(), usize::from(payload.text_len)))
}

pub(super) fn target(names: &Names, conns: &[ConnInfo], target: &Target, epoch: u32) -> String {
    match target {
        Target::Socket(conn) => connection(names, conns, conn.0, epoch),
        Target::Http { venue, id, .. } => format!("HTTP to {}, request {}", names.venue(*venue), id.0),
        Target::Connect(conn) => format!("connect {}", conn.0),
        Target::Close(conn) => format!("close {}", conn.0),
    }
}

/// An event in words, and the venue's time of it.
pub(super) fn event(names: &Names, scanner: &Scanner, body: &EventBody) -> (String, Option<i64>) {
    let of = |id: InstrumentId| scanner.listing(id).map(|listing| &listing.instrument);
    let time = |ns: i64| (ns > 0).then_some(ns);
    match body {
        EventBody::Bbo(bbo) => {
            let of = of(bbo.instrument);
            let (bid, ask) = (price(of, bbo.bid), price(of, bbo.ask));
            let (bids, asks) = (qty(of, bbo.bid_qty), qty(of, bbo.ask_qty));
            let words = format!(
                "best prices of {}: {bids} at {bid}, {asks} at {ask}",
                listing(names, bbo.instrument)
            );
            (words, time(bbo.venue_ns))
        }
        EventBody::Levels(chunk) => {
            let words = format!(
                "depth of {}: {} bids and {} asks changed",
                listing(names, chunk.instrument),
                chunk.bids,
                chunk.asks
            );
            (words, time(chunk.venue_ns))
        }
        EventBody::Trade(trade) => {
            let of = of(trade.instrument);
            let words = format!(
                "public trade at {}: {} at {}",
                listing(names, trade.instrument),
                qty(of, trade.qty),
                price(of, trade.price)
            );
            (words, time(trade.venue_ns))
        }
        EventBody::BurstEnd(end) if end.drained => {
            ("end of a socket read, nothing more waiting".to_owned(), None)
        }
        EventBody::BurstEnd(_) => ("end of a socket read, more is waiting".to_owned(), None),
        EventBody::Tick => ("time passed".to_owned(), None),
        EventBody::Order(update) => {
            let words = format!("order {} is {:?}", update.client_id, update.state);
            (words, time(update.venue_ns))
        }
        // The rest is rare: as it stands in the code.
        other => (format!("{other:?}"), None),
    }
}

/// A listing's book.
pub(super) fn book(names: &Names, listing: &Listing, now: Stamp) -> BookCard {
    let id = listing.params.id;
    let of = Some(&listing.instrument);
    let levels = |side: Side| {
        let touch = listing.book.touch(side);
        let sign = -side.sign();
        let behind = listing.book.depth(side);
        let behind = behind.filter(|(price, _)| touch.is_some_and(|(top, _)| sign * price < sign * top));
        let all = touch.into_iter().chain(behind).take(LEVELS);
        all.map(|(at, size)| (price(of, Price(at)), qty(of, Qty(size)))).collect()
    };
    BookCard {
        venue: names.venue_of(id).to_owned(),
        symbol: symbol(names, id),
        state: match listing.served {
            Served::Yes => "live",
            Served::NoInstrument => "contract not known",
            Served::NotLive => "not live",
            Served::Crossed => "crossed or one-sided",
        },
        bids: levels(Side::Sell),
        asks: levels(Side::Buy),
        age_ns: listing.touch_age(now.wall),
        depth_age_ns: listing.depth_age(now.wall),
        clock_offset_ns: listing.clock_offset,
        funding_ppb: listing.rated_at.map(|_| listing.funding.rate),
        funding_at_ns: Some(listing.funding.at).filter(|at| *at > 0),
    }
}

pub(super) fn pair(names: &Names, view: &PairView) -> PairCard {
    PairCard {
        buy: listing(names, view.buy),
        sell: listing(names, view.sell),
        basis_ppb: view.basis,
        baseline_ppb: view.baseline,
        samples: view.samples,
        failure_ppb: view.failure,
    }
}

/// The edge as terms that add up; `failure` is the part of the allowance that was learnt, as far as it is known.
pub(super) fn edge(terms: &EdgeTerms, failure: Option<i64>) -> EdgeCard {
    let term = |name, ppb| Term { name, ppb };
    EdgeCard {
        terms: [
            term("executable basis now", terms.entry_basis),
            term("basis expected at the exit", -terms.exit_basis),
            term("fees of four orders", -terms.fees),
            term("half-spreads at the exit", -terms.exit_half_spreads),
            term("slippage at the exit", -terms.slippage),
            term("allowance", failure.unwrap_or(0).saturating_sub(terms.allowance)),
            term("funding", terms.funding),
        ]
        .into_iter()
        .chain(failure.map(|failure| term("expected cost of a leg that misses", -failure)))
        .collect(),
        net_ppb: terms.net,
        threshold_ppb: terms.threshold,
        above_ppb: terms.net.saturating_sub(terms.threshold),
    }
}

/// Checks as they were made; `denied`: by which of them, when risk denied at all.
pub(super) fn checks(
    names: &Names,
    orders: &[OrderSpec],
    checks: &[Checked],
    of: impl Fn(InstrumentId) -> Option<Instrument>,
) -> Vec<CheckCard> {
    let mut denied = false;
    let mut told = Vec::with_capacity(checks.len());
    for checked in checks {
        let verdict = match (denied, checked.passed) {
            (false, true) => Verdict::Passed,
            (false, false) => Verdict::Denied,
            (true, true) => Verdict::NotReachedWouldPass,
            (true, false) => Verdict::NotReachedWouldDeny,
        };
        denied |= !checked.passed;
        let order = orders.get(usize::from(checked.leg));
        let instrument = order.and_then(|order| of(order.instrument));
        let unit = checked.check.unit();
        let shown = |value: Money| {
            let whole = figures::units(value);
            match unit {
                Unit::State => String::new(),
                Unit::Quote | Unit::Settle => value.to_string(),
                Unit::Count | Unit::Nanos | Unit::Ppb => whole.to_string(),
                Unit::Price => price(instrument.as_ref(), Price(whole)),
                Unit::Qty => qty(instrument.as_ref(), Qty(whole)),
            }
        };
        let (rule, words) = figures::of_check(checked, order, instrument.as_ref());
        told.push(CheckCard {
            check: checked.check,
            name: checked.check.name(),
            leg: (checked.leg != WHOLE).then_some(checked.leg),
            listing: order.map(|order| listing(names, order.instrument)),
            value: shown(checked.value),
            rule,
            limit: shown(checked.limit),
            unit,
            shown: words,
            verdict,
        });
    }
    told
}

/// A gate of a pair; `legs` are where it would buy and where it would sell.
pub(super) fn gate(names: &Names, row: &GateRow, legs: [&Instrument; 2]) -> GateCard {
    let of = row.leg.map(|leg| legs[usize::from(leg.min(1))]);
    let shown = |figure: Figure| match figure {
        Figure::Nothing => (String::new(), ""),
        Figure::Ppb(ppb) => (ppb.to_string(), "ppb"),
        Figure::Nanos(ns) => (ns.to_string(), "ns"),
        Figure::Count(count) => (count.to_string(), "count"),
        Figure::Price(units) => (price(of, Price(units)), "price"),
        Figure::Qty(units) => (qty(of, Qty(units)), "contracts"),
        Figure::Word(word) => (word.to_owned(), "state"),
    };
    let number = |figure: Figure| match figure {
        Figure::Ppb(n) | Figure::Nanos(n) | Figure::Count(n) => Some(n),
        _ => None,
    };
    let missing = match (row.state, number(row.value), number(row.limit)) {
        (GateState::Stops, Some(value), Some(limit)) => Some((i128::from(value) - i128::from(limit)).abs()),
        _ => None,
    };
    let ((value, _), (limit, unit)) = (shown(row.value), shown(row.limit));
    GateCard {
        gate: row.gate.to_string(),
        about: row.about,
        leg: of.map(|of| listing(names, of.id)),
        state: match row.state {
            GateState::Passes => "passes",
            GateState::Stops => "stops",
            GateState::NotKnown => "not known",
        },
        value,
        rule: match row.rule {
            Rule::Is => "is",
            Rule::AtMost => "at most",
            Rule::AtLeast => "at least",
        },
        limit,
        unit,
        shown: figures::of_gate(row, of),
        missing: missing.map(|missing| missing.to_string()),
    }
}
