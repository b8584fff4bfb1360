//! Reads captures of venue traffic line by line, plain, gzipped or in zstd, whichever of the usual recorders
//! wrote them. Says what each line is; knows nothing of what is in a frame.
//!
//! Recognised, line by line: a JSON message; `<receive time> <frame>` (hftbacktest collector, and tardis with its
//! ISO 8601 times); `<mono ns><TAB><frame>`; `{"localTimestamp":"…","message":…}` (tardis NDJSON) and
//! `{"receive_ns":…,"frame":…}` (JSON lines); the cryptofeed recorder's `<url> <-> <t>` (connected),
//! `<url> <- <t>: <msg>` (sent), `<t>: <frame>` (received), `<url> -> <t>: <body>` (HTTP reply) and
//! `configuration: …`.

use super::error::CliError;
use flate2::read::MultiGzDecoder;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Longest line that is read; anything longer is reported and passed over.
const LINE_MAX: usize = 64 << 20;

/// What a line of a capture is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineKind {
    /// A message that was received, or the body of an HTTP reply.
    Frame,
    /// Written by the recorder itself: connects, sent messages, configuration.
    Recorder(&'static str),
    /// Longer than what is read; the payload is empty.
    TooLong,
}

/// A line.
#[derive(Clone, Copy, Debug)]
pub struct Line<'a> {
    /// Index of the file in the order given.
    pub file: usize,
    /// Line number, from 1.
    pub number: u64,
    /// What it is.
    pub kind: LineKind,
    /// Receive time as the recorder wrote it; empty when absent.
    pub received: &'a [u8],
    /// The symbol in the query of the URL of an HTTP reply (`symbol=` or `instId=`); empty when absent.
    pub url_symbol: &'a [u8],
    /// The URL of an HTTP reply; empty for what is none.
    pub url: &'a [u8],
    /// The message.
    pub payload: &'a [u8],
}

/// Hands every non-empty line of the files, in order, to `each`. Returns what could not be opened or read: of
/// such a file the lines before the unreadable place were handed out, and the files after it as well.
///
/// # Errors
/// [`CliError::NoInput`], and whatever `each` returns.
pub fn read(
    files: &[PathBuf],
    mut each: impl FnMut(Line<'_>) -> Result<(), CliError>,
) -> Result<Vec<CliError>, CliError> {
    if files.is_empty() {
        return Err(CliError::NoInput);
    }
    let mut unreadable = Vec::new();
    for (file, path) in files.iter().enumerate() {
        let mut fail = |source| unreadable.push(CliError::Read { path: path.clone(), source });
        let mut lines = match Lines::open(file, path) {
            Ok(lines) => lines,
            Err(source) => {
                fail(source);
                continue;
            }
        };
        loop {
            match lines.advance() {
                Ok(true) => each(lines.line())?,
                Ok(false) => break,
                Err(source) => {
                    fail(source);
                    break;
                }
            }
        }
    }
    Ok(unreadable)
}

/// The non-empty lines of one file, one at a time: no more than the present one is held.
pub struct Lines {
    reader: Box<dyn BufRead>,
    buffer: Vec<u8>,
    file: usize,
    number: u64,
    fits: bool,
}

impl Lines {
    /// Before the first line of a file; `file` is its index in the order given.
    ///
    /// # Errors
    /// The system's.
    pub fn open(file: usize, path: &Path) -> std::io::Result<Self> {
        Self::open_counted(file, path, Arc::default())
    }

    /// The same; `read` counts the bytes of the file itself, before anything is unpacked.
    ///
    /// # Errors
    /// The system's.
    pub fn open_counted(file: usize, path: &Path, read: Arc<AtomicU64>) -> std::io::Result<Self> {
        Ok(Self { reader: open(path, read)?, buffer: Vec::new(), file, number: 0, fits: true })
    }

    /// Goes on to the next non-empty line; false at the end.
    ///
    /// # Errors
    /// The system's, and those of a compressed file that is damaged or cut off.
    pub fn advance(&mut self) -> std::io::Result<bool> {
        while let Some(fits) = read_line(self.reader.as_mut(), &mut self.buffer)? {
            self.number += 1;
            self.fits = fits;
            if !fits || !self.buffer.trim_ascii().is_empty() {
                return Ok(true);
            }
        }
        self.buffer.clear();
        Ok(false)
    }

    /// The present line.
    pub fn line(&self) -> Line<'_> {
        let line = split(self.file, self.number, self.buffer.trim_ascii());
        if self.fits {
            return line;
        }
        let none = b"".as_slice();
        Line { kind: LineKind::TooLong, received: none, url_symbol: none, url: none, payload: none, ..line }
    }
}

/// Name of a file for messages.
pub fn name(path: &Path) -> String {
    if path == Path::new("-") { "standard input".to_owned() } else { path.display().to_string() }
}

/// Opens a file or standard input (`-`), through gzip or zstd when it begins like that.
fn open(path: &Path, read: Arc<AtomicU64>) -> std::io::Result<Box<dyn BufRead>> {
    const BUFFER: usize = 1 << 16;
    let raw: Box<dyn Read> =
        if path == Path::new("-") { Box::new(std::io::stdin()) } else { Box::new(File::open(path)?) };
    let mut reader = BufReader::with_capacity(BUFFER, Counted { raw, read });
    let head = reader.fill_buf()?;
    Ok(if head.starts_with(&[0x1f, 0x8b]) {
        Box::new(BufReader::with_capacity(BUFFER, MultiGzDecoder::new(reader)))
    } else if head.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        let decoder = zstd::stream::read::Decoder::with_buffer(reader)?;
        Box::new(BufReader::with_capacity(BUFFER, decoder))
    } else {
        Box::new(reader)
    })
}

/// Counts what is read.
struct Counted {
    raw: Box<dyn Read>,
    read: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, to: &mut [u8]) -> std::io::Result<usize> {
        let count = self.raw.read(to)?;
        self.read.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

/// The next line without its end; `None` at the end of the file, `Some(false)` when it was too long.
fn read_line(reader: &mut dyn BufRead, line: &mut Vec<u8>) -> std::io::Result<Option<bool>> {
    line.clear();
    let (mut any, mut fits) = (false, true);
    loop {
        let chunk = match reader.fill_buf() {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            chunk => chunk?,
        };
        if chunk.is_empty() {
            return Ok(any.then_some(fits));
        }
        any = true;
        let end = memchr::memchr(b'\n', chunk);
        let part = &chunk[..end.unwrap_or(chunk.len())];
        if line.len() + part.len() > LINE_MAX {
            fits = false;
            line.clear();
        }
        if fits {
            line.extend_from_slice(part);
        }
        let used = part.len() + usize::from(end.is_some());
        reader.consume(used);
        if end.is_some() {
            return Ok(Some(fits));
        }
    }
}

/// Tells the recorders' formats apart by the beginning of a line.
fn split(file: usize, number: u64, text: &[u8]) -> Line<'_> {
    let none = b"".as_slice();
    let line =
        |kind, received, payload| Line { file, number, kind, received, url_symbol: none, url: none, payload };
    if text.starts_with(b"configuration:") {
        return line(LineKind::Recorder("configuration"), b"", text);
    }
    if [&b"https://"[..], b"http://", b"wss://", b"ws://"].iter().any(|scheme| text.starts_with(scheme)) {
        return url_line(file, number, text);
    }
    if let Some((received, payload)) = wrapped(text) {
        return line(LineKind::Frame, received, payload);
    }
    if let Some(space) = memchr::memchr(b' ', &text[..text.len().min(ISO_MAX + 1)])
        && is_iso(&text[..space])
    {
        return line(LineKind::Frame, &text[..space], text[space + 1..].trim_ascii());
    }
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit() || **byte == b'.').count();
    let (time, rest) = text.split_at(digits);
    if time.first().is_some_and(u8::is_ascii_digit) {
        let payload = match rest {
            [b'\t', payload @ ..] | [b':', b' ', payload @ ..] | [b' ', payload @ ..] => Some(payload),
            _ => None,
        };
        if let Some(payload) = payload {
            return line(LineKind::Frame, time, payload.trim_ascii());
        }
    }
    line(LineKind::Frame, b"", text)
}

/// Longest ISO 8601 time.
const ISO_MAX: usize = 32;

/// `2024-08-08T23:54:15.0303146Z`, roughly.
fn is_iso(text: &[u8]) -> bool {
    matches!(text, [b'0'..=b'9', b'0'..=b'9', b'0'..=b'9', b'0'..=b'9', b'-', .., b'Z'])
        && text.get(10) == Some(&b'T')
}

/// `{"localTimestamp":"…","message":…}` and `{"receive_ns":…,"frame":…}`, the time first; `None` for anything else.
fn wrapped(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let key = [("{\"localTimestamp\":", "message"), ("{\"receive_ns\":", "frame")];
    let (head, name) = key.into_iter().find(|(head, _)| text.starts_with(head.as_bytes()))?;
    let rest = text[head.len()..].trim_ascii_start();
    let comma = memchr::memchr(b',', rest)?;
    let time = rest[..comma].trim_ascii();
    let time = time.strip_prefix(b"\"").and_then(|time| time.strip_suffix(b"\"")).unwrap_or(time);
    let rest = rest[comma + 1..].trim_ascii_start().strip_prefix(b"\"")?.strip_prefix(name.as_bytes())?;
    let rest = rest.strip_prefix(b"\"")?.trim_ascii_start().strip_prefix(b":")?;
    Some((time, rest.strip_suffix(b"}")?.trim_ascii()))
}

/// `<url> <-> <t>`, `<url> <- <t>: <msg>`, `<url> -> <t>: <body>`; an unknown arrow makes it garbage.
fn url_line(file: usize, number: u64, text: &[u8]) -> Line<'_> {
    let none = b"".as_slice();
    let kind = LineKind::Frame;
    let mut line = Line { file, number, kind, received: none, url_symbol: none, url: none, payload: text };
    let Some(space) = memchr::memchr(b' ', text) else { return line };
    let (url, rest) = (&text[..space], &text[space + 1..]);
    if let Some(time) = rest.strip_prefix(b"<-> ") {
        line.kind = LineKind::Recorder("connect");
        line.received = time.trim_ascii();
    } else if rest.starts_with(b"<- ") {
        line.kind = LineKind::Recorder("sent");
    } else if let Some(reply) = rest.strip_prefix(b"-> ")
        && let Some(at) = memchr::memmem::find(reply, b": ")
    {
        line.received = &reply[..at];
        line.url = url;
        line.payload = reply[at + 2..].trim_ascii();
        line.url_symbol = query(url, b"symbol=").or_else(|| query(url, b"instId=")).unwrap_or(b"");
    }
    line
}

/// Value of a parameter in the query of a URL.
fn query<'a>(url: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let at = memchr::memchr(b'?', url)?;
    url[at + 1..].split(|byte| *byte == b'&').find_map(|part| part.strip_prefix(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn parts(text: &str) -> (LineKind, &str, &str, &str) {
        let line = split(0, 1, text.as_bytes());
        let utf8 = |bytes| std::str::from_utf8(bytes).unwrap();
        (line.kind, utf8(line.received), utf8(line.url_symbol), utf8(line.payload))
    }

    #[test]
    fn every_recorder_is_recognised() {
        use LineKind::{Frame, Recorder};
        for (text, expected) in [
            (r#"{"e":1}"#, (Frame, "", "", r#"{"e":1}"#)),
            (r#"1721347020984480942 {"e":1}"#, (Frame, "1721347020984480942", "", r#"{"e":1}"#)),
            ("12\t[1]", (Frame, "12", "", "[1]")),
            (r#"1626992741.06217: {"a":2}"#, (Frame, "1626992741.06217", "", r#"{"a":2}"#)),
            ("1626992741.1: pong", (Frame, "1626992741.1", "", "pong")),
            (
                "wss://x/y?streams=a <-> 16.5",
                (Recorder("connect"), "16.5", "", "wss://x/y?streams=a <-> 16.5"),
            ),
            ("2024-08-08T23:54:15.0303146Z [1]", (Frame, "2024-08-08T23:54:15.0303146Z", "", "[1]")),
            (
                r#"{"localTimestamp":"2024-08-08T23:54:15.030Z","message":{"a":{}}}"#,
                (Frame, "2024-08-08T23:54:15.030Z", "", r#"{"a":{}}"#),
            ),
            (r#"{"receive_ns":17, "frame": [2]}"#, (Frame, "17", "", "[2]")),
            (r#"{"receive_ns":17}"#, (Frame, "", "", r#"{"receive_ns":17}"#)),
            ("wss://x <- 16.5: {}", (Recorder("sent"), "", "", "wss://x <- 16.5: {}")),
            (
                "https://x/depth?symbol=AUSDT&limit=9 -> 16.5: {\"b\":1}",
                (Frame, "16.5", "AUSDT", "{\"b\":1}"),
            ),
            ("https://x/books?sz=9&instId=B-C -> 1: {}", (Frame, "1", "B-C", "{}")),
            ("configuration: {}", (Recorder("configuration"), "", "", "configuration: {}")),
            ("https://x garbage", (Frame, "", "", "https://x garbage")),
            ("12345", (Frame, "", "", "12345")),
            ("garbage", (Frame, "", "", "garbage")),
        ] {
            assert_eq!(parts(text), expected, "{text}");
        }
    }

    fn lines_of(content: &[u8], name: &str) -> Vec<(u64, String)> {
        let path = std::env::temp_dir().join(format!("perpring-capture-{}-{name}", std::process::id()));
        std::fs::write(&path, content).unwrap();
        let mut lines = Vec::new();
        let result = read(std::slice::from_ref(&path), |line| {
            lines.push((line.number, String::from_utf8_lossy(line.payload).into_owned()));
            Ok(())
        });
        std::fs::remove_file(&path).unwrap();
        assert!(result.unwrap().is_empty(), "all of it is readable");
        lines
    }

    #[test]
    fn plain_gzip_and_zstd_files_of_many_members_are_read_with_their_line_numbers() {
        let expected = [(1, "{}".to_owned()), (3, "[1]".to_owned()), (4, "x".to_owned())];
        assert_eq!(lines_of(b"{}\r\n\n[1]\nx", "plain"), expected);
        let member = |text: &[u8]| {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(text).unwrap();
            encoder.finish().unwrap()
        };
        let gz = [member(b"{}\n\n[1"), member(b"]\nx\n")].concat();
        assert_eq!(lines_of(&gz, "gzip"), expected);
        let frame = |text: &[u8]| zstd::encode_all(text, 1).unwrap();
        let zst = [frame(b"{}\n\n[1"), frame(b"]\nx\n")].concat();
        assert_eq!(lines_of(&zst, "zstd"), expected);
    }

    #[test]
    fn a_missing_file_is_named_and_the_rest_is_read() {
        let dir = crate::cli::demo::tempdir().unwrap();
        let (good, cut) = (dir.join("good"), dir.join("cut.gz"));
        std::fs::write(&good, b"{}\n").unwrap();
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(b"[1]\n[2]\n").unwrap();
        let whole = encoder.finish().unwrap();
        std::fs::write(&cut, &whole[..whole.len() - 4]).unwrap();
        let mut files = Vec::new();
        let missing = PathBuf::from("/nonexistent/capture");
        let unreadable = read(&[missing, cut, good], |line| {
            files.push(line.file);
            Ok(())
        })
        .unwrap();
        assert!(files.ends_with(&[2]), "{files:?}");
        let said: Vec<String> = unreadable.iter().map(ToString::to_string).collect();
        assert!(said.len() == 2 && said[0].contains("/nonexistent/capture"), "{said:?}");
        assert!(said[1].contains("cut.gz"), "{said:?}");
        assert!(matches!(read(&[], |_| Ok(())), Err(CliError::NoInput)));
    }
}
