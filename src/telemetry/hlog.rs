//! Interval logs of histograms (`.hlog`, format 1.3), which the HdrHistogram tools read and plot. One line
//! per interval and tag; runs off the hot path.

use hdrhistogram::Histogram;
use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::{IntervalLogWriterBuilder, Tag};
use std::io::{self, Write};
use std::time::{Duration, SystemTime};

/// Writes an interval log.
pub struct HlogWriter<W: Write> {
    writer: W,
    serializer: V2DeflateSerializer,
    scratch: Vec<u8>,
    /// Bytes that beginning a log writes; every line is made by beginning one and leaving these out.
    preamble_bytes: usize,
}

impl<W: Write> HlogWriter<W> {
    /// Begins a log at `start`; `comments` go first, a line each.
    pub fn begin(mut writer: W, start: SystemTime, comments: &[&str]) -> io::Result<Self> {
        let mut serializer = V2DeflateSerializer::new();
        let mut builder = IntervalLogWriterBuilder::new();
        comments.iter().for_each(|c| {
            builder.add_comment(c);
        });
        builder.with_start_time(start).with_base_time(start);
        builder.begin_log_with(&mut writer, &mut serializer)?;
        let mut scratch = Vec::new();
        IntervalLogWriterBuilder::new().begin_log_with(&mut scratch, &mut serializer)?;
        Ok(Self { writer, serializer, preamble_bytes: scratch.len(), scratch })
    }

    /// Adds an interval of `tag` (a stage) that began `since_start` after the start.
    pub fn write(
        &mut self,
        tag: &str,
        since_start: Duration,
        length: Duration,
        histogram: &Histogram<u64>,
    ) -> io::Result<()> {
        let bad = |text: String| io::Error::new(io::ErrorKind::InvalidInput, text);
        let named = Tag::new(tag).ok_or_else(|| bad(format!("a tag has no comma and no space: {tag:?}")))?;
        self.scratch.clear();
        let mut log =
            IntervalLogWriterBuilder::new().begin_log_with(&mut self.scratch, &mut self.serializer)?;
        log.write_histogram(histogram, since_start, length, Some(named)).map_err(|e| bad(e.to_string()))?;
        self.writer.write_all(&self.scratch[self.preamble_bytes..])
    }

    /// Flushes and returns the writer.
    pub fn finish(mut self) -> io::Result<W> {
        self.writer.flush()?;
        Ok(self.writer)
    }
}

#[cfg(test)]
mod tests {
    use super::super::histogram::Samples;
    use super::*;
    use hdrhistogram::serialization::Deserializer;
    use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};

    #[test]
    fn the_log_reads_back_with_the_standard_reader() {
        let start = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        let mut log = HlogWriter::begin(Vec::new(), start, &["perpring"]).expect("memory");
        let mut samples = Samples::new();
        (1..=1000).for_each(|i| samples.record(i));
        for (i, tag) in ["decode", "scan", "decode"].into_iter().enumerate() {
            let begun = Duration::from_secs(i as u64);
            log.write(tag, begun, Duration::from_secs(1), samples.histogram()).expect("memory");
        }
        assert!(log.write("two words", Duration::ZERO, Duration::ZERO, samples.histogram()).is_err());
        let bytes = log.finish().expect("memory");
        let mut seen = Vec::new();
        let mut starts = 0;
        for entry in IntervalLogIterator::new(&bytes) {
            match entry.expect("valid log") {
                LogEntry::Interval(i) => {
                    use base64_of_hdr as decode;
                    let raw = decode(i.encoded_histogram());
                    let back: Histogram<u64> =
                        Deserializer::new().deserialize(&mut raw.as_slice()).expect("valid");
                    assert_eq!((back.len(), back.max()), (1000, 1000));
                    seen.push(i.tag().expect("tagged").as_str().to_owned());
                }
                LogEntry::StartTime(t) => {
                    assert_eq!(t.as_secs(), 1_700_000_000);
                    starts += 1;
                }
                LogEntry::BaseTime(_) => {}
            }
        }
        assert_eq!((seen, starts), (vec!["decode".to_owned(), "scan".into(), "decode".into()], 1));
    }

    /// Plain base64, for the test only.
    fn base64_of_hdr(text: &str) -> Vec<u8> {
        let value = |c: u8| match c {
            b'A'..=b'Z' => c - b'A',
            b'a'..=b'z' => c - b'a' + 26,
            b'0'..=b'9' => c - b'0' + 52,
            b'+' => 62,
            _ => 63,
        };
        let digits: Vec<u8> = text.bytes().filter(|c| *c != b'=').map(value).collect();
        let mut out = Vec::new();
        for four in digits.chunks(4) {
            let word = four.iter().enumerate().fold(0u32, |w, (i, d)| w | u32::from(*d) << (18 - 6 * i));
            out.extend_from_slice(&word.to_be_bytes()[1..four.len()]);
        }
        out
    }
}
