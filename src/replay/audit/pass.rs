//! The one pass of an audit over a journal.

use super::begin::{Beginning, PartReport};
use super::carried::{CarryReport, Taken};
use super::finding::Findings;
use super::frames::Frames;
use super::hedging::Hedging;
use super::ledger::{Begins, LedgerError, Record, compare, names};
use super::limits::Instead;
use super::money::{Books, Verdict};
use super::orders::Book;
use super::report::{AuditReport, LimitReport};
use super::sequence::Sequence;
use super::source::Recorded;
use crate::domain::carry::{Carried, Carry};
use crate::domain::codec::decode_input;
use crate::domain::effect::OutMeta;
use crate::domain::event::{EventBody, Seq};
use crate::domain::input::{Input, RawInput};
use crate::domain::instrument::Instrument;
use crate::domain::intent::{Intent, TradeId};
use crate::domain::order::{ClientId, OrderUpdate};
use crate::domain::output::Output;
use crate::domain::time::{Nanos, Stamp};
use crate::journal::{JournalError, Mark, Reader, Stream, read_mark};
use crate::replay::check::{CheckLimits, Checker, Fact};
use crate::replay::cursor::Cursor;
use crate::replay::part;
use crate::replay::source::{ReplayError, RunConfig};
use crate::stage::LOGIC_VERSION;
use crate::stage::decode::Decode;
use std::collections::BTreeMap;
use std::path::Path;

/// Progress is told after so many inputs.
const TELL_EVERY: u64 = 1 << 14;

/// Notes about the last moments of a crashed run that are kept.
const NOTES_MAX: usize = 100;

/// What an audit is to hold a journal against.
#[derive(Clone, Copy, Debug, Default)]
pub struct AuditOptions<'a> {
    /// Limits in place of the run's own.
    pub limits: Instead,
    /// The venues' books: one folder per venue.
    pub ledger: Option<&'a Path>,
    /// Journal of the run before; `None` = the one that lies beside this one, where it does.
    pub follows: Option<&'a Path>,
}

/// How far an audit has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Inputs read.
    pub inputs: u64,
    /// Bytes of the input stream read.
    pub position: u64,
    /// Bytes that are known to be there; more may follow.
    pub bytes: u64,
}

/// Why a journal cannot be audited at all.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The journal.
    #[error(transparent)]
    Replay(#[from] ReplayError),
    /// The venues' books.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

impl From<JournalError> for AuditError {
    fn from(error: JournalError) -> Self {
        Self::Replay(error.into())
    }
}

/// Audits the journal in `dir`: of a run that ended, that crashed, or that still writes.
///
/// # Errors
/// What cannot be read at all; whatever is wrong inside is a finding.
pub fn audit(
    dir: &Path,
    options: &AuditOptions<'_>,
    progress: &mut dyn FnMut(Progress),
) -> Result<AuditReport, AuditError> {
    let cursor = Cursor::open(dir)?;
    let (manifest, config, after) =
        (cursor.manifest().clone(), cursor.config().clone(), cursor.begins_after());
    let parts = cursor.into_river().into_parts();
    let limits = options.limits.over(CheckLimits::of(&config.params));
    // Unhedged legs are judged here, trade by trade.
    let (notional_max, ns_max) = (limits.unhedged_notional_max, limits.unhedged_ns_max);
    let limits = CheckLimits { unhedged_notional_max: None, unhedged_ns_max: None, ..limits };
    let checker = part::checker(dir, after, limits)?;
    let mark = |stream| read_mark(dir, stream, manifest.run_id.0);
    let marks = [mark(Stream::Inputs), mark(Stream::Outputs)];
    let is_whole = after == Seq(0);
    let frames = options.ledger.map(|_| Frames::new(parts.conns.clone(), is_whole));
    let mut pass = Pass::new(&config, checker, Hedging::new(notional_max, ns_max), frames);
    if !is_whole {
        let begin = Beginning::of(&parts, &pass.checker, &config.params);
        pass.notes = begin.notes(options.ledger.is_some());
        pass.begin(&begin, &config);
    }
    pass.read(dir, parts.decode, marks, progress)?;
    let carried = pass.carry.take().map(|(carry, place)| {
        let taken = Taken { dir, carry: &carry, params: &config.params, place };
        taken.compare(options.follows, &mut pass.notes, &mut pass.findings)
    });
    let mut report = pass.finish(&config, options.ledger, carried)?;
    report.run_id = manifest.run_id.to_string();
    report.logic_version = manifest.logic_version;
    if manifest.logic_version != LOGIC_VERSION {
        report.notes.push(format!(
            "the journal was written by version {} of the rules; this program decodes it by version {LOGIC_VERSION}",
            manifest.logic_version
        ));
    }
    if config.params.paper.is_some() {
        report
            .notes
            .push("orders were executed on paper: balances are the engine's own, not a venue's".into());
    }
    Ok(report)
}

/// Everything that is watched during the pass.
struct Pass {
    checker: Checker,
    told: usize,
    sequence: Sequence,
    book: Book,
    hedging: Hedging,
    books: Books,
    frames: Option<Frames>,
    instruments: BTreeMap<u16, Instrument>,
    findings: Findings,
    names: Vec<String>,
    seq: Seq,
    at: Stamp,
    notes: Vec<String>,
    /// The record of outputs ends before the present input.
    beyond: bool,
    /// What the run took over from the one before, as it is recorded.
    carry: Option<(Carry, (Seq, Nanos))>,
    /// Where the journal begins, unless with its run.
    part: Option<(PartReport, Begins)>,
}

impl Pass {
    fn new(config: &RunConfig, checker: Checker, hedging: Hedging, frames: Option<Frames>) -> Self {
        let names = names(&config.params);
        Self {
            checker,
            told: 0,
            sequence: Sequence::behind(Seq(0), Stamp::default()),
            book: Book::new(frames.is_some()),
            hedging,
            books: Books::new(names.clone()),
            frames,
            instruments: BTreeMap::new(),
            findings: Findings::default(),
            names,
            seq: Seq(0),
            at: Stamp::default(),
            notes: Vec::new(),
            beyond: false,
            carry: None,
            part: None,
        }
    }

    /// Takes over what was held where the journal begins.
    fn begin(&mut self, begin: &Beginning, config: &RunConfig) {
        let (first, at) = begin.place;
        (self.seq, self.at) = (Seq(first.0 - 1), at);
        self.sequence = Sequence::behind(self.seq, at);
        for instrument in &begin.held.instruments {
            self.books.instrument(instrument);
            self.instruments.insert(instrument.id.0, *instrument);
        }
        self.books.begins(&begin.held.positions);
        for position in &begin.held.positions {
            self.hedging.carried_position(position);
        }
        for trade in &begin.held.trades {
            let by_fills = self.checker.residual_of(TradeId(trade.id));
            self.hedging.begins(trade, &self.instruments, begin.place, by_fills);
        }
        for (order, state) in &begin.orders {
            let of = self.instruments.get(&order.spec.instrument.0).copied().unwrap_or_default();
            self.book.begins(order, *state, &of, begin.place);
        }
        let epoch = config.params.boot_epoch;
        let begins = Begins { wall: at.wall, epoch, last_order: begin.last_order };
        self.part = Some((begin.told(&config.params), begins));
    }

    fn read(
        &mut self,
        dir: &Path,
        mut decode: Decode,
        marks: [Option<Mark>; 2],
        progress: &mut dyn FnMut(Progress),
    ) -> Result<(), AuditError> {
        let after = self.seq;
        let mut reader = Reader::open(dir, Stream::Inputs)?;
        let mut recorded = Recorded::open(dir, after)?;
        let bytes = marks[0].map_or(0, |mark| mark.position);
        self.sequence.report.closed = marks.iter().all(|mark| mark.is_some_and(|mark| mark.closed));
        loop {
            let position = reader.position();
            let record = match reader.next() {
                Ok(Some(record)) => record,
                Ok(None) => break,
                Err(JournalError::Damaged(damage)) => {
                    let place = (self.seq, self.at.wall);
                    self.sequence.damage(&damage, marks[0], place, &mut self.findings);
                    break;
                }
                Err(other) => return Err(other.into()),
            };
            if record.seq <= after.0 {
                continue; // a retention that was broken off leaves inputs before
            }
            if record.seq != self.seq.0 + 1 {
                let detail = format!(
                    "input {} follows input {}; what stands behind is not audited",
                    record.seq, self.seq.0
                );
                self.findings.add(
                    "sequence",
                    "input_hole",
                    (Seq(record.seq), self.at.wall),
                    "inputs",
                    detail,
                );
                break;
            }
            let Ok((input, raw)) = decode_input(record.body) else {
                let detail = format!("kind {} cannot be understood by this version", record.kind);
                self.findings.add(
                    "sequence",
                    "not_understood",
                    (Seq(record.seq), self.at.wall),
                    "inputs",
                    detail,
                );
                break;
            };
            let raw = RawInput { mono: record.time_ns, input, bytes: raw };
            let (seq, at) = decode.sequence(&raw);
            (self.seq, self.at) = (seq, at);
            self.input(&raw);
            decode.on_input(&raw, seq, at, &mut |event| self.event(&event.body));
            self.outputs(&mut recorded)?;
            if self.sequence.report.inputs.is_multiple_of(TELL_EVERY) {
                progress(Progress { inputs: self.sequence.report.inputs, position, bytes });
            }
        }
        self.ended(&recorded, marks[1]);
        Ok(())
    }

    /// What is wrong with the outputs as a stream.
    fn ended(&mut self, recorded: &Recorded, mark: Option<Mark>) {
        self.sequence.report.outputs = recorded.records;
        if let Some(damage) = &recorded.damage {
            self.sequence.damage(
                damage,
                mark,
                (Seq(recorded.last_cause()), self.at.wall),
                &mut self.findings,
            );
        }
        for cause in &recorded.repeated {
            let detail = format!("an output of input {cause} stands twice");
            self.findings.add("sequence", "output_repeated", (Seq(*cause), self.at.wall), "outputs", detail);
        }
    }

    fn input(&mut self, raw: &RawInput<'_>) {
        self.sequence.input(self.at);
        match &raw.input {
            Input::Anchor(anchor) => self.sequence.anchor(*anchor, (self.seq, self.at), &mut self.findings),
            Input::Outcome(outcome) | Input::ReplaceOutcome { outcome, .. } => self.book.outcome(outcome),
            Input::Carry => self.carry = Some((Carry::from_bytes(raw.bytes), (self.seq, self.at.wall))),
            Input::ConnUp { conn, epoch } => {
                if let Some(frames) = &mut self.frames {
                    frames.up(conn.0, *epoch);
                }
            }
            Input::Frame(meta) => {
                if let Some(frames) = &mut self.frames {
                    frames.frame(meta, raw.bytes);
                }
            }
            _ => {}
        }
        self.checked(Fact::Input(&raw.input));
    }

    fn event(&mut self, body: &EventBody) {
        let place = (self.seq, self.at);
        match body {
            EventBody::Instrument(instrument) => {
                self.books.instrument(instrument);
                self.instruments.insert(instrument.id.0, *instrument);
            }
            EventBody::Position(report) => self.books.position(report),
            EventBody::Balance(report) => self.books.balance(report, place),
            EventBody::Funding(payment) => self.books.funding(payment, place),
            EventBody::Order(update) => self.order(update),
            EventBody::Carried(Carried::Position(position)) => {
                self.books.carried_over(position);
                self.hedging.carried_position(position);
            }
            EventBody::Carried(Carried::Trade(trade)) => {
                self.hedging.carried_over(trade, &self.instruments, place);
            }
            EventBody::Carried(_) => {}
            _ => return,
        }
        self.checked(Fact::Event(body));
    }

    fn order(&mut self, update: &OrderUpdate) {
        let place = (self.seq, self.at);
        let instrument = self.instruments.get(&update.instrument.0);
        self.book.update(update, instrument, self.seq, self.at);
        let Some(instrument) = instrument.filter(|_| update.fill_qty.0 > 0) else { return };
        let row = self.book.orders.get(&update.client_id);
        self.books.fill(update, row, place);
        let trade = row.filter(|_| update.client_id != ClientId::NONE).map(|row| row.trade);
        // Of an order that had ended before the record begins.
        let trade = trade.or_else(|| self.checker.order_of(update.client_id).map(|order| order.trade));
        self.hedging.fill(trade, update, instrument, place, &mut self.findings);
    }

    fn outputs(&mut self, recorded: &mut Recorded) -> Result<(), ReplayError> {
        while let Some((output, raw)) = recorded.next(self.seq.0)? {
            match &output {
                Output::Intent(intent) => self.checked(Fact::Wish(intent)),
                Output::Approved(intent) => {
                    let placed = match intent {
                        Intent::Basket(basket) => Some(*basket),
                        Intent::Replace(replace) => Some(replace.with.as_basket(Default::default())),
                        Intent::Amend(_) | Intent::Cancel(_) => None,
                    };
                    if let Some(basket) = &placed {
                        self.book.approved(basket, &self.instruments, self.seq, self.at);
                        self.books.decided(basket);
                    }
                    self.checked(Fact::Approved(intent));
                }
                Output::Denied(denial) => {
                    self.book.denied(denial);
                    self.checked(Fact::Denied(denial));
                }
                Output::Message(shape) => {
                    let text = &raw[..usize::from(shape.text_len).min(raw.len())];
                    self.checked(Fact::Message(&shape.meta, text));
                }
                Output::Amendment(shape) => {
                    let amending = OutMeta { amends: true, ..shape.meta };
                    let text = &raw[..usize::from(shape.text_len).min(raw.len())];
                    self.checked(Fact::Message(&amending, text));
                }
                Output::Events(_) | Output::State(_) | Output::NearMiss(_) => {}
            }
        }
        self.beyond = !self.sequence.report.closed && recorded.ends_before(self.seq.0);
        Ok(())
    }

    /// Passes a fact to the checker and takes over what it finds.
    fn checked(&mut self, fact: Fact<'_>) {
        self.checker.fact(self.seq, self.at.mono, fact);
        let first = &self.checker.so_far().first;
        for violation in &first[self.told..] {
            // The approval of an order that left in the last moments of a crashed run may be lost.
            if self.beyond && is_order_rule(violation.rule) {
                if self.notes.len() < NOTES_MAX {
                    self.notes
                        .push(format!("{violation}: its approval would stand behind the end of the outputs"));
                }
                continue;
            }
            // An order of the run before, which the checker does not know: its fill is the audit's to book.
            let subject_id = subject(&violation.detail);
            let is_old = |id: &str| is_carried(id, self.carry.as_ref(), self.part.as_ref());
            if violation.rule == "fill_unknown" && subject_id.strip_prefix("order ").is_some_and(is_old) {
                continue;
            }
            let section = if is_order_rule(violation.rule) { "orders" } else { "limits" };
            let place = (Seq(violation.seq), self.at.wall);
            self.findings.add(section, violation.rule, place, subject_id, violation.detail.clone());
        }
        self.told = first.len();
    }

    fn finish(
        mut self,
        config: &RunConfig,
        ledger: Option<&Path>,
        carried: Option<CarryReport>,
    ) -> Result<AuditReport, AuditError> {
        if ledger.is_some() && carried.as_ref().is_some_and(|carried| !carried.run.is_empty()) {
            let words = "fees and funding in the venues' books are those of earlier runs, too: not compared";
            self.notes.push(words.into());
        }
        self.book.finish(self.at, &mut self.findings);
        let mut hedging = self.hedging.finish(self.at, &mut self.findings);
        let money = self.books.finish(self.at, &mut self.findings);
        let (mut ledgers, mut frames) = (Vec::new(), Vec::new());
        for (venue, name) in self.names.iter().enumerate() {
            let Some(dir) = ledger.map(|dir| dir.join(name)) else { continue };
            if !dir.is_dir() {
                let detail = format!("{} is no directory", dir.display());
                self.findings.add("ledger", "ledger_absent", (Seq(0), 0), name.clone(), detail);
                continue;
            }
            let record = Record {
                params: &config.params,
                names: &self.names,
                book: &self.book,
                books: &self.books,
                money: &money,
                instruments: &self.instruments,
                end: self.at,
                follows: carried.as_ref().is_some_and(|carried| !carried.run.is_empty()),
                begins: self.part.as_ref().map(|(_, begins)| *begins),
            };
            ledgers.push(compare(&record, venue, &dir, &mut self.findings)?);
            if let Some(sums) = &self.frames {
                frames.push(sums.compare(venue, name, &dir, &mut self.findings)?);
            }
        }
        let checked = self.checker.finish();
        let findings = self.findings;
        let mut sequence = self.sequence.report;
        sequence.clean = findings.is_clean("sequence");
        let mut orders = self.book.report;
        // What the checker counted and did not keep word for word is no less broken.
        let of_orders = |wanted: bool| {
            let rows = checked.by_rule.iter().filter(|(rule, _)| is_order_rule(rule) == wanted);
            rows.map(|(_, count)| count).sum::<u64>()
        };
        let kept = checked.first.iter().filter(|violation| is_order_rule(violation.rule)).count() as u64;
        orders.clean = of_orders(true) == kept && findings.is_clean("orders");
        hedging.clean = findings.is_clean("hedging");
        for row in money.iter().filter(|row| row.verdict == Verdict::NotStated && row.opening.is_some()) {
            self.notes
                .push(format!("{} {}: no balance was stated after the last flow", row.venue, row.currency));
        }
        for trade in &hedging.open_trades {
            let seconds = trade.for_ns / crate::domain::time::SECOND;
            let words =
                format!("trade {} is open with {} unhedged for {seconds} s", trade.trade, trade.notional);
            self.notes.push(words);
        }
        if checked.violations > checked.first.len() as u64 {
            self.notes.push(format!("{} violations in all; the first are told", checked.violations));
        }
        let limits = LimitReport {
            baskets: checked.baskets,
            violations: of_orders(false),
            clean: of_orders(false) == 0,
        };
        Ok(AuditReport {
            run_id: String::new(),
            logic_version: 0,
            part: self.part.map(|(report, _)| report),
            carried,
            sequence,
            orders,
            limits,
            hedging,
            money,
            ledgers,
            frames,
            notes: self.notes,
            findings: findings.count + checked.violations - checked.first.len() as u64,
            first: findings.first,
        })
    }
}

/// An order of an earlier run: one that was carried, or, where the record of that lies before a part, of another epoch.
fn is_carried(id: &str, carry: Option<&(Carry, (Seq, Nanos))>, part: Option<&(PartReport, Begins)>) -> bool {
    let carried = carry.map(|(carry, _)| carry.orders.as_slice()).unwrap_or_default();
    let of_epoch =
        |begins: &Begins| ClientId::parse(id.as_bytes()).is_some_and(|id| id.epoch() != begins.epoch);
    carried.iter().any(|order| order.spec.client_id.to_string() == id)
        || part.is_some_and(|(_, begins)| of_epoch(begins))
}

/// Rules of the checker that are about an order's way and its fills, not about a limit.
fn is_order_rule(rule: &str) -> bool {
    rule.starts_with("fill_")
        || matches!(
            rule,
            "approved_without_wish"
                | "client_id_repeated"
                | "sent_without_approval"
                | "sent_differs"
                | "sent_twice"
                | "text_without_id"
        )
}

/// The order or trade that a violation names.
fn subject(detail: &str) -> String {
    ["order ", "trade "]
        .into_iter()
        .find_map(|word| {
            let from = detail.find(word)?;
            let rest = &detail[from + word.len()..];
            let end = rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(rest.len());
            (end > 0).then(|| format!("{word}{}", &rest[..end]))
        })
        .unwrap_or_else(|| detail.split_once(' ').map_or(detail, |(first, _)| first).to_owned())
}
