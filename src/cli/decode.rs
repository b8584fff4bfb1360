//! `perpring decode`: captured payloads → normalised messages as NDJSON with exact decimals. Every line that
//! cannot be decoded is reported with file, number and reason, and nothing after it is lost.

use super::capture::{self, Line, LineKind};
use super::error::{CliError, EXIT_CANNOT, EXIT_CLEAN, EXIT_FINDING, dialect, naming};
use crate::domain::number::Num;
use crate::domain::order::Side;
use crate::venue::drift::{Mark, Marks, channel_of};
use crate::venue::message::{DecodeError, Decoder, Level, Message};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write;
use std::path::PathBuf;

/// Findings that are written out one by one; the rest is counted.
const REPORTED_MAX: u64 = 1000;

/// Arguments of `perpring decode`.
#[derive(Debug, clap::Args)]
pub struct DecodeArgs {
    /// Dialect of the capture.
    #[arg(long, help = naming("Dialect of the capture"))]
    venue: String,
    /// Messages of unknown type are findings too (exit code 1).
    #[arg(long)]
    strict: bool,
    /// End with one JSON object of counts.
    #[arg(long)]
    summary: bool,
    /// Captures, plain or gzipped; `-` is standard input.
    #[arg(required = true)]
    files: Vec<PathBuf>,
}

/// Runs the command on standard output and standard error.
///
/// # Errors
/// [`CliError`] when it cannot run (exit code 2).
pub fn main(args: &DecodeArgs) -> Result<u8, CliError> {
    let (mut out, mut err) = (std::io::BufWriter::new(std::io::stdout().lock()), std::io::stderr().lock());
    run(&args.venue, &args.files, args.strict, args.summary, &mut out, &mut err)
}

/// Runs the command; the exit code is 0 when clean and 1 when lines could not be decoded (with `strict`:
/// or messages were unknown), 2 when a file could not be read to its end; the others are processed all the
/// same. With `summary`, the last line on `out` is a [`Summary`]; a short one for people is always on `err`.
///
/// # Errors
/// [`CliError`] when it cannot run (exit code 2).
pub fn run(
    venue: &str,
    files: &[PathBuf],
    strict: bool,
    summary: bool,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> Result<u8, CliError> {
    let dialect = dialect(venue)?;
    // Messages borrow the decoder's scratch space: names are asked of a second one (it has no state).
    let (mut decoder, namer) = (dialect.decoder(), dialect.decoder());
    let mut totals = Summary { kind: "summary", venue: venue.to_owned(), ..Summary::default() };
    let mut symbols = Attribution::default();
    let (mut text, mut oracle) = (String::new(), String::new());
    let unreadable = capture::read(files, |line| {
        totals.lines += 1;
        symbols.line(&line);
        text.clear();
        let mut unknown = 0;
        let result = each_message(decoder.as_mut(), &line, &mut totals, &mut |message, totals| {
            let symbol = symbols.of(message);
            unknown += u64::from(*message == Message::Unknown);
            totals.count(namer.as_ref(), message, &symbol, &mut oracle);
            write_message(&mut text, &line, namer.channel(message), message, &symbol);
        });
        out.write_all(text.as_bytes())?;
        if line.kind == LineKind::Frame {
            totals.note_marks(decoder.marks(), line.payload);
        }
        let reason = match result {
            Err(reason) => {
                totals.errors += 1;
                reason
            }
            Ok(()) if unknown > 0 && strict => "a message of an unknown type".to_owned(),
            Ok(()) => return Ok(()),
        };
        if totals.errors + totals.unknown <= REPORTED_MAX {
            writeln!(err, "{}: line {}: {reason}", capture::name(&files[line.file]), line.number)?;
        }
        Ok(())
    })?;
    totals.unreadable = unreadable.iter().map(ToString::to_string).collect();
    for failure in &totals.unreadable {
        writeln!(err, "{failure}")?;
    }
    writeln!(
        err,
        "{} lines: {} messages, {} ignored, {} private, {} unknown, {} errors",
        totals.lines,
        totals.types.values().sum::<u64>(),
        totals.ignored.values().sum::<u64>(),
        totals.private.values().sum::<u64>(),
        totals.unknown,
        totals.errors
    )?;
    for (name, count) in &totals.undocumented {
        writeln!(err, "not documented: {name} ({count} times)")?;
    }
    if summary {
        let json = serde_json::to_string(&totals).map_err(std::io::Error::other)?;
        writeln!(out, "{json}")?;
    }
    out.flush()?;
    let found = totals.errors > 0 || (strict && totals.unknown > 0);
    Ok(match (unreadable.is_empty(), found) {
        (false, _) => EXIT_CANNOT,
        (true, true) => EXIT_FINDING,
        (true, false) => EXIT_CLEAN,
    })
}

/// Decodes one line; recorder lines are counted as ignored.
fn each_message(
    decoder: &mut dyn Decoder,
    line: &Line<'_>,
    totals: &mut Summary,
    each: &mut dyn FnMut(&Message<'_>, &mut Summary),
) -> Result<(), String> {
    match line.kind {
        LineKind::Recorder(kind) => {
            *totals.ignored.entry(format!("recorder {kind}")).or_default() += 1;
            return Ok(());
        }
        LineKind::TooLong => return Err("longer than any message of a venue".to_owned()),
        LineKind::Frame => {}
    }
    totals.frames += 1;
    decoder
        .decode(line.payload, &mut |message| each(message, totals))
        .map_err(|error: DecodeError| error.to_string())
}

/// Which symbol a message without one belongs to: the one in the URL that was asked for, or the only one
/// seen in the file so far (a collector that records one symbol per file).
#[derive(Debug, Default)]
pub struct Attribution {
    file: usize,
    url: String,
    seen: Vec<u8>,
    several: bool,
}

impl Attribution {
    /// A new line begins.
    pub fn line(&mut self, line: &Line<'_>) {
        if line.file != self.file {
            *self = Self { file: line.file, ..Self::default() };
        }
        self.url.clear();
        self.url.push_str(&String::from_utf8_lossy(line.url_symbol));
    }

    /// The symbol of a message; empty when it cannot be told.
    pub fn of(&mut self, message: &Message<'_>) -> String {
        let named = message.symbol();
        if !named.is_empty() {
            self.several |= !self.seen.is_empty() && self.seen != named;
            if self.seen.is_empty() {
                self.seen.extend_from_slice(named);
            }
            return String::from_utf8_lossy(named).into_owned();
        }
        if !self.url.is_empty() || self.several {
            return self.url.clone();
        }
        String::from_utf8_lossy(&self.seen).into_owned()
    }
}

/// Counts of a run; the last line of the output with `--summary`.
#[derive(Debug, Default, Serialize)]
pub struct Summary {
    /// `summary`: tells this object from messages.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// Dialect.
    pub venue: String,
    /// Lines that are not empty.
    pub lines: u64,
    /// Frames and HTTP replies among them.
    pub frames: u64,
    /// Messages by type.
    pub types: BTreeMap<&'static str, u64>,
    /// Messages by `<symbol> <channel>`, with the CRC-32 of their canonical lines.
    pub channels: BTreeMap<String, Channel>,
    /// Messages of documented types that carry nothing, by type.
    pub ignored: BTreeMap<String, u64>,
    /// Private messages by type.
    pub private: BTreeMap<&'static str, u64>,
    /// Messages of unknown type.
    pub unknown: u64,
    /// Keys and values that are not documented, by `<channel> <name>` (`<channel> <name>=<value>`).
    pub undocumented: BTreeMap<String, u64>,
    /// Lines that could not be decoded.
    pub errors: u64,
    /// Files that could not be read, or not to their end, and why.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unreadable: Vec<String>,
}

/// Count and checksum of a channel.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Channel {
    /// Messages.
    pub count: u64,
    /// CRC-32 of the canonical lines, each with a newline; absent for channels without canonical lines.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub crc: Option<u32>,
}

impl Summary {
    /// Each undocumented name counts once per frame.
    fn note_marks(&mut self, marks: Marks, frame: &[u8]) {
        let text = |bytes| String::from_utf8_lossy(bytes);
        for (_, mark) in marks.of(frame) {
            let channel = text(channel_of(frame));
            let name = match mark {
                Mark::Field { name } => format!("{channel} {}", text(name)),
                Mark::Value { name, value } => format!("{channel} {}={}", text(name), text(value)),
            };
            *self.undocumented.entry(name).or_default() += 1;
        }
    }

    fn count(&mut self, decoder: &dyn Decoder, message: &Message<'_>, symbol: &str, line: &mut String) {
        match message {
            Message::Ignored { kind } => *self.ignored.entry((*kind).to_owned()).or_default() += 1,
            Message::Private { kind } => *self.private.entry(kind).or_default() += 1,
            Message::Unknown => self.unknown += 1,
            _ => {
                *self.types.entry(message.type_name()).or_default() += 1;
                let key = format!("{symbol} {}", decoder.channel(message));
                let channel = self.channels.entry(key).or_default();
                channel.count += 1;
                if decoder.oracle_line(message, line) {
                    line.push('\n');
                    let mut hasher = crc32fast::Hasher::new_with_initial(channel.crc.unwrap_or(0));
                    hasher.update(line.as_bytes());
                    channel.crc = Some(hasher.finalize());
                }
            }
        }
    }
}

/// One message as a JSON object and a newline.
fn write_message(text: &mut String, line: &Line<'_>, channel: &str, message: &Message<'_>, symbol: &str) {
    let mut object = Object::begin(text, message.type_name());
    object.number("line", line.number);
    if !line.received.is_empty() {
        object.string("received", &String::from_utf8_lossy(line.received));
    }
    match message {
        Message::Ignored { kind } | Message::Private { kind } => object.string("kind", kind),
        Message::Unknown => {}
        _ => {
            object.string("channel", channel);
            object.string("symbol", symbol);
        }
    }
    match message {
        Message::Depth(depth) => {
            object.raw("snapshot", depth.snapshot);
            object.number("first", depth.first);
            object.number("last", depth.last);
            object.raw("prev", depth.prev);
            if let Some(checksum) = depth.checksum {
                object.raw("checksum", checksum);
            }
            object.levels("bids", depth.bids);
            object.levels("asks", depth.asks);
            object.raw("time_ms", depth.time_ms);
        }
        Message::Bbo { id, bid, ask, time_ms, .. } => {
            object.number("id", *id);
            object.num("bid", bid.0);
            object.num("bid_qty", bid.1);
            object.num("ask", ask.0);
            object.num("ask_qty", ask.1);
            object.raw("time_ms", time_ms);
        }
        Message::Trade { id, price, qty, aggressor, time_ms, .. } => {
            object.number("id", *id);
            object.num("price", *price);
            object.num("qty", *qty);
            object.string("aggressor", side(*aggressor));
            object.raw("time_ms", time_ms);
        }
        Message::Mark { mark, index, settle, rate, funding_ms, next_funding_ms, time_ms, .. } => {
            for (name, value) in [("mark", mark), ("index", index), ("settle", settle), ("rate", rate)] {
                object.optional(name, *value);
            }
            object.raw("funding_ms", funding_ms);
            object.raw("next_funding_ms", next_funding_ms);
            object.raw("time_ms", time_ms);
        }
        Message::OpenInterest { qty, time_ms, .. } => {
            object.num("qty", *qty);
            object.raw("time_ms", time_ms);
        }
        Message::Ticker { last, bid, ask, time_ms, .. } => {
            for (name, value) in [("last", last), ("bid", bid), ("ask", ask)] {
                object.optional(name, *value);
            }
            object.raw("time_ms", time_ms);
        }
        Message::FullTicker { bid, bid_qty, ask, ask_qty, mark, time_ms, .. } => {
            let sides =
                [("bid", bid), ("bid_qty", bid_qty), ("ask", ask), ("ask_qty", ask_qty), ("mark", mark)];
            for (name, value) in sides {
                object.optional(name, *value);
            }
            object.raw("time_ms", time_ms);
        }
        Message::Liquidation { side: way, price, qty, time_ms, .. } => {
            object.string("side", side(*way));
            object.num("price", *price);
            object.num("qty", *qty);
            object.raw("time_ms", time_ms);
        }
        Message::Ignored { .. } | Message::Private { .. } | Message::Unknown => {}
    }
    text.push_str("}\n");
}

const fn side(side: Side) -> &'static str {
    match side {
        Side::Buy => "buy",
        Side::Sell => "sell",
    }
}

/// Writes a JSON object field by field; decimals are strings, so that no reader rounds them. Writing to a
/// `String` cannot fail.
struct Object<'a> {
    text: &'a mut String,
}

impl<'a> Object<'a> {
    fn begin(text: &'a mut String, kind: &str) -> Self {
        let _ = write!(text, "{{\"type\":\"{kind}\"");
        Self { text }
    }

    fn raw(&mut self, name: &str, value: impl std::fmt::Display) {
        let _ = write!(self.text, ",\"{name}\":{value}");
    }

    fn number(&mut self, name: &str, value: u64) {
        self.raw(name, value);
    }

    fn num(&mut self, name: &str, value: Num) {
        let _ = write!(self.text, ",\"{name}\":\"{value}\"");
    }

    fn optional(&mut self, name: &str, value: Option<Num>) {
        match value {
            Some(value) => self.num(name, value),
            None => self.raw(name, "null"),
        }
    }

    fn string(&mut self, name: &str, value: &str) {
        // Symbols are raw JSON text, but may hold what is no UTF-8 or come from a URL: write them anew.
        let _ = write!(self.text, ",\"{name}\":{}", serde_json::Value::from(value));
    }

    fn levels(&mut self, name: &str, levels: &[Level]) {
        let _ = write!(self.text, ",\"{name}\":[");
        for (i, (price, qty)) in levels.iter().enumerate() {
            let comma = if i == 0 { "" } else { "," };
            let _ = write!(self.text, "{comma}[\"{price}\",\"{qty}\"]");
        }
        self.text.push(']');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Error, ErrorKind};

    /// A reader of the output that has gone away.
    struct Gone;

    impl Write for Gone {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(Error::from(ErrorKind::BrokenPipe))
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn an_unreadable_file_is_said_and_the_summary_still_comes() {
        let dir = crate::cli::demo::tempdir().unwrap();
        let good = dir.join("good");
        std::fs::write(&good, b"{\"result\":null,\"id\":1}\n").unwrap();
        let files = [dir.join("absent"), good.clone()];
        let (mut out, mut err) = (Vec::new(), Vec::new());
        assert_eq!(run("binance-usdm", &files, false, true, &mut out, &mut err).unwrap(), EXIT_CANNOT);
        let last = String::from_utf8(out).unwrap().lines().last().unwrap().to_owned();
        let summary: serde_json::Value = serde_json::from_str(&last).unwrap();
        assert_eq!((&summary["type"], &summary["lines"]), (&"summary".into(), &1.into()));
        assert!(summary["unreadable"][0].as_str().unwrap().contains("absent"), "{last}");
        assert!(String::from_utf8(err).unwrap().contains("absent"));
        let closed = run("binance-usdm", &[good], false, true, &mut Gone, &mut Vec::new()).unwrap_err();
        assert!(matches!(closed, CliError::Write(e) if e.kind() == ErrorKind::BrokenPipe));
    }
}
