//! Writes a bundle: chooses the stretch, takes the state before it, blanks what looks like a secret, and replays the result
//! once from its own bytes before it is kept.

use super::file::Bundle;
use super::judge::{Verdict, judge};
use super::{About, BundleError, FORMAT, expect, member, records, secrets};
use crate::domain::calendar;
use crate::domain::codec::{decode_input, decode_output};
use crate::domain::event::Seq;
use crate::domain::input::Input;
use crate::domain::order::ClientId;
use crate::domain::output::{Output, STAGES};
use crate::domain::time::{Nanos, SECOND, Stamp};
use crate::journal::{MANIFEST_FILE, OwnedRecord, Reader, RecordRef, Stream, read_mark};
use crate::replay::check::CheckLimits;
use crate::replay::cursor::Cursor;
use crate::replay::part;
use crate::replay::place::{Place, WallClock};
use crate::replay::source::ReplayError;
use crate::replay::step::last::Last;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::str::FromStr;

/// Longest time before or after what a bundle is about: more is a run, and no incident.
pub const WINDOW_MAX: Nanos = 3_600 * SECOND;
/// Outputs of an input stand at most so far behind it in the record, ns of the run: a stage that lags more is dead.
const LAG_MAX: Nanos = 10 * SECOND;

/// What a bundle is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Around {
    /// One of our orders: from its first output to its last.
    Order(ClientId),
    /// A place of the run.
    Place(Place),
    /// From one input to another: what a trade took.
    Inputs([Seq; 2]),
}

impl FromStr for Around {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(id) = ClientId::parse(text.as_bytes()) {
            return Ok(Self::Order(id));
        }
        let why = |why| format!("{why}, or the 32 hex digits of an order's client id");
        Place::from_str(text).map(Self::Place).map_err(why)
    }
}

/// What is to be written.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    /// The journal.
    pub dir: &'a Path,
    /// What it is about.
    pub around: Around,
    /// The same as it was said.
    pub said: &'a str,
    /// Time before it, ns.
    pub before: Nanos,
    /// Time after it, ns.
    pub after: Nanos,
    /// The file.
    pub out: &'a Path,
    /// `expect.toml`; `None` = the usual.
    pub expect: Option<String>,
    /// `notes.md`.
    pub notes: String,
}

/// What was written.
#[derive(Debug)]
pub struct Written {
    /// What the bundle says of itself.
    pub about: About,
    /// Its size.
    pub bytes: u64,
    /// What its replay came to.
    pub verdict: Verdict,
}

/// Writes a bundle. `progress` gets the number of the input that the way there has come to.
///
/// # Errors
/// The journal, a stretch that it does not have, the file system. A bundle whose replay differs is written and says so.
pub fn write(request: &Request<'_>, progress: &mut dyn FnMut(u64)) -> Result<Written, BundleError> {
    let dir = request.dir;
    for (name, time) in [("before", request.before), ("after", request.after)] {
        if !(0..=WINDOW_MAX).contains(&time) {
            let most = WINDOW_MAX / SECOND;
            return Err(BundleError::Stretch(format!(
                "the time {name} it must be from 0 to {most} s (half of --window, unless --{name} says it): that is no incident"
            )));
        }
    }
    if fs::symlink_metadata(request.out).is_ok() {
        let why = format!("{} exists: name a new file", request.out.display());
        return Err(BundleError::Stretch(why));
    }
    let mut cursor = Cursor::open(dir)?;
    let mut checker = part::checker(dir, cursor.seq(), CheckLimits::of(&cursor.config().params))?;
    let [from, to] = ends(request, &mut cursor)?;
    let mut inputs = stretch(dir, from.saturating_sub(request.before), to.saturating_add(request.after))?;
    let (Some(first), Some(last)) = (inputs.first(), inputs.last()) else {
        return Err(BundleError::Stretch(format!("{} has no input there", dir.display())));
    };
    let (began_at, ended_at) = (first.time_ns, last.time_ns);
    let (first, last) = (first.seq, last.seq);
    let config = cursor.config().to_bytes();
    let blanked = blank(dir, &mut inputs)?;
    if !secrets::blank(&mut config.clone()).is_empty() {
        let why =
            "the configuration of the run holds what looks like a secret: no bundle is written".to_owned();
        return Err(BundleError::Stretch(why));
    }
    let read = |name: &str| {
        let path = dir.join(name);
        fs::read(&path).map_err(|source| BundleError::Io { path, source })
    };
    let packed = |plain: &[u8]| {
        records::shrink(plain).map_err(|source| BundleError::Io { path: request.out.to_owned(), source })
    };
    let io = |source| BundleError::Io { path: request.out.to_owned(), source };
    let mut members = BTreeMap::from([
        (member::MANIFEST.to_owned(), read(MANIFEST_FILE)?),
        (member::CONFIG.to_owned(), config),
        (member::INPUTS.to_owned(), records::pack(&inputs).map_err(io)?),
        (member::NOTES.to_owned(), request.notes.clone().into_bytes()),
    ]);
    let (outputs, complete) = outputs(dir, first, last, ended_at)?;
    members.insert(member::OUTPUTS.to_owned(), records::pack(&outputs).map_err(io)?);
    while cursor.seq().0 + 1 < first && cursor.step(&mut checker)? {
        if cursor.seq().0.is_multiple_of(1 << 14) {
            progress(cursor.seq().0);
        }
    }
    let as_json = |why: serde_json::Error| io(std::io::Error::other(why));
    if first > 1 {
        let snapshot = cursor.snapshot().map_err(as_json)?;
        members
            .insert(member::SNAPSHOT.to_owned(), packed(&serde_json::to_vec(&snapshot).map_err(as_json)?)?);
        checker.forget_old();
        members.insert(member::CHECKER.to_owned(), packed(&serde_json::to_vec(&checker).map_err(as_json)?)?);
    }
    cursor.step(&mut Last::default())?;
    let ahead = cursor.now().wall - cursor.now().mono;
    let clock = WallClock::of(dir)?;
    let at = |mono: Nanos| calendar::shown(clock.at(Stamp { mono, wall: mono + ahead }).wall);
    let manifest = cursor.manifest();
    let about = About {
        format: FORMAT,
        created_by: format!("perpring {}", env!("CARGO_PKG_VERSION")),
        run_id: manifest.run_id,
        logic_version: manifest.logic_version,
        first,
        last,
        from: at(began_at),
        to: at(ended_at),
        around: request.said.to_owned(),
        ended: complete,
        reproduced: false,
        blanked,
        members: BTreeMap::new(),
    };
    let mut bundle = Bundle::new(request.out, about, members);
    finish(&mut bundle, request.expect.as_deref())
}

/// Adds what is expected, replays the bundle from its bytes, and writes it with what that came to.
fn finish(bundle: &mut Bundle, expect: Option<&str>) -> Result<Written, BundleError> {
    bundle.set(member::EXPECT, expect.unwrap_or(expect::DEFAULT).as_bytes().to_vec());
    let io = |path: &Path, source| BundleError::Io { path: path.to_owned(), source };
    let bytes = bundle.to_bytes().map_err(|source| io(&bundle.path, source))?;
    let mut verdict = judge(&Bundle::from_bytes(&bundle.path, &bytes)?)?;
    bundle.about.reproduced = verdict.divergence.is_none();
    if expect.is_none() && verdict.is_hedged {
        bundle.set(member::EXPECT, format!("{}{}", expect::DEFAULT, expect::HEDGED).into_bytes());
        verdict = judge(bundle)?;
    }
    let bytes = bundle.write()?;
    Ok(Written { about: bundle.about.clone(), bytes, verdict })
}

/// `mono` of the first and the last input that the bundle is about.
fn ends(request: &Request<'_>, cursor: &mut Cursor) -> Result<[Nanos; 2], BundleError> {
    let [first, last] = match request.around {
        Around::Order(id) => of_order(request.dir, id)?.ok_or_else(|| {
            BundleError::Stretch(format!(
                "no output of the run in {} names order {id}",
                request.dir.display()
            ))
        })?,
        Around::Inputs([first, last]) => [first.0, last.0],
        Around::Place(place) => {
            let found = place.first(cursor)?;
            let seq = found.ok_or_else(|| {
                let (dir, said) = (request.dir.display(), request.said);
                BundleError::Stretch(format!("{said} lies after the end of the run in {dir}"))
            })?;
            [seq.0, seq.0]
        }
    };
    let mut reader = Reader::open(request.dir, Stream::Inputs)?;
    let mut at = |seq: u64| -> Result<Nanos, BundleError> {
        reader.seek(seq)?;
        let beyond = || {
            let dir = request.dir.display();
            BundleError::Stretch(format!("input {seq} lies after the end of the run in {dir}"))
        };
        Ok(reader.next()?.ok_or_else(beyond)?.time_ns)
    };
    Ok([at(first)?, at(last)?])
}

/// The inputs of the first and the last output that names an order.
fn of_order(dir: &Path, id: ClientId) -> Result<Option<[u64; 2]>, BundleError> {
    use crate::domain::intent::Intent;
    let mut reader = Reader::open(dir, Stream::Outputs)?;
    let mut found: Option<[u64; 2]> = None;
    while let Some(record) = reader.next()? {
        let seq = record.seq;
        let (_, output, _) =
            decode_output(Seq(seq), record.body).map_err(|why| not_understood(dir, "output", seq, &why))?;
        let names = match &output {
            Output::Intent(intent) | Output::Approved(intent) => match intent {
                Intent::Basket(basket) => basket.orders().iter().any(|order| order.client_id == id),
                Intent::Cancel(order) => order.client_id == id,
                Intent::Amend(amend) => amend.to.client_id == id,
                Intent::Replace(replace) => replace.old == id || replace.with.to.client_id == id,
            },
            Output::Message(shape) | Output::Amendment(shape) => {
                shape.meta.order.is_some_and(|order| order.client_id == id)
            }
            Output::Events(_) | Output::Denied(_) | Output::State(_) | Output::NearMiss(_) => false,
        };
        if names {
            let [first, last] = found.unwrap_or([seq, seq]);
            found = Some([first.min(seq), last.max(seq)]);
        }
    }
    Ok(found)
}

fn not_understood(dir: &Path, stream: &'static str, seq: u64, why: &dyn std::fmt::Display) -> ReplayError {
    ReplayError::Record { dir: dir.to_owned(), stream, seq, why: why.to_string() }
}

fn owned(record: &RecordRef<'_>) -> OwnedRecord {
    OwnedRecord {
        kind: record.kind,
        class: record.class,
        seq: record.seq,
        time_ns: record.time_ns,
        body: record.body.to_vec(),
    }
}

/// The inputs from `from` to `to` (`mono`).
fn stretch(dir: &Path, from: Nanos, to: Nanos) -> Result<Vec<OwnedRecord>, BundleError> {
    let mut reader = Reader::open(dir, Stream::Inputs)?;
    reader.seek_time(from)?;
    let mut found = Vec::new();
    while let Some(record) = reader.next()? {
        if record.time_ns > to {
            break;
        }
        found.push(owned(&record));
    }
    Ok(found)
}

/// The recorded outputs of inputs `first` to `last`, and whether none can be missing.
fn outputs(
    dir: &Path,
    first: u64,
    last: u64,
    ended_at: Nanos,
) -> Result<(Vec<OwnedRecord>, bool), BundleError> {
    let mut reader = Reader::open(dir, Stream::Outputs)?;
    if first > 1 {
        reader.seek(first)?;
    }
    let mut beyond = [false; STAGES.len()];
    let mut found = Vec::new();
    while let Some(record) = reader.next()? {
        if record.seq > last {
            // Stages on threads interleave: all must have gone on.
            if let Some(beyond) = beyond.get_mut(usize::from(record.class)) {
                *beyond = true;
            }
            if beyond == [true; STAGES.len()] || record.time_ns > ended_at.saturating_add(LAG_MAX) {
                return Ok((found, true));
            }
        } else if record.seq >= first {
            found.push(owned(&record));
        }
    }
    let mark = read_mark(dir, Stream::Outputs, reader.manifest().run_id.0);
    Ok((found, mark.is_some_and(|mark| mark.closed)))
}

/// Blanks what looks like a secret; what that was.
fn blank(dir: &Path, inputs: &mut [OwnedRecord]) -> Result<Vec<String>, BundleError> {
    let mut blanked = Vec::new();
    for record in inputs {
        let seq = record.seq;
        let (input, bytes) =
            decode_input(&record.body).map_err(|why| not_understood(dir, "input", seq, &why))?;
        if matches!(input, Input::Config | Input::Carry) {
            // The first is looked at whole, and hashed as it is; the second is what this program knew, no text of a venue:
            // its ids of orders are no secrets.
            continue;
        }
        let begin = record.body.len() - bytes.len();
        let found = secrets::blank(&mut record.body[begin..]);
        blanked.extend(found.iter().map(|name| format!("input {seq}: {name}")));
    }
    Ok(blanked)
}
