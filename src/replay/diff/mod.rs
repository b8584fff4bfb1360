//! What differs between two runs: two journals, or a journal and a replay of its inputs with another configuration or
//! program.
//!
//! Inputs and outputs are aligned by sequence. The first difference comes with its causal chain, then all are counted.
//! Where recorded inputs meet other rules, what venues answered still belongs to the recorded run: later differences
//! follow from the first one, and are counted, not explained.

mod chain;
mod report;
mod search;
mod state;
mod tally;

pub use chain::Link;
pub use report::{DiffReport, Field, First, Parting, Side, Summary, TradeRow, Trades};

use super::cursor::Cursor;
use super::divergence::differences;
use super::outputs::{Ordered, parts};
use super::part::{begins_after, start_wall};
use super::source::{Inputs, RecordedOutput, ReplayError, RunConfig, read_config};
use super::step::input_venue;
use super::step::last::Last;
use super::step::words;
use super::whatif::switch::switched;
use crate::domain::event::{EventBody, Seq};
use crate::domain::input::{Input, RawInput};
use crate::domain::output::{EventsDigest, Output, OutputKey, Stage};
use crate::domain::state::State as _;
use crate::domain::time::Nanos;
use crate::ops::view::Names;
use crate::stage::LOGIC_VERSION;
use crate::stage::decode::{ConnInfo, plan};
use crate::stage::river::River;
use search::{Answer, Stop};
use state::{Course, Unequal};
use std::path::{Path, PathBuf};
use tally::Tally;

/// Inputs between two tellings of progress.
const TELL_EVERY: u64 = 1 << 14;

/// What a journal is held against.
pub enum Against {
    /// Another journal, inputs and outputs.
    Journal(PathBuf),
    /// The outputs that another program made of the same inputs; the text names it. It may be asked for its state.
    Outputs(PathBuf, String, Option<AskState>),
    /// What these rules make of the same inputs: as recorded (`None`), or with this configuration; the text names it.
    Replay(Option<Box<RunConfig>>, String),
}

/// Another program's state after an input, as its `replay --state` writes it, or why there is none.
pub type AskState = Box<dyn Fn(Seq) -> Result<String, String>>;

/// Why two things cannot be compared.
#[derive(Debug, thiserror::Error)]
pub enum DiffError {
    /// A journal.
    #[error(transparent)]
    Replay(#[from] ReplayError),
    /// Recorded frames would reach other connections.
    #[error(
        "the configuration lays out {what} otherwise than the recorded run: its inputs cannot be replayed with it. Keep \
         venues, instruments and their order, and what decides on connections"
    )]
    Layout {
        /// What differs.
        what: &'static str,
    },
}

/// An input that is kept while another one is read.
struct Kept {
    seq: u64,
    mono: Nanos,
    input: Input,
    bytes: Vec<u8>,
}

/// The other side, as it comes.
enum Other {
    Journal(Box<Inputs>, Box<Ordered>),
    Outputs(Box<Ordered>),
    Replay(Box<River>, Box<Last>),
}

/// Compares the journal in `dir` with something else. `progress` gets the number of compared inputs now and then.
///
/// # Errors
/// [`DiffError`].
pub fn diff(dir: &Path, against: &Against, progress: &mut dyn FnMut(u64)) -> Result<DiffReport, DiffError> {
    let (manifest, _, config) = read_config(dir)?;
    let (mut inputs, mut outputs) = (Inputs::open(dir)?, Ordered::open(dir)?);
    let (mut other, there) = open(dir, &config, against)?;
    let here =
        Side { what: dir.display().to_string(), logic_version: manifest.logic_version, ..Side::default() };
    let configuration = there.1.as_ref().map_or_else(Vec::new, |other| config_differences(&config, other));
    let mut tally = Tally::new(Names::of(&config.params), conns(dir, &config)?, here, there.0);
    tally.begins(start_wall(dir)?.unwrap_or(0));
    loop {
        let mine = inputs.next()?.map(|(seq, raw)| keep(seq, &raw));
        let theirs = match &mut other {
            Other::Journal(inputs, _) => inputs.next()?.map(|(seq, raw)| keep(seq, &raw)),
            Other::Outputs(_) | Other::Replay(..) => None,
        };
        let Some(seq) = mine.as_ref().or(theirs.as_ref()).map(|input| Seq(input.seq)) else { break };
        let own_inputs = matches!(other, Other::Journal(..));
        if let Some(input) = mine.as_ref().or(theirs.as_ref()) {
            tally.begin(&input.input, input.mono);
        }
        tally.here.inputs += u64::from(mine.is_some());
        tally.there.inputs += u64::from(if own_inputs { theirs.is_some() } else { mine.is_some() });
        if own_inputs {
            compare_inputs(&mut tally, seq, mine.as_ref(), theirs.as_ref());
        }
        let a = outputs.take(seq)?;
        let b = match &mut other {
            Other::Journal(_, outputs) | Other::Outputs(outputs) => outputs.take(seq)?,
            Other::Replay(river, last) => {
                mine.as_ref().map_or_else(Vec::new, |input| replay(river, last, input))
            }
        };
        let silent_here = |stage| outputs.breaks_off(stage);
        let silent_there = |stage| match &other {
            Other::Journal(_, outputs) | Other::Outputs(outputs) => outputs.breaks_off(stage),
            Other::Replay(..) => false,
        };
        compare_outputs(&mut tally, seq, a, b, &silent_here, &silent_there);
        if tally.is_first_at(seq)
            && let Other::Replay(river, last) = &other
        {
            tally.explain_there(chain::of(last, river.parts()));
        }
        if seq.0.is_multiple_of(TELL_EVERY) {
            progress(seq.0);
        }
    }
    if let Some((expected, found)) = inputs.hole().get() {
        tally.note(format!("input {expected} is missing in {}; {found} follows", dir.display()));
    }
    if !explain_state(dir, &config, against, &mut tally, progress)? {
        explain(dir, against, &mut tally)?;
    }
    Ok(tally.into_report(configuration))
}

type There = (Side, Option<RunConfig>);

/// Parts of a run are compared when they begin at the same input.
fn must_begin_alike(here: &Path, there: &Path) -> Result<(), ReplayError> {
    let (a, b) = (begins_after(here).0 + 1, begins_after(there).0 + 1);
    if a == b {
        return Ok(());
    }
    let why = format!("it begins at input {b}, and {} at input {a}", here.display());
    Err(ReplayError::Part { dir: there.to_owned(), why })
}

/// Inputs of other venues have nothing in common with these.
fn must_trade_alike(here: &Path, a: &RunConfig, there: &Path, b: &RunConfig) -> Result<(), ReplayError> {
    let [ours, theirs] = [a, b]
        .map(|of| of.params.venues.iter().map(|venue| venue.dialect.as_str()).collect::<Vec<_>>().join(", "));
    if ours == theirs {
        return Ok(());
    }
    let why =
        format!("it is of {theirs}, and {} of {ours}: these runs have nothing in common", here.display());
    Err(ReplayError::Place { dir: there.to_owned(), why })
}

fn open(here: &Path, config: &RunConfig, against: &Against) -> Result<(Other, There), DiffError> {
    Ok(match against {
        Against::Journal(dir) => {
            must_begin_alike(here, dir)?;
            let (manifest, _, theirs) = read_config(dir)?;
            must_trade_alike(here, config, dir, &theirs)?;
            let side = Side {
                what: dir.display().to_string(),
                logic_version: manifest.logic_version,
                ..Side::default()
            };
            let other = Other::Journal(Box::new(Inputs::open(dir)?), Box::new(Ordered::open(dir)?));
            (other, (side, Some(theirs)))
        }
        Against::Outputs(dir, name, _) => {
            let manifest = crate::journal::Manifest::read(dir).map_err(ReplayError::from)?;
            let side = Side { what: name.clone(), logic_version: manifest.logic_version, ..Side::default() };
            (Other::Outputs(Box::new(Ordered::open(dir)?)), (side, None))
        }
        Against::Replay(replacement, name) => {
            let with = replacement.as_deref().unwrap_or(config);
            let mut river = Cursor::open(here)?.into_river();
            if let Some(other) = replacement {
                check_layout(here, config, other)?;
                river = reconfigured(here, &river, config, other)?;
            }
            let side = Side { what: name.clone(), logic_version: LOGIC_VERSION, ..Side::default() };
            (Other::Replay(Box::new(river), Box::default()), (side, Some(with.clone())))
        }
    })
}

/// The stages before the first input, with another configuration.
fn reconfigured(
    dir: &Path,
    recorded: &River,
    config: &RunConfig,
    other: &RunConfig,
) -> Result<River, DiffError> {
    let mut river = River::new(parts(dir, other)?);
    if begins_after(dir) > Seq(0) {
        let failed = |why: String| ReplayError::Part { dir: dir.to_owned(), why };
        let saved = |river: &River| river.save().map_err(|why| failed(why.to_string()));
        let fresh = River::new(parts(dir, config)?);
        let state = switched(&saved(recorded)?, &saved(&fresh)?, &saved(&river)?).map_err(failed)?;
        river.load(&state).map_err(|why| failed(why.to_string()))?;
    }
    Ok(river)
}

fn conns(dir: &Path, config: &RunConfig) -> Result<Vec<ConnInfo>, ReplayError> {
    let planned = plan(&config.params, config.trading);
    planned.map(|(conns, _)| conns).map_err(|source| ReplayError::Dialect { dir: dir.to_owned(), source })
}

/// Recorded inputs name venues, listings and connections by number.
fn check_layout(dir: &Path, config: &RunConfig, other: &RunConfig) -> Result<(), DiffError> {
    let dialects = |of: &RunConfig| -> Vec<String> {
        of.params.venues.iter().map(|venue| venue.dialect.clone()).collect()
    };
    let layout = |of: &RunConfig| -> Result<Vec<_>, ReplayError> {
        Ok(conns(dir, of)?.iter().map(|conn| (conn.venue, conn.role)).collect())
    };
    if dialects(config) != dialects(other) {
        return Err(DiffError::Layout { what: "venues" });
    }
    if config.params.listings != other.params.listings {
        return Err(DiffError::Layout { what: "instruments" });
    }
    if config.trading != other.trading || layout(config)? != layout(other)? {
        return Err(DiffError::Layout { what: "connections" });
    }
    Ok(())
}

fn config_differences(a: &RunConfig, b: &RunConfig) -> Vec<Field> {
    let json = |config| serde_json::to_value(config).unwrap_or_default();
    let mut found = Vec::new();
    differences("", &json(a), &json(b), &mut found);
    found.into_iter().map(|(field, a, b)| Field { field, a, b }).collect()
}

fn keep(seq: Seq, raw: &RawInput<'_>) -> Kept {
    Kept { seq: seq.0, mono: raw.mono, input: raw.input, bytes: raw.bytes.to_vec() }
}

/// Passes an input and returns what the stages made of it, as a journal would have it.
fn replay(river: &mut River, last: &mut Last, input: &Kept) -> Vec<RecordedOutput> {
    river.input(&RawInput { mono: input.mono, input: input.input, bytes: &input.bytes }, last);
    let mut made = last.outputs.clone();
    let mut digest = EventsDigest::default();
    last.events.iter().for_each(|event| digest.add(event));
    // A mere tick has no record.
    if !last.events.iter().all(|event| matches!(event.body, EventBody::Tick)) {
        let key = OutputKey { cause: last.seq, stage: Stage::Decode, ordinal: 0 };
        made.push((key, Output::Events(digest), Vec::new()));
    }
    made.sort_by_key(|(key, ..)| *key);
    made
}

fn compare_inputs(tally: &mut Tally, seq: Seq, a: Option<&Kept>, b: Option<&Kept>) {
    let (a, b) = match (a, b) {
        (Some(a), Some(b)) => (a, b),
        (a, b) => {
            let text =
                |side: Option<&Kept>| side.map_or("nothing".to_owned(), |one| format!("{:?}", one.input));
            let kind = a.or(b).map_or("input", |one| words::input(&one.input));
            tally.input(seq, kind, Field { field: "input".into(), a: text(a), b: text(b) });
            return;
        }
    };
    let kind = words::input(&a.input);
    let mut found = Vec::new();
    if a.mono != b.mono {
        found.push(Field { field: "time".into(), a: a.mono.to_string(), b: b.mono.to_string() });
    }
    if a.input != b.input {
        let json = |input: &Input| serde_json::to_value(input).unwrap_or_default();
        let mut all = Vec::new();
        differences("", &json(&a.input), &json(&b.input), &mut all);
        found.extend(all.into_iter().map(|(field, a, b)| Field { field, a, b }));
    }
    if a.bytes != b.bytes {
        found.push(bytes_difference(&a.bytes, &b.bytes));
    }
    found.into_iter().for_each(|field| tally.input(seq, kind, field));
}

/// Where two texts begin to differ, with what stands around that place.
fn bytes_difference(a: &[u8], b: &[u8]) -> Field {
    const AROUND: usize = 24;
    let at = a.iter().zip(b).take_while(|(a, b)| a == b).count();
    let from = at.saturating_sub(AROUND);
    let around = |bytes: &[u8]| super::plain::excerpt(&bytes[from.min(bytes.len())..], 2 * AROUND);
    Field { field: format!("bytes[{at}]"), a: around(a), b: around(b) }
}

/// Outputs of one input, aligned by stage and kind.
fn compare_outputs(
    tally: &mut Tally,
    seq: Seq,
    a: Vec<RecordedOutput>,
    b: Vec<RecordedOutput>,
    silent_here: &dyn Fn(Stage) -> bool,
    silent_there: &dyn Fn(Stage) -> bool,
) {
    tally.trades(seq, &a, &b);
    tally.here.outputs += a.len() as u64;
    tally.there.outputs += b.len() as u64;
    let mut left: Vec<Option<RecordedOutput>> = b.into_iter().map(Some).collect();
    for one in a {
        let kind = words::output(&one.1);
        let fits = |other: &&mut Option<RecordedOutput>| {
            other
                .as_ref()
                .is_some_and(|other| other.0.stage == one.0.stage && words::output(&other.1) == kind)
        };
        match left.iter_mut().find(fits).and_then(Option::take) {
            Some(other) => tally.both(seq, &one, &other),
            None if silent_there(one.0.stage) => tally.unrecorded += 1,
            None => tally.only(seq, &one, true),
        }
    }
    for one in left.into_iter().flatten() {
        if silent_here(one.0.stage) { tally.unrecorded += 1 } else { tally.only(seq, &one, false) }
    }
}

/// The chains of the first difference on the sides that have to be derived anew.
fn explain(dir: &Path, against: &Against, tally: &mut Tally) -> Result<(), ReplayError> {
    let Some(seq) = tally.first_seq() else { return Ok(()) };
    tally.explain_here(chain::derived(dir, seq)?);
    if let Against::Journal(dir) = against {
        tally.explain_there(chain::derived(dir, seq)?);
    }
    Ok(())
}

/// Where the states part, when the first difference is one of their hashes; true = with the chains of that place.
fn explain_state(
    dir: &Path,
    config: &RunConfig,
    against: &Against,
    tally: &mut Tally,
    progress: &mut dyn FnMut(u64),
) -> Result<bool, ReplayError> {
    let Some(unequal) = tally.unequal() else { return Ok(false) };
    let Unequal { equal: Seq(equal), at: Seq(at), .. } = unequal;
    let why = match against {
        Against::Replay(Some(other), _) => {
            let sides = [Course::open(dir, config)?, Course::open(dir, other)?];
            if let Some((parting, [a, b])) = state::part(unequal, sides, progress)? {
                tally.parted(parting);
                tally.explain_here(chain::of(&a.last, a.parts()));
                tally.explain_there(chain::of(&b.last, b.parts()));
                return Ok(true);
            }
            NOT_MADE_AGAIN.to_owned()
        }
        Against::Replay(None, _) => NOT_MADE_AGAIN.to_owned(),
        Against::Journal(_) => {
            "other programs made them of the same inputs, and a journal has only the hashes".to_owned()
        }
        Against::Outputs(_, name, None) => format!("{name} was not asked for its state"),
        Against::Outputs(_, name, Some(ask)) => match search::search(dir, config, unequal, ask, progress) {
            Ok(Answer::Found(parting, course)) => {
                tally.parted(parting);
                tally.explain_here(chain::of(&course.last, course.parts()));
                tally.note(OWN_STATE.to_owned());
                return Ok(true);
            }
            Ok(Answer::Differ(parting, why)) => {
                tally.parted(parting);
                format!("{why}. {OWN_STATE}")
            }
            Ok(Answer::Alike) => format!("this program makes the state of {name}, and not the recorded one"),
            Err(Stop::Silent(why)) => format!("{name} does not tell its state: {why}"),
            Err(Stop::Replay(why)) => return Err(why),
        },
    };
    tally.note(format!("the states part between inputs {equal} and {at}, where is not known: {why}"));
    Ok(false)
}

/// Whose state is shown beside another program's.
const OWN_STATE: &str = "the state of a is what this program makes of its inputs";

/// Why a recorded state cannot be shown.
const NOT_MADE_AGAIN: &str =
    "this program does not make the recorded state again, and a journal has only its hash";

/// The name of the venue that an input came from.
fn venue_name(names: &Names, conns: &[ConnInfo], input: &Input) -> String {
    input_venue(conns, input).map_or_else(String::new, |venue| names.venue(venue).to_owned())
}
