//! `perpring book`: rebuilds order books from captures by the venue's own sequence rule, with exact decimals
//! and every level, and prints the best levels and every gap. Offline: books are unbounded, nothing is timed.

use super::capture::{self, LineKind};
use super::decode::Attribution;
use super::error::{CliError, EXIT_CANNOT, EXIT_CLEAN, EXIT_FINDING, dialect, naming};
use crate::domain::event::BookState;
use crate::domain::number::{Num, SCALE_MAX};
use crate::journal::Hash256;
use crate::venue::message::{Continuity, Depth, Level, Message, Verdict};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::Write as _;
use std::io::Write;
use std::path::PathBuf;

/// Levels of a side that checksums cover.
const CHECKED: usize = 25;
/// Differences kept for a snapshot that may still come; the oldest go first.
const BUFFER_MAX: usize = 10_000;

/// Arguments of `perpring book`.
#[derive(Debug, clap::Args)]
pub struct BookArgs {
    /// Dialect of the capture.
    #[arg(long, help = naming("Dialect of the capture"))]
    venue: String,
    /// Only this instrument: the venue's own name, `BASE/QUOTE:SETTLE`, or `SYMBOL.VENUE`.
    #[arg(long)]
    instrument: Option<String>,
    /// Print the best levels every so many depth messages.
    #[arg(long)]
    every: Option<u64>,
    /// How many levels to print.
    #[arg(long, default_value_t = 10)]
    depth: usize,
    /// End with one JSON object instead of text.
    #[arg(long)]
    json: bool,
    /// Captures, plain or gzipped, that continue each other; `-` is standard input.
    #[arg(required = true)]
    files: Vec<PathBuf>,
}

/// Runs the command on standard output and standard error.
///
/// # Errors
/// [`CliError`] when it cannot run (exit code 2).
pub fn main(args: &BookArgs) -> Result<u8, CliError> {
    let (mut out, mut err) = (std::io::BufWriter::new(std::io::stdout().lock()), std::io::stderr().lock());
    let options = Options {
        instrument: args
            .instrument
            .as_deref()
            .map(|name| crate::config::names::symbol_at(&args.venue, name).map_err(CliError::Argument))
            .transpose()?,
        every: args.every,
        depth: args.depth,
        json: args.json,
    };
    run(&args.venue, &args.files, &options, &mut out, &mut err)
}

/// What to print.
#[derive(Clone, Debug)]
pub struct Options {
    /// Only this native symbol.
    pub instrument: Option<String>,
    /// Print the best levels every so many depth messages of an instrument.
    pub every: Option<u64>,
    /// How many levels to print.
    pub depth: usize,
    /// End with one JSON object instead of text.
    pub json: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { instrument: None, every: None, depth: 10, json: false }
    }
}

/// Runs the command; the exit code is 1 when there was a gap, a checksum mismatch, a book that never
/// started, no book at all, or a line that could not be decoded; 2 when a file could not be read to its end
/// (the others are processed all the same).
///
/// # Errors
/// [`CliError`] when it cannot run (exit code 2).
pub fn run(
    venue: &str,
    files: &[PathBuf],
    options: &Options,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> Result<u8, CliError> {
    if options.depth == 0 || options.every == Some(0) {
        return Err(CliError::Argument("--depth and --every must be at least 1".to_owned()));
    }
    let dialect = dialect(venue)?;
    let mut decoder = dialect.decoder();
    let mut books = Books::new(dialect.decoder(), options.instrument.clone());
    let mut symbols = Attribution::default();
    let (mut lines, mut unknown, mut errors) = (0u64, 0u64, 0u64);
    let mut notes: Vec<(String, Note)> = Vec::new();
    let unreadable = capture::read(files, |line| {
        if matches!(line.kind, LineKind::Recorder(_)) {
            return Ok(());
        }
        lines += 1;
        symbols.line(&line);
        notes.clear();
        let result = decoder.decode(line.payload, &mut |message| {
            let symbol = symbols.of(message);
            unknown += u64::from(*message == Message::Unknown);
            if let Message::Depth(depth) = message {
                books.on_depth(&symbol, depth, &mut |note| notes.push((symbol.clone(), note)));
            }
        });
        if result.is_err() || line.kind == LineKind::TooLong {
            errors += 1;
            let reason =
                result.err().map_or_else(|| "longer than any message".to_owned(), |error| error.to_string());
            writeln!(err, "{}: line {}: {reason}", capture::name(&files[line.file]), line.number)?;
        }
        for (symbol, note) in &notes {
            match note {
                Note::Gap(reason) => {
                    let place = format!("{}: line {}", capture::name(&files[line.file]), line.number);
                    let text = format!("gap {symbol} {place}: {reason}");
                    if options.json { writeln!(err, "{text}")? } else { writeln!(out, "{text}")? }
                }
                Note::Applied(count)
                    if !options.json && options.every.is_some_and(|every| count % every == 0) =>
                {
                    if let Some(book) = books.book(symbol) {
                        print(out, symbol, book, options.depth)?;
                    }
                }
                Note::Applied(_) => {}
            }
        }
        Ok(())
    })?;
    let unreadable: Vec<String> = unreadable.iter().map(ToString::to_string).collect();
    for failure in &unreadable {
        writeln!(err, "{failure}")?;
    }
    if options.json {
        let instruments: serde_json::Map<String, Value> =
            books.iter().map(|(symbol, book)| (symbol.to_owned(), book.json(options.depth))).collect();
        let mut whole = json!({ "instruments": instruments });
        if !unreadable.is_empty() {
            whole["unreadable"] = json!(unreadable);
        }
        writeln!(out, "{whole}")?;
    } else {
        for (symbol, book) in books.iter() {
            print(out, symbol, book, options.depth)?;
        }
    }
    for (symbol, book) in books.iter().filter(|(_, book)| book.state() != BookState::Live) {
        writeln!(err, "{symbol}: the book is not usable at the end: {:?}", book.state())?;
    }
    let none = books.iter().next().is_none();
    if none && !books.others.is_empty() {
        let seen: Vec<&str> = books.others.iter().map(String::as_str).collect();
        let wanted = options.instrument.as_deref().unwrap_or_default();
        writeln!(err, "no message of {wanted}; the depth messages are of {}", seen.join(", "))?;
    } else if none {
        writeln!(
            err,
            "no depth message of a known instrument in {lines} lines: {unknown} messages of unknown type, {errors} \
             errors; is `{venue}` the right venue?"
        )?;
    }
    out.flush()?;
    let gaps = books.iter().any(|(_, book)| book.gaps > 0 || book.state() != BookState::Live);
    Ok(match (unreadable.is_empty(), gaps || none || errors > 0) {
        (false, _) => EXIT_CANNOT,
        (true, true) => EXIT_FINDING,
        (true, false) => EXIT_CLEAN,
    })
}

fn print(out: &mut dyn Write, symbol: &str, book: &Book, depth: usize) -> std::io::Result<()> {
    writeln!(
        out,
        "{symbol} message {} id {} {:?} levels {} | {} gaps {} crc25 {}",
        book.messages,
        book.last,
        book.state(),
        book.bids.len(),
        book.asks.len(),
        book.gaps,
        book.crc25()
    )?;
    let (mut bids, mut asks) = (book.bids(), book.asks());
    for _ in 0..depth {
        let (bid, ask) = (bids.next(), asks.next());
        if bid.is_none() && ask.is_none() {
            break;
        }
        let cell =
            |level: Option<&Level>| level.map_or_else(String::new, |(price, qty)| format!("{price} x {qty}"));
        writeln!(out, "  {:>32} | {}", cell(bid), cell(ask))?;
    }
    Ok(())
}

/// What happened with a depth message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// Applied; the count of applied stream messages of the instrument.
    Applied(u64),
    /// The chain broke here, and why.
    Gap(String),
}

/// A depth message that can be kept.
#[derive(Clone, Debug)]
pub struct OwnedDepth {
    /// Channel.
    pub channel: &'static str,
    /// Snapshot or update.
    pub snapshot: bool,
    /// See [`Depth::first`].
    pub first: u64,
    /// See [`Depth::last`].
    pub last: u64,
    /// See [`Depth::prev`].
    pub prev: i64,
    /// See [`Depth::checksum`].
    pub checksum: Option<i32>,
    /// Bid levels.
    pub bids: Vec<Level>,
    /// Ask levels.
    pub asks: Vec<Level>,
    /// Venue time, ms.
    pub time_ms: i64,
}

impl From<&Depth<'_>> for OwnedDepth {
    fn from(depth: &Depth<'_>) -> Self {
        Self {
            channel: depth.channel,
            snapshot: depth.snapshot,
            first: depth.first,
            last: depth.last,
            prev: depth.prev,
            checksum: depth.checksum,
            bids: depth.bids.to_vec(),
            asks: depth.asks.to_vec(),
            time_ms: depth.time_ms,
        }
    }
}

impl OwnedDepth {
    /// As the message of `symbol`.
    pub fn borrow<'a>(&'a self, symbol: &'a str) -> Depth<'a> {
        Depth {
            channel: self.channel,
            symbol: symbol.as_bytes(),
            snapshot: self.snapshot,
            first: self.first,
            last: self.last,
            prev: self.prev,
            checksum: self.checksum,
            bids: &self.bids,
            asks: &self.asks,
            time_ms: self.time_ms,
        }
    }
}

/// Every book of a run.
pub struct Books {
    decoder: Box<dyn crate::venue::message::Decoder>,
    only: Option<String>,
    books: BTreeMap<String, Book>,
    /// Snapshots that came before their symbol was known.
    orphans: Vec<OwnedDepth>,
    /// Symbols that were passed over.
    others: BTreeSet<String>,
}

impl Books {
    /// Empty; `decoder` makes the continuity machines; `only` restricts to one symbol.
    pub fn new(decoder: Box<dyn crate::venue::message::Decoder>, only: Option<String>) -> Self {
        Self { decoder, only, books: BTreeMap::new(), orphans: Vec::new(), others: BTreeSet::new() }
    }

    /// The books by symbol.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Book)> {
        self.books.iter().map(|(symbol, book)| (symbol.as_str(), book))
    }

    /// One book.
    pub fn book(&self, symbol: &str) -> Option<&Book> {
        self.books.get(symbol)
    }

    /// A depth message; `symbol` is empty when it cannot be told yet (then it waits for the first one
    /// that can).
    pub fn on_depth(&mut self, symbol: &str, depth: &Depth<'_>, note: &mut dyn FnMut(Note)) {
        if symbol.is_empty() {
            self.orphans.push(depth.into());
            return;
        }
        if self.only.as_deref().is_some_and(|only| only != symbol) {
            if !self.others.contains(symbol) {
                self.others.insert(symbol.to_owned());
            }
            return;
        }
        let decoder = &self.decoder;
        let book = self.books.entry(symbol.to_owned()).or_insert_with(|| Book::new(decoder.continuity()));
        for orphan in std::mem::take(&mut self.orphans) {
            book.on_depth(&orphan.borrow(symbol), note);
        }
        book.on_depth(depth, note);
    }
}

/// A full-depth book: price at 18 decimals → level as sent.
pub struct Book {
    continuity: Box<dyn Continuity>,
    bids: BTreeMap<i128, Level>,
    asks: BTreeMap<i128, Level>,
    buffer: VecDeque<OwnedDepth>,
    /// Depth messages of the stream that were applied.
    pub messages: u64,
    /// Times the chain broke, mismatching checksums included.
    pub gaps: u64,
    /// Sequence number of the last message applied.
    pub last: u64,
}

impl Book {
    /// Empty, with the venue's sequence rule.
    pub fn new(continuity: Box<dyn Continuity>) -> Self {
        Self {
            continuity,
            bids: BTreeMap::new(),
            asks: BTreeMap::new(),
            buffer: VecDeque::new(),
            messages: 0,
            gaps: 0,
            last: 0,
        }
    }

    /// Where the book stands.
    pub fn state(&self) -> BookState {
        self.continuity.state()
    }

    /// A depth message of this book.
    pub fn on_depth(&mut self, depth: &Depth<'_>, note: &mut dyn FnMut(Note)) {
        let before = self.state();
        match self.continuity.on_depth(depth) {
            Verdict::Snapshot => {
                self.bids.clear();
                self.asks.clear();
                self.apply(depth, note);
                for kept in std::mem::take(&mut self.buffer) {
                    let symbol = String::from_utf8_lossy(depth.symbol).into_owned();
                    self.on_depth(&kept.borrow(&symbol), note);
                }
            }
            Verdict::Apply => self.apply(depth, note),
            Verdict::Buffer => self.keep(depth),
            Verdict::Skip => {}
            Verdict::Gap => {
                if before == BookState::Live {
                    self.gaps += 1;
                    let Self { last, .. } = self;
                    note(Note::Gap(format!(
                        "ids {}..{} after {} do not follow {last}",
                        depth.first, depth.last, depth.prev
                    )));
                }
                // Where updates wait for a snapshot, this is the first of them.
                if self.continuity.on_depth(depth) == Verdict::Buffer {
                    self.keep(depth);
                }
            }
        }
    }

    fn keep(&mut self, depth: &Depth<'_>) {
        if self.buffer.len() == BUFFER_MAX {
            self.buffer.pop_front();
        }
        self.buffer.push_back(depth.into());
    }

    fn apply(&mut self, depth: &Depth<'_>, note: &mut dyn FnMut(Note)) {
        set(&mut self.bids, depth.bids);
        set(&mut self.asks, depth.asks);
        self.last = depth.last;
        // A REST snapshot is the base of a stream, not a message of it.
        if depth.channel != "rest-depth" {
            self.messages += 1;
            note(Note::Applied(self.messages));
        }
        if depth.checksum.is_some() {
            let bids: Vec<Level> = self.bids().take(CHECKED).copied().collect();
            let asks: Vec<Level> = self.asks().take(CHECKED).copied().collect();
            if !self.continuity.verify(depth, &bids, &asks) {
                self.gaps += 1;
                note(Note::Gap("the checksum of the rebuilt book differs from the venue's".to_owned()));
            }
        }
    }

    /// Bids, best first.
    pub fn bids(&self) -> impl Iterator<Item = &Level> {
        self.bids.values().rev()
    }

    /// Asks, best first.
    pub fn asks(&self) -> impl Iterator<Item = &Level> {
        self.asks.values()
    }

    /// Levels of both sides.
    pub fn levels(&self) -> (usize, usize) {
        (self.bids.len(), self.asks.len())
    }

    /// `B<px>:<qty>;` of the best bids, then `A<px>:<qty>;` of the best asks.
    pub fn text(&self, depth: usize) -> String {
        let mut text = String::new();
        for (price, qty) in self.bids().take(depth) {
            let _ = write!(text, "B{price}:{qty};");
        }
        for (price, qty) in self.asks().take(depth) {
            let _ = write!(text, "A{price}:{qty};");
        }
        text
    }

    /// CRC-32 of the best 25 levels of each side.
    pub fn crc25(&self) -> u32 {
        crc32fast::hash(self.text(CHECKED).as_bytes())
    }

    /// SHA-256 of every level.
    pub fn sha256_full(&self) -> String {
        Hash256::of(self.text(usize::MAX).as_bytes()).to_string()
    }

    /// The final object of one instrument.
    pub fn json(&self, depth: usize) -> Value {
        let side = |levels: &mut dyn Iterator<Item = &Level>| -> Vec<Value> {
            levels.take(depth).map(|(price, qty)| json!([price.to_string(), qty.to_string()])).collect()
        };
        json!({
            "messages": self.messages,
            "levels_bid": self.bids.len(),
            "levels_ask": self.asks.len(),
            "crc25": self.crc25(),
            "sha256_full": self.sha256_full(),
            "gaps": self.gaps,
            "top_bids": side(&mut self.bids()),
            "top_asks": side(&mut self.asks()),
        })
    }
}

fn set(side: &mut BTreeMap<i128, Level>, levels: &[Level]) {
    for (price, qty) in levels {
        if qty.is_zero() {
            side.remove(&key(*price));
        } else {
            side.insert(key(*price), (*price, *qty));
        }
    }
}

/// The price at 18 decimals, where all prices compare.
fn key(price: Num) -> i128 {
    i128::from(price.mantissa) * 10i128.pow(u32::from(SCALE_MAX - price.scale.min(SCALE_MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEPTH: &str = r#"{"e":"depthUpdate","E":1,"T":1,"s":"BTCUSDT","U":1,"u":2,"pu":0,"b":[["1.0","2"]],"a":[["1.1","2"]]}"#;

    fn said(files: &[PathBuf], instrument: Option<&str>) -> (u8, String, String) {
        let options = Options { instrument: instrument.map(str::to_owned), json: true, ..Options::default() };
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let code = run("binance-usdm", files, &options, &mut out, &mut err).unwrap();
        (code, String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
    }

    #[test]
    fn no_book_is_a_finding_that_says_what_was_seen() {
        let dir = crate::cli::demo::tempdir().unwrap();
        let (depth, odd) = (dir.join("depth"), dir.join("odd"));
        std::fs::write(&depth, DEPTH).unwrap();
        std::fs::write(&odd, "{\"e\":\"neverHeardOf\",\"E\":1,\"s\":\"BTCUSDT\"}\n").unwrap();
        let (code, _, err) = said(&[odd], None);
        assert!(code == EXIT_FINDING && err.contains("1 messages of unknown type"), "{err}");
        let (code, _, err) = said(std::slice::from_ref(&depth), Some("ETHUSDT"));
        assert!(code == EXIT_FINDING && err.contains("no message of ETHUSDT"), "{err}");
        assert!(err.contains("BTCUSDT"), "{err}");
        let (code, out, err) = said(&[dir.join("absent"), depth], None);
        assert!(code == EXIT_CANNOT && err.contains("absent"), "{err}");
        let whole: Value = serde_json::from_str(&out).unwrap();
        assert!(whole["instruments"]["BTCUSDT"].is_object() && whole["unreadable"].is_array(), "{out}");
    }
}
