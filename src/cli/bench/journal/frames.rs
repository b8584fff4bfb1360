//! Compression of recorded frames: those of a simulated run of five venues, and those of captures.

use super::{Bench, Compression};
use crate::cli::Failure;
use crate::cli::bench::pipeline::simulate;
use crate::cli::capture::{Line, LineKind, Lines};
use crate::domain::event::Seq;
use crate::domain::input::{FrameMeta, Input, InputClass, RawInput};
use crate::domain::time::{SECOND, Stamp};
use crate::journal::{JournalOptions, Manifest, Stream, pack, read_chain};
use crate::stage::record::Recorder;
use crate::topology::launch::manifest;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The venues of the simulated run.
const VENUES: [&str; 5] = ["binance-usdm", "okx", "bybit", "deribit", "hyperliquid"];
/// Instruments on each.
const INSTRUMENTS: usize = 4;
/// Simulated seconds.
const RECORDED_S: i64 = 20;
/// The level of [`crate::journal::Housekeeping`] when nothing else is said.
const LEVEL: i32 = 3;
/// Small segments: the last one of a journal is never compressed.
const SEGMENT_BYTES: usize = 1 << 20;

fn options() -> JournalOptions {
    JournalOptions { segment_bytes: SEGMENT_BYTES, ..JournalOptions::default() }
}

/// Records, compresses and compares.
///
/// # Errors
/// A capture that cannot be read or holds too little, or nothing can be written.
pub fn compression(bench: &Bench<'_>, captures: &[PathBuf]) -> Result<Vec<Compression>, Failure> {
    let dir = bench.dir.join("simulated");
    let seconds = if bench.share < SECOND { 4 } else { RECORDED_S };
    simulate(&dir, &VENUES, INSTRUMENTS, seconds, &options())?;
    let mut rows = vec![packed(&dir, "simulated".to_owned())?];
    for capture in captures {
        let dir = bench.dir.join(format!("capture-{}", rows.len()));
        record(&dir, capture)?;
        rows.push(packed(&dir, capture.display().to_string())?);
    }
    Ok(rows)
}

/// Records every frame of a capture as an input.
fn record(dir: &Path, capture: &Path) -> Result<(), Failure> {
    let unreadable = |e: std::io::Error| format!("cannot read {}: {e}", capture.display());
    let mut recorder = Recorder::create(dir, &manifest(b"", 0, BTreeMap::new()), &options())?;
    let mut lines = Lines::open(0, capture).map_err(unreadable)?;
    let mut seq = 0;
    while lines.advance().map_err(unreadable)? {
        let Line { kind: LineKind::Frame, payload, .. } = lines.line() else { continue };
        seq += 1;
        let input = Input::Frame(FrameMeta { last: true, drained: true, ..FrameMeta::default() });
        let at = Stamp { mono: seq as i64 * 1_000, ..Stamp::default() };
        let raw = RawInput { mono: at.mono, input, bytes: payload };
        recorder.input(Seq(seq), at, InputClass::Market, &raw);
    }
    recorder.close()?;
    Ok(())
}

/// Compresses a journal; compares the inputs' compressed segments with what they were.
fn packed(dir: &Path, source: String) -> Result<Compression, Failure> {
    pack(dir, LEVEL)?;
    let run_id = Manifest::read(dir)?.run_id.0;
    let (mut raw_bytes, mut packed_bytes) = (0, 0);
    for closed in read_chain(dir, Stream::Inputs, run_id)?.segments() {
        let name = format!("inputs-{:06}-{:020}.seg.zst", closed.ordinal, closed.base_seq);
        // The last segment stays raw.
        if let Ok(file) = fs::metadata(dir.join(name)) {
            raw_bytes += closed.bytes;
            packed_bytes += file.len();
        }
    }
    if packed_bytes == 0 {
        return Err(
            format!("{source} has less than {SEGMENT_BYTES} bytes of frames: too few to compress").into()
        );
    }
    fs::remove_dir_all(dir)?;
    Ok(Compression { source, raw_bytes, packed_bytes, ratio: raw_bytes as f64 / packed_bytes as f64 })
}
