//! What of a run can be asked about: its baskets, amendments and cancels with their ids, from the recorded outputs.
//!
//! Replays nothing, so that a long journal is quick to look through: what a venue calls by an id of its own is read off
//! the recorded messages. Only an order that no basket here placed, and what lies behind the end of outputs that were cut
//! off, take a replay of where they can be.

use super::WhyError;
use super::venue_ids::{called, venue_id};
use super::words;
use crate::domain::codec::{decode_output, output_kind};
use crate::domain::event::{Event, EventBody, Seq};
use crate::domain::input::{InputClass, RawInput};
use crate::domain::instrument::{InstrumentId, VenueId};
use crate::domain::intent::{BasketKind, Denial, Intent, NearMiss, Replace, TradeId};
use crate::domain::order::ClientId;
use crate::domain::output::{EventsDigest, Output, OutputKey, STAGES, Stage};
use crate::domain::time::{Nanos, Stamp};
use crate::journal::{Reader, Stream, read_mark};
use crate::ops::view::Names;
use crate::replay::cursor::Cursor;
use crate::replay::part::begins_after;
use crate::replay::place::order_named;
use crate::replay::source::{Inputs, ReplayError, read_config};
use crate::stage::river::Tap;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// How many orders an error names.
const NEAR: usize = 6;

/// An order of a basket: its id, where, what.
pub(super) type Leg = (ClientId, VenueId, InstrumentId);

/// A basket (or amendment) that scan wanted.
#[derive(Clone, Debug)]
pub(super) struct Listed {
    pub seq: u64,
    /// `mono` of its input.
    pub mono: Nanos,
    pub trade: TradeId,
    pub attempt: u16,
    pub kind: BasketKind,
    pub legs: Vec<Leg>,
    /// Denied by risk or route.
    pub denied: bool,
}

/// Everything that may be asked about.
#[derive(Debug, Default)]
pub(super) struct Index {
    pub baskets: Vec<Listed>,
    /// Cancels that scan or risk wanted: input and order.
    pub cancels: Vec<(u64, ClientId)>,
    /// The input up to which the record is whole; `None` = to its end.
    cut_at: Option<u64>,
}

/// What is asked about.
#[derive(Clone, Debug, Default)]
pub(super) struct Subject {
    pub trade: Option<TradeId>,
    pub order: Option<ClientId>,
    /// Inputs in which something of it was wanted.
    pub causes: BTreeSet<u64>,
}

impl Index {
    /// From the recorded outputs.
    pub fn of_outputs(dir: &Path) -> Result<Self, WhyError> {
        let mut index = Self::default();
        let (mut reader, after) = (Reader::open(dir, Stream::Outputs)?, begins_after(dir));
        let mut reached = [0; STAGES.len()];
        let skipped = [output_kind(&Output::State(0)), output_kind(&Output::Events(EventsDigest::default()))];
        while let Some(record) = reader.next()? {
            if let Some(reached) = reached.get_mut(usize::from(record.class)) {
                *reached = record.seq;
            }
            if skipped.contains(&record.kind) || record.seq <= after.0 {
                continue;
            }
            let (seq, mono) = (record.seq, record.time_ns);
            let decoded = decode_output(Seq(seq), record.body);
            let (key, output, _) = decoded.map_err(|why| ReplayError::Record {
                dir: dir.to_owned(),
                stream: "output",
                seq,
                why: why.to_string(),
            })?;
            match output {
                Output::Intent(intent) => index.wanted(seq, mono, &intent),
                Output::Approved(Intent::Cancel(order)) if key.stage == Stage::Risk => {
                    index.cancels.push((seq, order.client_id));
                }
                Output::Denied(denial) => index.denied(&denial),
                _ => {}
            }
        }
        let mark = read_mark(dir, Stream::Outputs, reader.manifest().run_id.0);
        // Those two make what is listed here; stages on threads are cut off at different inputs.
        let both = [Stage::Scan, Stage::Risk].map(|stage| reached[stage as usize]);
        index.cut_at = (!mark.is_some_and(|mark| mark.closed)).then(|| both[0].min(both[1]));
        Ok(index)
    }

    /// Adds what was replayed and is not there yet.
    fn join(&mut self, replayed: Self) {
        let name = |of: &Listed| (of.seq, of.trade, of.attempt, of.kind);
        let known: BTreeSet<_> = self.baskets.iter().map(|of| (of.seq, of.trade, of.attempt)).collect();
        let new = |of: &Listed| {
            !known.contains(&(of.seq, of.trade, of.attempt))
                || !self.baskets.iter().any(|other| name(other) == name(of))
        };
        let new: Vec<Listed> = replayed.baskets.into_iter().filter(new).collect();
        self.baskets.extend(new);
        self.baskets.sort_by_key(|of| of.seq);
        let new = replayed.cancels.into_iter().filter(|of| !self.cancels.contains(of)).collect::<Vec<_>>();
        self.cancels.extend(new);
        self.cancels.sort_unstable();
    }

    fn wanted(&mut self, seq: u64, mono: Nanos, intent: &Intent) {
        match intent {
            Intent::Basket(basket) => self.baskets.push(Listed {
                seq,
                mono,
                trade: basket.trade,
                attempt: basket.attempt,
                kind: basket.kind,
                legs: basket.orders().iter().map(|o| (o.client_id, o.venue, o.instrument)).collect(),
                denied: false,
            }),
            Intent::Amend(amend) | Intent::Replace(Replace { with: amend, .. }) => {
                self.baskets.push(Listed {
                    seq,
                    mono,
                    trade: amend.trade,
                    attempt: amend.attempt,
                    kind: BasketKind::Amend,
                    legs: vec![(amend.to.client_id, amend.to.venue, amend.to.instrument)],
                    denied: false,
                })
            }
            Intent::Cancel(order) => self.cancels.push((seq, order.client_id)),
        }
    }

    fn denied(&mut self, denial: &Denial) {
        let concerned = |listed: &&mut Listed| {
            (listed.trade, listed.attempt, listed.kind) == (denial.trade, denial.attempt, denial.kind)
        };
        if let Some(listed) = self.baskets.iter_mut().rev().find(concerned) {
            listed.denied = true;
        }
    }

    fn order(&self, id: ClientId) -> Option<Subject> {
        let placed =
            self.baskets.iter().find(|b| b.kind != BasketKind::Amend && b.legs.iter().any(|leg| leg.0 == id));
        if let Some(placed) = placed {
            return Some(Subject { order: Some(id), ..self.trade(placed.trade)? });
        }
        // No basket of this run placed it: an older run's, or somebody's.
        let amended = self.baskets.iter().filter(|b| b.legs.iter().any(|leg| leg.0 == id)).map(|b| b.seq);
        let cancelled = self.cancels.iter().filter(|(_, order)| *order == id).map(|(seq, _)| *seq);
        let causes: BTreeSet<u64> = amended.chain(cancelled).collect();
        (!causes.is_empty()).then_some(Subject { trade: None, order: Some(id), causes })
    }

    /// An order that a basket here placed, and where.
    fn placed(&self, id: ClientId) -> Option<(ClientId, VenueId)> {
        let mut legs = self.baskets.iter().flat_map(|basket| &basket.legs);
        legs.find(|leg| leg.0 == id).map(|leg| (id, leg.1))
    }

    fn trade(&self, id: TradeId) -> Option<Subject> {
        let of = || self.baskets.iter().filter(|basket| basket.trade == id);
        let ids: BTreeSet<ClientId> = of().flat_map(|basket| basket.legs.iter().map(|leg| leg.0)).collect();
        let own = of().map(|basket| basket.seq);
        let amended = self.baskets.iter().filter(|b| b.kind == BasketKind::Amend);
        let amended = amended.filter(|b| b.legs.iter().any(|leg| ids.contains(&leg.0))).map(|b| b.seq);
        let cancelled = self.cancels.iter().filter(|(_, order)| ids.contains(order)).map(|(seq, _)| *seq);
        let causes: BTreeSet<u64> = own.chain(amended).chain(cancelled).collect();
        (!causes.is_empty()).then_some(Subject { trade: Some(id), order: None, causes })
    }

    /// What may have been meant.
    fn near(&self, names: &Names, name: &Name<'_>) -> String {
        let ids = || self.baskets.iter().map(|basket| basket.trade.0);
        let (Some(first), Some(last)) = (ids().min(), ids().max()) else {
            return "no order was wanted in this run".to_owned();
        };
        let trades = format!("its trades are {first} to {last}");
        if let Some(venue) = name.venue {
            return format!("no message of {venue} calls an order of ours so; {trades}");
        }
        if name.trade.is_some() {
            return trades;
        }
        // A number within the run stands for the whole id.
        let wanted = name.order.map_or_else(|| name.rest.to_ascii_lowercase(), |id| id.to_string());
        let mut orders: Vec<_> = self
            .baskets
            .iter()
            .flat_map(|basket| basket.legs.iter().map(move |leg| (basket, leg)))
            .map(|(basket, leg)| (far(&wanted, leg.0), basket, leg))
            .collect();
        orders.sort_by_key(|(far, _, leg)| (*far, leg.0.0));
        orders.dedup_by_key(|(_, _, leg)| leg.0);
        let total = orders.len();
        // Half of it is different: that is no mistyped id.
        if orders.first().is_none_or(|(far, ..)| far.0 > wanted.len() / 2) {
            return format!("none of its {total} orders has an id like that; {trades}");
        }
        let told: Vec<String> = orders
            .iter()
            .take(NEAR)
            .map(|(_, basket, leg)| {
                let (kind, venue) = (words::kind(basket.kind), names.venue(leg.1));
                format!("{} ({kind} of trade {} at {venue})", leg.0, basket.trade.0)
            })
            .collect();
        format!("the nearest of its {total} orders are {}; {trades}", told.join(", "))
    }
}

/// How far a text lies from an id: by the letters that are to change, none for the beginning or the end of the id, then
/// by the difference of the numbers.
fn far(wanted: &str, id: ClientId) -> (usize, u128) {
    let text = id.to_string();
    let is_part = text.ends_with(wanted)
        || text.starts_with(wanted)
        || text.trim_start_matches('0').starts_with(wanted.trim_start_matches('0'));
    let letters = if is_part { 0 } else { strsim::levenshtein(wanted, &text) };
    let number = ClientId::parse(wanted.as_bytes()).map_or(0, |wanted| wanted.0.abs_diff(id.0));
    (letters, number)
}

/// What is asked about, as it was written.
struct Name<'a> {
    /// An order at this venue, by its own id.
    venue: Option<&'a str>,
    rest: &'a str,
    order: Option<ClientId>,
    trade: Option<TradeId>,
}

impl<'a> Name<'a> {
    fn parse(asked: &'a str, names: &Names, epoch: u64) -> Result<Self, WhyError> {
        let bare = asked.strip_prefix("0x").unwrap_or(asked);
        let (prefix, rest) = asked.split_once(':').unwrap_or(("", bare));
        let order = || order_named(rest.strip_prefix("0x").unwrap_or(rest), epoch);
        let trade = || rest.parse().ok().map(TradeId);
        let (order, trade) = match prefix {
            // A number without letters is a trade's.
            "" => match trade() {
                Some(trade) => (None, Some(trade)),
                None => (order(), None),
            },
            "trade" => (None, trade()),
            "order" => (order(), None),
            venue if names.venues.iter().any(|known| known == venue) => {
                return Ok(Self { venue: Some(venue), rest, order: None, trade: None });
            }
            venue => {
                let (asked, known) = (asked.to_owned(), names.venues.join(", "));
                return Err(WhyError::Venue { asked, venue: venue.to_owned(), known });
            }
        };
        Ok(Self { venue: None, rest, order, trade })
    }

    fn find(&self, index: &Index) -> Option<Subject> {
        self.order.and_then(|id| index.order(id)).or_else(|| index.trade(self.trade?))
    }
}

/// Finds what is asked about.
pub(super) fn resolve(
    dir: &Path,
    asked: &str,
    progress: &mut dyn FnMut(u64),
) -> Result<(Index, Subject), WhyError> {
    let asked = asked.trim();
    let (_, _, config) = read_config(dir)?;
    let names = Names::of(&config.params);
    let name = Name::parse(asked, &names, config.params.boot_epoch)?;
    let mut index = Index::of_outputs(dir)?;
    if let Some(subject) = name.find(&index) {
        return Ok((index, subject));
    }
    let is_venues = !asked.starts_with("trade:") && !asked.starts_with("order:");
    let stated = if is_venues { stated(dir, name.rest, progress)? } else { Stated::default() };
    let placed: Vec<(ClientId, VenueId)> = stated.orders.iter().filter_map(|id| index.placed(*id)).collect();
    let is_placed = placed.len() == stated.orders.len();
    // What is meant may stand behind the outputs, unless a venue's name says of what the messages speak.
    let cut_at = index.cut_at.filter(|_| name.venue.is_none() || !is_placed);
    let found: Vec<(ClientId, VenueId)> = if cut_at.is_none() && is_placed {
        // Where this run placed them all, it says where.
        let here = |(_, venue): &(ClientId, VenueId)| name.venue.is_none_or(|of| of == names.venue(*venue));
        placed.into_iter().filter(here).collect()
    } else {
        let mut hunt = Hunt::new(names.clone(), name.venue, name.rest);
        let from = cut_at.into_iter().chain(stated.span.map(|[first, _]| first.saturating_sub(1))).min();
        let to = if cut_at.is_some() { u64::MAX } else { stated.span.map_or(0, |[_, last]| last) };
        hunt.run(dir, Seq(from.unwrap_or(to)), to, progress)?;
        index.join(hunt.index);
        if let Some(subject) = name.find(&index) {
            return Ok((index, subject));
        }
        hunt.matches.into_iter().collect()
    };
    match found.as_slice() {
        [] => Err(WhyError::Unknown { asked: asked.to_owned(), near: index.near(&names, &name) }),
        [(id, _)] => match index.order(*id) {
            Some(subject) => Ok((index, subject)),
            None => Err(WhyError::Unknown {
                asked: asked.to_owned(),
                near: format!("it is the venue's id of {id}, which this run neither placed nor touched"),
            }),
        },
        several => {
            let told: Vec<String> =
                several.iter().map(|(id, venue)| format!("{id} at {}", names.venue(*venue))).collect();
            let (id, venue) = several[0];
            let same = several.iter().filter(|(_, other)| *other == venue).count() > 1;
            let rest = name.rest;
            let example = if same { id.to_string() } else { format!("{}:{rest}", names.venue(venue)) };
            Err(WhyError::Ambiguous { asked: asked.to_owned(), what: told.join(" or "), example })
        }
    }
}

/// Orders that messages call by a venue's id.
#[derive(Default)]
struct Stated {
    orders: BTreeSet<ClientId>,
    /// The first and the last input that does.
    span: Option<[u64; 2]>,
}

/// What recorded messages call by this id.
fn stated(dir: &Path, id: &str, progress: &mut dyn FnMut(u64)) -> Result<Stated, WhyError> {
    let finder = memchr::memmem::Finder::new(id);
    let (mut inputs, mut found) = (Inputs::open(dir)?, Stated::default());
    while let (false, Some((seq, raw))) = (id.is_empty(), inputs.next()?) {
        let orders = if finder.find(raw.bytes).is_some() { called(raw.bytes, id) } else { Vec::new() };
        if !orders.is_empty() {
            found.span = Some([found.span.map_or(seq.0, |[first, _]| first), seq.0]);
            found.orders.extend(orders);
        }
        if seq.0.is_multiple_of(1 << 14) {
            progress(seq.0);
        }
    }
    Ok(found)
}

/// Replays a run for a venue's id of an order.
struct Hunt {
    names: Names,
    /// Only at this venue.
    venue: Option<String>,
    wanted: String,
    index: Index,
    /// Our orders that a venue calls so.
    matches: BTreeMap<ClientId, VenueId>,
    seq: u64,
    mono: Nanos,
    bytes: Vec<u8>,
    updated: Vec<(ClientId, VenueId)>,
}

impl Hunt {
    fn new(names: Names, venue: Option<&str>, wanted: &str) -> Self {
        Self {
            names,
            venue: venue.map(str::to_owned),
            wanted: wanted.to_owned(),
            index: Index::default(),
            matches: BTreeMap::new(),
            seq: 0,
            mono: 0,
            bytes: Vec::new(),
            updated: Vec::new(),
        }
    }

    /// From behind input `from` to `to`, or to the end.
    fn run(&mut self, dir: &Path, from: Seq, to: u64, progress: &mut dyn FnMut(u64)) -> Result<(), WhyError> {
        let mut cursor = Cursor::open(dir)?;
        cursor.seek(from, &mut (), &mut |seq| progress(seq.0))?;
        while cursor.seq().0 < to && cursor.step(self)? {
            if self.seq.is_multiple_of(1 << 14) {
                progress(self.seq);
            }
        }
        Ok(())
    }
}

impl Tap for Hunt {
    fn input(&mut self, seq: Seq, at: Stamp, class: InputClass, raw: &RawInput<'_>) {
        (self.seq, self.mono) = (seq.0, at.mono);
        self.updated.clear();
        self.bytes.clear();
        // Only these can speak of an order; HTTP replies are of the market's class.
        if class == InputClass::Account || !matches!(raw.input, crate::domain::input::Input::Frame(_)) {
            self.bytes.extend_from_slice(raw.bytes);
        }
    }

    fn event(&mut self, event: &Event) {
        if let EventBody::Order(update) = &event.body
            && update.client_id != ClientId::NONE
            && !self.updated.iter().any(|(id, _)| *id == update.client_id)
        {
            self.updated.push((update.client_id, update.venue));
        }
    }

    fn intent(&mut self, _: OutputKey, intent: &Intent) {
        self.index.wanted(self.seq, self.mono, intent);
    }

    fn approved(&mut self, key: OutputKey, intent: &Intent) {
        if let Intent::Cancel(order) = intent {
            self.index.cancels.push((key.cause.0, order.client_id));
        }
    }

    fn denied(&mut self, _: OutputKey, denial: &Denial) {
        self.index.denied(denial);
    }

    fn message(&mut self, _: OutputKey, _: &crate::domain::effect::OutMsg) {}

    fn near_miss(&mut self, _: OutputKey, _: &NearMiss) {}
    fn state(&mut self, _: OutputKey, _: u64) {}

    fn end(&mut self, _: Seq) {
        for (id, venue) in &self.updated {
            let here = self.venue.as_deref().is_none_or(|name| name == self.names.venue(*venue));
            if here && venue_id(&self.bytes, *id).as_deref() == Some(self.wanted.as_str()) {
                self.matches.insert(*id, *venue);
            }
        }
    }
}
