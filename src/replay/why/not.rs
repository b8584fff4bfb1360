//! What keeps a pair from trading at a place: every gate of both directions, then the checks and the way of the order
//! that it would send, from the code that decides.

use super::WhyError;
use super::card::{AccountCard, At, BookCard, CheckCard, EdgeCard, GateCard, PairCard, RouteCard, RunCard};
use super::decide::{accounts, standings};
use super::index::{Index, Listed};
use super::words;
use crate::core::pair::WhyNot;
use crate::core::scanner::Explained;
use crate::domain::event::Seq;
use crate::domain::instrument::{InstrumentId, VenueId};
use crate::domain::intent::BasketKind;
use crate::domain::time::Stamp;
use crate::ops::view::Names;
use crate::replay::cursor::Cursor;
use crate::replay::place::{Place, WallClock};
use crate::stage::LOGIC_VERSION;
use crate::stage::river::Parts;
use serde::Serialize;
use std::path::Path;

/// Inputs after the place among which the next change of the reason is looked for.
const AHEAD_MAX: u64 = 1 << 18;

/// What keeps a pair from trading.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct WhyNotReport {
    /// The pair as asked.
    pub asked: String,
    /// The place as asked.
    pub place: String,
    /// The run.
    pub run: RunCard,
    /// The place: after this input.
    pub at: At,
    /// What is traded.
    pub instrument: String,
    /// Both directions.
    pub ways: Vec<WayCard>,
    /// The last entry of the pair up to the place.
    pub last_entry: Option<EntryCard>,
    /// The first one after it.
    pub next_entry: Option<EntryCard>,
    /// What has to be known beside it.
    pub notes: Vec<String>,
}

/// A direction of a pair.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct WayCard {
    /// Where it would buy.
    pub buy: String,
    /// Where it would sell.
    pub sell: String,
    /// What stops it, in the word of the live view; `ready` when no gate does.
    pub why: String,
    /// The same in a sentence with its figures.
    pub sentence: String,
    /// What stopped it when it was last evaluated.
    pub why_last: String,
    /// The input at which that was; 0 = never.
    pub evaluated: u64,
    /// The first input after the place at which the reason is another one, and that reason.
    pub changes: Option<ChangeCard>,
    /// The pair in this direction.
    pub pair: Option<PairCard>,
    /// The edge; absent where it cannot be priced.
    pub edge: Option<EdgeCard>,
    /// Every gate in its order.
    pub gates: Vec<GateCard>,
    /// Books, where it would buy first.
    pub books: Vec<BookCard>,
    /// Findings of the start gate at its venues.
    pub findings: Vec<String>,
    /// Checks of risk that the order it would send meets now, in order; empty where it has no price or size.
    pub checks: Vec<CheckCard>,
    /// Accounts that the order would draw on.
    pub accounts: Vec<AccountCard>,
    /// What route would say.
    pub route: Vec<RouteCard>,
}

/// Another reason.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ChangeCard {
    /// The input from which on it holds.
    pub at: At,
    /// The reason, in the word of the live view.
    pub why: String,
}

/// An entry of the pair.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EntryCard {
    /// Its input.
    pub at: At,
    /// The trade.
    pub trade: u32,
    /// From the place to it, ns (negative = before).
    pub since_ns: i64,
    /// Where it bought.
    pub buy: String,
    /// Where it sold.
    pub sell: String,
    /// It was denied.
    pub denied: bool,
}

/// Explains what keeps a pair from trading.
pub(super) fn why_not(
    dir: &Path,
    asked: &str,
    place: &str,
    progress: &mut dyn FnMut(u64),
) -> Result<WhyNotReport, WhyError> {
    let to: Place = place.parse().map_err(WhyError::Place)?;
    let mut cursor = Cursor::open(dir)?;
    let names = Names::of(&cursor.config().params);
    let pairs: Vec<[InstrumentId; 2]> = cursor.parts().scan.scanner().pairs().collect();
    let at = find(&names, cursor.parts(), &pairs, asked)?;
    let to = to.first(&mut cursor)?;
    cursor.seek(to.unwrap_or(Seq(u64::MAX)), &mut (), &mut |seq| progress(seq.0))?;
    let (seq, now) = (cursor.seq(), cursor.now());
    if to != Some(seq) {
        return Err(WhyError::End { end: seq.0, what: format!("place `{place}`") });
    }
    let mut ways = Vec::new();
    for way in 0..2 {
        ways.extend(card(&names, cursor.parts(), at, way, now));
    }
    let manifest = cursor.manifest();
    let run = RunCard {
        run_id: manifest.run_id.to_string(),
        logic_recorded: manifest.logic_version,
        logic_replayed: LOGIC_VERSION,
    };
    let instrument = name_of(&names, cursor.parts(), pairs[at]);
    let index = Index::of_outputs(dir)?;
    let entries = || index.baskets.iter().filter(|listed| is_of(listed, pairs[at]));
    let clock = WallClock::of(dir)?;
    let shown = clock.at(now);
    let entry = |listed: &Listed| entry(&names, listed, shown);
    let last_entry = entries().rfind(|listed| listed.seq <= seq.0).map(entry);
    let next_entry = entries().find(|listed| listed.seq > seq.0).map(entry);
    let mut notes = Vec::new();
    let scanner = cursor.parts().scan.scanner();
    if scanner.explain(at, 0).is_some_and(|of| of.random) {
        notes.push("this run enters at random: no gate that depends on the edge counts in it".to_owned());
    }
    if run.logic_recorded != LOGIC_VERSION {
        notes.push(format!(
            "recorded with version {} of the rules and explained with version {LOGIC_VERSION}",
            run.logic_recorded
        ));
    }
    look_ahead(&mut cursor, clock, at, &mut ways, progress)?;
    Ok(WhyNotReport {
        asked: asked.to_owned(),
        place: place.to_owned(),
        run,
        at: words::at(seq, shown),
        instrument,
        ways,
        last_entry,
        next_entry,
        notes,
    })
}

/// When the reasons change next.
fn look_ahead(
    cursor: &mut Cursor,
    clock: WallClock,
    at: usize,
    ways: &mut [WayCard],
    progress: &mut dyn FnMut(u64),
) -> Result<(), WhyError> {
    let until = cursor.seq().0.saturating_add(AHEAD_MAX);
    // Held against what the view said here: the ages that it knows of are those of its own moments.
    let said: Vec<WhyNot> =
        cursor.parts().scan.scanner().views().skip(at * 2).take(2).map(|view| view.why).collect();
    while ways.iter().any(|way| way.changes.is_none()) && cursor.seq().0 < until && cursor.step(&mut ())? {
        let scanner = cursor.parts().scan.scanner();
        let pair = scanner.views().skip(at * 2).take(2);
        for ((way, view), said) in ways.iter_mut().zip(pair).zip(&said) {
            if way.changes.is_none() && view.why != *said {
                let at = words::at(cursor.seq(), clock.at(cursor.now()));
                way.changes = Some(ChangeCard { at, why: view.why.to_string() });
            }
        }
        if cursor.seq().0.is_multiple_of(1 << 14) {
            progress(cursor.seq().0);
        }
    }
    Ok(())
}

fn card(names: &Names, parts: &Parts, at: usize, way: usize, now: Stamp) -> Option<WayCard> {
    let scanner = parts.scan.scanner();
    let of = scanner.explain(at, way)?;
    let view = scanner.views().nth(at * 2 + way);
    let listings = of.legs.map(|id| scanner.listing(id));
    let [Some(buy), Some(sell)] = listings else { return None };
    let instruments = [&buy.instrument, &sell.instrument];
    let gates: Vec<GateCard> =
        of.outlook.gates.iter().map(|row| words::gate(names, row, instruments)).collect();
    let venues: Vec<VenueId> = instruments.iter().map(|of| of.venue).collect();
    let edge = of.outlook.terms.as_ref().map(|terms| words::edge(terms, Some(of.outlook.failure)));
    let risk = parts.risk.rules();
    let orders = of.entry.as_ref().map(|basket| basket.orders().to_vec()).unwrap_or_default();
    let checks = of.entry.as_ref().map(|basket| {
        let heard = risk.explain(basket, now);
        words::checks(names, &orders, &heard, |id| risk.positions().instrument(id).copied())
    });
    let findings = risk.start_gate().findings().filter(|finding| venues.contains(&finding.venue));
    let findings = findings.map(|finding| {
        let where_ = finding
            .listing
            .map_or_else(|| names.venue(finding.venue).to_owned(), |id| words::listing(names, id));
        format!("{where_}: {}", finding.sentence())
    });
    Some(WayCard {
        buy: words::listing(names, of.legs[0]),
        sell: words::listing(names, of.legs[1]),
        why: of.outlook.why.to_string(),
        sentence: sentence(&of, &gates, edge.as_ref(), checks.as_deref()),
        why_last: of.last.0.to_string(),
        evaluated: of.last.1.0,
        changes: None,
        pair: view.as_ref().map(|view| words::pair(names, view)),
        edge,
        gates,
        books: [buy, sell].map(|listing| words::book(names, listing, now)).to_vec(),
        findings: findings.collect(),
        checks: checks.unwrap_or_default(),
        accounts: accounts(names, risk, &orders),
        route: standings(names, parts, &venues, false, now),
    })
}

/// What stops a direction, in words with its figures.
fn sentence(
    of: &Explained,
    gates: &[GateCard],
    edge: Option<&EdgeCard>,
    checks: Option<&[CheckCard]>,
) -> String {
    let stops = gates.iter().find(|gate| gate.state == "stops");
    let short = edge.filter(|edge| edge.above_ppb < 0).map(|edge| {
        format!("; the net edge of {} bp is {} bp short", words::bp(edge.net_ppb), words::bp(-edge.above_ppb))
    });
    match (of.outlook.why, stops) {
        (WhyNot::Ready, _) => {
            match checks.and_then(|all| all.iter().find(|c| c.verdict == super::Verdict::Denied)) {
                Some(check) => format!(
                    "no gate of the scanner stops it, but risk would deny it: {}: {}",
                    check.name, check.shown
                ),
                None => "nothing stops it: it enters when it is evaluated next".to_owned(),
            }
        }
        (WhyNot::BelowThreshold, _) => {
            let edge = edge.cloned().unwrap_or_default();
            format!(
                "the net edge is {} bp, {} bp below the threshold of {} bp",
                words::bp(edge.net_ppb),
                words::bp(-edge.above_ppb),
                words::bp(edge.threshold_ppb)
            )
        }
        (why, Some(gate)) => {
            let about = if gate.about.is_empty() { String::new() } else { format!(": {}", gate.about) };
            let leg = gate.leg.as_ref().map(|leg| format!(" at {leg}")).unwrap_or_default();
            format!("{why}{about}{leg}: {}{}", gate.shown, short.unwrap_or_default())
        }
        (why, None) => why.to_string(),
    }
}

/// Whether an intent is an entry of the pair.
fn is_of(listed: &Listed, pair: [InstrumentId; 2]) -> bool {
    let [a, b] = listed.legs.as_slice() else { return false };
    listed.kind == BasketKind::Entry && (pair == [a.2, b.2] || pair == [b.2, a.2])
}

fn entry(names: &Names, listed: &Listed, now: Stamp) -> EntryCard {
    let wall = listed.mono + now.wall - now.mono;
    EntryCard {
        at: words::at(Seq(listed.seq), Stamp { mono: listed.mono, wall }),
        trade: listed.trade.0,
        since_ns: listed.mono - now.mono,
        buy: words::listing(names, listed.legs[0].2),
        sell: words::listing(names, listed.legs[1].2),
        denied: listed.denied,
    }
}

/// `BTC-USDT` of a canonical name, as the live view shows it.
fn name_of(names: &Names, parts: &Parts, pair: [InstrumentId; 2]) -> String {
    let scanner = parts.scan.scanner();
    let canonical = scanner.listing(pair[0]).map(|listing| listing.params.canonical);
    canonical.map_or("?", |id| names.canonical(id)).split(':').next().unwrap_or_default().to_owned()
}

/// `BTC-USDT binance-usdm/okx`.
fn full_name(names: &Names, parts: &Parts, pair: [InstrumentId; 2]) -> String {
    let [a, b] = pair.map(|id| names.venue_of(id));
    format!("{} {a}/{b}", name_of(names, parts, pair))
}

/// The pair of that name; venues may be shortened as the live view does, and stand in either order.
fn find(names: &Names, parts: &Parts, pairs: &[[InstrumentId; 2]], asked: &str) -> Result<usize, WhyError> {
    let plain = |text: &str| -> String {
        text.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_uppercase()).collect()
    };
    let known = || {
        let all: Vec<String> = pairs.iter().map(|pair| full_name(names, parts, *pair)).collect();
        match all.is_empty() {
            true => "none, for a pair takes an instrument that two venues of the run list and settle alike"
                .to_owned(),
            false => all.join(", "),
        }
    };
    let unknown = || WhyError::Pair { asked: asked.to_owned(), known: known() };
    let (instrument, venues) = asked.trim().rsplit_once(char::is_whitespace).ok_or_else(unknown)?;
    let (a, b) = venues.split_once(['/', '>']).ok_or_else(unknown)?;
    let is = |id: InstrumentId, venue: &str| {
        !venue.is_empty() && names.venue_of(id).starts_with(&venue.to_ascii_lowercase())
    };
    let exact = |id: InstrumentId, venue: &str| names.venue_of(id) == venue;
    let wanted = plain(instrument);
    let named: Vec<usize> =
        (0..pairs.len()).filter(|at| plain(&name_of(names, parts, pairs[*at])) == wanted).collect();
    let both = |at: &&usize, is: &dyn Fn(InstrumentId, &str) -> bool| {
        let [x, y] = pairs[**at];
        (is(x, a) && is(y, b)) || (is(x, b) && is(y, a))
    };
    let mut found: Vec<usize> = named.iter().filter(|at| both(at, &exact)).copied().collect();
    if found.is_empty() {
        found = named.iter().filter(|at| both(at, &is)).copied().collect();
    }
    match found.as_slice() {
        [] => Err(unknown()),
        [one] => Ok(*one),
        several => Err(WhyError::Ambiguous {
            asked: asked.to_owned(),
            what: several
                .iter()
                .map(|at| full_name(names, parts, pairs[*at]))
                .collect::<Vec<_>>()
                .join(" or "),
            example: full_name(names, parts, pairs[several[0]]),
        }),
    }
}
