//! Decode: numbers the inputs, runs sessions, decoders and the order ledger, and derives typed events.
//!
//! The only stage that numbers inputs. Pure: reads no clock, does no I/O; the same inputs yield the same
//! events. What a session wants done leaves as `EventBody::Action`, and reaches route by the river.

mod on_paper;
mod restart;

use crate::core::cadence::Cadence;
use crate::core::departure::{Departures, Step};
use crate::core::order::{Ledger, LedgerOut};
use crate::core::paper::{Paper, PaperEmit};
use crate::core::reconcile::Reconciler;
use crate::core::registry::Registry;
use crate::core::sentinel::{Key, SAMPLE_MAX, Sentinel, What};
use crate::domain::effect::{OrderCall, SessionAction};
use crate::domain::event::{BurstEnd, ConnStatus, Event, EventBody, Seq, SessionRole};
use crate::domain::input::{Command, ConnId, FrameKind, FrameMeta, Input, InputClass, RawInput};
use crate::domain::instrument::{Instrument, VENUES_MAX, VenueId, VenueSpec};
use crate::domain::order::RejectClass;
use crate::domain::params::{EngineParams, VenueParams};
use crate::domain::standing::{Check, StartCheck};
use crate::domain::state::state_with_boxes;
use crate::domain::text::Text;
use crate::domain::time::{MILLI, Nanos, Stamp};
use crate::ops::view::OddCounts;
use crate::venue::copies::CopyCounts;
use crate::venue::drift::{Drift, DriftKind, Mark, channel_of};
use crate::venue::shape::{self, Shape};
use crate::venue::{self, Adapter, Emit, OddKind, Out, VenueContext};

/// Timers of adapters and ledger run at most this often.
const TIMER_INTERVAL_NS: Nanos = MILLI;

/// Room for what one input can make: the largest is a REST snapshot of 2 × 1000 levels with buffered diffs.
const OUT_CAPACITY: usize = 16 * 1024;

/// What decode knows of a connection.
#[derive(Clone, Copy, Debug)]
pub struct ConnInfo {
    /// Owner.
    pub venue: VenueId,
    /// Purpose.
    pub role: SessionRole,
}

/// Builds the connection table and the venue contexts that the configuration implies.
pub fn plan(
    params: &EngineParams,
    trading: bool,
) -> Result<(Vec<ConnInfo>, Vec<VenueContext>), UnknownDialect> {
    let mut conns = Vec::new();
    let mut contexts = Vec::new();
    for (index, venue_params) in params.venues.iter().enumerate() {
        let venue = VenueId(index as u8);
        let dialect = venue::dialect(&venue_params.dialect)
            .ok_or_else(|| UnknownDialect { name: venue_params.dialect.clone() })?;
        contexts.push(VenueContext {
            venue,
            params: venue_params.clone(),
            listings: params.listings.iter().filter(|listing| listing.venue == venue).copied().collect(),
            conn_base: ConnId(conns.len() as u8),
            slot_base: crate::domain::effect::SecretSlot(index as u8 * 4),
            trading,
        });
        let specs = venue::connections(dialect, venue_params.market_copies, trading);
        conns.extend(specs.into_iter().map(|spec| ConnInfo { venue, role: spec.role }));
    }
    Ok((conns, contexts))
}

/// A dialect name that no venue has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no venue dialect `{name}`")]
pub struct UnknownDialect {
    /// The name.
    pub name: String,
}

fn shapes_of(dialect: &str) -> &'static [Shape] {
    venue::dialect(dialect).map_or(&[], |dialect| dialect.private_shapes())
}

/// The beginning of a text; what is no printable ASCII becomes `?`.
fn clipped(text: &[u8]) -> Text<32> {
    let mut kept = [0; 32];
    let len = text.len().min(kept.len());
    for (to, byte) in kept.iter_mut().zip(&text[..len]) {
        *to = if matches!(byte, b' '..=b'~') { *byte } else { b'?' };
    }
    Text::from_bytes(&kept[..len]).unwrap_or_default()
}

/// States how many private messages of a venue were not understood, and how many of its orders it does not resolve.
fn executions(venue: VenueId, count: u32) -> EventBody {
    EventBody::Check(StartCheck {
        venue,
        check: Check::Executions,
        listing: None,
        passed: count == 0,
        stated: i64::from(count),
        wanted: 0,
    })
}

/// Runs from input to typed events.
pub struct Decode {
    seq: Seq,
    mono: Nanos,
    anchor: Nanos,
    timers_at: Nanos,
    conns: Vec<ConnInfo>,
    epochs: Vec<u32>,
    adapters: Vec<Box<dyn Adapter>>,
    ledger: Ledger,
    registry: Registry,
    out: Out,
    ledger_out: LedgerOut,
    /// Leaves private connections before their end.
    departures: Departures,
    /// Finds what venues did while they were not heard; `None` where orders are executed on paper.
    reconciler: Option<Reconciler>,
    defined: Vec<Instrument>,
    /// What each listing's adapter was last told.
    generations: Vec<u16>,
    odd: OddCounts,
    /// Private messages of an unknown kind since the operator's last word, by venue.
    strange: [u32; VENUES_MAX],
    frames: u64,
    stale_frames: u64,
    /// What departs from the venues' documentation, and at what pace they publish.
    sentinel: Sentinel,
    /// What private messages are documented to hold, by venue.
    shapes: Vec<&'static [Shape]>,
    cadence: Cadence,
    /// Executes orders on paper; `None` where venues do.
    paper: Option<Box<Paper>>,
    /// Venues whose accounts a restart has still to compare.
    awaited: [bool; VENUES_MAX],
}

state_with_boxes!(Decode {
    seq, mono, anchor, timers_at, epochs, ledger, registry, departures, reconciler, generations, odd, strange, frames,
    stale_frames, sentinel, cadence, paper, awaited,
} boxes adapters kept { conns, out, ledger_out, defined, shapes });

impl Decode {
    /// For `params`; `adapters` by venue.
    pub fn new(params: &EngineParams, conns: Vec<ConnInfo>, adapters: Vec<Box<dyn Adapter>>) -> Self {
        Self {
            seq: Seq(0),
            mono: 0,
            anchor: 0,
            timers_at: 0,
            epochs: vec![0; conns.len()],
            departures: Departures::new(
                conns.iter().map(|conn| (conn.venue, conn.role)),
                params.venues.iter().map(VenueParams::connection_age_max),
            ),
            conns,
            adapters,
            ledger: Ledger::new(params),
            registry: Registry::new(params),
            out: Out::with_capacity(OUT_CAPACITY),
            ledger_out: LedgerOut::with_capacity(256),
            reconciler: params.paper.is_none().then(|| Reconciler::new(params)),
            defined: Vec::with_capacity(params.listings.len() * 2),
            generations: vec![0; params.listings.len()],
            odd: OddCounts::default(),
            strange: [0; VENUES_MAX],
            frames: 0,
            stale_frames: 0,
            sentinel: Sentinel::default(),
            shapes: params.venues.iter().map(|venue| shapes_of(&venue.dialect)).collect(),
            cadence: Cadence::new(params.listings.iter().map(|listing| listing.venue)),
            paper: params.paper.map(|paper| Box::new(Paper::new(params, paper))),
            awaited: [false; VENUES_MAX],
        }
    }

    /// The number that the next input will get.
    pub fn next_seq(&self) -> Seq {
        Seq(self.seq.0 + 1)
    }

    /// Numbers the input and tells its number and instant; must be followed by [`Decode::on_input`].
    pub fn sequence(&mut self, raw: &RawInput<'_>) -> (Seq, Stamp) {
        self.seq.0 += 1;
        // Inputs of several threads meet here: time never steps back.
        self.mono = self.mono.max(raw.mono);
        if let Input::Anchor(anchor) = raw.input {
            self.anchor = anchor;
        }
        self.now()
    }

    /// The last input's number and instant.
    pub fn now(&self) -> (Seq, Stamp) {
        (self.seq, Stamp { mono: self.mono, wall: self.mono + self.anchor })
    }

    /// The class of an input, for the journal.
    pub fn class(&self, input: &Input) -> InputClass {
        let account = match input {
            Input::Frame(meta) => {
                self.conns.get(meta.conn.index()).is_some_and(|c| c.role != SessionRole::Market)
            }
            _ => false,
        };
        input.class(account)
    }

    /// Derives the events of the input that was just numbered.
    pub fn on_input(&mut self, raw: &RawInput<'_>, seq: Seq, at: Stamp, sink: &mut impl FnMut(&Event)) {
        let mut emit = |body: EventBody| sink(&Event { seq, at, body });
        self.out.clear();
        if let Some(paper) = &mut self.paper {
            // What was due before this input meets the market as it was before it.
            paper.on_time(at);
            self.drain_paper(at, &mut emit);
        }
        if at.mono >= self.timers_at + TIMER_INTERVAL_NS {
            self.timers_at = at.mono;
            for adapter in &mut self.adapters {
                adapter.on_tick(at, &mut self.out);
            }
            self.drain(at, &[], &mut emit);
            self.ledger.on_tick(at, &mut self.ledger_out);
            self.drain_ledger(at, &mut emit);
            self.reconcile(at, &mut emit);
            if self.awaited.contains(&true) {
                self.watch_restart(&mut emit);
            }
            self.depart(at, &mut emit);
            emit(EventBody::Tick);
        }
        match raw.input {
            Input::Config | Input::Anchor(_) | Input::Tick => {}
            Input::Carry => self.on_carry(raw.bytes, at, &mut emit),
            Input::Frame(meta) => self.on_frame(meta, raw.bytes, at, &mut emit),
            Input::ConnUp { conn, epoch } => {
                if let Some(info) = self.conns.get(conn.index()).copied() {
                    self.epochs[conn.index()] = epoch;
                    emit(EventBody::Conn(ConnStatus { conn, epoch, up: true }));
                    self.departures.on_up(conn, at.mono);
                    self.adapters[info.venue.index()].on_conn_up(conn, epoch, at, &mut self.out);
                }
            }
            // The end of a connection that has a successor already is recorded and inert.
            Input::ConnDown { conn, epoch, reason } => {
                let known = self.epochs.get(conn.index()).copied();
                if let Some(info) = self.conns.get(conn.index()).copied()
                    && known.is_some_and(|known| epoch >= known)
                {
                    emit(EventBody::Conn(ConnStatus { conn, epoch, up: false }));
                    self.departures.on_down(conn);
                    self.adapters[info.venue.index()].on_conn_down(conn, epoch, reason, at, &mut self.out);
                    if info.role != SessionRole::Market {
                        self.ledger.on_account_down(info.venue, at, &mut self.ledger_out);
                        if let Some(reconciler) = &mut self.reconciler
                            && info.role == SessionRole::Account
                        {
                            reconciler.on_account_down(info.venue);
                        }
                        self.drain_ledger(at, &mut emit);
                    }
                }
            }
            Input::HttpReply { venue, id, status } => {
                if let Some((OrderCall::Place, tag)) = id.order() {
                    self.ledger.on_place_reply(venue, tag, status);
                }
                if let Some(adapter) = self.adapters.get_mut(venue.index()) {
                    adapter.on_http(id, status, raw.bytes, at, &mut self.out);
                }
                if let Some((OrderCall::Place | OrderCall::Cancel | OrderCall::Amend, tag)) = id.order() {
                    // What is refused, or not answered, names no order: the request does.
                    self.out.name_reports(self.ledger.tagged(venue, tag));
                }
            }
            Input::Pace(pace) => {
                emit(EventBody::Pace(pace));
                if let Some(adapter) = self.adapters.get_mut(pace.venue.index()) {
                    adapter.on_pace(&pace, at, &mut self.out);
                }
            }
            Input::Denied(denial) => emit(EventBody::Denied(denial)),
            Input::Outcome(outcome) => {
                emit(EventBody::Outcome(outcome));
                self.ledger.on_outcome(&outcome, at, &mut self.ledger_out);
                self.drain_ledger(at, &mut emit);
                if let Some(paper) = &mut self.paper {
                    paper.on_outcome(&outcome, at);
                    self.drain_paper(at, &mut emit);
                }
            }
            Input::ReplaceOutcome { outcome, old } => {
                emit(EventBody::Outcome(outcome));
                self.ledger.on_replace_outcome(&outcome, old, at, &mut self.ledger_out);
                self.drain_ledger(at, &mut emit);
            }
            Input::AmendOutcome(outcome) => {
                emit(EventBody::AmendOutcome(outcome));
                self.ledger.on_amend_outcome(&outcome, at, &mut self.ledger_out);
                self.drain_ledger(at, &mut emit);
            }
            Input::Command(command) => {
                emit(EventBody::Command(command));
                if command == Command::Resume {
                    self.forgive_strange(&mut emit);
                }
                for adapter in &mut self.adapters {
                    match command {
                        Command::Start => adapter.on_start(at, &mut self.out),
                        Command::Stop => adapter.on_stop(at, &mut self.out),
                        _ => {}
                    }
                }
                if let Some(paper) = &mut self.paper {
                    paper.on_command(command, at);
                    self.drain_paper(at, &mut emit);
                }
            }
        }
        self.drain(at, raw.bytes, &mut emit);
        if let Input::Frame(meta) = raw.input {
            self.look_at_private(meta, raw.bytes, at);
        }
        if let Input::Frame(FrameMeta { conn, last: true, drained, .. }) = raw.input {
            emit(EventBody::BurstEnd(BurstEnd { conn, drained }));
        }
    }

    fn on_frame(&mut self, meta: FrameMeta, bytes: &[u8], at: Stamp, _emit: &mut impl FnMut(EventBody)) {
        let Some(info) = self.conns.get(meta.conn.index()) else { return };
        self.frames += 1;
        // Frames of an older connection are recorded and inert.
        if self.epochs[meta.conn.index()] != meta.epoch {
            self.stale_frames += 1;
            return;
        }
        self.adapters[info.venue.index()].on_frame(meta, bytes, at, &mut self.out);
    }

    /// Turns what adapters emitted of `bytes` into events; definitions and reports may make more on the way.
    fn drain(&mut self, at: Stamp, bytes: &[u8], emit: &mut impl FnMut(EventBody)) {
        let mut next = 0;
        while let Some(item) = self.out.items().get(next) {
            next += 1;
            // Most of all that passes: only what it consists of is copied, not all that an item has room for.
            if let Emit::Event(EventBody::Bbo(best)) = *item {
                emit(EventBody::Bbo(best));
                if let Some(paper) = &mut self.paper {
                    paper.on_market(&EventBody::Bbo(best), at);
                    self.drain_paper(at, emit);
                }
                continue;
            }
            match *item {
                Emit::Event(body) => {
                    emit(body);
                    match (&mut self.reconciler, &body) {
                        (Some(of), EventBody::Position(report)) => of.on_report(report, at.mono, emit),
                        (Some(of), EventBody::Mark(mark)) => of.on_mark(mark),
                        _ => {}
                    }
                    if let EventBody::Session(status) = &body {
                        self.departures.on_session(status, at.mono);
                    }
                    if let Some(change) = self.cadence.on_event(&body) {
                        self.sentinel.note_pace(change, at.wall);
                    }
                    if let Some(paper) = &mut self.paper {
                        paper.on_market(&body, at);
                        self.drain_paper(at, emit);
                    }
                }
                Emit::Action(action) => emit(EventBody::Action(action)),
                Emit::Leave { conn, by } => self.departures.on_wish(conn, by, at.mono),
                Emit::Report(report) => {
                    self.ledger.on_report(&report, at, &mut self.ledger_out);
                    self.drain_ledger(at, emit);
                    if report.reject == RejectClass::Never {
                        self.adapters[report.venue.index()].on_order_wrong(at, &mut self.out);
                    }
                }
                Emit::Execution(report) => {
                    self.ledger.on_execution(&report, at, &mut self.ledger_out);
                    self.drain_ledger(at, emit);
                }
                Emit::ExecutionsRead(venue) => {
                    if let Some(reconciler) = &mut self.reconciler {
                        reconciler.on_executions_read(venue);
                    }
                }
                Emit::Spec(spec) => self.define(&spec, at, true, emit),
                Emit::ReconcileEnd(venue) => {
                    self.ledger.on_reconcile_end(venue, at, &mut self.ledger_out);
                    self.drain_ledger(at, emit);
                }
                Emit::Drift(drift) => self.on_drift(drift, bytes, at),
                Emit::Odd(odd) => {
                    *match odd.kind {
                        OddKind::Malformed => &mut self.odd.malformed,
                        OddKind::Unknown => &mut self.odd.unknown,
                        OddKind::UnknownSymbol => &mut self.odd.symbols,
                        OddKind::Inexact => &mut self.odd.inexact,
                        OddKind::UnknownExecution => &mut self.odd.executions,
                        OddKind::Refused => &mut self.odd.refused,
                    } += 1;
                    if odd.kind == OddKind::UnknownExecution {
                        self.on_strange(odd.conn, emit);
                    }
                }
            }
        }
        self.out.clear();
    }

    /// Takes in what is known of a listing. Decoders are told of what venues state only, not of what the run before
    /// knew: `stated`.
    fn define(&mut self, spec: &VenueSpec, at: Stamp, stated: bool, emit: &mut impl FnMut(EventBody)) {
        self.defined.clear();
        // A specification that does not fit leaves the listing undefined: it is never traded.
        self.odd.specs += u64::from(self.registry.on_spec(spec, &mut self.defined).is_err());
        if let Some(known) = self.registry.get(spec.instrument)
            && stated
            && self.defined.is_empty()
            && self.generations[known.id.index()] == 0
        {
            // As the run before knew it: its decoder has not heard of it.
            self.defined.push(*known);
        }
        for instrument in &self.defined {
            emit(EventBody::Instrument(*instrument));
            if let Some(paper) = &mut self.paper {
                paper.on_instrument(instrument);
            }
            self.ledger.on_instrument(instrument, &mut self.ledger_out);
            if let Some(reconciler) = &mut self.reconciler {
                reconciler.on_instrument(instrument);
            }
            // Within a generation only the status changes, which is no affair of a decoder.
            let known = &mut self.generations[instrument.id.index()];
            if stated && std::mem::replace(known, instrument.generation) != instrument.generation {
                self.adapters[instrument.venue.index()].on_instrument(instrument, at, &mut self.out);
            }
        }
    }

    /// A private message of a kind that is not known was set aside: what it did to the account is not known
    /// either, so its venue takes no opening orders until the operator has looked and resumes.
    #[cold]
    fn on_strange(&mut self, conn: ConnId, emit: &mut impl FnMut(EventBody)) {
        let Some(venue) = self.conns.get(conn.index()).map(|info| info.venue) else { return };
        if let Some(count) = self.strange.get_mut(venue.index()) {
            *count = count.saturating_add(1);
            emit(executions(venue, *count));
        }
    }

    /// The operator's word opens what [`Decode::on_strange`] closed.
    fn forgive_strange(&mut self, emit: &mut impl FnMut(EventBody)) {
        for (venue, count) in (0..).map(VenueId).zip(&mut self.strange) {
            if std::mem::take(count) > 0 {
                emit(executions(venue, 0));
            }
        }
    }

    /// Names what departs in a private message: fields by their names, and never a value or a part of the message.
    /// Called when the message has had its effect.
    fn look_at_private(&mut self, meta: FrameMeta, frame: &[u8], at: Stamp) {
        let Some(info) = self.conns.get(meta.conn.index()).filter(|info| info.role != SessionRole::Market)
        else {
            return;
        };
        if meta.kind != FrameKind::Text || self.epochs[meta.conn.index()] != meta.epoch {
            return;
        }
        let found = shape::departures(self.shapes[info.venue.index()], frame);
        let Some((channel, marks)) = found.filter(|(_, marks)| !marks.is_empty()) else { return };
        for (_, mark) in marks.of(frame) {
            let (what, name) = match mark {
                Mark::Field { name } => (What::Field, name),
                Mark::Value { name, .. } => (What::Value, name),
            };
            let (channel, name) = (clipped(channel.as_bytes()), clipped(shape::shown(name)));
            let key = Key { venue: info.venue, what, channel, name, value: Text::EMPTY };
            self.sentinel.note(key, b"", at.wall);
        }
    }

    /// Names what departs in a public message; of private ones see [`Decode::look_at_private`].
    #[cold]
    fn on_drift(&mut self, drift: Drift, frame: &[u8], at: Stamp) {
        let Some(info) = self.conns.get(drift.conn.index()).filter(|info| info.role == SessionRole::Market)
        else {
            return;
        };
        let channel = clipped(channel_of(frame));
        let key = |what, name, value| {
            let (name, value) = (clipped(name), clipped(value));
            Key { venue: info.venue, what, channel, name, value }
        };
        // A little of what stands before it shows where it stands.
        let sample = |place: usize| &frame[place.min(frame.len()).saturating_sub(SAMPLE_MAX / 4)..];
        match drift.what {
            DriftKind::Marked(marks) => {
                for (place, mark) in marks.of(frame) {
                    let key = match mark {
                        Mark::Field { name } => key(What::Field, name, b""),
                        Mark::Value { name, value } => key(What::Value, name, value),
                    };
                    self.sentinel.note(key, sample(place), at.wall);
                }
            }
            DriftKind::Broken(name) => {
                let place = memchr::memmem::find(frame, name.as_bytes()).unwrap_or(0);
                self.sentinel.note(key(What::Broken, name.as_bytes(), b""), sample(place), at.wall);
            }
            DriftKind::Type => {
                self.sentinel.note(key(What::Type, channel_of(frame), b""), sample(0), at.wall)
            }
        }
    }

    /// Hands what happened on paper to the ledger and on.
    fn drain_paper(&mut self, at: Stamp, emit: &mut impl FnMut(EventBody)) {
        let mut next = 0;
        while let Some(item) = self.paper.as_ref().and_then(|paper| paper.items().get(next)).copied() {
            next += 1;
            match item {
                PaperEmit::Report(report) => {
                    self.ledger.on_report(&report, at, &mut self.ledger_out);
                    self.drain_ledger(at, emit);
                }
                PaperEmit::Session(status) => emit(EventBody::Session(status)),
                PaperEmit::Balance(report) => emit(EventBody::Balance(report)),
            }
        }
        if let Some(paper) = &mut self.paper {
            paper.clear();
        }
    }

    /// Differences of positions that have stood for long enough.
    fn reconcile(&mut self, at: Stamp, emit: &mut impl FnMut(EventBody)) {
        let Some(reconciler) = &mut self.reconciler else { return };
        let (ledger, at_mark) = (&self.ledger, &mut self.odd.at_mark);
        let pending = |venue, instrument| ledger.is_pending(venue, instrument);
        let settled = reconciler.on_tick(at.mono, pending, &mut |event| {
            *at_mark += u64::from(matches!(event, EventBody::Order(_)));
            emit(event);
        });
        for (venue, instrument) in settled {
            self.ledger.on_position_settled(venue, instrument, at, &mut self.ledger_out);
            self.drain_ledger(at, emit);
        }
        // Asked for in the next round: its statement is compared when it comes.
        while let Some(venue) = self.reconciler.as_mut().and_then(|of| of.next_doubt(at.mono)) {
            if let Some(adapter) = self.adapters.get_mut(venue.index()) {
                adapter.reread_positions(at, &mut self.out);
            }
        }
        self.drain(at, &[], emit);
    }

    /// Leaves private connections whose end is near, at a moment at which no order needs them.
    fn depart(&mut self, at: Stamp, emit: &mut impl FnMut(EventBody)) {
        let Self { departures, ledger, adapters, out, .. } = self;
        let quiet = |venue| ledger.is_quiet(venue);
        departures.on_tick(at.mono, quiet, &mut |step| match step {
            Step::State(check) => emit(EventBody::Check(check)),
            Step::Leave(venue, conn) => adapters[venue.index()].depart(conn, at, out),
        });
        self.drain(at, &[], emit);
    }

    fn drain_ledger(&mut self, at: Stamp, emit: &mut impl FnMut(EventBody)) {
        // First: an order that its amendment ended is forgotten by those who hear of the end.
        for update in &self.ledger_out.amends {
            emit(EventBody::Amended(*update));
        }
        for update in &self.ledger_out.updates {
            emit(EventBody::Order(*update));
            if let Some(reconciler) = &mut self.reconciler {
                reconciler.on_update(update, at.mono);
            }
        }
        for query in &self.ledger_out.queries {
            match &mut self.paper {
                // No venue knows of the order: paper answers with the next input.
                Some(paper) => paper.on_query(query),
                None => emit(EventBody::Action(SessionAction::Query(*query))),
            }
        }
        for order in &self.ledger_out.unresolved {
            // Nobody knows what it did: no new trades at the venue until the operator has looked, and the positions
            // tell what it is to be taken for.
            if let Some(count) = self.strange.get_mut(order.venue.index()) {
                *count = count.saturating_add(1);
                emit(executions(order.venue, *count));
            }
            self.odd.unresolved += 1;
            if let Some(reconciler) = &mut self.reconciler {
                reconciler.doubt(order.instrument);
            }
        }
        self.odd.orders += self.ledger_out.odd.len() as u64;
        self.ledger_out.clear();
    }

    /// The order ledger.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Counts of odd messages.
    pub fn odd(&self) -> OddCounts {
        self.odd
    }

    /// Where public messages depart from what venues document.
    pub fn sentinel(&self) -> &Sentinel {
        &self.sentinel
    }

    /// What became of the copies of market data, by venue that may have two connections for it.
    pub fn copies(&self) -> impl Iterator<Item = (VenueId, &CopyCounts)> {
        let venues = (0..).map(VenueId).zip(&self.adapters);
        venues.filter_map(|(venue, adapter)| Some((venue, adapter.copies()?)))
    }

    /// Frames received, and of them those of older connections.
    pub fn frames(&self) -> (u64, u64) {
        (self.frames, self.stale_frames)
    }
}
