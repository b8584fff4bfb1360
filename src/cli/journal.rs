//! `perpring journal`: verifies a journal, prints its records, brings one that a crash left to a whole end, compresses
//! what is raw. Never changes a whole record.

use super::progress::ProgressBar;
use super::source::Source;
use super::{CliError, Failure};
use crate::domain::codec::{decode_input, decode_output, input_kind, kind_name};
use crate::domain::event::{EventBody, Seq};
use crate::domain::input::Input;
use crate::domain::instrument::{Instrument, InstrumentId};
use crate::domain::text::Hex;
use crate::domain::time::Nanos;
use crate::journal::{End, JournalError, Reader, RecordRef, Stream, pack_told, recover_told, verify_told};
use crate::ops::view::Names;
use crate::replay::cursor::Cursor;
use crate::replay::part::start_wall;
use crate::replay::place::Place;
use crate::replay::plain::Plain;
use crate::replay::source::Inputs;
use clap::{Args, Subcommand, ValueEnum};
use serde::Serialize;
use serde_json::{Value, json};
use std::io::{self, BufWriter, Write};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

/// Arguments of `journal`.
#[derive(Args, Debug)]
pub struct JournalArgs {
    #[command(subcommand)]
    command: JournalCommand,
}

#[derive(Debug, Subcommand)]
enum JournalCommand {
    /// Read every record, check every checksum; exit 1 when something is damaged.
    Verify(VerifyArgs),
    /// Print records, one JSON object a line.
    Dump(DumpArgs),
    /// Bring the journal of a run that ended abruptly to its last whole record; exit 1 when something was cut off.
    Recover(RecoverArgs),
    /// Compress, index and chain what a finished run left raw.
    Pack(PackArgs),
}

#[derive(Args, Debug)]
struct VerifyArgs {
    /// Directory of the journal, or the file of a bundle.
    dir: PathBuf,
    /// One JSON object instead of text.
    #[arg(long)]
    json: bool,
}

#[derive(Args, Debug)]
struct RecoverArgs {
    /// Directory of the journal; nobody may be writing it.
    dir: PathBuf,
}

#[derive(Args, Debug)]
struct PackArgs {
    /// Directory of the journal; nobody may be writing it.
    dir: PathBuf,
    /// zstd level.
    #[arg(long, default_value_t = 9, value_parser = clap::value_parser!(i32).range(1..=22))]
    level: i32,
}

#[derive(Args, Debug)]
struct DumpArgs {
    /// Directory of the journal, or the file of a bundle.
    dir: PathBuf,
    /// Only this stream.
    #[arg(long)]
    stream: Option<StreamName>,
    /// First input of which to print: its number, a time (2026-11-27T13:40:00Z, 13:40:00.5, `wall_ns` of a line),
    /// +12.5s after the beginning, or end.
    #[arg(long, value_name = "T|SEQ")]
    from: Option<Place>,
    /// Last input, said in the same way.
    #[arg(long, value_name = "T|SEQ")]
    to: Option<Place>,
    /// Bodies as hex digits, not decoded.
    #[arg(long)]
    raw: bool,
    /// The typed events that decode derives from the recorded inputs, instead of records: instruments by name, prices and
    /// quantities as decimals.
    #[arg(long, conflicts_with_all = ["raw", "stream"])]
    events: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum StreamName {
    Inputs,
    Outputs,
}

/// Runs the command: 0 clean, 1 damage found; what cannot be read at all is an error.
pub fn run(args: &JournalArgs) -> Result<u8, Failure> {
    let mut out = BufWriter::new(io::stdout().lock());
    let code = match &args.command {
        JournalCommand::Verify(args) => run_verify(args, &mut out),
        JournalCommand::Dump(args) => run_dump(args, &mut out),
        JournalCommand::Recover(args) => run_recover(args, &mut out),
        JournalCommand::Pack(args) => run_pack(args, &mut out),
    };
    code.and_then(|code| out.flush().map(|()| code).map_err(Failure::from)).map_err(|failure| {
        // Journals have errors of their own: a bare one comes from the output.
        match failure.downcast::<io::Error>() {
            Ok(output) => CliError::Write(*output).into(),
            Err(other) => other,
        }
    })
}

fn run_verify(args: &VerifyArgs, out: &mut impl Write) -> Result<u8, Failure> {
    let source = Source::open(&args.dir)?;
    let bar = ProgressBar::new();
    let report = verify_told(source.dir(), &mut |stream, done, whole| {
        bar.show(done, whole, &format!("verifying {stream}"));
    })?;
    drop(bar);
    if args.json {
        let streams: Vec<Value> = report
            .streams
            .iter()
            .map(|s| {
                json!({
                    "stream": s.stream, "segments": s.segments, "records": s.records,
                    "body_bytes": s.body_bytes, "file_bytes": s.file_bytes,
                    "first_seq": s.first_seq, "last_seq": s.last_seq, "abandoned": s.abandoned,
                    "closed": s.closed, "synced": s.synced, "chained": s.chained, "packed": s.packed,
                    "removed": s.removed,
                    "damage": s.damage.iter().map(|d| json!({
                        "file": d.file, "offset": d.offset, "position": d.position, "what": d.kind.to_string(),
                    })).collect::<Vec<_>>(),
                })
            })
            .collect();
        let whole = json!({ "manifest": report.manifest, "streams": streams, "damages": report.damages() });
        writeln!(out, "{}", serde_json::to_string_pretty(&whole)?)?;
    } else {
        writeln!(out, "run {} of {}", report.manifest.run_id, args.dir.display())?;
        report.streams.iter().try_for_each(|stream| writeln!(out, "{stream}"))?;
        match report.damages() {
            0 => writeln!(out, "no damage")?,
            1 => writeln!(out, "1 damaged place")?,
            n => writeln!(out, "{n} damaged places")?,
        }
    }
    Ok(u8::from(report.damages() > 0))
}

/// 0 = both streams are whole, 1 = one was cut; what was cut off is kept beside it. Damage that no crash explains is an
/// error, and nothing is touched.
fn run_recover(args: &RecoverArgs, out: &mut impl Write) -> Result<u8, Failure> {
    let bar = ProgressBar::new();
    let verdict = recover_told(&args.dir, &mut |stream, done, whole| {
        bar.show(done, whole, &format!("reading {stream}"));
    })?;
    drop(bar);
    writeln!(out, "run {} of {}", verdict.manifest.run_id, args.dir.display())?;
    verdict.streams.iter().try_for_each(|stream| writeln!(out, "{stream}"))?;
    let is_cut = verdict.streams.iter().any(|stream| matches!(stream.end, End::Cut { .. }));
    Ok(u8::from(is_cut))
}

fn run_pack(args: &PackArgs, out: &mut impl Write) -> Result<u8, Failure> {
    let bar = ProgressBar::new();
    let done = pack_told(&args.dir, args.level, &mut |stream, done, whole| {
        bar.show(done, whole, &format!("packing {stream}"));
    })?;
    drop(bar);
    writeln!(
        out,
        "{} segments chained, {} compressed: {} bytes became {}",
        done.segments, done.packed, done.raw_bytes, done.packed_bytes
    )?;
    Ok(0)
}

/// The numbers that are printed.
fn range(args: &DumpArgs, dir: &Path) -> Result<RangeInclusive<u64>, Failure> {
    let from = match args.from {
        None => Seq(0),
        // A number needs no more than the records: a journal that cannot be replayed is printed all the same.
        Some(Place::Seq(seq)) => seq,
        Some(place) => place.first(&mut Cursor::open(dir)?)?.ok_or_else(|| {
            let what = "--from lies after the end of the run: nothing could be printed";
            CliError::Argument(what.to_owned())
        })?,
    };
    let to = match args.to {
        None => None,
        Some(Place::Seq(seq)) => Some(seq),
        Some(place) => place.last(&mut Cursor::open(dir)?)?,
    };
    let to = to.unwrap_or(Seq(u64::MAX));
    if from > to {
        let what = format!("--from {} lies after --to {}: nothing could be printed", from.0, to.0);
        return Err(CliError::Argument(what).into());
    }
    Ok(from.0..=to.0)
}

fn run_dump(args: &DumpArgs, out: &mut impl Write) -> Result<u8, Failure> {
    let source = Source::open(&args.dir)?;
    let range = range(args, source.dir())?;
    if args.events {
        return dump_events(source.dir(), &range, out);
    }
    let streams: &[Stream] = match args.stream {
        None => &Stream::ALL,
        Some(StreamName::Inputs) => &[Stream::Inputs],
        Some(StreamName::Outputs) => &[Stream::Outputs],
    };
    let mut walls = Walls::begin(source.dir());
    if args.stream == Some(StreamName::Outputs) {
        walls.read(source.dir())?;
    }
    for stream in streams {
        let mut reader = Reader::open(source.dir(), *stream)?;
        loop {
            match reader.next() {
                Ok(None) => break,
                Ok(Some(record)) => {
                    if *stream == Stream::Inputs {
                        walls.meet(&record);
                    }
                    if range.contains(&record.seq) {
                        let shown = show(*stream, &record, walls.of(&record), args.raw);
                        serde_json::to_writer(&mut *out, &shown).map_err(io::Error::from)?;
                        out.write_all(b"\n")?;
                    }
                }
                Err(JournalError::Damaged(damage)) => {
                    out.flush()?;
                    tell!("perpring: damaged journal: {damage}; the records before it were printed");
                    return Ok(1);
                }
                Err(other) => return Err(other.into()),
            }
        }
    }
    Ok(0)
}

/// What the wall clock was ahead of the monotonic one, from which input on.
struct Walls(Vec<(u64, Nanos)>);

impl Walls {
    /// What is known before the first record.
    fn begin(dir: &Path) -> Self {
        let ahead = start_wall(dir).ok().flatten(); // what cannot be replayed is printed all the same
        Self(ahead.map(|ahead| (0, ahead)).into_iter().collect())
    }

    /// All that the inputs say, as far as they read.
    fn read(&mut self, dir: &Path) -> Result<(), JournalError> {
        let mut reader = Reader::open(dir, Stream::Inputs)?;
        while let Ok(Some(record)) = reader.next() {
            self.meet(&record);
        }
        Ok(())
    }

    /// An input says it.
    fn meet(&mut self, record: &RecordRef<'_>) {
        if record.kind == input_kind(&Input::Anchor(0))
            && let Ok((Input::Anchor(ahead), _)) = decode_input(record.body)
        {
            self.0.push((record.seq, ahead));
        }
    }

    /// The wall clock at a record, ns since 1970; `None` before anybody said what it was.
    fn of(&self, record: &RecordRef<'_>) -> Option<Nanos> {
        let at = self.0.partition_point(|(from, _)| *from <= record.seq);
        at.checked_sub(1).map(|at| record.time_ns + self.0[at].1)
    }
}

/// An event as a line.
#[derive(Serialize)]
struct Shown<'a> {
    stream: &'a str,
    seq: u64,
    mono_ns: Nanos,
    wall_ns: Option<Nanos>,
    event: &'a Value,
}

/// Journals keep digests of events: they are derived anew from the inputs, as a replay does, and told in the words of
/// `step`. Ticks are left out.
fn dump_events(dir: &Path, range: &RangeInclusive<u64>, out: &mut impl Write) -> Result<u8, Failure> {
    let cursor = Cursor::open(dir)?;
    let names = Names::of(&cursor.config().params);
    let parts = cursor.into_river().into_parts();
    let scanner = parts.scan.scanner();
    let known = |at| scanner.listing(InstrumentId(at as u16)).map(|listing| listing.instrument);
    let mut contracts: Vec<Instrument> =
        (0..parts.scan.listings()).map(|at| known(at).unwrap_or_default()).collect();
    let mut decode = parts.decode;
    let mut inputs = Inputs::open(dir)?;
    let hole = inputs.hole();
    let mut has_wall = start_wall(dir)?.is_some();
    let mut written = Ok(());
    while let Some((recorded, raw)) = inputs.next()? {
        if recorded.0 > *range.end() || written.is_err() {
            break;
        }
        let (seq, at) = decode.sequence(&raw);
        has_wall |= matches!(raw.input, Input::Anchor(_));
        decode.on_input(&raw, seq, at, &mut |event| {
            if let EventBody::Instrument(contract) = &event.body
                && let Some(known) = contracts.get_mut(contract.id.index())
            {
                *known = *contract;
            }
            if !range.contains(&seq.0) || written.is_err() || event.body == EventBody::Tick {
                return;
            }
            let contract =
                |id: InstrumentId| contracts.get(id.index()).filter(|one| one.generation > 0).copied();
            let told = Plain { names: &names, instrument: &contract }.of(&event.body);
            let (mono_ns, wall_ns) = (at.mono, has_wall.then_some(at.wall));
            let shown = Shown { stream: "events", seq: seq.0, mono_ns, wall_ns, event: &told };
            written = serde_json::to_writer(&mut *out, &shown)
                .map_err(io::Error::from)
                .and_then(|()| out.write_all(b"\n"));
        });
    }
    written?;
    if let Some((expected, found)) = hole.get() {
        out.flush()?;
        tell!("perpring: input {expected} is missing, {found} follows; the events before it were printed");
        return Ok(1);
    }
    Ok(0)
}

fn show(stream: Stream, record: &RecordRef<'_>, wall_ns: Option<Nanos>, raw: bool) -> Value {
    let mut shown = json!({
        "stream": stream, "index": record.index, "seq": record.seq, "kind": kind_name(record.kind),
        "class": record.class, "mono_ns": record.time_ns, "wall_ns": wall_ns, "bytes": record.body.len(),
    });
    let decoded = if raw { None } else { decode(stream, record) };
    let Value::Object(fields) = &mut shown else { return shown };
    match decoded {
        Some((value, beside)) => {
            fields.insert("value".into(), value);
            if !beside.is_empty() {
                let text = match std::str::from_utf8(beside) {
                    Ok(text) => Value::from(text),
                    Err(_) => json!({ "hex": Hex(beside).to_string() }),
                };
                fields.insert("raw".into(), text);
            }
        }
        None => {
            fields.insert("hex".into(), Value::from(Hex(record.body).to_string()));
        }
    }
    shown
}

/// The typed part of a body and the raw bytes beside it; `None` when this version does not understand it.
fn decode<'a>(stream: Stream, record: &RecordRef<'a>) -> Option<(Value, &'a [u8])> {
    match stream {
        Stream::Inputs => {
            let (input, raw) = decode_input(record.body).ok()?;
            Some((serde_json::to_value(input).ok()?, raw))
        }
        Stream::Outputs => {
            let (key, output, raw) = decode_output(Seq(record.seq), record.body).ok()?;
            let value = json!({ "stage": key.stage, "ordinal": key.ordinal, "output": output });
            Some((value, raw))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::codec::{HEADER_MAX, encode_input};
    use crate::domain::input::FrameMeta;
    use crate::journal::{JournalOptions, Manifest, Record, Writer};

    fn seq(number: u64) -> Option<Place> {
        Some(Place::Seq(Seq(number)))
    }

    fn dumped(dir: &std::path::Path, raw: bool) -> (u8, String) {
        let mut out = Vec::new();
        let args =
            DumpArgs { dir: dir.to_owned(), stream: None, from: seq(2), to: seq(3), raw, events: false };
        let code = run_dump(&args, &mut out).expect("a journal");
        (code, String::from_utf8(out).expect("json"))
    }

    #[test]
    fn verify_counts_and_dump_decodes() {
        let dir = std::env::temp_dir().join(format!("perpring-cli-journal-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        let options = JournalOptions { segment_bytes: 16384, helper: false, ..JournalOptions::default() };
        let mut writer = Writer::create(&dir, Stream::Inputs, &Manifest::default(), &options).expect("fresh");
        let input = Input::Frame(FrameMeta::default());
        let mut scratch = [0; HEADER_MAX];
        let header = encode_input(&input, &mut scratch);
        for seq in 1..=4 {
            let kind = input_kind(&input);
            let parts: &[&[u8]] = &[header, b"{\"e\":1}"];
            writer.append(&Record { kind, class: 0, seq, time_ns: 5, parts }).expect("room");
        }
        writer.close().expect("close");

        let (code, text) = dumped(&dir, false);
        let lines: Vec<Value> = text.lines().map(|l| serde_json::from_str(l).expect("json")).collect();
        assert_eq!((code, lines.len()), (0, 2));
        assert_eq!((&lines[0]["seq"], &lines[0]["kind"]), (&json!(2), &json!("frame")));
        assert_eq!((&lines[0]["mono_ns"], &lines[0]["wall_ns"]), (&json!(5), &Value::Null));
        assert_eq!(lines[0]["raw"], json!("{\"e\":1}"));
        assert_eq!(lines[0]["value"], serde_json::to_value(input).expect("plain"));
        assert!(dumped(&dir, true).1.contains("\"hex\""));

        let mut out = Vec::new();
        let args = VerifyArgs { dir: dir.clone(), json: true };
        assert_eq!(run_verify(&args, &mut out).expect("a journal"), 0);
        let report: Value = serde_json::from_slice(&out).expect("json");
        assert_eq!((&report["streams"][0]["records"], &report["damages"]), (&json!(4), &json!(0)));
        std::fs::remove_dir_all(&dir).expect("clean up");
        assert!(run_verify(&args, &mut Vec::new()).is_err(), "no journal is not a clean journal");
        let backwards = DumpArgs { dir, stream: None, from: seq(3), to: seq(2), raw: false, events: false };
        assert!(run_dump(&backwards, &mut Vec::new()).unwrap_err().to_string().contains("--from 3"));
    }
}
