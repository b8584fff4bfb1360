//! What of a run can be asked about: its baskets, amendments and cancels with their ids, from the recorded outputs.
//!
//! Reads no market data, so that a long journal is quick to look through. Only an id that the outputs do not name
//! (the venue's own, or one behind the end of outputs that were cut off) takes a replay.

use super::WhyError;
use super::venue_ids::venue_id;
use super::words;
use crate::domain::codec::{decode_output, output_kind};
use crate::domain::event::{Event, EventBody, Seq};
use crate::domain::input::{InputClass, RawInput};
use crate::domain::instrument::{InstrumentId, VenueId};
use crate::domain::intent::{BasketKind, Denial, Intent, NearMiss, Replace, TradeId};
use crate::domain::order::ClientId;
use crate::domain::output::{EventsDigest, Output, OutputKey, Stage};
use crate::domain::time::{Nanos, Stamp};
use crate::journal::{Reader, Stream};
use crate::ops::view::Names;
use crate::replay::cursor::Cursor;
use crate::replay::part::begins_after;
use crate::replay::source::ReplayError;
use crate::stage::river::Tap;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// How many ids an error names.
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
        let skipped = [output_kind(&Output::State(0)), output_kind(&Output::Events(EventsDigest::default()))];
        while let Some(record) = reader.next()? {
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
        Ok(index)
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

    /// Ids that may have been meant.
    fn near(&self, names: &Names, asked: &str) -> String {
        let orders = || self.baskets.iter().flat_map(|b| b.legs.iter().map(move |leg| (b, leg)));
        let total = orders().count();
        if total == 0 {
            return "no order was wanted in this run".to_owned();
        }
        let alike = |id: &ClientId| {
            let text = id.to_string();
            !asked.is_empty() && (text.ends_with(asked) || text.trim_start_matches('0').starts_with(asked))
        };
        let told = |(basket, leg): (&Listed, &Leg)| {
            format!(
                "{} ({} of trade {} at {})",
                leg.0,
                words::kind(basket.kind),
                basket.trade.0,
                names.venue(leg.1)
            )
        };
        let alike: Vec<String> = orders().filter(|(_, leg)| alike(&leg.0)).take(NEAR).map(told).collect();
        if !alike.is_empty() {
            return format!("orders with a similar id are {}", alike.join(", "));
        }
        let first: Vec<String> = orders().take(NEAR).map(told).collect();
        format!("the first of its {total} orders are {}", first.join(", "))
    }
}

/// Finds what is asked about.
pub(super) fn resolve(
    dir: &Path,
    asked: &str,
    progress: &mut dyn FnMut(u64),
) -> Result<(Index, Subject), WhyError> {
    let index = Index::of_outputs(dir)?;
    let asked = asked.trim();
    let bare = asked.strip_prefix("0x").unwrap_or(asked);
    let (prefix, rest) = asked.split_once(':').unwrap_or(("", bare));
    let client = ClientId::parse(bare.as_bytes());
    let trade = match prefix {
        "" | "trade" => rest.parse().ok().map(TradeId),
        _ => None,
    };
    let found = match (client, trade) {
        (Some(id), _) => index.order(id),
        (None, Some(trade)) => index.trade(trade),
        (None, None) => None,
    };
    if let Some(subject) = found {
        return Ok((index, subject));
    }
    let mut hunt = Hunt::new(dir, prefix, rest)?;
    hunt.run(progress)?;
    let Hunt { names, index: replayed, matches, .. } = hunt;
    // Replayed outputs go on where the recorded ones were cut off.
    let index = if replayed.baskets.len() > index.baskets.len() { replayed } else { index };
    let late = client.and_then(|id| index.order(id)).or_else(|| index.trade(trade?));
    if let Some(subject) = late {
        return Ok((index, subject));
    }
    let found: Vec<(ClientId, VenueId)> = matches.into_iter().collect();
    match found.as_slice() {
        [] => Err(WhyError::Unknown { asked: asked.to_owned(), near: index.near(&names, rest) }),
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
            let example = if same { id.to_string() } else { format!("{}:{rest}", names.venue(venue)) };
            Err(WhyError::Ambiguous { asked: asked.to_owned(), what: told.join(" or "), example })
        }
    }
}

/// Replays a run for a venue's id of an order.
struct Hunt {
    cursor: Option<Cursor>,
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
    fn new(dir: &Path, venue: &str, wanted: &str) -> Result<Self, WhyError> {
        let cursor = Cursor::open(dir)?;
        Ok(Self {
            names: Names::of(&cursor.config().params),
            cursor: Some(cursor),
            venue: (!venue.is_empty()).then(|| venue.to_owned()),
            wanted: wanted.to_owned(),
            index: Index::default(),
            matches: BTreeMap::new(),
            seq: 0,
            mono: 0,
            bytes: Vec::new(),
            updated: Vec::new(),
        })
    }

    fn run(&mut self, progress: &mut dyn FnMut(u64)) -> Result<(), WhyError> {
        let Some(mut cursor) = self.cursor.take() else { return Ok(()) };
        while cursor.step(self)? {
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
